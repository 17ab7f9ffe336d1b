"""Errors that keep a server from starting.

Rules of this file: `str()` of each error is one line for the operator, and `exit_code` is the exit code
of the process.
"""

from __future__ import annotations


class StartError(Exception):
    """The server cannot start. `str()` is one line for the operator."""

    exit_code = 1


class ConfigError(StartError, ValueError):
    """An option has an invalid value, or options contradict each other."""

    exit_code = 2
