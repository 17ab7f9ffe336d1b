"""The options of a server: their names, their types, and where their values come from."""

from __future__ import annotations

from asgiws.config.errors import ConfigError, StartError
from asgiws.config.load import close_to, load, read_env_file
from asgiws.config.option import Option
from asgiws.config.options import GROUPS, OPTIONS, Config

__all__ = [
    "GROUPS",
    "OPTIONS",
    "Config",
    "ConfigError",
    "Option",
    "StartError",
    "close_to",
    "load",
    "read_env_file",
]
