"""A hub whose publications go through a broker: for one host of several.

Rules of this file:
- Nothing is delivered to a subscriber but what came from the broker, what this host has published included: so
  a topic has one order, for all hosts.
- A topic is subscribed at the broker while somebody here is. A subscription is in force once the broker's
  answer is in; what came before it is not for that subscription.
- A publication that the broker has not answered when the connection is lost may or may not have been published:
  it is never repeated, and the topic's subscribers on all hosts are told (`broker.GAP`) as soon as there is a
  connection again. What was not sent by then is sent.
- Subscribers hear of a lost connection (`Sink.lost`), unless the topic keeps a history: then what was missed is
  looked up there, and they hear only if it is not there any more.
- What waits is bounded: publications by `limit` octets, then `publish` raises TooMuchQueued; messages that came
  by `limit` octets on the board, then they are dropped, counted and told.
"""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from asgiws.topics import broker, link
from asgiws.topics.board import BACKLOG, Board
from asgiws.topics.broker import HOST, BadEnvelope, Kept, Session
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.link import LinkError
from asgiws.topics.message import Joined, Keep, Message, Position
from asgiws.topics.sink import Sink

logger = logging.getLogger("asgiws.error")

#: Octets that are counted for a publication in addition to its content.
OVERHEAD = 256

#: The epoch of topics while there was no broker yet.
NO_EPOCH = "-"


class Wire(NamedTuple):
    """How messages become content, and content becomes messages' data and key."""

    pack: Callable[[Message], bytes]
    unpack: Callable[[bytes], tuple[str | bytes, str | None]]


#: For a process with subscribers of its own.
PLAIN = Wire(lambda message: link.content(message.data, message.key), link.uncontent)


def _checked(content: bytes) -> tuple[bytes, None]:
    link.uncontent(content)
    return content, None


def _as_it_is(message: Message) -> bytes:
    assert isinstance(message.data, bytes)
    return message.data


#: For a hub process, which passes content on; checked, so that nothing from outside can break a link.
OPAQUE = Wire(_as_it_is, _checked)


class _Topic:
    """A topic that is subscribed at the broker: `count` sinks need it; `position` is that of the last message
    that came, or of the last answer."""

    __slots__ = ("count", "is_joining", "keeps", "name", "position", "untold", "was_told")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.position = Position(NO_EPOCH, 0)
        #: Whether it keeps a history.
        self.keeps = False
        #: Whether its sinks know that the connection was lost.
        self.was_told = False
        #: Whether it is not in force again yet, after a connection was lost: its sinks get nothing.
        self.is_joining = False
        #: How many messages were dropped behind the last one on the board, until its sinks are told.
        self.untold: list[int] | None = None


class _Ask:
    """A subscription that the broker has not answered yet. Either `done` gets the answer, and the sink what was
    missed, or `joined` gets both."""

    __slots__ = ("done", "joined", "request", "since", "sink")

    def __init__(
        self,
        sink: Sink,
        since: Position | None,
        done: Callable[[Joined], object] | None,
        joined: Callable[[Joined, list[Message]], object] | None,
    ) -> None:
        self.sink = sink
        self.since = since
        self.done = done
        self.joined = joined
        self.request = 0


class _Publication(NamedTuple):
    number: int
    topic: str
    envelope: bytes
    keep: Keep | None

    @property
    def size(self) -> int:
        return len(self.envelope) + OVERHEAD


class RelayedHub:
    """`call_soon` has a function called in the event loop's next turn; `limit` is in octets; `largest` is how
    many octets a message may have."""

    def __init__(
        self,
        call_soon: Callable[[Callable[[], object]], object],
        limit: int,
        largest: int,
        wire: Wire = PLAIN,
    ) -> None:
        self.board = Board(call_soon)
        #: Messages that came and were not delivered, for whatever reason.
        self.dropped = 0
        self._call_soon = call_soon
        self._limit = limit
        self._largest = largest
        self._wire = wire
        self._host = secrets.token_bytes(HOST)
        self._session: Session | None = None
        self._topics: dict[str, _Topic] = {}
        self._asks: dict[Sink, list[_Ask]] = {}
        #: What each answer is for: a subscription, or a topic that is subscribed again.
        self._requests: dict[int, _Ask | _Topic] = {}
        self._last_request = 0
        self._number = 0
        #: Publications that were not sent, those that were sent and not answered, and the octets of both.
        self._held: deque[_Publication] = deque()
        self._sent: deque[_Publication] = deque()
        self._size = 0
        #: Topics whose publications may have been lost; a dict, as it keeps their order.
        self._uncertain: dict[str, None] = {}
        #: By number, the publications of our own subscribers: the subscriber, and whether it is left out.
        self._publishers: OrderedDict[int, tuple[object, bool]] = OrderedDict()
        #: What to call once the publication of that number was answered, and once there is room again.
        self._answers: deque[tuple[int, Callable[[], object]]] = deque()
        self._relieved: list[Callable[[], object]] = []
        self._is_due = False
        #: Whether the board was full, and is not half empty again.
        self._is_dropping = False
        #: How many envelopes came that are not ours.
        self._strange = 0
        self._is_closed = False
        #: Called when `is_up` or `largest` has changed.
        self.changed: Callable[[], object] = bool

    @property
    def is_up(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._session is not None

    @property
    def largest(self) -> int:
        """How many octets a message may have at present."""
        session = self._session
        if session is None:
            return self._largest
        # A key takes up to MOST_KEY octets of the content.
        room = session.largest - broker.OVERHEAD - link.MOST_KEY
        return min(self._largest, max(room, 1))

    @property
    def unconfirmed(self) -> int:
        """How many publications the broker has not answered."""
        return len(self._held) + len(self._sent)

    @property
    def why_no_history(self) -> str:
        """Why 'keep' is refused at present, "" if it is not."""
        return "" if self._session is None else self._session.why_no_history

    # The interface of a Hub.

    def publish(self, message: Message, keep: Keep | None) -> None:
        if self._is_closed:
            raise TooMuchQueued("the server has ended")
        if self._size > self._limit:
            raise TooMuchQueued(
                f"more than {self._limit} bytes of messages wait for the broker (pubsub_queue)"
            )
        session = self._session
        if keep is not None and self.why_no_history:
            raise ValueError(self.why_no_history)
        content = self._wire.pack(message)
        if len(content) > self.largest + link.MOST_KEY:
            raise ValueError(
                f"a message of more than {self.largest} bytes: the broker, or pubsub_max_message, takes no more"
            )
        self._number = number = self._number + 1
        envelope = broker.wrap(broker.MESSAGE, self._host, number, content)
        publication = _Publication(number, message.topic, envelope, keep)
        self._size += publication.size
        if message.sender is not None and message.topic in self._topics:
            self._publishers[number] = (message.sender, message.excludes)
        if session is None:
            self._held.append(publication)
        else:
            self._send(session, publication)

    def subscribe(
        self, sink: Sink, since: Position | None, done: Callable[[Joined], object]
    ) -> None:
        self._ask(_Ask(sink, since, done, None))

    def join(
        self,
        sink: Sink,
        since: Position | None,
        joined: Callable[[Joined, list[Message]], object],
    ) -> None:
        self._ask(_Ask(sink, since, None, joined))

    def unsubscribe(self, sink: Sink) -> None:
        asks = self._asks.pop(sink, None)
        if asks is not None:
            for ask in asks:
                self._requests.pop(ask.request, None)
        if sink.is_subscribed:
            self.board.remove(sink)
        elif asks is None:
            return
        topic = self._topics[sink.topic]
        topic.count -= 1
        if not topic.count:
            del self._topics[topic.name]
            if self._session is not None:
                self._session.unsubscribe(topic.name)

    def is_behind(self) -> bool:
        """Whether publishers should wait, until `when_relieved`."""
        return self.board.queued > BACKLOG or self._size > self._limit

    def when_relieved(self, call: Callable[[], object]) -> None:
        """Call a function once that is no longer so."""
        if self._size > self._limit:
            self._relieved.append(call)
        else:
            self.board.then(call)

    def when_settled(self, call: Callable[[], object]) -> None:
        """Call a function once all publications before have been delivered here, or were lost."""
        if self._size:
            self._answers.append((self._number, call))
        else:
            self.board.then(call)

    async def finish(self) -> None:
        """Nothing to wait for here: `BrokerHub` waits for its uplink."""

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._session = None
        self.board.close()
        self._topics.clear()
        self._asks.clear()
        self._requests.clear()
        self._publishers.clear()
        self._answers.clear()
        self._relieved.clear()

    # Sessions.

    def connected(self, session: Session) -> None:
        """There is a connection to the broker: subscribe the topics again, and send what was held."""
        if self._is_closed:
            return
        self._session = session
        for topic in self._topics.values():
            session.subscribe(topic.name)
            topic.is_joining = bool(self.board.sinks(topic.name))
            if topic.is_joining:
                since = topic.position if topic.keeps else None
                session.look(topic.name, since, self._request(topic))
            else:
                topic.was_told = False
        for asks in self._asks.values():
            for ask in asks:
                self._look(session, ask)
        # The broker may take less than the one before.
        for name in self._uncertain:
            self._number += 1
            self._send_gap(session, name)
        self._uncertain.clear()
        if self._publishers:
            self._settle_soon()  # its answer lets them be forgotten
        held, self._held = self._held, deque()
        for publication in held:
            self._send(session, publication)
        self.changed()

    def disconnected(self) -> None:
        """The connection was lost."""
        if self._session is None:
            return
        self._session = None
        self._requests.clear()
        for topic in self._topics.values():
            if not topic.keeps and not topic.was_told:
                topic.was_told = True
                self._tell_lost(topic)
        for publication in self._sent:
            self._size -= publication.size
            self._uncertain[publication.topic] = None
        # Their publishers are still needed: they may come back from a history.
        self._forget_publishers(self._sent[0].number - 1 if self._sent else self._number)
        self._sent.clear()
        self._answered(self._number)
        self.changed()

    # From the session.

    def arrived(self, topic: str, envelope: bytes, offset: int, epoch: str) -> None:
        known = self._topics.get(topic)
        # Before the answer, it is among what was missed, or the topic's sinks are told of a loss.
        if known is None or known.is_joining:
            return
        if offset:
            known.keeps = True
            if known.position.epoch != epoch:
                self._placed(known, Position(epoch, offset - 1))
            known.position = Position(epoch, offset)
        self._arrived(known, envelope, offset)

    def looked(self, request: int, joined: Joined, missed: list[Kept], keeps: bool) -> None:
        asked = self._requests.pop(request, None)
        if isinstance(asked, _Topic):
            asked.keeps = keeps
            self._rejoined(asked, joined, missed)
        elif asked is not None:
            self._topics[asked.sink.topic].keeps = keeps
            self._joined(asked, joined, missed)

    def settled(self, number: int) -> None:
        sent = self._sent
        while sent and sent[0].number <= number:
            self._size -= sent.popleft().size
        self._forget_publishers(number)
        self._answered(number)

    def refused(self, topic: str, why: str) -> None:
        logger.error("A message of topic %r was not published: %s", topic[:80], why)
        self.board.tell_lost([topic], 1)

    # Publications.

    def _send(self, session: Session, publication: _Publication) -> None:
        keep = publication.keep
        name = publication.topic
        if len(publication.envelope) > session.largest:
            self._lose(publication, f"it is larger than the {session.largest} bytes that it takes")
        elif keep is not None and session.why_no_history:
            self._lose(publication, session.why_no_history)
        else:
            session.publish(name, publication.envelope, keep)
            self._sent.append(publication)
        self._settle_soon()

    def _lose(self, publication: _Publication, why: str) -> None:
        """Drop a publication that was accepted before the limits of this broker were known."""
        self._size -= publication.size
        self.refused(publication.topic, why)

    def _send_gap(self, session: Session, topic: str) -> None:
        envelope = broker.wrap(broker.GAP, self._host, self._number, b"")
        publication = _Publication(self._number, topic, envelope, None)
        self._size += publication.size
        self._send(session, publication)

    def _settle_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._call_soon(self._settle)

    def _settle(self) -> None:
        self._is_due = False
        if self._session is not None:
            self._session.settle(self._number)

    def _answered(self, number: int) -> None:
        """All publications up to that number were answered, or lost."""
        answers = self._answers
        while answers and answers[0][0] <= number:
            self.board.then(answers.popleft()[1])
        if self._relieved and self._size <= self._limit // 2:
            relieved, self._relieved = self._relieved, []
            for call in relieved:
                self.board.then(call)

    def _forget_publishers(self, number: int) -> None:
        """Of the publications up to that number."""
        publishers = self._publishers
        while publishers and (first := next(iter(publishers))) <= number:
            del publishers[first]

    # Subscriptions.

    def _ask(self, ask: _Ask) -> None:
        sink = ask.sink
        session = self._session
        asks = self._asks.get(sink)
        if asks is None and not sink.is_subscribed:
            topic = self._topics.get(sink.topic)
            if topic is None:
                topic = self._topics[sink.topic] = _Topic(sink.topic)
                if session is not None:
                    session.subscribe(topic.name)
            topic.count += 1
        if asks is None:
            asks = self._asks[sink] = []
        asks.append(ask)
        if session is not None:
            self._look(session, ask)

    def _look(self, session: Session, ask: _Ask) -> None:
        ask.request = self._request(ask)
        session.look(ask.sink.topic, ask.since, ask.request)

    def _request(self, asked: _Ask | _Topic) -> int:
        self._last_request += 1
        self._requests[self._last_request] = asked
        return self._last_request

    def _joined(self, ask: _Ask, joined: Joined, missed: list[Kept]) -> None:
        sink = ask.sink
        asks = self._asks[sink]
        asks.remove(ask)
        if not asks:
            del self._asks[sink]
        topic = self._topics[sink.topic]
        # Its sinks are told of what came between if that was not said yet; nobody is, if these are the first.
        self._placed(topic, joined.position)
        messages = [
            message for kept in missed if (message := self._message(topic, kept)) is not None
        ]
        if len(messages) < len(missed) and joined.recovered:
            joined, messages = Joined(joined.position, False), []
        topic.untold = None  # what was dropped so far is not for this one
        if not sink.is_subscribed:
            self.board.add(sink)
        if ask.joined is not None:
            call = ask.joined
            self.board.then(lambda: call(joined, messages))
            return
        assert ask.done is not None
        try:
            ask.done(joined)
        except Exception:  # what comes after this counts as well
            logger.exception("Exception at the answer to a subscription")
        if messages and sink.is_subscribed:
            self.board.replay(messages, sink)

    def _rejoined(self, topic: _Topic, joined: Joined, missed: list[Kept]) -> None:
        """The topic is in force again, with another session."""
        if joined.recovered:
            for kept in missed:
                if kept.offset > topic.position.offset:
                    topic.position = Position(topic.position.epoch, kept.offset)
                    self._arrived(topic, kept.envelope, kept.offset)
        else:
            if not topic.was_told:
                self._tell_lost(topic)
            self.board.tell_rejoined(topic.name, Joined(joined.position, False))
        topic.position = joined.position
        topic.was_told = topic.is_joining = False

    def _placed(self, topic: _Topic, position: Position) -> None:
        """The topic stands there. With another epoch, the history was lost, and maybe messages with it."""
        before, topic.position = topic.position, position
        if before.epoch not in (position.epoch, NO_EPOCH) and self.board.sinks(topic.name):
            self._tell_lost(topic)
            self.board.tell_rejoined(topic.name, Joined(position, False))

    def _arrived(self, topic: _Topic, octets: bytes, offset: int) -> None:
        try:
            envelope = broker.unwrap(octets)
            if envelope.kind == broker.GAP:
                self.dropped += 1
                self._tell_lost(topic)
                return
            if self._is_full():
                self._drop(topic)
                return
            message = self._opened(topic, envelope, offset, self._publisher(envelope))
        except (BadEnvelope, LinkError) as error:
            self._strange += 1
            # Of the 1st, 2nd, 4th, 8th...: others cannot fill the log.
            if not self._strange & self._strange - 1:
                logger.error(
                    "Topic %r: not a message of asgiws (%d of these so far): %s",
                    *(topic.name[:80], self._strange, error),
                )
            return
        if message is None:
            self._drop(topic)
        else:
            topic.untold = None
            self.board.publish(message)

    def _is_full(self) -> bool:
        """Whether messages are dropped. If so, until half of the board is free: else every other one might be,
        and each such loss told on its own."""
        if self.board.queued > self._limit:
            self._is_dropping = True
        elif self.board.queued <= self._limit // 2:
            self._is_dropping = False
        return self._is_dropping

    def _message(self, topic: _Topic, kept: Kept) -> Message | None:
        """A message of the history; None if it cannot be delivered. A subscriber that comes back gets its own
        messages as well."""
        try:
            envelope = broker.unwrap(kept.envelope)
            if envelope.kind == broker.GAP:
                return None
            return self._opened(topic, envelope, kept.offset, (None, False))
        except (BadEnvelope, LinkError):
            return None

    def _opened(
        self,
        topic: _Topic,
        envelope: broker.Envelope,
        offset: int,
        publisher: tuple[object, bool],
    ) -> Message | None:
        """The message in an envelope; None if it is larger than allowed here. Raises LinkError."""
        if len(envelope.content) > self._largest + link.MOST_KEY:
            return None
        data, key = self._wire.unpack(envelope.content)
        return Message(topic.name, data, key, *publisher, offset)

    def _publisher(self, envelope: broker.Envelope) -> tuple[object, bool]:
        """Which subscriber of this host has published that, and whether it is left out."""
        if envelope.host != self._host:
            return None, False
        return self._publishers.get(envelope.number, (None, False))

    def _tell_lost(self, topic: _Topic) -> None:
        """The topic may have lost messages here."""
        topic.untold = None
        self.board.tell_lost([topic.name], None)

    def _drop(self, topic: _Topic) -> None:
        """Count a message that came and is not delivered. Consecutive ones are told together, as what waits to
        be told takes memory, too."""
        self.dropped += 1
        if topic.untold is not None:
            topic.untold[0] += 1
            return
        untold = topic.untold = [1]
        sinks = list(self.board.sinks(topic.name))

        def tell() -> None:
            if topic.untold is untold:
                topic.untold = None
            for sink in sinks:
                if sink.is_subscribed:
                    sink.lost(untold[0])

        self.board.then(tell)
