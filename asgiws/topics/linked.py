"""A worker's hub: its own subscribers, and a link to the host's hub process.

Rules of this file:
- Nothing is delivered to a subscriber but what came from the hub process, what its own worker has published
  included: so all subscribers of the host see one order.
- What is sent on a link is prepared before there is one: a version, what is subscribed, and then what is
  asked for and published meanwhile. So it makes no difference whether the hub process runs already.
- A link that is lost takes along what was published on it, and maybe what was published elsewhere: all
  subscribers that were in force hear of it at once, and again once their topic is in force on the next link
  (`Sink.rejoined`). What lies between is lost too.
- The link is read only as fast as the board delivers, so that what a worker cannot keep up with is counted
  in the hub process, and bounded there.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from asgiws.topics import link
from asgiws.topics.board import BACKLOG, Board
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.link import ALL, LinkError, Outgoing
from asgiws.topics.message import Joined, Keep, Message, Position
from asgiws.topics.sink import Sink

logger = logging.getLogger("asgiws.error")

#: Seconds before a lost link is replaced, twice as many each time, up to the maximum; a link that was in
#: use for longer than that was sound.
RETRY = 0.02
MOST_RETRY = 2.0

#: Seconds that the hub process gets to take what was published last.
LAST_MOMENT = 1.0


class Line(Protocol):
    """A connection to the hub process that takes what is in an Outgoing."""

    def flush_soon(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self, patience: float = 0.0) -> None: ...


class Dial(Protocol):
    """Makes a Line, or raises OSError."""

    def __call__(
        self, outgoing: Outgoing, received: Callable[[bytes], object], ended: Callable[[], object]
    ) -> Line: ...


class Clock(Protocol):
    """The part of an event loop that is needed here."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer: ...


class Timer(Protocol):
    def cancel(self) -> None: ...


class _Topic:
    """A topic that the hub process sends: its number on the links, and the subscriptions that need it."""

    __slots__ = ("count", "name", "number")

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.count = 0


class _Waiting:
    """A subscription that was not answered yet."""

    __slots__ = ("done", "request", "since", "sink")

    def __init__(
        self,
        sink: Sink,
        since: Position | None,
        done: Callable[[Joined], object],
        request: int,
    ) -> None:
        self.sink = sink
        self.since = since
        self.done = done
        self.request = request


class LinkedHub:
    """`call_soon` has a function called in the event loop's next turn, `dial` connects to the hub process;
    at most `limit` octets wait to be sent to it, and no message has more than `largest`."""

    def __init__(
        self,
        call_soon: Callable[[Callable[[], object]], object],
        clock: Clock,
        dial: Dial,
        limit: int,
        largest: int,
    ) -> None:
        self.board = Board(call_soon)
        self._clock = clock
        self._dial = dial
        self._limit = limit
        self._largest = largest
        self._state = link.State(False, largest, "")
        self._outgoing = Outgoing(limit)
        self._line: Line | None = None
        self._events: link.Events
        self._topics: dict[str, _Topic] = {}
        self._numbers: dict[int, _Topic] = {}
        self._last_number = 0
        #: What the next answers are for: a subscription, or a topic that is subscribed anew.
        self._requests: dict[int, _Waiting | _Topic] = {}
        self._last_request = 0
        self._waiting: dict[Sink, _Waiting] = {}
        #: The subscription that was answered last, and what it has missed.
        self._joining: Sink | None = None
        self._missed: list[Message] = []
        #: The number of publications on this link; those that are to come back: number, owner, and whether
        #: that is left out.
        self._published = 0
        self._publishers: deque[tuple[int, object, bool]] = deque()
        self._retry = RETRY
        self._since = 0.0
        self._timer: Timer | None = None
        self._is_closed = False
        self._prepare()
        self._connect()

    # The interface of a Hub.

    @property
    def is_up(self) -> bool:
        return self._state.is_up

    def publish(self, message: Message, keep: Keep | None) -> None:
        outgoing = self._outgoing
        if keep is not None and self._state.why_no_history:
            raise ValueError(self._state.why_no_history)
        if outgoing.is_full or self._is_closed:
            raise TooMuchQueued(
                f"more than {self._limit} bytes of messages wait for the hub process (pubsub_queue)"
            )
        content = link.content(message.data, message.key)
        returns = message.sender is not None and message.topic in self._topics
        record = link.publish(message.topic, content, keep, returns)
        largest = min(self._largest, self._state.largest)
        if len(content) > largest + link.MOST_KEY:
            raise ValueError(
                f"a message has at most {largest} bytes here (pubsub_max_message, or the broker)"
            )
        outgoing.add(record)
        self._published += 1
        if returns:
            self._publishers.append((self._published, message.sender, message.excludes))
        self._flush_soon()

    def subscribe(
        self, sink: Sink, since: Position | None, done: Callable[[Joined], object]
    ) -> None:
        topic = self._topics.get(sink.topic)
        if topic is None:
            self._last_number += 1
            topic = _Topic(sink.topic, self._last_number)
            self._topics[sink.topic] = self._numbers[topic.number] = topic
        topic.count += 1
        waiting = self._waiting[sink] = _Waiting(sink, since, done, 0)
        self._ask(waiting)
        self._flush_soon()

    def unsubscribe(self, sink: Sink) -> None:
        waiting = self._waiting.pop(sink, None)
        if waiting is not None:
            del self._requests[waiting.request]
        elif sink.is_subscribed:
            self.board.remove(sink)
        else:
            return
        topic = self._topics[sink.topic]
        topic.count -= 1
        if not topic.count:
            del self._topics[topic.name], self._numbers[topic.number]
            self._outgoing.add(link.unsubscribe(topic.number))
            self._flush_soon()

    async def finish(self) -> None:
        """It is `close` that waits."""

    def close(self) -> None:
        """What was published before still leaves, if the hub process takes it within LAST_MOMENT seconds."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._line is not None:
            self._line.close(LAST_MOMENT)
            self._line = None
        self.board.close()
        self._requests.clear()
        self._waiting.clear()
        self._publishers.clear()

    # Links.

    def _prepare(self) -> None:
        """Put together what the next link begins with."""
        self._outgoing.clear()
        self._events = link.Events(self._largest + link.OVERHEAD)
        self._requests.clear()
        self._published = 0
        self._publishers.clear()
        self._outgoing.add(link.hello())
        # Answers come in the order of the requests: the topics first, then what was never answered.
        for name in self.board.topics():
            topic = self._topics[name]
            self._last_request += 1
            self._requests[self._last_request] = topic
            self._outgoing.add(link.subscribe(self._last_request, topic.number, name, None))
        for waiting in self._waiting.values():
            self._ask(waiting)

    def _ask(self, waiting: _Waiting) -> None:
        self._last_request = request = self._last_request + 1
        waiting.request = request
        self._requests[request] = waiting
        topic = self._topics[waiting.sink.topic]
        self._outgoing.add(link.subscribe(request, topic.number, topic.name, waiting.since))

    def _connect(self) -> None:
        self._timer = None
        try:
            self._line = self._dial(self._outgoing, self._received, self._ended)
        except OSError as error:
            if self._retry >= MOST_RETRY:
                logger.error("Cannot reach the hub process of topics: %s", error)
            self._again()
        else:
            self._since = self._clock.time()

    def _again(self) -> None:
        """Connect after a while."""
        self._timer = self._clock.call_later(self._retry, self._connect)
        self._retry = min(2 * self._retry, MOST_RETRY)

    def _flush_soon(self) -> None:
        if self._line is not None:
            self._line.flush_soon()

    def _ended(self) -> None:
        """The hub process has gone, or has closed the link."""
        if self._is_closed:
            return
        self._line = None
        if self._clock.time() - self._since > MOST_RETRY:
            self._retry = RETRY
        self._state = self._state._replace(is_up=False)
        self.board.tell_lost(self.board.topics(), None)
        self._prepare()
        self._again()

    # What comes.

    def _received(self, data: bytes) -> None:
        line = self._line
        try:
            for event in self._events.read(data):
                self._take(event)
                if self._line is not line:
                    return  # closed by what was called
            self._replay()
        except LinkError as error:
            logger.error("The link to the hub process of topics is closed: %s", error)
            if line is not None:
                line.close()
            self._ended()
            return
        if line is not None and self.board.queued > BACKLOG:
            line.pause()
            self.board.then(line.resume)

    def _take(self, event: link.Event) -> None:
        if isinstance(event, link.Replay):
            if (sink := self._joining) is not None:
                self._missed.append(
                    Message(sink.topic, event.data, event.key, None, False, event.offset)
                )
            return
        if self._missed:
            self._replay()
        if isinstance(event, link.Delivery):
            topic = self._numbers.get(event.number)
            if topic is not None:
                sender, excludes = self._publisher(event.publication)
                self.board.publish(
                    Message(topic.name, event.data, event.key, sender, excludes, event.offset)
                )
        elif isinstance(event, link.Acknowledged):
            publishers = self._publishers
            while publishers and publishers[0][0] <= event.publications:
                publishers.popleft()
        elif isinstance(event, link.Joined):
            self._joined(event)
        elif isinstance(event, link.Gap):
            if event.number == ALL:
                self.board.tell_lost(self.board.topics(), event.messages)
            elif (lost := self._numbers.get(event.number)) is not None:
                self.board.tell_lost([lost.name], event.messages)
        elif isinstance(event, link.Rejoined):
            if (again := self._numbers.get(event.number)) is not None:
                self.board.tell_rejoined(again.name, Joined(event.position, False))
        elif isinstance(event, link.State):
            self._state = event
        elif event.version != link.VERSION:
            raise LinkError(
                "it speaks another version; restart the server, and not only its workers"
            )

    def _publisher(self, publication: int) -> tuple[object, bool]:
        """Who made that publication of this worker, and whether it is left out."""
        publishers = self._publishers
        while publishers and publishers[0][0] <= publication:
            number, owner, excludes = publishers.popleft()
            if number == publication:
                return owner, excludes
        return None, False

    def _joined(self, event: link.Joined) -> None:
        waiting = self._requests.pop(event.request, None)
        self._joining = None
        if isinstance(waiting, _Topic):
            self.board.tell_rejoined(waiting.name, Joined(event.position, False))
        elif waiting is not None:
            self._joining = sink = waiting.sink
            del self._waiting[sink]
            self.board.add(sink)
            try:
                waiting.done(Joined(event.position, event.recovered))
            except Exception:  # the other records count as well
                logger.exception("Exception at the answer to a subscription")

    def _replay(self) -> None:
        """Deliver what a subscription has missed."""
        missed, self._missed = self._missed, []
        sink = self._joining
        if missed and sink is not None and sink.is_subscribed:
            self.board.replay(missed, sink)
