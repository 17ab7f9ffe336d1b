"""`python -m benchmarks.subscriptions`: the memory of idle subscriptions, in bytes each.

Rules of this file:
- It measures what COUNT subscriptions add to the resident memory of this process, objects and allocator
  included: the subscriptions of WebSockets and their places on the board, without the connections.
- Each kind is measured in a process of its own, as what a process has freed is used again.
- The build is the one that is installed, and is named.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asgiws.drivers import subscriptions
from asgiws.topics.board import Board

NAME = "benchmarks.subscriptions"
PROJECT = Path(__file__).resolve().parent.parent
COUNT = 100_000
#: Topics of a WebSocket that has several.
SEVERAL = 100


def resident() -> int:
    """The resident memory of this process, in bytes. Linux only."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * int(os.sysconf("SC_PAGE_SIZE"))


def owner() -> Any:
    """What a WebSocket has once it uses topics."""
    unused: Any = None
    return subscriptions.Subscriptions(unused, unused)


def one_each(board: Board) -> list[Any]:
    """WebSockets with one subscription each, all to the same topic."""
    return [_subscribe(board, owner(), "room") for _ in range(COUNT)]


def several_each(board: Board) -> list[Any]:
    """WebSockets with SEVERAL subscriptions each, all to the same topics."""
    names = [f"room {number}" for number in range(SEVERAL)]
    return [
        _subscribe(board, one, name)
        for one in (owner() for _ in range(COUNT // SEVERAL))
        for name in names
    ]


def topic_each(board: Board) -> list[Any]:
    """WebSockets with one subscription each, to a topic of its own."""
    return [_subscribe(board, owner(), f"room {number}") for number in range(COUNT)]


#: What is measured, by its name on the command line.
KINDS: dict[str, Callable[[Board], list[Any]]] = {
    "one-each": one_each,
    "several-each": several_each,
    "topic-each": topic_each,
}


def measure(kind: str) -> int:
    """Bytes for each subscription, measured in this process."""
    board = Board(lambda call: None)
    sinks: list[Any] = []  # what was measured lives until it has been
    before = resident()
    sinks += KINDS[kind](board)
    return round((resident() - before) / len(sinks))


def measured(kind: str) -> int:
    """The same in a new process."""
    command = [sys.executable, "-m", NAME, kind]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout)


def _subscribe(board: Board, part: Any, topic: str) -> Any:
    sink = subscriptions.WireSink(topic, part, subscriptions.TELL)
    part._keep(sink)
    board.add(sink)
    return sink


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(NAME, description="Measure the memory of idle subscriptions.")
    parser.add_argument("kind", nargs="?", choices=KINDS, help="only this kind, in this process")
    kind = parser.parse_args(arguments).kind
    if kind is not None:
        print(measure(kind))
        return 0
    build = "pure Python" if str(subscriptions.__file__).endswith(".py") else "compiled"
    print(f"bytes for each of {COUNT} idle subscriptions ({build})")
    for name, make in KINDS.items():
        print(f"{measured(name):6} {make.__doc__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
