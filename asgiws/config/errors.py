"""What keeps a server from starting.

Rules of this file: `str()` of each is one line for the operator, and `exit_code` the process's.
"""

from __future__ import annotations


class StartError(Exception):
    """The server cannot start. `str()` is one line for the operator."""

    exit_code = 1


class ConfigError(StartError, ValueError):
    """An option has a value that it cannot have, or options contradict each other."""

    exit_code = 2
