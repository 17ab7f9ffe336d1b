"""Hubs for a process in which no server runs: for all its threads and event loops.

A SharedHub is for sinks that may be called in any thread, and delivers before `publish` returns. A LoopHub is
for the sinks of one event loop, in whose thread they are called; all LoopHubs of a SharedHub reach each other,
in one order.

Rules of this file:
- Everything that the threads share is changed under `lock`, which is never held while anything waits.
- An event loop that has closed, or does not get to its messages, costs the others nothing: what is meant for it
  is bounded, and dropped and told beyond that.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from asgiws.topics.board import OVERHEAD
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.local import QUEUE, LocalHub
from asgiws.topics.message import Joined, Keep, Message, Position
from asgiws.topics.sink import Sink

logger = logging.getLogger("asgiws.error")

#: Messages that are delivered in one turn of an event loop.
SLICE = 500


class SharedHub:
    """A hub for any thread. `history` is in octets, 0 for none. The lock may be held by the caller."""

    def __init__(self, history: int = 0) -> None:
        self.lock = threading.RLock()
        self._due: deque[Callable[[], object]] = deque()
        self._is_running = False
        self._hub = LocalHub(self._due.append, history)

    is_up = True

    def publish(self, message: Message, keep: Keep | None) -> None:
        """Deliver the message; what its sinks publish meanwhile comes after it."""
        with self.lock:
            self._hub.publish(message, keep)
            self._run()

    def subscribe(
        self, sink: Sink, since: Position | None, done: Callable[[Joined], object]
    ) -> None:
        with self.lock:
            self._hub.subscribe(sink, since, done)
            self._run()

    def unsubscribe(self, sink: Sink) -> None:
        with self.lock:
            self._hub.unsubscribe(sink)

    async def finish(self) -> None:
        """What was published needs no other process."""

    def close(self) -> None:
        with self.lock:
            self._hub.close()
            self._due.clear()

    def later(self, call: Callable[[], object]) -> None:
        """Call a function once the messages before it have been delivered; for sinks."""
        self._due.append(call)

    def _run(self) -> None:
        if self._is_running:
            return
        self._is_running = True
        try:
            while self._due:
                self._due.popleft()()
        finally:
            self._is_running = False


class LoopHub:
    """The hub of one event loop. `call_soon` has a function called in the loop's next turn, and may be called
    in any thread; it raises RuntimeError once the loop is closed. At most `limit` octets of messages wait."""

    def __init__(
        self,
        shared: SharedHub,
        call_soon: Callable[[Callable[[], object]], object],
        limit: int = QUEUE,
    ) -> None:
        self._shared = shared
        self._call_soon = call_soon
        self._limit = limit
        self._relays: dict[Sink, _Relay] = {}
        #: What is to be delivered: a message, or what was lost.
        self._queue: deque[tuple[_Relay, Message | _Lost]] = deque()
        self._size = 0
        self._is_due = False
        self._is_closed = False

    is_up = True

    def publish(self, message: Message, keep: Keep | None) -> None:
        if self._size > self._limit:
            raise TooMuchQueued(
                f"more than {self._limit} bytes of messages wait to be delivered to subscribers"
            )
        self._shared.publish(message, keep)

    def subscribe(
        self, sink: Sink, since: Position | None, done: Callable[[Joined], object]
    ) -> None:
        relay = self._relays[sink] = _Relay(self, sink)
        sink.is_subscribed = True
        self._shared.subscribe(relay, since, done)

    def unsubscribe(self, sink: Sink) -> None:
        sink.is_subscribed = False
        relay = self._relays.pop(sink, None)
        if relay is not None:
            self._shared.unsubscribe(relay)

    async def finish(self) -> None:
        """What was published needs no other process."""

    def close(self) -> None:
        self._is_closed = True
        for sink in list(self._relays):
            self.unsubscribe(sink)

    # From the relays, in any thread, under the lock.

    def put(self, relay: _Relay, message: Message) -> None:
        """Deliver a message soon."""
        if self._is_closed:
            return
        if self._size > self._limit:
            self.put_lost(relay, 1)
            return
        relay.lost_last = None
        self._size += _size(message)
        self._queue.append((relay, message))
        self._wake()

    def put_lost(self, relay: _Relay, count: int | None) -> None:
        """Tell soon, in the same order, that messages were lost."""
        lost = relay.lost_last
        if lost is None:
            lost = relay.lost_last = _Lost()
            self._queue.append((relay, lost))
        lost.add(count)
        self._wake()

    def _wake(self) -> None:
        if self._is_due or self._is_closed:
            return
        try:
            self._call_soon(self._work)
        except RuntimeError:
            # The loop is closed: nobody will ever take this.
            self._is_closed = True
            self._queue.clear()
            self._size = 0
            self._shared.later(self.close)
        else:
            self._is_due = True

    # In the event loop.

    def _work(self) -> None:
        """One slice."""
        touched: dict[Sink, None] = {}
        with self._shared.lock:
            self._is_due = False
            items = [self._queue.popleft() for _ in range(min(SLICE, len(self._queue)))]
            for relay, item in items:
                if not isinstance(item, _Lost):
                    self._size -= _size(item)
                elif relay.lost_last is item:
                    relay.lost_last = None
            if self._queue:
                self._wake()
        for relay, item in items:
            sink = relay.sink
            if not sink.is_subscribed or self._relays.get(sink) is not relay:
                continue
            try:
                if isinstance(item, _Lost):
                    sink.lost(item.count)
                else:
                    touched[sink] = None
                    sink.deliver(item)
            except Exception:  # the others must get theirs
                logger.exception("Exception while messages of a topic were delivered")
        for sink in touched:
            try:
                sink.flush()
            except Exception:  # noqa: PERF203  # the others must get theirs
                logger.exception("Exception while messages of a topic were sent")


class _Lost:
    """So many messages were lost, None if that is not known."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count: int | None = 0

    def add(self, count: int | None) -> None:
        self.count = None if count is None or self.count is None else self.count + count


class _Relay(Sink):
    """Stands for a sink of an event loop. `lost_last` is what of its losses was not told yet."""

    def __init__(self, hub: LoopHub, sink: Sink) -> None:
        Sink.__init__(self, sink.topic, sink.owner)
        self.sink = sink
        self.lost_last: _Lost | None = None
        self._hub = hub

    def deliver(self, message: Message) -> None:
        self._hub.put(self, message)

    def lost(self, count: int | None) -> None:
        self._hub.put_lost(self, count)


def _size(message: Message) -> int:
    return message.data.__sizeof__() + OVERHEAD
