"""Runs one target under Atheris: `python -m tests.fuzz.guided TARGET [libFuzzer's arguments]`.

Rules of this file:
- The pure build is what guides the fuzzer: its functions, and those of h11, report which branches they took.
  The compiled build runs beside it within the targets.
- It is for `python -m tests.fuzz` to start, with ASGIWS_EXTENSIONS=no.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import atheris
import h11

from tests.fuzz.targets import TARGETS

_PACKAGES = ("asgiws.http", "asgiws.websocket", "asgiws.proxies", "asgiws.fields", h11.__name__)


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """The functions and methods that were defined in `module`."""
    for thing in vars(module).values():
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if isinstance(thing, FunctionType):
            yield thing
        elif isinstance(thing, type):
            for member in vars(thing).values():
                function: Any = getattr(member, "__func__", getattr(member, "fget", member))
                if isinstance(function, FunctionType):
                    yield function


def _instrument() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith(_PACKAGES) and (module.__file__ or "").endswith(".py"):
            for function in _functions(module):
                atheris.instrument_func(function)


if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    _instrument()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
