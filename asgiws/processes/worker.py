"""The process of one worker: from its start by the supervisor to its end.

Rules of this file:
- It serves like a process without a supervisor, on sockets that the supervisor has bound; this file only
  contains the messages to and from the supervisor.
- A message to stop and a SIGTERM have the same effect. The end of the supervisor, whatever its cause, stops the
  worker as well.
- SIGHUP, SIGTTIN and SIGTTOU are for the supervisor: a worker that receives one continues.
"""

from __future__ import annotations

import asyncio
import contextvars
import faulthandler
import logging
import os
import pickle
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn, Protocol

from asgiws.processes.balancer import WorkerBalancer
from asgiws.processes.channel import Channel
from asgiws.processes.heartbeat import Heartbeat, interval
from asgiws.processes.lifetime import Lifetime
from asgiws.processes.line import Dialer
from asgiws.processes.scoreboard import CLOSED, Scoreboard
from asgiws.processes.worker_process import Start
from asgiws.server import signals
from asgiws.server.server import Server, run_server
from asgiws.topics.hub import Hub
from asgiws.topics.linked import LinkedHub

logger = logging.getLogger("asgiws.error")

NOT_OURS = ("SIGHUP", "SIGTTIN", "SIGTTOU")


class Topics(Protocol):
    """What a hub needs of the server (`services/topics.py`)."""

    loop: asyncio.AbstractEventLoop

    def call_soon(self, callback: Callable[[], object]) -> None: ...


class Worker:
    """A server and its membership among the workers."""

    def __init__(self, start: Start) -> None:
        self.name = f"worker {start.number} ({os.getpid()})"
        self.server = Server(start.config, self)
        self._config = start.config
        self._row = start.row
        self._hub = start.hub
        self._context = contextvars.copy_context()
        self._sockets = [socket.socket(fileno=fd) for fd in start.listeners]
        self._end = socket.socket(fileno=start.channel)
        self.secret = self._end.recv(start.secret, socket.MSG_WAITALL) if start.secret else b""
        self._board = Scoreboard(start.board)
        os.close(start.board)
        self.balancer = (
            WorkerBalancer(self._board, start.row, lambda: self.server.open_connections)
            if start.shares
            else None
        )
        self._lifetime = Lifetime(start.config)
        self._channel: Channel | None = None
        self._heart: Heartbeat | None = None
        self._is_worn_out = False
        self._is_orphaned = False

    def run(self) -> int:
        """Serve until the end. Returns the exit code."""
        return run_server(self.server, self._serve)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._channel = Channel(loop, self._end, self._told, self._orphaned)
        try:
            await self.server.serve_process(self._sockets)
        finally:
            if self._heart is not None:
                self._heart.close()
            self._board.rest(self._row)
            self._channel.close()
            if self._is_orphaned and self._hub:
                # Nobody else does, if there was no hub process.
                shutil.rmtree(os.path.dirname(self._hub), ignore_errors=True)

    # Called by the server.

    def ready(self) -> None:
        # Not before: the application's import and startup may block the event loop for long.
        self._board.beat(self._row)
        self._board.set_connections(self._row, 0)
        self._say("ready")
        seconds = interval(self._config.timeout_worker_healthcheck)
        self._heart = Heartbeat(asyncio.get_running_loop(), seconds, self._beat)

    def stopping(self) -> None:
        self._board.set_connections(self._row, CLOSED)
        self._say("stopping")

    def worn_out(self, why: str) -> None:
        if not self._is_worn_out:
            self._is_worn_out = True
            self._say("worn out", why=why)

    def make_hub(self, topics: Topics) -> Hub:
        """The hub of this worker, when its application uses topics for the first time."""

        def make() -> Hub:
            dial = Dialer(topics.loop, self._hub, topics.call_soon)
            queue, largest = self._config.pubsub_queue, self._config.pubsub_max_message
            return LinkedHub(topics.call_soon, topics.loop, dial, queue, largest)

        # What the event loop calls later must not run in the context of the request that was the first to
        # use topics.
        return self._context.run(make)

    # Called by the event loop.

    def _beat(self) -> None:
        self._board.beat(self._row)
        if self.server.ready:
            self._board.set_connections(self._row, self.server.open_connections)
            why = self._lifetime.why_over()
            if why is not None:
                self.worn_out(why)

    # To and from the supervisor.

    def _say(self, what: str, **more: Any) -> None:
        assert self._channel is not None
        self._channel.send({"what": what, **more})

    def _told(self, message: dict[str, Any]) -> None:
        if message["what"] == "stop":
            self.server.in_hurry = message["in_hurry"]
            self.server.should_exit = True
        else:
            self.server.force_exit = True

    def _orphaned(self) -> None:
        logger.error("The supervisor has gone: stopping")
        self._is_orphaned = True
        self.server.should_exit = True


def main(file: BinaryIO) -> NoReturn:
    """Run the worker whose Start is pickled in `file`, and end the process."""
    with file:
        start: Start = pickle.load(file)
    sys.argv[:] = start.argv
    for fd in (*start.listeners, start.channel, start.board):
        os.set_inheritable(fd, False)
    if not faulthandler.is_enabled() and sys.stderr is not None:
        # SIGABRT ends a worker that hangs: this shows where it hung.
        faulthandler.enable()
    for name in NOT_OURS:
        if hasattr(signal, name):
            # A handler and not SIG_IGN, which programs started by the application would inherit.
            signals.take(getattr(signal, name), bool)
    sys.exit(Worker(start).run())
