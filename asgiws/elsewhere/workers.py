"""Whether the server that runs in this process, which is not ours, runs in others too.

Topics that are made in a process reach that process alone, so with several workers messages would be lost
without a word. This can be known for uvicorn, gunicorn, hypercorn and granian: their objects are on the stack
while they load and start an application, or their command line says so.

Rules of this file: what is not certain counts as one process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import PurePath
from types import FrameType
from typing import Any

_SERVERS = ("uvicorn", "gunicorn", "hypercorn", "granian", "fastapi")

#: The options of their command lines that say how many workers there are.
_OPTIONS = ("--workers", "-w", "--worker-num")

#: Names under which their functions have what holds the options.
_NAMES = ("self", "config", "cfg")


class SeveralWorkers(RuntimeError):
    """Topics would reach the clients of one worker only."""


def check_alone(what: str, instead: str = "") -> None:
    """Raises SeveralWorkers if this process is known to be one of several workers; `instead` is what else could
    be done about it."""
    count = max(_of_stack(sys._getframe()), _of_command(sys.argv))
    if count > 1:
        raise SeveralWorkers(
            f"{what} reaches the clients of one process only, and this server has {count} workers: run one "
            f"worker, {instead}or asgiws with --workers {count}, whose topics reach all of them"
        )


def _of_stack(frame: FrameType | None) -> int:
    """The number of workers in the options of a server that calls this; 1 if there is none."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if isinstance(module, str) and module.partition(".")[0] in _SERVERS:
            for name in _NAMES:
                count = _workers(frame.f_locals.get(name))
                if count > 1:
                    return count
        frame = frame.f_back
    return 1


def _workers(holder: Any) -> int:
    holders = (holder, getattr(holder, "config", None), getattr(holder, "cfg", None))
    counts = [getattr(one, "workers", None) for one in holders]
    return max((count for count in counts if type(count) is int), default=1)


def _of_command(argv: Sequence[str]) -> int:
    """The number of workers in the command line of such a server."""
    if not argv:
        return 1
    program = PurePath(argv[0])
    names = (program.stem, program.parent.name if program.stem == "__main__" else "")
    if not any(name in _SERVERS for name in names):
        return 1
    count = _number(os.environ.get("WEB_CONCURRENCY"))
    for at, one in enumerate(argv[1:], 1):
        option, equals, value = one.partition("=")
        if option in _OPTIONS:
            count = _number(value if equals else "".join(argv[at + 1 : at + 2]))
        elif one.startswith("-w") and one[2:].isdecimal():
            count = int(one[2:])
    return count


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 1
