"""What all connections of one worker share.

Rules of this file: a Runtime is created once, after the application was loaded, and passed to every driver;
it holds facts and registries, and no protocol logic. What only one part above this one needs, such as the
read buffer of `net/`, belongs to that part (`server/wiring.py` creates it).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from asgiws.asgi import drain
from asgiws.asgi.errors import ProcessEnds
from asgiws.asgi.types import Address, ASGIApp
from asgiws.bridge.contexts import OwnContext
from asgiws.bridge.reuse import Spare
from asgiws.bridge.tasks import Job, start
from asgiws.common.turn import Turn
from asgiws.config import Config, StartError
from asgiws.proxies.addresses import TrustedAddresses
from asgiws.services.admission import Admission
from asgiws.services.budget import Budget
from asgiws.services.notices import Notices
from asgiws.services.pubsub import PubSub
from asgiws.services.reaper import Reaper
from asgiws.services.topics import Topics
from asgiws.websocket import zlib_backend
from asgiws.websocket.compression import Compression, Settings
from asgiws.websocket.fanout import FanOut
from asgiws.websocket.keepalive import Times
from asgiws.websocket.origins import OriginFilter

logger = logging.getLogger("asgiws.error")
access_logger = logging.getLogger("asgiws.access")


def peer_name(client: Address | None) -> str:
    """A client's address as it appears in the log; "-" on a Unix socket, where it has none."""
    return f"{client[0]}:{client[1]}" if client else "-"


class CompressionMissing(StartError):
    """The requested compression library is not installed."""


class Runtime:
    """The application and the facts about the worker that serves it.

    `state` is the lifespan state: each scope gets a shallow copy of it (ASGI lifespan 2.0, "Lifespan
    State"). `tasks` holds every running application task, so that none is garbage collected early and a
    shutdown can wait for them, and finally cancel them. `cutting_off` is set before it does so. `ready` is
    true while the worker accepts new work: from when it accepts connections until its drain begins.
    `compression` is what the WebSockets share for permessage-deflate, or None if it is off. `drain` is the
    extension of that name, which contains the event `draining`; `pubsub` is the other one, None if it is off.

    Raises CompressionMissing.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        state: dict[str, Any] | None,
        draining: asyncio.Event | None = None,
        topics: Topics | None = None,
        pubsub: PubSub | None = None,
    ) -> None:
        self.app = app
        self.config = config
        self.loop = loop
        self.state = state
        self.drain = drain.extension(draining or asyncio.Event())
        #: None if the extension `asgiws.pubsub` is off.
        self.topics = topics
        self.pubsub = None if pubsub is None else pubsub.extension()
        self.tasks: set[asyncio.Task[None]] = set()
        self.connections: set[Any] = set()
        self.cutting_off = False
        self.ready = False
        #: Called with the exception of an application's call in a process that it has forked; ends the process.
        self.leave: Callable[[BaseException], object] | None = None
        self.compression = compression(config)
        self.notices = Notices(loop)
        self.admission = Admission(config, loop.time)
        self.origins = (
            OriginFilter(config.ws_allowed_origins) if config.ws_allowed_origins else None
        )
        #: End the applications of requests and of WebSockets whose client has gone; None if they may continue.
        self.http_reaper = _reaper(loop, config.http_cancel_after, "http_cancel_after")
        self.ws_reaper = _reaper(loop, config.ws_cancel_after, "ws_cancel_after")
        #: The trusted proxies.
        self.trusted = TrustedAddresses(config.forwarded_allow_ips)
        #: What the WebSockets share about the last message that was sent.
        self.fanout = FanOut()
        #: The clocks of an open WebSocket.
        self.ws_times = Times(
            config.ws_ping_interval or 0.0,
            config.ws_ping_timeout or 0.0,
            config.ws_idle_timeout or 0.0,
            config.ws_max_age or 0.0,
            config.ws_max_age_jitter or 0.0,
        )
        #: What all connections hold on its way to the application. The largest message must fit.
        self.budget = Budget(
            config.limit_incoming and max(config.limit_incoming, config.ws_max_size)
        )
        #: The work of one turn of the event loop, which all connections share.
        self.turn = Turn(self._turn_begins)
        #: The number of requests and WebSockets passed to the application, and the number at which `_reached`
        #: is called; 0 for never.
        self.served = 0
        self._limit = 0
        self._reached: Callable[[], object] = bool
        #: The server's context: what begins, or is called later, must not run in that of the request whose
        #: application is being stepped.
        self.own = OwnContext()
        # No application runs in it, so it can serve the ends of all tasks.
        self._context = self.own.copy()
        self._on_end = self._ended
        self._spare = Spare(loop, self._context)

    def is_ready(self) -> bool:
        """What a readiness probe is told."""
        if not self.ready or self.topics is None or not self.config.pubsub_readiness:
            return self.ready
        return self.topics.hub().is_up

    def is_passing(self, error: BaseException) -> bool:
        """True for an exception from an application's call that the application did not raise: the cancellation
        of its task, the end of the process. Any other, including its own SystemExit, ends only its request or
        its WebSocket."""
        if self.leave is not None:
            self.leave(error)
        if isinstance(error, asyncio.CancelledError):
            # Before Python 3.11, a task does not know whether it was cancelled: there, anything but the
            # server's own cancellation counts as the application's, and is logged and answered like an
            # exception.
            cancelling = getattr(asyncio.current_task(), "cancelling", None)
            return self.cutting_off or (cancelling is not None and cancelling() > 0)
        return isinstance(error, (GeneratorExit, KeyboardInterrupt, ProcessEnds))

    def set_limit(self, limit: int, reached: Callable[[], object]) -> None:
        """Call `reached` when the application is called for the `limit`th time; 0 for never."""
        self._limit = limit
        self._reached = reached

    def spawn(self, job: Job, lasts: bool) -> asyncio.Task[None] | None:
        """Run `job` as a task that is kept until it ends; None if it has already ended. `lasts` says that it is
        not expected to end in its first step."""
        self.served += 1
        if self.served == self._limit:
            self._reached()
        context = self._context.copy()
        task = start(self.loop, job, context) if lasts else self._spare.start(job, context)
        if task is not None:
            self.tasks.add(task)
            # One callable and one context for all: otherwise each task would create its own.
            task.add_done_callback(self._on_end, context=self._context)
        return task

    def close(self) -> None:
        """There will be no more calls."""
        self._spare.close()

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call a function of the server, which runs no application, in the loop's next turn."""
        self.loop.call_soon(callback, context=self._context)

    def _turn_begins(self) -> None:
        self.call_soon(self.turn.renew)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)


def _reaper(loop: asyncio.AbstractEventLoop, delay: float, option: str) -> Reaper | None:
    return Reaper(loop, delay, option) if delay else None


def compression(config: Config) -> Compression | None:
    """The compression that the options request. Raises CompressionMissing."""
    if not config.ws_per_message_deflate:
        return None
    takeover = config.ws_deflate_no_context_takeover
    settings = Settings(
        level=config.ws_deflate_level,
        window_bits=config.ws_deflate_window_bits,
        client_window_bits=config.ws_deflate_client_window_bits,
        memory_level=config.ws_deflate_memory_level,
        server_no_context_takeover=takeover in ("server", "both"),
        client_no_context_takeover=takeover in ("client", "both"),
        min_size=config.ws_deflate_min_size,
        memory=config.ws_deflate_memory,
    )
    try:
        backend = zlib_backend.choose(config.ws_deflate_backend)
    except zlib_backend.BackendMissing as error:
        raise CompressionMissing(f"--ws-deflate-backend: {error}") from None
    return Compression(settings, backend)
