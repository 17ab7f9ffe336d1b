"""The object of the extension `asgiws.pubsub`: topics for everything that is not a WebSocket.

It is in the `extensions` of every scope, beside the limits:

    {"version": "1.0", "hub": <PubSub>, "max_topic": 255, "max_subscriptions": 1000, "max_message": 1048576}

Rules of this file:
- It is used in the thread of the event loop; `publish_threadsafe` is for all others.
- Nothing that an application does here makes anybody else wait, and what it does not take is bounded: beyond
  that, messages are dropped, counted, and told.
- The extension is created only here, once for all scopes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from types import TracebackType
from typing import Any, NamedTuple

from asgiws.asgi.extension import Extension
from asgiws.services.attachment import Attachment
from asgiws.services.topics import Topics
from asgiws.topics import asking
from asgiws.topics.hub import JOIN, HubUnreachable, TooMuchQueued
from asgiws.topics.local import QUEUE
from asgiws.topics.message import Joined, Keep, Position
from asgiws.topics.message import Message as Published
from asgiws.topics.names import MAX_TOPIC
from asgiws.topics.sink import Sink

logger = logging.getLogger("asgiws.error")

NAME = "asgiws.pubsub"
VERSION = "1.0"

#: The most messages that may be asked to wait for a subscriber.
MAX_WAITING = 10**6

#: Octets that are counted for a message of another thread in addition to its payload; and seconds until it is
#: tried again if the hub has no room.
OVERHEAD = 256
AGAIN = 0.01

#: The most messages of other threads that are published in a turn of the event loop.
BATCH = 256

_ON_GAP = ("event", "raise", "ignore")


class Message(NamedTuple):
    """A message of a topic; `offset` is 0 if the topic keeps no history."""

    topic: str
    data: str | bytes
    epoch: str
    offset: int


class Gap(NamedTuple):
    """Messages of the topic were lost here: so many, None if that is not known."""

    topic: str
    lost: int | None


class MessagesLost(RuntimeError):
    """Messages of a topic were lost: `lost` of them, None if that is not known."""

    def __init__(self, topic: str, lost: int | None) -> None:
        super().__init__(f"{'messages' if lost is None else lost} of topic {topic!r:.80} were lost")
        self.topic = topic
        self.lost = lost


class PubSub:
    """Publishes to topics, and subscribes to them."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        #: What other threads have published, and its octets.
        self._waiting: deque[tuple[Published, Keep | None, int]] = deque()
        self._size = 0
        self._is_due = False
        self._has_ended = False
        self._open: set[Subscription] = set()

    def publish(
        self,
        topic: str,
        data: str | bytes,
        *,
        key: str | None = None,
        keep: dict[str, Any] | None = None,
    ) -> None:
        """Publish text or bytes; returns once it is queued.

        Raises TooMuchQueued, ValueError and TypeError for what cannot be published, and RuntimeError in another
        thread than the event loop's.
        """
        self._check_thread("publish_threadsafe")
        self._topics.hub().publish(self._message(topic, data, key), asking.keep(keep))

    def publish_threadsafe(
        self,
        topic: str,
        data: str | bytes,
        *,
        key: str | None = None,
        keep: dict[str, Any] | None = None,
    ) -> None:
        """The same in any thread: returns once it waits for the event loop. What a thread publishes stays
        in its order. Raises TooMuchQueued when too much waits, and RuntimeError once the server has
        ended."""
        message = self._message(topic, data, key)
        kept = asking.keep(keep)
        size = message.data.__sizeof__() + OVERHEAD
        with self._lock:
            if self._has_ended:
                raise RuntimeError("the server has ended")
            if self._size + size > QUEUE:
                raise TooMuchQueued(f"{QUEUE} bytes of messages wait for the event loop")
            self._waiting.append((message, kept, size))
            self._size += size
            if self._is_due:
                return
            self._is_due = True
        self._topics.loop.call_soon_threadsafe(self._take)

    def subscribe(
        self,
        topic: str,
        *,
        since: dict[str, Any] | str | None = None,
        on_gap: str = "event",
        limit: int = 1000,
    ) -> Subscription:
        """A subscription, for `async with`: an asynchronous iterator of Messages.

        `limit` is how many may wait; those beyond are lost, and told as `on_gap` says: by a Gap in their place
        ("event"), by the exception MessagesLost ("raise"), not at all ("ignore"). `since` is a position, as in
        `websocket.subscribe`. Raises ValueError and TypeError.
        """
        self._check_thread("call_soon_threadsafe of the event loop")
        if on_gap not in _ON_GAP:
            raise ValueError(
                f"on_gap is one of {', '.join(map(repr, _ON_GAP))}, not {on_gap!r:.80}"
            )
        if type(limit) is not int or not 1 <= limit <= MAX_WAITING:
            raise ValueError(f"limit is a number from 1 to {MAX_WAITING}, not {limit!r:.80}")
        return Subscription(
            self, self._topics, asking.topic(topic), asking.since(since), on_gap, limit
        )

    def attach(
        self,
        websocket: Any,
        topic: str,
        *,
        since: dict[str, Any] | str | None = None,
        offsets: bool = False,
        on_gap: str = "close",
        overflow: str = "limit",
    ) -> Attachment:
        """Subscribe a WebSocket of Starlette or FastAPI, once it was accepted: the server writes the topic's
        messages to its client. To be awaited, or for `async with`, whose end unsubscribes. The options are
        those of `websocket.subscribe`; `on_gap` is "close" or "ignore"."""
        options = {"since": since, "offsets": offsets, "overflow": overflow}
        return Attachment(websocket, topic, on_gap, options)

    def __deepcopy__(self, memo: dict[int, Any]) -> PubSub:
        """A scope may be copied, and has the same hub then."""
        return self

    def _message(self, topic: str, data: str | bytes, key: str | None) -> Published:
        payload = asking.payload(data, self._topics.max_message)
        return Published(asking.topic(topic), payload, asking.key(key))

    def _check_thread(self, instead: str) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(f"this is not the event loop's thread: use {instead}")

    def _take(self) -> None:
        """Publish what other threads have queued; the rest in the next turn, as they may queue as fast as
        this takes; later, if the hub has no room."""
        for _ in range(BATCH):
            with self._lock:
                if not self._waiting:
                    self._is_due = False
                    return
                message, keep, size = self._waiting[0]
            try:
                self._topics.hub().publish(message, keep)
            except TooMuchQueued:
                if not self._topics.is_closed:
                    self._topics.call_later(AGAIN, self._take)
                    return
                # There will never be room: let go of it.
            except Exception:  # those behind it must get their turn
                logger.exception("Exception while a message of another thread was published")
            with self._lock:
                self._waiting.popleft()
                self._size -= size
        self._topics.call_soon(self._take)

    # From the server.

    def extension(self) -> Extension:
        """The value of NAME in the extensions of scopes."""
        return Extension(
            version=VERSION,
            hub=self,
            max_topic=MAX_TOPIC,
            max_subscriptions=self._topics.max_subscriptions,
            max_message=self._topics.max_message,
        )

    def end(self) -> None:
        """End all iterations: the server has ended. Idempotent."""
        with self._lock:
            self._has_ended = True
        for subscription in list(self._open):
            subscription.end()


class Subscription:
    """One subscription: `async with` subscribes, and gives it as an asynchronous iterator. `position` is
    where the topic stood then, and `recovered` whether all that was missed since the position asked for
    follows."""

    def __init__(
        self,
        pubsub: PubSub,
        topics: Topics,
        topic: str,
        since: Position | None,
        on_gap: str,
        limit: int,
    ) -> None:
        self.topic = topic
        self.position: dict[str, Any] | None = None
        self.recovered: bool | None = None
        self._pubsub = pubsub
        self._topics = topics
        self._since = since
        self._on_gap = on_gap
        self._sink: _QueueSink | None = None
        self._limit = limit
        self._was_used = False
        self._has_ended = False
        #: What somebody waits for.
        self._waiter: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Subscription:
        if self._was_used:
            raise RuntimeError("a subscription is entered once")
        self._was_used = True
        if self._pubsub._has_ended:
            self._has_ended = True
            return self
        sink = self._sink = _QueueSink(self.topic, self, self._limit)
        self._pubsub._open.add(self)
        try:
            self._topics.hub().subscribe(sink, self._since, self._joined)
            if self.position is None and not self._has_ended:
                timer = self._topics.call_later(JOIN, self.wake)
                try:
                    await self._wait()
                finally:
                    timer.cancel()
                if self.position is None and not self._has_ended:
                    raise HubUnreachable(self.topic)
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message | Gap:
        if not self._was_used:
            raise RuntimeError("a subscription is used with 'async with'")
        while True:
            sink = self._sink
            if sink is not None and sink.items:
                item = sink.items.popleft()
                if type(item) is not Gap:
                    return item
                if self._on_gap == "event":
                    return item
                if self._on_gap == "raise":
                    raise MessagesLost(item.topic, item.lost)
                continue
            if sink is None or self._has_ended:
                raise StopAsyncIteration
            await self._wait()

    def end(self) -> None:
        """There are no more messages; those that wait can still be taken."""
        self._has_ended = True
        if self._sink is not None:
            self._topics.hub().unsubscribe(self._sink)
        self._pubsub._open.discard(self)
        self.wake()

    def wake(self) -> None:
        """There is something to take."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def count_lost(self, count: int | None) -> None:
        """Messages were lost."""
        self._topics.lost += 1 if count is None else count

    def _joined(self, joined: Joined) -> None:
        position = joined.position
        self.position = {"epoch": position.epoch, "offset": position.offset}
        self.recovered = joined.recovered
        assert self._sink is not None
        self._sink.rejoined(joined)
        self.wake()

    def _leave(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            self._topics.hub().unsubscribe(sink)
        self._pubsub._open.discard(self)
        self.wake()

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("another task waits for this subscription already")
        self._waiter = self._topics.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class _QueueSink(Sink):
    """Keeps at most `limit` messages for its subscription."""

    def __init__(self, topic: str, subscription: Subscription, limit: int) -> None:
        Sink.__init__(self, topic, subscription)
        self.items: deque[Message | Gap] = deque()
        self._subscription = subscription
        self._limit = limit
        self._epoch = ""

    def rejoined(self, joined: Joined) -> None:
        self._epoch = joined.position.epoch

    def deliver(self, message: Published) -> None:
        if len(self.items) >= self._limit:
            self.lost(1)
        else:
            self.items.append(Message(self.topic, message.data, self._epoch, message.offset))

    def flush(self) -> None:
        self._subscription.wake()

    def lost(self, count: int | None) -> None:
        self._subscription.count_lost(count)
        last = self.items[-1] if self.items else None
        if type(last) is Gap:
            both = None if last.lost is None or count is None else last.lost + count
            self.items[-1] = Gap(self.topic, both)
        else:
            self.items.append(Gap(self.topic, count))
            self._subscription.wake()
