"""The events that wait for a WebSocket application's `receive()`, and the calls of `receive()` that wait for
events.

Rules of this file:
- Messages are kept as the protocol provides them, `str` and `bytes`; other events as ASGI dictionaries; those
  about topics, which count like messages, in a tuple.
- Only messages count, in octets of memory: above the high mark the inbox is full, and from the low mark down
  there is room again.
- The queue is a list and the index of its first event: empty, as it nearly always is, that takes a tenth of a
  deque's memory.
- Calls of `receive()` are served in the order in which they began to wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from asgiws.bridge.wakeup import Waiter
from asgiws.common import octets

#: How many taken events may be at the front of the list before they are removed.
COMPACT = 256

# The same as a C integer for the compiled module.
_COMPACT = COMPACT

#: A counted event has its size, and what is to be called when it is taken.
Counted = tuple[dict[str, Any], int, Callable[[], object] | None]
Event = str | bytes | dict[str, Any] | Counted


class Inbox:
    """The events for one application.

    `octets` is the memory that the messages take, `high` and `low` are the marks for it. `is_over` is set
    once the last event was received, and `is_closed` once the application has ended and calls `receive()` no
    more.
    """

    __slots__ = (
        "_events",
        "_head",
        "_loop",
        "_others",
        "_waiter",
        "high",
        "is_closed",
        "is_over",
        "low",
        "octets",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, high: int, low: int) -> None:
        self._loop = loop
        self._events: list[Event | None] = []
        self._head = 0
        self.octets = 0
        self.high = high
        self.low = low
        self.is_over = False
        self.is_closed = False
        #: The first `receive()` that waits, and the others in their order.
        self._waiter: Waiter | None = None
        self._others: deque[Waiter] | None = None

    # What waits to be received.

    def put(self, message: str | bytes) -> None:
        """Add a message."""
        self._events.append(message)
        self.octets += octets.memory(message)

    def put_event(self, event: dict[str, Any]) -> None:
        """Add an event that is not a message."""
        self._events.append(event)

    def put_counted(
        self, event: dict[str, Any], size: int, told: Callable[[], object] | None
    ) -> None:
        """Add an event that counts `size` octets, like a message; `told` is called when it was taken."""
        self._events.append((event, size, told))
        self.octets += size

    def is_empty(self) -> bool:
        return not self._events

    def has_messages(self) -> bool:
        """True if the last event is a message."""
        return bool(self._events) and type(self._events[-1]) is not dict

    def take(self) -> Any:
        """Take the first event; there must be one. A message counts until `received` is called."""
        events = self._events
        head = self._head
        event = events[head]
        head += 1
        if head == len(events):
            events.clear()
            head = 0
        else:
            events[head - 1] = None
            if head == _COMPACT:
                del events[:head]
                head = 0
        self._head = head
        return event

    def received(self, size: int) -> bool:
        """The application has received a message of so many octets of memory; true if there is room again."""
        self.octets -= size
        return self.octets <= self.low

    def widen(self, times: int) -> None:
        """Raise the high mark to what is waiting now plus `times` the previous high mark."""
        self.high = self.octets + times * self.high

    def drop_messages(self) -> None:
        """Drop the messages; other events stay."""
        events = self._events
        events[:] = [event for event in events[self._head :] if type(event) is dict]
        self._head = 0
        self.octets = 0

    def clear(self) -> None:
        """Drop everything."""
        self._events.clear()
        self._head = 0
        self.octets = 0

    # The calls that wait to receive.

    def wait(self) -> Waiter:
        """Queue a waiter for the next event."""
        waiter = Waiter(self._loop)
        if self._waiter is None:
            self._waiter = waiter
        elif self._others is None:
            self._others = deque((waiter,))
        else:
            self._others.append(waiter)
        return waiter

    def give_up(self, waiter: Waiter) -> None:
        """A `receive()` was cancelled: the event that it was woken for goes to the next one."""
        if waiter is self._waiter:
            self._next()
        elif self._others and waiter in self._others:
            self._others.remove(waiter)
        elif self._events:
            self.wake(False)

    def wake(self, now: bool) -> None:
        """Wake the first `receive()` that waits, `now` or soon."""
        if self._waiter is not None:
            waiter = self._next()
            if now:
                waiter.wake()
            else:
                waiter.wake_soon()

    def wake_if_any(self, now: bool) -> None:
        """The same, if there is something to receive."""
        if self._waiter is not None and self._events:
            self.wake(now)

    def wake_all(self) -> None:
        """Wake all waiting calls soon: there will be nothing more to receive."""
        while self._waiter is not None:
            self._next().wake_soon()

    def _next(self) -> Waiter:
        """Take the first waiter out of the queue; there must be one."""
        waiter = self._waiter
        assert waiter is not None
        self._waiter = self._others.popleft() if self._others else None
        return waiter
