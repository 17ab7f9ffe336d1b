"""The name that Django's settings have."""

from __future__ import annotations

from channels.layers import BaseChannelLayer
from django.utils.module_loading import import_string

import asgiws.channels


def test_django_finds_the_layer() -> None:
    layer = import_string("asgiws.channels.ChannelLayer")
    assert layer is asgiws.channels.ChannelLayer
    assert issubclass(layer, BaseChannelLayer)
