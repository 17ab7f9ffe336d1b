"""What one WebSocket does with topics: its subscriptions, what it publishes, and what it is sent.

Rules of this file:
- A session makes a Subscriptions when its application first sends a message about topics; it ends with the
  connection.
- A sink writes to the client (WireSink, FullSink) or to the application (AppSink). What a wire sink is
  given is put together in `Subscriptions`, and written by `flush`: once for all that comes in a slice of
  the board.
- The limits are the session's: of octets that wait for a client that does not read, and of the inbox for an
  application that does not receive.
- What was lost is counted by the service, and told as the subscription asks for.
- What the session publishes to a topic whose messages are written to its own client comes back through the hub;
  until then it is an echo, and the session's own sends wait for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from typing import Any

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.asgi.types import Message as ASGIMessage
from asgiws.bridge.wakeup import Waiter
from asgiws.drivers.session import Session
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
from asgiws.websocket.connection import OPEN
from asgiws.websocket.fanout import FanOut

#: Octets that are counted for an event of the inbox in addition to its payload.
EVENT = 256

#: The most keys whose latest message is kept for a client that does not read.
MAX_KEYS = 1000

#: Seconds that a session's sends wait for what it has published before.
ECHO = 5.0

#: What a subscriber is told of a gap by.
TELL, CLOSE, IGNORE = range(3)
_ON_GAP = {"event": TELL, "close": CLOSE, "ignore": IGNORE}

GAP_REASON = "messages were lost"

# As the compiled module counts with them.
_EVENT, _TELL, _CLOSE = EVENT, TELL, CLOSE


class Encoded:
    """What is made once of a message, for all receivers: its frames, and those with its offset."""

    __slots__ = ("placed", "plain")

    def __init__(self, message: Message) -> None:
        self.plain = FanOut()
        self.plain.begin(message.data, None)
        self.placed: FanOut | None = None


class Subscriptions:
    """What one session does with topics. `echoes` is how many publications of its own are to come back."""

    __slots__ = ("_many", "_one", "_out", "_owns", "_service", "_session", "_waiters", "echoes")

    def __init__(self, session: Session, service: Topics) -> None:
        self._session = session
        self._service = service
        #: The subscription if there is one, all of them by topic if there were more.
        self._one: SessionSink | None = None
        self._many: dict[str, SessionSink] | None = None
        #: What is to be written, and whether the list is ours to change.
        self._out: list[bytes] | None = None
        self._owns = False
        self.echoes = 0
        self._waiters: deque[Waiter] | None = None

    # From the session.

    def take(self, kind: str, message: ASGIMessage) -> Coroutine[Any, Any, None] | None:
        """Take a message of the application; what there is to wait for."""
        if kind == PUBLISH:
            self._publish(message)
        elif kind == SUBSCRIBE:
            return self._subscribe(message)
        else:
            self._unsubscribe(message)
        return None

    async def settled(self) -> None:
        """Wait until nothing of its own is to come back; not for ever."""
        service = self._service
        timer = service.call_later(ECHO, self._give_up_echoes)
        try:
            while self.echoes:
                await self._wait()
        finally:
            timer.cancel()

    def writable(self) -> None:
        """The client reads again."""
        for sink in self._sinks():
            sink.writable()
        self.flush()

    def end(self) -> None:
        """The connection has ended."""
        for sink in self._sinks():
            self._service.hub().unsubscribe(sink)
            sink.drop()
        self._one = None
        self._many = None
        self._out = None
        self.echoes = 0
        self._wake()

    # From the sinks.

    def add(self, frames: list[bytes]) -> None:
        """Write these at the next `flush`; the list is shared."""
        out = self._out
        if out is None:
            self._out = frames
            self._owns = False
        elif self._owns:
            out += frames
        else:
            self._out = out + frames
            self._owns = True

    def flush(self) -> None:
        out = self._out
        if out is None:
            return
        self._out = None
        session = self._session
        if session._ws.state != OPEN:
            return
        keepalive = session._reading.keepalive
        if keepalive is not None:
            keepalive.active = True
        if len(out) == 1:
            session._outlet.write(out[0])
            return
        joined = self._service.join(out)
        if joined is None:
            session._outlet.writelines(out)
        else:
            session._outlet.write(joined)

    def has_room(self) -> bool:
        """Whether another message may be written for a client that does not read; ends the connection
        otherwise, if the options say so."""
        session = self._session
        limit: int = session._runtime.config.ws_max_outbound
        waiting = session._outlet.unsent()
        if self._out is not None:
            waiting += sum(map(len, self._out))
        if waiting < limit:
            return True
        session.end_slow(f"{limit} bytes wait to be sent", "ws_max_outbound")
        return False

    def echoed(self, count: int) -> None:
        """So many of its own publications came back, or will not."""
        self.echoes -= count
        if self.echoes <= 0:
            self.echoes = 0
            self._wake()

    # The messages.

    def _subscribe(self, message: ASGIMessage) -> Coroutine[Any, Any, None] | None:
        wants = subscribing(message)
        is_subscribed = self._find(wants.topic) is not None
        check_place(wants.topic, is_subscribed, self._count(), self._service.max_subscriptions)
        sink = _new_sink(wants, self)
        self._keep(sink)
        is_acknowledged = "id" in message
        name = message.get("id")
        has_joined = False

        def done(joined: Joined) -> None:
            nonlocal has_joined
            has_joined = True
            sink.rejoined(joined)
            if is_acknowledged:
                self.tell(subscribed(name, wants.topic, joined))
            self._wake()

        async def until_joined() -> None:
            timer = self._service.call_later(JOIN, self._wake)
            end = self._service.loop.time() + JOIN
            try:
                while not has_joined and self._find(wants.topic) is sink:
                    await self._wait()
                    if not has_joined and self._service.loop.time() >= end:
                        raise HubUnreachable(wants.topic)
            except BaseException:
                self._leave(sink)
                raise
            finally:
                timer.cancel()
            if has_joined:
                return
            if self._session._ws.state == OPEN:
                raise ApplicationError(
                    f"{SUBSCRIBE}: unsubscribed from {wants.topic!r:.80} before it was in force"
                )
            raise ClientDisconnected("the WebSocket ended before its subscription was in force")

        try:
            self._service.hub().subscribe(sink, wants.since, done)
        except BaseException:
            self._forget(sink)
            raise
        return None if has_joined else until_joined()

    def _unsubscribe(self, message: ASGIMessage) -> None:
        topic = unsubscribing(message)
        sink = self._find(topic)
        if sink is None:
            raise not_subscribed(topic)
        self._leave(sink)
        if "id" in message:
            self.tell(done_with("websocket.unsubscribed", message, topic))

    def _publish(self, message: ASGIMessage) -> None:
        wants = publishing(message, self._service.max_message)
        new = Message(wants.topic, wants.data, wants.key, self, wants.exclude_self)
        self._service.hub().publish(new, wants.keep)
        if not wants.exclude_self:
            sink = self._find(wants.topic)
            if sink is not None and sink.is_subscribed and sink.expect_echo():
                self.echoes += 1
        if "id" in message:
            self.tell(done_with("websocket.published", message, wants.topic))

    def _leave(self, sink: SessionSink) -> None:
        self._service.hub().unsubscribe(sink)
        sink.drop()
        self._forget(sink)

    # What it tells the application.

    def tell(self, event: dict[str, Any]) -> None:
        """Put an event that is no message into the inbox."""
        inbox = self._session._inbox
        if not inbox.is_closed:
            inbox.put_counted(event, _EVENT, None)
            inbox.wake(False)

    def tell_lost(self, sink: SessionSink, count: int | None) -> None:
        """Messages for a sink were lost."""
        self._service.lost += 1 if count is None else count
        session = self._session
        if session._ws.state != OPEN:
            return
        if sink.on_gap == _CLOSE:
            session.close(close.TRY_AGAIN_LATER, GAP_REASON)
        elif sink.on_gap == _TELL and not session._inbox.is_closed:
            gap = sink.gap
            if gap is not None:
                widen(gap, count)
                return
            gap = sink.gap = gap_in(sink.topic, count)
            session._inbox.put_counted(gap, _EVENT, sink.gap_told)
            session._inbox.wake(False)

    # The subscriptions.

    def _find(self, topic: str) -> SessionSink | None:
        if self._many is not None:
            return self._many.get(topic)
        one = self._one
        return one if one is not None and one.topic == topic else None

    def _count(self) -> int:
        return len(self._many) if self._many is not None else int(self._one is not None)

    def _sinks(self) -> list[SessionSink]:
        if self._many is not None:
            return list(self._many.values())
        return [] if self._one is None else [self._one]

    def _keep(self, sink: SessionSink) -> None:
        one = self._one
        if self._many is not None:
            self._many[sink.topic] = sink
        elif one is None:
            self._one = sink
        else:
            self._one = None
            self._many = {one.topic: one, sink.topic: sink}

    def _forget(self, sink: SessionSink) -> None:
        if self._many is not None:
            self._many.pop(sink.topic, None)
        elif self._one is sink:
            self._one = None
        self._wake()

    # Waiting.

    async def _wait(self) -> None:
        waiter = Waiter(self._service.loop)
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        if waiters is not None:
            for waiter in waiters:
                waiter.wake_soon()

    def _give_up_echoes(self) -> None:
        for sink in self._sinks():
            sink.drop_echoes()
        self.echoes = 0
        self._wake()


class SessionSink(Sink):
    """A subscription of a session. `on_gap` says how it is told what was lost; `gap` is the event that is
    still to be received. `echoes` is how many of the session's own messages are to come back to it."""

    __slots__ = ("echoes", "gap", "on_gap")

    owner: Subscriptions

    def __init__(self, topic: str, owner: Subscriptions, on_gap: int) -> None:
        Sink.__init__(self, topic, owner)
        self.on_gap = on_gap
        self.gap: dict[str, Any] | None = None
        self.echoes = 0

    def lost(self, count: int | None) -> None:
        part = self.owner
        self.drop_echoes()
        part.tell_lost(self, count)

    def gap_told(self) -> None:
        """The event of a gap was received."""
        self.gap = None

    def expect_echo(self) -> bool:
        """A message of the session's own was published to it; whether its sends wait until it comes back."""
        return False

    def drop_echoes(self) -> None:
        """Its own messages will not come back, or not be waited for."""

    def writable(self) -> None:
        """The client reads again."""

    def drop(self) -> None:
        """It was unsubscribed."""
        self.drop_echoes()


class WireSink(SessionSink):
    """Writes the messages of a topic to the client."""

    __slots__ = ()

    def deliver(self, message: Message) -> None:
        part = self.owner
        session = part._session
        if message.sender is part and self.echoes:
            self.echoes -= 1
            part.echoed(1)
        if session._ws.state != OPEN:
            return
        if session._outlet.write_paused and not part.has_room():
            self.lost(1)
            return
        encoded = message.shared
        if encoded is None:
            encoded = message.shared = Encoded(message)
        fanout: FanOut = encoded.plain
        part.add(session._ws.shared(fanout))

    def flush(self) -> None:
        part = self.owner
        part.flush()

    def expect_echo(self) -> bool:
        self.echoes += 1
        return True

    def drop_echoes(self) -> None:
        if self.echoes:
            part = self.owner
            count, self.echoes = self.echoes, 0
            part.echoed(count)


class FullSink(WireSink):
    """The same with all that may be asked for: offsets; the latest message of each key for a client that is
    behind."""

    __slots__ = ("_epoch", "_held", "_is_latest", "_kept", "_offsets")

    def __init__(self, wants: Subscribing, owner: Subscriptions) -> None:
        WireSink.__init__(self, wants.topic, owner, _ON_GAP[wants.on_gap])
        self._offsets = wants.offsets
        self._is_latest = wants.latest
        self._epoch = ""
        #: The latest message of each key, in the order of their publication.
        self._kept: dict[str | None, Message] | None = None
        #: How many of the echoes came while the client was behind: they are echoes until it has the rest.
        self._held = 0

    def rejoined(self, joined: Joined) -> None:
        self._epoch = joined.position.epoch

    def deliver(self, message: Message) -> None:
        part = self.owner
        session = part._session
        is_echo = message.sender is part and self.echoes > self._held
        if self._is_latest and (self._kept or session._outlet.write_paused):
            if is_echo:
                self._held += 1
            self._keep_latest(message)
            return
        if is_echo:
            self.echoes -= 1
            part.echoed(1)
        if session._ws.state != OPEN:
            return
        if session._outlet.write_paused and not part.has_room():
            self.lost(1)
            return
        self._write(message)

    def _write(self, message: Message) -> None:
        part = self.owner
        encoded = message.shared
        if encoded is None:
            encoded = message.shared = Encoded(message)
        if self._offsets:
            fanout = encoded.placed
            if fanout is None:
                fanout = FanOut()
                fanout.begin(placed(message, self._epoch), None)
                encoded.placed = fanout
        else:
            fanout = encoded.plain
        part.add(part._session._ws.shared(fanout))

    def _keep_latest(self, message: Message) -> None:
        part = self.owner
        if part._session._ws.state != OPEN:
            return
        if self._kept is None:
            self._kept = {}
        self._kept.pop(message.key, None)
        self._kept[message.key] = message
        if len(self._kept) > MAX_KEYS:
            del self._kept[next(iter(self._kept))]
            self.lost(1)

    def writable(self) -> None:
        part = self.owner
        kept = self._kept
        if kept is None:
            return
        self._kept = None
        for key in list(kept):
            if part._session._outlet.write_paused:
                self._kept = kept  # the rest
                return
            self._write(kept.pop(key))
            part.flush()
        count, self._held = self._held, 0
        self.echoes -= count
        part.echoed(count)

    def drop_echoes(self) -> None:
        self._held = 0
        WireSink.drop_echoes(self)

    def drop(self) -> None:
        self._kept = None
        self.drop_echoes()


class AppSink(SessionSink):
    """Gives the messages of a topic to the application's `receive()`."""

    __slots__ = ("_epoch", "_offsets")

    def __init__(self, wants: Subscribing, owner: Subscriptions) -> None:
        SessionSink.__init__(self, wants.topic, owner, _ON_GAP[wants.on_gap])
        self._offsets = wants.offsets
        self._epoch = ""

    def rejoined(self, joined: Joined) -> None:
        self._epoch = joined.position.epoch

    def deliver(self, message: Message) -> None:
        part = self.owner
        session = part._session
        inbox = session._inbox
        if session._ws.state != OPEN or inbox.is_closed:
            return
        if inbox.octets > inbox.high:
            self.lost(1)
            return
        event = received(message, self._epoch if self._offsets else None)
        inbox.put_counted(event, _EVENT + message.data.__sizeof__(), None)

    def flush(self) -> None:
        part = self.owner
        part._session._inbox.wake_if_any(False)
        part._session.recount()


def _new_sink(wants: Subscribing, owner: Subscriptions) -> SessionSink:
    if wants.to_app:
        return AppSink(wants, owner)
    if wants.offsets or wants.latest:
        return FullSink(wants, owner)
    return WireSink(wants.topic, owner, _ON_GAP[wants.on_gap])
