"""One worker as its supervisor sees it: a process, its state, and the end of the channel to it.

Rules of this file:
- A worker is a fresh interpreter, not a fork: it imports the application's current code.
- It has its own session, so that a terminal's Ctrl-C reaches only the supervisor, which passes it on.
- What it inherits is listed here: the listening sockets, the channel, the board, and its Start.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asgiws.config import Config
from asgiws.processes.channel import Channel

#: The code of a new interpreter, which runs a module of this package. The path comes first: it is needed to
#: find what is unpickled next.
CODE = (
    "import pickle, sys; file = open(int(sys.argv[1]), 'rb'); sys.path[:] = pickle.load(file); "
    "from asgiws.processes import {module}; {module}.main(file)"
)


@dataclass(frozen=True, slots=True)
class Start:
    """What a worker starts with."""

    config: Config
    #: Its number among the workers, and its row on the board.
    number: int
    row: int
    #: Whether others accept on the listening sockets as well.
    shares: bool
    # File descriptors: the sockets to listen on, the worker's end of the channel, the board's memory.
    listeners: tuple[int, ...]
    channel: int
    board: int
    #: The supervisor's command line.
    argv: tuple[str, ...]
    #: How many octets of a secret the channel begins with: it must be on no disk, as this Start may be.
    secret: int = 0
    #: The path of the socket at which the hub process is reached, "" if there is none.
    hub: str = ""


STARTING = "starting"
READY = "ready"
STOPPING = "stopping"


class WorkerProcess:
    """A worker, which is started at once. Raises OSError if it cannot be.

    `number` is its number among the workers, `row` its row on the board, whose memory is behind `board`.
    `shares` says whether other workers accept on `listeners` too; `secret` is what only workers know; `hub`
    is the path of the hub process's socket. `told` is called with the worker and each message from it,
    `silent` when its end of the channel has gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        number: int,
        row: int,
        board: int,
        listeners: Sequence[socket.socket],
        shares: bool,
        told: Callable[[WorkerProcess, Any], object],
        silent: Callable[[], object],
        secret: bytes = b"",
        hub: str = "",
    ) -> None:
        self.number = number
        self.row = row
        self.shares = shares
        self.state = STARTING
        #: Why it must be replaced, if it must.
        self.outdated: str | None = None
        #: Times of `time.monotonic()`: since when it has been ready, and when it is killed.
        self.ready_at: float | None = None
        self.kill_at: float | None = None
        #: Whether it was found hanging, and aborted.
        self.was_aborted = False
        ours, theirs = socket.socketpair()
        try:
            ours.sendall(secret)
            with theirs:
                start = Start(
                    config=config,
                    number=number,
                    row=row,
                    shares=shares,
                    listeners=tuple(sock.fileno() for sock in listeners),
                    channel=theirs.fileno(),
                    board=board,
                    argv=tuple(sys.argv),
                    secret=len(secret),
                    hub=hub,
                )
                self.process = launch("worker", start, [*start.listeners, start.channel, board])
        except BaseException:
            ours.close()
            raise
        self._channel = Channel(loop, ours, lambda message: told(self, message), silent)

    @property
    def pid(self) -> int:
        return self.process.pid

    def __str__(self) -> str:
        return f"Worker {self.number} ({self.pid})"

    def stop(self, in_hurry: bool, patience: float) -> None:
        """Tell it to stop; it is killed if it has not ended after `patience` seconds."""
        self.state = STOPPING
        self.kill_at = time.monotonic() + patience
        self._channel.send({"what": "stop", "in_hurry": in_hurry})

    def force(self, patience: float) -> None:
        """Tell it to end at once; it is killed after `patience` seconds."""
        self.state = STOPPING
        self.kill_at = time.monotonic() + patience
        self._channel.send({"what": "force"})

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def has_ended(self) -> bool:
        """Whether the process has ended; messages that it sent before are delivered now, and nothing after
        that."""
        if self.process.poll() is None:
            return False
        self._channel.finish()
        return True

    def how_ended(self) -> str:
        """How it ended, in words."""
        return in_words(self.process.returncode)


def launch(module: str, start: object, fds: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start an interpreter that calls `main` of a module of this package with a file in which `start` is
    pickled; it inherits `fds`, and no others. Raises OSError."""
    with tempfile.TemporaryFile() as file:
        pickle.dump(list(sys.path), file)
        pickle.dump(start, file)
        file.seek(0)
        flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags", list)()
        code = CODE.format(module=module)
        return subprocess.Popen(
            [sys.executable, *flags, "-c", code, str(file.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[*fds, file.fileno()],
            start_new_session=True,
        )


def in_words(code: int) -> str:
    """How a process ended that has this return code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"
