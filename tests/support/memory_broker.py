"""A broker in memory, whose connections do nothing on their own: a test says what is done, read and lost when.

Rules of this file: it does what `asgiws/topics/broker.py` says of a broker and a Session, and knows nothing of
a hub. What it has published is numbered (`place`), over all topics.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from asgiws.topics.broker import Kept, Receiver
from asgiws.topics.message import KEPT, Joined, Keep, Position


class Entry(NamedTuple):
    """A message of a history; nothing is known of the one before the `is_first`."""

    offset: int
    envelope: bytes
    is_first: bool


class MemoryBroker:
    """`published` has everything, in order: topic and envelope."""

    def __init__(self) -> None:
        self.sessions: list[MemorySession] = []
        self.published: list[tuple[str, bytes]] = []
        self._run = 0
        self._histories: dict[str, list[Entry]] = {}
        self._keeps: dict[str, Keep] = {}
        self._top = 0

    @property
    def epoch(self) -> str:
        return f"epoch {self._run}"

    def forget(self) -> None:
        """Lose all histories."""
        self._run += 1
        self._top = 0
        self._histories.clear()

    def publish(self, topic: str, envelope: bytes, keep: Keep | None) -> None:
        self.published.append((topic, envelope))
        history = self._histories.get(topic)
        offset = 0
        if history is not None or keep is not None:
            if keep is not None:
                self._keeps[topic] = keep
            if history is None:
                history = self._histories[topic] = []
            offset = history[-1].offset + 1 if history else self._top + 1
            self._top = max(self._top, offset)
            history.append(Entry(offset, envelope, not history))
            del history[: -self._keeps[topic].messages]
        for session in self.sessions:
            if topic in session.topics:
                session.tell_message(topic, envelope, offset)

    def look(self, topic: str, since: Position | None) -> tuple[Joined, list[Kept], bool]:
        history = self._histories.get(topic, [])
        position = Position(self.epoch, history[-1].offset if history else self._top)
        missed: list[Entry] = []
        recovered = None
        if since == KEPT:
            missed = history
        elif since is not None:
            recovered = False
            if history and since.epoch == self.epoch and since.offset <= position.offset:
                after = [entry for entry in history if entry.offset > since.offset]
                recovered = len(after) == position.offset - since.offset and not any(
                    entry.is_first for entry in after
                )
                missed = after if recovered else []
        kept = [Kept(entry.offset, entry.envelope) for entry in missed]
        return Joined(position, recovered), kept, bool(history)


class MemorySession:
    """A connection to a MemoryBroker. What it was asked is done by `work`, what comes of it given to the
    receiver by `read`."""

    name = "memory"
    largest = 1 << 20
    why_no_history = ""

    def __init__(self, broker: MemoryBroker, receiver: Receiver) -> None:
        self.topics: set[str] = set()
        #: Where the broker stood at the answer that is being given.
        self.place = 0
        self._broker = broker
        self._receiver = receiver
        self._asked: deque[Callable[[], object]] = deque()
        self._answers: deque[Callable[[], object]] = deque()
        broker.sessions.append(self)

    heard = 0

    def publish(self, topic: str, envelope: bytes, keep: Keep | None) -> None:
        self._asked.append(lambda: self._broker.publish(topic, envelope, keep))

    def subscribe(self, topic: str) -> None:
        self._asked.append(lambda: self.topics.add(topic))

    def unsubscribe(self, topic: str) -> None:
        self._asked.append(lambda: self.topics.discard(topic))

    def look(self, topic: str, since: Position | None, request: int) -> None:
        def look() -> None:
            place = len(self._broker.published)
            answer = self._broker.look(topic, since)
            self._answers.append(lambda: self._looked(place, request, *answer))

        self._asked.append(look)

    def settle(self, number: int) -> None:
        self._asked.append(lambda: self._answers.append(lambda: self._receiver.settled(number)))

    def probe(self) -> None: ...

    async def run(self, receiver: Receiver) -> None: ...

    async def close(self) -> None: ...

    def tell_message(self, topic: str, envelope: bytes, offset: int) -> None:
        epoch = self._broker.epoch
        self._answers.append(lambda: self._receiver.arrived(topic, envelope, offset, epoch))

    def work(self, most: int) -> bool:
        """Do what was asked first; whether that was anything."""
        return _take(self._asked, most)

    def read(self, most: int) -> bool:
        """Give the receiver what came first; whether that was anything."""
        return _take(self._answers, most)

    def lose(self) -> None:
        """Nothing more is done or read."""
        self._broker.sessions.remove(self)

    def _looked(
        self, place: int, request: int, joined: Joined, missed: list[Kept], keeps: bool
    ) -> None:
        self.place = place
        self._receiver.looked(request, joined, missed, keeps)


def _take(queue: deque[Callable[[], object]], most: int) -> bool:
    count = min(most, len(queue))
    for _ in range(count):
        queue.popleft()()
    return count > 0
