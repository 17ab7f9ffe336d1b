"""What others need of asgiws.config, at one place."""

from __future__ import annotations

import asgiws.config


def test_each_name_that_is_offered_is_there() -> None:
    for name in asgiws.config.__all__:
        assert hasattr(asgiws.config, name)
