"""The Redis between the nodes of a scenario: the machine's `redis-server`, started for a measurement.

Rules of this file:
- It is the real program, on a free port of 127.0.0.1, which keeps nothing on disk.
- Nothing is installed: without the program, what needs it is left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from conformance.process import RunningServer, free_port, started

PROGRAM = "redis-server"


def find() -> Path | None:
    """The program, or None when it is not there."""
    found = shutil.which(PROGRAM)
    return Path(found) if found else None


@contextlib.contextmanager
def started_redis(program: Path, folder: Path) -> Iterator[tuple[str, RunningServer]]:
    """A Redis for the length of the block: its URL, and its process. Raises ServerError."""
    port = free_port()
    command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no"]
    with started(command, port, os.environ, folder / "redis.log") as running:
        yield f"redis://127.0.0.1:{port}/0", running
