"""Which sinks have subscribed to which topic, and the messages on their way to them.

Rules of this file:
- A message is queued for those who are subscribed when it is published. The queue is worked off at the end
  of the turn of the event loop, first in, first out over all topics; what was unsubscribed meanwhile is
  left out.
- Messages that follow each other to the same sinks are one Run: a receiver gets them one after the other,
  and sends them together. So a receiver writes once for all that a slice has for it.
- A slice is SLICE units of work; then others have their turn of the event loop.
- The list of a topic's sinks is shared with the runs that are queued for it: it is copied before it changes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from asgiws.topics.message import Joined, Message
from asgiws.topics.sink import Sink

logger = logging.getLogger("asgiws.error")

#: The work of a slice, and what a message to a receiver, and a receiver's write, count: 455 receivers of one
#: message, or 256 of eight each.
SLICE = 4096
MESSAGE = 1
RECEIVER = 8

#: The most messages of a run: what a receiver puts together before it sends.
RUN = 64

#: Octets that are counted for a queued message in addition to its text or bytes.
OVERHEAD = 256

#: The octets of `Board.queued` above which whoever feeds a board should wait.
BACKLOG = 1 << 20

# As the compiled module counts with them.
_SLICE, _MESSAGE, _RECEIVER, _RUN = SLICE, MESSAGE, RECEIVER, RUN


class Topic:
    """The sinks of a topic. `is_shared` is set while runs may refer to the list."""

    __slots__ = ("is_shared", "sinks")

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.is_shared = False


class Run:
    """Messages for the same sinks; those before `at` have got them. A run without sinks calls `call` when its
    turn comes. `size` is what its messages count."""

    __slots__ = ("at", "call", "messages", "sinks", "size")

    def __init__(self, sinks: list[Sink], call: Callable[[], object] | None = None) -> None:
        self.sinks = sinks
        self.messages: list[Message] = []
        self.at = 0
        self.size = 0
        self.call = call


class Board:
    """`call_soon` has a function called in the event loop's next turn. `queued` is how many octets of
    messages wait to be delivered."""

    __slots__ = ("_call_soon", "_is_due", "_queue", "_topics", "queued")

    def __init__(self, call_soon: Callable[[Callable[[], object]], object]) -> None:
        self._call_soon = call_soon
        self._topics: dict[str, Topic] = {}
        self._queue: deque[Run] = deque()
        self._is_due = False
        self.queued = 0

    def add(self, sink: Sink) -> bool:
        """Subscribe a sink, which was not before; true if it is the first of its topic."""
        topic = self._topics.get(sink.topic)
        is_first = topic is None
        if topic is None:
            topic = self._topics[sink.topic] = Topic()
        elif topic.is_shared:
            topic.sinks = topic.sinks.copy()
            topic.is_shared = False
        sink.place = len(topic.sinks)
        sink.is_subscribed = True
        topic.sinks.append(sink)
        return is_first

    def remove(self, sink: Sink) -> bool:
        """Deliver nothing more to the sink; true if it was the last of its topic. Idempotent."""
        if not sink.is_subscribed:
            return False
        sink.is_subscribed = False
        topic = self._topics[sink.topic]
        if len(topic.sinks) == 1:
            del self._topics[sink.topic]
            return True
        if topic.is_shared:
            topic.sinks = topic.sinks.copy()
            topic.is_shared = False
        last = topic.sinks.pop()
        if last is not sink:
            topic.sinks[sink.place] = last
            last.place = sink.place
        return False

    def sinks(self, topic: str) -> Sequence[Sink]:
        """The sinks of a topic; not to be changed."""
        known = self._topics.get(topic)
        return () if known is None else known.sinks

    def topics(self) -> list[str]:
        """The topics that have sinks."""
        return list(self._topics)

    def publish(self, message: Message) -> None:
        """Deliver a message soon to the sinks that its topic has now."""
        topic = self._topics.get(message.topic)
        if topic is None:
            return
        topic.is_shared = True
        queue = self._queue
        if queue:
            run = queue[-1]
            if run.sinks is topic.sinks and run.at == 0 and len(run.messages) < _RUN:
                self._append(run, message)
                return
        run = Run(topic.sinks)
        self._append(run, message)
        self._put(run)

    def replay(self, messages: Sequence[Message], sink: Sink) -> None:
        """Deliver messages soon to one sink, behind those that are queued."""
        run: Run | None = None
        for message in messages:
            if run is None or len(run.messages) == _RUN:
                run = Run([sink])
                self._put(run)
            self._append(run, message)

    def then(self, call: Callable[[], object]) -> None:
        """Call a function once everything that is queued now was delivered, and before anything else is.
        With an empty queue, at once."""
        if self._queue:
            self._put(Run([], call))
        else:
            call()

    def tell_lost(self, topics: Iterable[str], count: int | None) -> None:
        """Tell the sinks that those topics have now, behind what is queued, that messages were lost."""
        self._tell(topics, lambda sink: sink.lost(count))

    def tell_rejoined(self, topic: str, joined: Joined) -> None:
        """Tell the sinks that the topic has now, behind what is queued, that it is in force again."""
        self._tell((topic,), lambda sink: sink.rejoined(joined))

    def _tell(self, topics: Iterable[str], call: Callable[[Sink], object]) -> None:
        sinks = [sink for topic in topics for sink in self.sinks(topic)]

        def tell() -> None:
            for sink in sinks:
                if sink.is_subscribed:
                    call(sink)

        if sinks:
            self.then(tell)

    def close(self) -> None:
        """Forget all sinks and messages."""
        for topic in self._topics.values():
            for sink in topic.sinks:
                sink.is_subscribed = False
        self._topics.clear()
        self._queue.clear()
        self.queued = 0

    def _append(self, run: Run, message: Message) -> None:
        size = message.data.__sizeof__() + OVERHEAD
        run.messages.append(message)
        run.size += size
        self.queued += size

    def _put(self, run: Run) -> None:
        self._queue.append(run)
        if not self._is_due:
            self._is_due = True
            self._call_soon(self._work)

    def _work(self) -> None:
        """One slice."""
        touched: list[Sink] = []
        left = _SLICE
        try:
            while left > 0 and self._queue:
                run = self._queue[0]
                if run.call is not None:
                    # What was delivered before it has left when it is called.
                    _flush(touched)
                    touched = []
                    self._queue.popleft()
                    _call(run.call)
                    continue
                left = self._deliver(run, left, touched)
                if run.at >= len(run.sinks) and self._queue and self._queue[0] is run:
                    self._queue.popleft()
                    self.queued -= run.size
        finally:
            self._is_due = False
            _flush(touched)
            if self._queue and not self._is_due:
                self._is_due = True
                self._call_soon(self._work)

    def _deliver(self, run: Run, left: int, touched: list[Sink]) -> int:
        """Deliver a run to its next sinks, as far as the slice allows; returns what is left of the slice."""
        messages = run.messages
        sinks = run.sinks
        each = _RECEIVER + _MESSAGE * len(messages)
        at = run.at
        while at < len(sinks) and left > 0:
            sink = sinks[at]
            at += 1
            # What is called may publish, and look at the run.
            run.at = at
            left -= each
            if sink.is_subscribed:
                touched.append(sink)
                for message in messages:
                    if sink.is_subscribed and not (
                        message.excludes and message.sender is sink.owner
                    ):
                        sink.deliver(message)
        return left


def _flush(touched: list[Sink]) -> None:
    for sink in touched:
        try:
            sink.flush()
        except Exception:  # noqa: PERF203  # the others must get theirs
            logger.exception("Exception while messages of a topic were sent")


def _call(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        logger.exception("Exception between the messages of topics")
