"""A worker class for gunicorn: `gunicorn -k asgiws.workers.Worker module:app`.

Rules of this file:
- gunicorn imports it, and nothing else in the package does.
- gunicorn's settings apply if they mean the same as an option, unless the environment sets that option
  (`ASGIWS_...`), which is also how all other options are set.
- gunicorn decides about the worker's life: signals, the heartbeat, a changed parent and `max_requests` set
  `should_exit` or `force_exit` of the one server.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from types import FrameType
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker as BaseWorker

from asgiws.asgi.interface import adapt
from asgiws.asgi.types import ASGIApp
from asgiws.config import OPTIONS, Config, StartError, load
from asgiws.config.option_types import Reach
from asgiws.server import forks, loops
from asgiws.server.server import Server

#: The most seconds between two signs of life.
HEARTBEAT = 1.0

#: Seconds of gunicorn's graceful timeout that are reserved for the process's own end, before it is killed.
RESERVE = 1.0


class Worker(BaseWorker):
    """Serves the application of one gunicorn worker process."""

    _server: Server | None = None
    _timer: asyncio.TimerHandle | None = None

    def init_signals(self) -> None:
        super().init_signals()
        # The event loop has its own way to be woken, and nobody reads from gunicorn's pipe.
        signal.set_wakeup_fd(-1)
        forks.in_child(self._forked)

    def _forked(self) -> None:
        """In a process that the application has forked: gunicorn's signals are not meant for it."""
        for number in self.SIGNALS:
            if getattr(signal.getsignal(number), "__self__", None) is self:
                signal.signal(number, signal.SIG_DFL)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: the graceful stop, for a reload and when gunicorn itself ends."""
        self.alive = False
        if self._server is not None:
            self._server.should_exit = True

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT and SIGINT: end at once."""
        if self._server is None:
            super().handle_quit(sig, frame)
        else:
            self.alive = False
            self.cfg.worker_int(self)
            self._server.should_exit = self._server.force_exit = True

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """SIGABRT: the heartbeat was missed. The code that blocks the loop might also catch an exception."""
        self.alive = False
        self.cfg.worker_abort(self)
        logging.shutdown()
        os._exit(1)

    def run(self) -> None:
        """Serve until gunicorn, `max_requests` or the application ends it."""
        try:
            config = self._config()
            self._server = Server(config)
            loops.run(self._serve, config.loop, self._server.patience())
        except StartError as error:
            self.log.error("%s", error)
            # For this exit code gunicorn ends as well: starting the worker again would not help.
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _serve(self) -> None:
        assert self._server is not None
        self._beat()
        try:
            await self._server.serve(
                [listener.sock for listener in self.sockets], install_signal_handlers=False
            )
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _beat(self) -> None:
        """Show a sign of life, and check whether gunicorn is still there."""
        assert self._server is not None
        self.notify()
        if not self.alive or self.ppid != os.getppid():
            self._server.should_exit = True
        pause = min(HEARTBEAT, self.timeout) if self.timeout else HEARTBEAT
        self._timer = asyncio.get_running_loop().call_later(pause, self._beat)

    def _config(self) -> Config:
        """The options. Raises ConfigError."""
        cfg = self.cfg
        for name, log in (("error", self.log.error_log), ("access", self.log.access_log)):
            logger = logging.getLogger(f"asgiws.{name}")
            logger.handlers[:] = log.handlers
            logger.propagate = False
        settings = {
            "backlog": cfg.backlog,
            "timeout_keep_alive": cfg.keepalive,
            "timeout_graceful_shutdown": max(cfg.graceful_timeout - RESERVE, RESERVE),
            "log_level": cfg.loglevel,
            "access_log": bool(self.log.access_log.handlers),
            "forwarded_allow_ips": self._trusted(),
            "ssl_certfile": cfg.certfile,
            "ssl_keyfile": cfg.keyfile,
        }
        known = {option.name: option for option in OPTIONS}
        options = {
            name: value
            for name, value in settings.items()
            if value is not None and not os.environ.get(known[name].env)
        }
        options["workers"] = 0  # gunicorn has them
        if cfg.workers > 1 and not Reach.is_url(os.environ.get(known["pubsub"].env, "")):
            options["pubsub"] = "off"  # nothing carries topics from one of them to the others
        return load({**options, "app": self._counted(adapt(self.wsgi, "the application"))})

    def _trusted(self) -> list[str]:
        """The proxies that gunicorn trusts: on a Unix socket, every peer."""
        unix = getattr(socket, "AF_UNIX", None)
        has_unix = any(listener.sock.family == unix for listener in self.sockets)
        return [*self.cfg.forwarded_allow_ips, *(["unix"] if has_unix else [])]

    def _counted(self, app: ASGIApp) -> ASGIApp:
        """`app`, with its calls counted towards `max_requests`."""
        if self.max_requests == sys.maxsize:
            return app

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "lifespan":
                self.nr += 1
                if self.nr == self.max_requests:
                    self.log.info("Stopping: the worker has served %d requests", self.nr)
                    self.handle_exit(signal.SIGTERM, None)
            await app(scope, receive, send)

        return counted
