"""The hub process of a host as its supervisor sees it.

Rules of this file:
- It is started by the first worker that connects to its socket, which the supervisor watches until then: an
  application that uses no topics has no such process.
- When it has died, the socket is watched again. What workers have sent meanwhile waits in the socket.
- One that hangs is found by its heartbeat, as a worker is, and killed.
- It ends last, after all workers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

from asgiws.brokers.choice import is_broker
from asgiws.config import Config, StartError
from asgiws.processes.backoff import BackOff
from asgiws.processes.channel import Channel
from asgiws.processes.scoreboard import Scoreboard
from asgiws.processes.worker_process import in_words, launch

logger = logging.getLogger("asgiws.error")

#: How many seconds its second death in a row costs.
BACK_OFF = 0.25

#: Seconds that it gets to end: after SIGABRT, and at the end.
ABORT_MOMENT = 3.0
MOMENT = 2.0

#: The longest path of a Unix socket that every system allows.
MOST_PATH = 100

BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class HubStart:
    """What a hub process starts with."""

    config: Config
    #: The directory of its socket, and its row on the board.
    directory: str
    row: int
    # File descriptors: the socket to listen on, its end of the channel to the supervisor, the board's memory.
    listener: int
    channel: int
    board: int


class HubProcess:
    """A socket in a private directory, at `path`, and a process if it is needed.

    `board` is the table for heartbeats, in the memory behind the descriptor `memory`. Raises StartError if
    there can be no such socket.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: Config, board: Scoreboard, memory: int
    ) -> None:
        self._loop = loop
        self._config = config
        self._board = board
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._row = 0
        self._started = 0.0
        self._back_off = BackOff(BACK_OFF)
        #: Time of `time.monotonic()` at which it is killed.
        self._kill_at: float | None = None
        self._was_aborted = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_watching = False
        try:
            self._directory, self._listener = _listen()
        except OSError as error:
            raise StartError(f"no socket for the topics of workers: {error}") from None
        self.path = self._listener.getsockname()
        self._watch()

    def __str__(self) -> str:
        return f"The hub process of topics ({self._process.pid if self._process else 0})"

    def look(self) -> None:
        """Find out whether it has ended, and whether its time is up."""
        process = self._process
        if process is None:
            return
        if process.poll() is not None:
            self._ended(process.returncode)
        elif self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = None
            process.kill()

    def check(self, limit: float) -> None:
        """Kill it if it has sent no heartbeat for `limit` seconds."""
        if self._process is None or self._was_aborted:
            return
        silence = self._board.silence(self._row)
        if silence > limit:
            logger.error("%s has sent no heartbeat for %.3g s: aborted", self, silence)
            self._was_aborted = True
            self._kill_at = time.monotonic() + ABORT_MOMENT
            self._process.send_signal(signal.SIGABRT)

    def close(self) -> None:
        """End it, and leave nothing behind. The workers have ended before. Blocks for a moment."""
        self._unwatch()
        if self._timer is not None:
            self._timer.cancel()
        if self._channel is not None:
            self._channel.close()  # which it notices
        if self._process is not None:
            try:
                self._process.wait(MOMENT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._listener.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _watch(self) -> None:
        """Start it when somebody connects."""
        self._timer = None
        self._is_watching = True
        self._loop.add_reader(self._listener.fileno(), self._start)

    def _unwatch(self) -> None:
        if self._is_watching:
            self._is_watching = False
            self._loop.remove_reader(self._listener.fileno())

    def _start(self) -> None:
        self._unwatch()
        self._row = self._board.give_out()
        ours, theirs = socket.socketpair()
        with theirs:
            start = HubStart(
                config=self._config,
                directory=self._directory,
                row=self._row,
                listener=self._listener.fileno(),
                channel=theirs.fileno(),
                board=self._memory,
            )
            try:
                self._process = launch("hub", start, [start.listener, start.channel, start.board])
            except OSError as error:
                ours.close()
                self._board.take_back(self._row)
                wait = self._again(BACK_OFF)
                logger.error(
                    "Cannot start the hub process of topics: %s; trying again in %g s", error, wait
                )
                return
        self._channel = Channel(self._loop, ours, bool, self.look)
        self._started = time.monotonic()
        self._was_aborted = False
        self._kill_at = None

    def _ended(self, code: int) -> None:
        how = f"{self} {in_words(code)}"
        self._process = None
        self._board.take_back(self._row)
        if self._channel is not None:
            self._channel.finish()
            self._channel = None
        self._back_off.ran(time.monotonic() - self._started)
        wait = self._again(0.0)
        after = f" in {wait:g} s" if wait else ""
        lost = "messages" if is_broker(self._config) else "messages and the history"
        logger.error("%s: %s of topics are lost; starting another%s", how, lost, after)

    def _again(self, at_least: float) -> float:
        """Watch the socket again after a while; returns for how many seconds."""
        wait = self._back_off.next(at_least)
        self._timer = self._loop.call_later(wait, self._watch)
        return wait


def _listen() -> tuple[str, socket.socket]:
    """A directory that only this user can enter, and a socket that listens in it. Raises OSError."""
    directory = tempfile.mkdtemp(prefix="asgiws-")
    if len(os.fsencode(directory)) > MOST_PATH:
        os.rmdir(directory)
        directory = tempfile.mkdtemp(prefix="asgiws-", dir="/tmp")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(os.path.join(directory, "hub"))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return directory, listener
