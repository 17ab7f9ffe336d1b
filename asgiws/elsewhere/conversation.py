"""One WebSocket of another server: what its application says about topics, and what it is sent.

Rules of this file:
- Everything that goes to the client goes through one queue, in the order in which it came, and a task that
  sends. An application's own message waits there until it was sent; what is published to the client is bounded
  in octets, and dropped, counted and told beyond that.
- Everything that the application receives goes through `receive`: what the server has, and what topics have for
  it, which is bounded as well.
- What was published to a topic of its own comes back before what it sends next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.asgi.types import Message as ASGIMessage
from asgiws.asgi.types import Receive, Send
from asgiws.drivers.subscriptions import ECHO, EVENT, GAP_REASON, MAX_KEYS
from asgiws.drivers.topic_events import (
    check_place,
    done_with,
    gap_in,
    not_subscribed,
    placed,
    received,
    subscribed,
    widen,
)
from asgiws.drivers.topic_messages import (
    KINDS,
    PUBLISH,
    SUBSCRIBE,
    Subscribing,
    publishing,
    subscribing,
    unsubscribing,
)
from asgiws.services.topics import Topics
from asgiws.topics.hub import JOIN, HubUnreachable
from asgiws.topics.message import Joined, Message
from asgiws.topics.sink import Sink
from asgiws.websocket import close

#: Seconds that a client has to take what was sent to it before the application ended.
LAST_MOMENT = 5.0


class Outgoing:
    """Something to send: a message of the application's, which waits for `done`, or of a topic's."""

    __slots__ = ("done", "message", "size")

    def __init__(self, message: ASGIMessage, size: int, done: asyncio.Future[None] | None) -> None:
        self.message = message
        self.size = size
        self.done = done


class Conversation:
    """`receive` and `send` are the server's; `limit` is how many octets of messages of topics may wait, each
    way."""

    def __init__(self, topics: Topics, receive: Receive, send: Send, limit: int) -> None:
        self._topics = topics
        self._receive = receive
        self._send = send
        self._limit = limit
        self._sinks: dict[str, TopicSink] = {}
        #: What the application is to receive of topics, and its octets; what it waits for.
        self._events: deque[tuple[dict[str, Any], int]] = deque()
        self._held = 0
        self._event: asyncio.Future[None] | None = None
        self._receiving: asyncio.Task[ASGIMessage] | None = None
        #: What is to be sent.
        self._queue: deque[Outgoing] = deque()
        self._unsent = 0
        self._writer: asyncio.Task[None] | None = None
        self._is_open = False
        self._has_ended = False
        #: Whether it was closed because of a gap.
        self._was_cut = False
        #: Own publications that are to come back, and those who wait for that.
        self._echoes = 0
        self._settled: asyncio.Future[None] | None = None

    # For the application.

    async def receive(self) -> ASGIMessage:
        while True:
            if self._events:
                event, size = self._events.popleft()
                self._held -= size
                if event["type"] == "websocket.gap":
                    self._told(event)
                return event
            if self._receiving is None:
                self._receiving = self._topics.loop.create_task(_await(self._receive))
            if self._receiving.done():
                task, self._receiving = self._receiving, None
                message = task.result()
                if message["type"] == "websocket.disconnect":
                    self._leave_all()
                return message
            event_waiter = self._event = self._topics.loop.create_future()
            try:
                await asyncio.wait(
                    [self._receiving, event_waiter], return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                if self._event is event_waiter:
                    self._event = None

    async def send(self, message: ASGIMessage) -> None:
        kind = message["type"]
        if kind in KINDS:
            await self._take(kind, message)
            return
        if self._was_cut:
            raise ClientDisconnected(f"the WebSocket was closed: {GAP_REASON}")
        if self._echoes:
            await self._until_settled()
        if self._queue or self._writer is not None:
            done = self._topics.loop.create_future()
            one = Outgoing(message, 0, done)
            self._put(one)
            try:
                await done
            except asyncio.CancelledError:
                if one in self._queue:
                    self._queue.remove(one)
                raise
        else:
            await self._send(message)
        if kind == "websocket.accept":
            self._is_open = True
        elif kind == "websocket.close":
            self._leave_all()

    async def end(self) -> None:
        """The application has ended."""
        self._leave_all()
        if self._receiving is not None:
            self._receiving.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._receiving
        writer = self._writer
        if writer is not None:
            # What was published before is on its way.
            await asyncio.wait([writer], timeout=LAST_MOMENT)
            writer.cancel()

    # Messages about topics.

    async def _take(self, kind: str, message: ASGIMessage) -> None:
        if not self._is_open:
            what = "after the WebSocket has ended" if self._has_ended else "before websocket.accept"
            raise ApplicationError(f"{kind}: sent {what}")
        if kind == PUBLISH:
            self._publish(message)
        elif kind == SUBSCRIBE:
            await self._subscribe(message)
        else:
            self._unsubscribe(message)

    def _publish(self, message: ASGIMessage) -> None:
        wants = publishing(message, self._topics.max_message)
        sink = self._sinks.get(wants.topic)
        returns = sink is not None and sink.is_wire and not wants.exclude_self
        new = Message(wants.topic, wants.data, wants.key, self, wants.exclude_self)
        self._topics.hub().publish(new, wants.keep)
        if returns:
            assert sink is not None
            sink.echoes += 1
            self._echoes += 1
        if "id" in message:
            self._tell(done_with("websocket.published", message, wants.topic))

    async def _subscribe(self, message: ASGIMessage) -> None:
        wants = subscribing(message)
        sinks = self._sinks
        check_place(wants.topic, wants.topic in sinks, len(sinks), self._topics.max_subscriptions)
        sink = self._sinks[wants.topic] = TopicSink(wants, self)
        in_force: asyncio.Future[None] = self._topics.loop.create_future()

        def done(joined: Joined) -> None:
            sink.epoch = joined.position.epoch
            if "id" in message:
                self._tell(subscribed(message["id"], wants.topic, joined))
            if not in_force.done():
                in_force.set_result(None)

        self._topics.hub().subscribe(sink, wants.since, done)
        if in_force.done():
            return
        try:
            await asyncio.wait([in_force], timeout=JOIN)
        finally:
            if not in_force.done() and self._sinks.get(wants.topic) is sink:
                del self._sinks[wants.topic]
                self._drop(sink)
        if not in_force.done():
            if self._has_ended:
                raise ClientDisconnected("the WebSocket ended before its subscription was in force")
            raise HubUnreachable(wants.topic)

    def _unsubscribe(self, message: ASGIMessage) -> None:
        topic = unsubscribing(message)
        sink = self._sinks.pop(topic, None)
        if sink is None:
            raise not_subscribed(topic)
        self._drop(sink)
        if "id" in message:
            self._tell(done_with("websocket.unsubscribed", message, topic))

    def _leave_all(self) -> None:
        self._has_ended = True
        self._is_open = False
        sinks, self._sinks = self._sinks, {}
        for sink in sinks.values():
            self._drop(sink)

    def _drop(self, sink: TopicSink) -> None:
        self._topics.hub().unsubscribe(sink)
        sink.kept.clear()
        self._echoed(sink, sink.echoes)

    # From the sinks.

    def write(self, sink: TopicSink, message: Message) -> None:
        """Send a topic's message to the client, as far as there is room."""
        if sink.latest and self._unsent:
            sink.kept.pop(message.key, None)
            sink.kept[message.key] = message
            if len(sink.kept) > MAX_KEYS:
                self._lost(sink, 1, sink.kept.pop(next(iter(sink.kept))))
            return
        if self._unsent >= self._limit:
            self._lost(sink, 1, message)
            return
        self._put_message(sink, message)

    def give(self, sink: TopicSink, message: Message) -> None:
        """Give a topic's message to the application, as far as there is room."""
        if self._held >= self._limit:
            self._lost(sink, 1, message)
            return
        event = received(message, sink.epoch if sink.offsets else None)
        self._tell(event, message.data.__sizeof__())

    def lost(self, sink: TopicSink, count: int | None) -> None:
        """Messages were lost before they came here."""
        self._echoed(sink, sink.echoes)
        self._lost(sink, count, None)

    def _lost(self, sink: TopicSink, count: int | None, message: Message | None) -> None:
        if message is not None and message.sender is self:
            self._echoed(sink, 1)
        self._topics.lost += 1 if count is None else count
        if not self._is_open:
            return
        if sink.on_gap == "close":
            self._leave_all()
            self._was_cut = True
            end = {"code": close.TRY_AGAIN_LATER, "reason": GAP_REASON}
            self._put(Outgoing({"type": "websocket.close", **end}, 0, None))
            self._tell({"type": "websocket.disconnect", **end})
        elif sink.on_gap == "event":
            gap = sink.gap
            if gap is None:
                sink.gap = gap_in(sink.topic, count)
                self._tell(sink.gap)
            else:
                widen(gap, count)

    def _told(self, gap: dict[str, Any]) -> None:
        for sink in self._sinks.values():
            if sink.gap is gap:
                sink.gap = None

    def _tell(self, event: dict[str, Any], size: int = 0) -> None:
        """Put an event where the application receives it."""
        self._events.append((event, EVENT + size))
        self._held += EVENT + size
        if self._event is not None and not self._event.done():
            self._event.set_result(None)

    # What goes to the client.

    def _put_message(self, sink: TopicSink, message: Message) -> None:
        data: str | bytes = placed(message, sink.epoch) if sink.offsets else message.data
        event = {"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data}
        self._put(Outgoing(event, EVENT + data.__sizeof__(), None))
        if message.sender is self:
            self._echoed(sink, 1)

    def _put(self, one: Outgoing) -> None:
        self._queue.append(one)
        self._unsent += one.size
        if self._writer is None:
            self._writer = self._topics.loop.create_task(self._write())

    async def _write(self) -> None:
        """Send what is queued, in its order."""
        try:
            while self._queue:
                one = self._queue.popleft()
                try:
                    await self._send(one.message)
                except Exception as error:
                    if one.done is not None and not one.done.done():
                        one.done.set_exception(error)
                    elif one.done is None:
                        # The client has gone; the application hears of it by its own calls.
                        self._leave_all()
                else:
                    if one.done is not None and not one.done.done():
                        one.done.set_result(None)
                finally:
                    self._unsent -= one.size
                if not self._queue:
                    self._put_kept()
        finally:
            self._writer = None
            for one in self._queue:
                if one.done is not None:
                    one.done.cancel()
            self._queue.clear()
            self._unsent = 0

    def _put_kept(self) -> None:
        """The client reads again: send the latest messages of those that were kept."""
        for sink in self._sinks.values():
            kept, sink.kept = sink.kept, {}
            for message in kept.values():
                self._put_message(sink, message)

    # Own publications.

    def _echoed(self, sink: TopicSink, count: int) -> None:
        count = min(count, sink.echoes)
        sink.echoes -= count
        self._echoes -= count
        if not self._echoes and self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    async def _until_settled(self) -> None:
        if self._settled is None or self._settled.done():
            self._settled = self._topics.loop.create_future()
        await asyncio.wait([self._settled], timeout=ECHO)
        if self._echoes:
            for sink in self._sinks.values():
                self._echoed(sink, sink.echoes)


class TopicSink(Sink):
    """A subscription. `kept` has the latest messages for a client that is behind, `gap` the event that is to be
    received; `echoes` is how many own publications are to come back."""

    def __init__(self, wants: Subscribing, conversation: Conversation) -> None:
        Sink.__init__(self, wants.topic, conversation)
        self.is_wire = not wants.to_app
        self.offsets = wants.offsets
        self.latest = wants.latest
        self.on_gap = wants.on_gap
        self.epoch = ""
        self.echoes = 0
        self.gap: dict[str, Any] | None = None
        self.kept: dict[str | None, Message] = {}
        self._conversation = conversation

    def deliver(self, message: Message) -> None:
        if self.is_wire:
            self._conversation.write(self, message)
        else:
            self._conversation.give(self, message)

    def rejoined(self, joined: Joined) -> None:
        self.epoch = joined.position.epoch

    def lost(self, count: int | None) -> None:
        self._conversation.lost(self, count)


async def _await(receive: Receive) -> ASGIMessage:
    return await receive()
