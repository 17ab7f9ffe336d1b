"""The options of the application and of where to listen, which `Config` begins with."""

from __future__ import annotations

import dataclasses

from asgiws.config import OPTIONS, Config
from asgiws.config.application_options import ApplicationOptions
from asgiws.config.groups import APPLICATION, SOCKET


def test_the_configuration_begins_with_them() -> None:
    names = [field.name for field in dataclasses.fields(ApplicationOptions)]
    assert names == [option.name for option in OPTIONS if option.group in (APPLICATION, SOCKET)]
    assert names == [field.name for field in dataclasses.fields(Config)][: len(names)]


def test_the_application_alone_may_be_given_by_position() -> None:
    positional = [field.name for field in dataclasses.fields(Config) if not field.kw_only]
    assert positional == ["app"]
    assert Config("main:app").app == "main:app"
