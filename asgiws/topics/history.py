"""What topics keep of their messages, for subscribers that come back.

Rules of this file:
- A topic keeps messages once a publication asked for it; from then on, each of its messages has an offset
  and is kept, as the last such request says. What a topic keeps is always its last messages, without a
  hole.
- All topics together keep no more than `limit` octets: the oldest message goes first, whichever its topic.
- A topic of which nothing is left may be forgotten. If it keeps messages again, its offsets go on above
  those of every topic that was forgotten: within an epoch, an offset never means two messages.
- No timer: what is too old is dropped when its topic is used, or when others are (SWEEP topics for each
  message).
"""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice

from asgiws.topics.message import KEPT, Joined, Keep, Message, Position

#: Octets that are counted for a message, and for a topic, in addition to their text or bytes.
OVERHEAD = 320
TOPIC = 640

#: Topics that are searched for old messages whenever one is kept.
SWEEP = 2


class _Topic:
    """What one topic keeps: the messages up to `offset`, with the time of each and its number among all."""

    __slots__ = ("entries", "keep", "offset", "start")

    def __init__(self, keep: Keep, start: int) -> None:
        self.keep = keep
        #: The offset before its first message.
        self.start = start
        self.offset = start
        self.entries: deque[tuple[Message, float, int]] = deque()


class History:
    """`limit` is in octets, 0 for no history at all; `clock` returns seconds. `held` is what is counted."""

    def __init__(self, limit: int, clock: Callable[[], float], epoch: str | None = None) -> None:
        self.limit = limit
        self.epoch = secrets.token_urlsafe(9) if epoch is None else epoch
        self.held = 0
        self._clock = clock
        self._topics: OrderedDict[str, _Topic] = OrderedDict()
        #: The topics of all messages that are kept, by their numbers, oldest first.
        self._order: OrderedDict[int, str] = OrderedDict()
        self._number = 0
        #: The topics that keep nothing now, the first to be forgotten first.
        self._empty: OrderedDict[str, None] = OrderedDict()
        #: The highest offset of the topics that were forgotten.
        self._forgotten = 0

    def add(self, message: Message, keep: Keep | None) -> None:
        """A message is published: give it its offset and keep it, if its topic keeps messages."""
        if not self.limit:
            return
        name = message.topic
        topic = self._topics.get(name)
        if topic is None:
            if keep is None:
                return
            topic = self._topics[name] = _Topic(keep, self._forgotten)
            self.held += TOPIC + len(name)
        elif keep is not None:
            topic.keep = keep
        now = self._clock()
        topic.offset += 1
        message.offset = topic.offset
        if _size(message) > self.limit:
            # It alone is too much: there is a hole behind it, and what was before cannot be told without it.
            while topic.entries:
                self._drop_first(name, topic)
            self._empty[name] = None
            return
        self._number += 1
        # A copy, which holds neither the publisher nor what was encoded for those who are there now.
        kept = Message(name, message.data, message.key, offset=topic.offset)
        topic.entries.append((kept, now, self._number))
        self._order[self._number] = name
        self.held += _size(message)
        self._empty.pop(name, None)
        while len(topic.entries) > topic.keep.messages:
            self._drop_first(name, topic)
        self._expire(name, topic, now)
        self._sweep(now)
        while self.held > self.limit:
            self._free()

    def position(self, topic: str) -> Position:
        """Where the topic stands."""
        known = self._topics.get(topic)
        return Position(self.epoch, self._forgotten if known is None else known.offset)

    def replay(self, topic: str, since: Position | None) -> tuple[Joined, list[Message]]:
        """The answer to a subscription, and the messages that it missed, oldest first."""
        position = self.position(topic)
        if since is None:
            return Joined(position, None), []
        known = self._topics.get(topic)
        if known is not None:
            self._expire(topic, known, self._clock())
        if since == KEPT:
            kept = [] if known is None else [entry[0] for entry in known.entries]
            return Joined(position, None), kept
        if known is None or since.epoch != self.epoch:
            return Joined(position, False), []
        missed = known.offset - since.offset
        # Of what was published before a topic's first kept message nothing is known: `start` is no place to
        # go on from.
        if not 0 <= missed <= len(known.entries) or since.offset <= known.start:
            return Joined(position, False), []
        entries = islice(known.entries, len(known.entries) - missed, None)
        return Joined(position, True), [entry[0] for entry in entries]

    def __len__(self) -> int:
        """The number of topics that are known."""
        return len(self._topics)

    def _drop_first(self, name: str, topic: _Topic) -> None:
        message, _, number = topic.entries.popleft()
        del self._order[number]
        self.held -= _size(message)
        if not topic.entries:
            self._empty[name] = None

    def _expire(self, name: str, topic: _Topic, now: float) -> None:
        """Drop what is too old."""
        oldest = now - topic.keep.seconds
        while topic.entries and topic.entries[0][1] <= oldest:
            self._drop_first(name, topic)

    def _sweep(self, now: float) -> None:
        for _ in range(min(SWEEP, len(self._topics))):
            name, topic = next(iter(self._topics.items()))
            self._topics.move_to_end(name)
            self._expire(name, topic, now)

    def _free(self) -> None:
        """Drop a topic of which nothing is left, or the oldest message."""
        if self._empty:
            name, _ = self._empty.popitem(last=False)
            topic = self._topics.pop(name)
            self._forgotten = max(self._forgotten, topic.offset)
            self.held -= TOPIC + len(name)
        else:
            name = next(iter(self._order.values()))
            self._drop_first(name, self._topics[name])


def _size(message: Message) -> int:
    """The octets of memory that are counted for a message."""
    key = message.key
    return OVERHEAD + message.data.__sizeof__() + (0 if key is None else len(key))
