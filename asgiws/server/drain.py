"""Ending the connections of a stopping server, spread over a window of time.

Rules of this file:
- A connection that ends by itself, with an HTTP request, may do so; one that waits for its next request ends at
  once. One that does not end by itself, a WebSocket, is shut down at its own moment within the window. The
  moments are spread evenly, with jitter, so that the clients do not all reconnect at once. A client that leaves
  before its moment is not disturbed.
- A connection that was being accepted when the server stopped, or that becomes a WebSocket only then, gets a
  moment in what is left of the window.
- Connections are shut down in callbacks of the event loop, with one timer for all of them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from bisect import insort
from collections.abc import Callable, Collection
from typing import Any

from asgiws.bridge.contexts import OwnContext
from asgiws.bridge.outlet import Conversation
from asgiws.config import Config
from asgiws.server.registry import Registry

logger = logging.getLogger("asgiws.error")

#: Seconds of the window if none is given, and the largest part of the time for the stop that it may take.
WINDOW = 5.0
WINDOW_PART = 0.5

#: The part of the remaining time for the stop that a requested window may take: the last clients need
#: some time to answer.
MOST = 0.9


def window(config: Config, left: float) -> float:
    """The seconds over which connections are closed if `left` seconds remain until what is open is cut off."""
    if config.drain_window is None:
        return min(WINDOW, config.timeout_graceful_shutdown * WINDOW_PART, max(left, 0.0) * MOST)
    return min(config.drain_window, max(left, 0.0) * MOST)


def spread(count: int, window: float, random: Callable[[], float] = random.random) -> list[float]:
    """`count` moments from 0 to `window` seconds in order: each is somewhere in its own equal part."""
    return [(index + random()) * window / count for index in range(count)]


class Drain:
    """Ends all conversations on the connections in `connections`; those that do not end by themselves over
    `window` seconds."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connections: Registry, window: float
    ) -> None:
        self._loop = loop
        self._own = OwnContext()
        self._connections = connections
        self._window = window
        self._end = 0.0
        #: (moment, connection, conversation), the next one last.
        self._due: list[tuple[float, Any, Conversation]] = []
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Begin; only from a callback of the event loop."""
        now = self._loop.time()
        self._end = now + self._window
        self._connections.added = self._added
        lasting = []
        for connection in list(self._connections):
            for conversation in _conversations(connection):
                if _lasts(conversation):
                    lasting.append((connection, conversation))
                else:
                    _shut_down(conversation)
        random.shuffle(lasting)
        offsets = spread(len(lasting), self._window)
        self._due = [(now + offset, *one) for offset, one in zip(offsets, lasting, strict=True)]
        self._due.reverse()
        self._work()

    def close(self) -> None:
        """Leave alone what is still open."""
        self._connections.added = None
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _added(self, connection: Any) -> None:
        self._own.run(self._loop.call_soon, self._take, connection)

    def _take(self, connection: Any) -> None:
        """End a connection that arrived, or became another kind, since the start."""
        if connection not in self._connections:
            return
        now = self._loop.time()
        for conversation in _conversations(connection):
            if now < self._end and _lasts(conversation):
                moment = now + random.random() * (self._end - now)
                entry = (moment, connection, conversation)
                insort(self._due, entry, key=lambda entry: -entry[0])
            else:
                _shut_down(conversation)
        self._work()

    def _work(self) -> None:
        """Shut down the conversations whose moment has come, and wait for the next moment."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time()
        due = self._due
        while due and due[-1][0] <= now:
            _, connection, conversation = due.pop()
            if connection in self._connections:
                _shut_down(conversation)
        if due:
            self._timer = self._loop.call_at(due[-1][0], self._work)


def count_lasting(connections: Registry) -> int:
    """How many conversations do not end by themselves."""
    return sum(_lasts(one) for connection in connections for one in _conversations(connection))


def _conversations(connection: Any) -> Collection[Conversation]:
    try:
        found: Collection[Conversation] = connection.conversations()
    except Exception:
        logger.exception("Exception while a connection was asked what it carries: %r", connection)
        return (connection,)
    return tuple(found)


def _lasts(conversation: Conversation) -> bool:
    try:
        return bool(conversation.lasts())
    except Exception:
        logger.exception(
            "Exception while a connection was asked how long it lasts: %r", conversation
        )
        return False


def _shut_down(conversation: Conversation) -> None:
    try:
        conversation.shutdown()
    except Exception:  # the others must be shut down anyway
        logger.exception("Exception while a connection was shut down: %r", conversation)
