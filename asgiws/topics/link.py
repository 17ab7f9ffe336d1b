"""The link between a worker and its host's hub process: octets in, records out, and the reverse.

Rules of this file:
- No I/O. Whoever owns the socket passes on what it reads, and sends what is in an `Outgoing`.
- A record is its length (four octets, which do not count themselves), its kind (one octet) and its body.
  Numbers are little-endian, text is UTF-8.
- Each side first says which version it speaks. Anything that does not fit is a LinkError: the link ends,
  since nothing after it can be trusted.
- Messages to a worker are numbered, and what was dropped takes numbers as well: a loss that nobody has told
  shows in the next number.
- The hub process does not look into what it passes on (`content`): the publisher's worker makes it, the
  subscriber's worker takes it apart. It is checked once, on its way into the hub, so that no worker can
  break another's link.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from asgiws.topics.message import Keep, Position

#: Changes with every change of the records. Both sides normally run the same code: this is for a worker
#: that was started from newer code than its supervisor.
VERSION = 2

#: The most octets that leave in one write.
CHUNK = 1 << 18

#: The most octets of an epoch: ours are shorter.
MOST_EPOCH = 64

#: Octets that are counted for a piece that waits in an Outgoing in addition to its own: a publication is one
#: piece, a delivery two. Of a small message, most of the memory is objects.
PIECE = 128

#: A record has at most so many octets beside those of its message: topics and keys have 255 characters.
OVERHEAD = 4096

#: In `Gap.number`: all topics of the link.
ALL = 0

#: The most octets of a content beside its data: its flags, and a key of 255 characters with its length.
MOST_KEY = 3 + 4 * 255

# From a worker.
_HELLO, _SUBSCRIBE, _UNSUBSCRIBE, _PUBLISH = range(1, 5)
# From the hub process, which answers _HELLO with the same.
_JOINED, _REPLAY, _DELIVERY, _GAP, _ACKNOWLEDGED, _REJOINED, _STATE = range(16, 23)

# Flags of a content, and of a publication.
_TEXT, _KEY = 1, 2
_RETURNS, _KEEP = 1, 2

#: An unknown number of lost messages.
_UNKNOWN = (1 << 64) - 1

#: What `Joined.recovered` is in a record.
_RECOVERED: tuple[bool | None, ...] = (None, False, True)

_LENGTH = struct.Struct("<I")
_KIND = struct.Struct("<IB")
_WITH_ONE = struct.Struct("<IBI")
_MAGIC = b"asgiws topics"
_SUBSCRIBE_HEAD = struct.Struct(
    "<IIQBB"
)  # request, topic's number, offset, whether since, octets of the epoch
_PUBLISH_HEAD = struct.Struct("<BH")  # flags, octets of the topic
_KEEP_HEAD = struct.Struct("<Id")
_JOINED_HEAD = struct.Struct("<IBQ")
_REPLAY_HEAD = struct.Struct("<IQ")
_DELIVERY_HEAD = struct.Struct(
    "<IBQIQQ"
)  # with length and kind: number, topic's number, offset, publication
_DELIVERY_BODY = struct.Struct("<QIQQ")
_GAP_BODY = struct.Struct("<IQQ")
_COUNT = struct.Struct("<Q")
_REJOINED_HEAD = struct.Struct("<IQ")
_STATE_HEAD = struct.Struct("<?Q")
_KEY_LENGTH = struct.Struct("<H")


class LinkError(Exception):
    """The other side sent something that is no record, or none that fits here."""


class Hello(NamedTuple):
    """The first record of each side."""

    version: int


class Subscribe(NamedTuple):
    """`request` names the answer, `number` the topic from now on: of the worker's choosing, the same for a
    topic until it is unsubscribed, and not 0."""

    request: int
    number: int
    topic: str
    since: Position | None


class Unsubscribe(NamedTuple):
    """Nothing more of that topic."""

    number: int


class Publish(NamedTuple):
    """Publications are numbered from 1 by their order. `returns` has the number come back with the message
    to the worker that published it, which knows by it which subscriber that was."""

    topic: str
    content: bytes
    keep: Keep | None
    returns: bool


class Joined(NamedTuple):
    """The answer to a Subscribe; the messages that were missed follow at once, as Replays."""

    request: int
    position: Position
    recovered: bool | None


class Replay(NamedTuple):
    """A message for one subscription."""

    request: int
    offset: int
    data: str | bytes
    key: str | None


class Delivery(NamedTuple):
    """A message; `publication` is its number among the receiving worker's own if that asked for it, else 0."""

    number: int
    offset: int
    publication: int
    data: str | bytes
    key: str | None


class Gap(NamedTuple):
    """Messages of a topic, or of ALL, were lost before the next one: `count`, None if unknown."""

    number: int
    messages: int | None


class Acknowledged(NamedTuple):
    """The first so many publications of this worker are dealt with: what they caused on this link is before
    this."""

    publications: int


class Rejoined(NamedTuple):
    """After a Gap of unknown size, because the history was lost: where the topic stands now."""

    number: int
    position: Position


class State(NamedTuple):
    """Whether what the hub process relays to other hosts reaches them, how many octets a message may have, and
    why there is no history, "" if there is."""

    is_up: bool
    largest: int
    why_no_history: str


Request = Hello | Subscribe | Unsubscribe | Publish
Event = Hello | Joined | Replay | Delivery | Gap | Acknowledged | Rejoined | State


# Writing.


def content(data: str | bytes, key: str | None) -> bytes:
    """What a message carries, as octets. Raises ValueError for text that is no Unicode, or a key of more
    than 65,535 octets."""
    octets = data.encode() if isinstance(data, str) else data
    flags = _TEXT if isinstance(data, str) else 0
    if key is None:
        return bytes((flags,)) + octets
    name = key.encode()
    if len(name) > 0xFFFF:
        raise ValueError("a key of more than 65,535 octets")
    return b"".join((bytes((flags | _KEY,)), _KEY_LENGTH.pack(len(name)), name, octets))


def hello() -> bytes:
    return _record(_HELLO, bytes((VERSION,)) + _MAGIC)


def subscribe(request: int, number: int, topic: str, since: Position | None) -> bytes:
    """A position that no hub process could have given is sent as one that it does not know."""
    epoch, offset = b"", 0
    if since is not None:
        epoch, offset = since.epoch.encode(errors="replace"), since.offset
        if len(epoch) > MOST_EPOCH or not 0 <= offset < 1 << 64:
            epoch, offset = b"?", 0
    head = _SUBSCRIBE_HEAD.pack(request, number, offset, since is not None, len(epoch))
    return _record(_SUBSCRIBE, head + epoch + topic.encode())


def unsubscribe(number: int) -> bytes:
    return _WITH_ONE.pack(5, _UNSUBSCRIBE, number)


def publish(topic: str, content: bytes, keep: Keep | None, returns: bool) -> bytes:
    name = topic.encode()
    flags = (_RETURNS if returns else 0) | (0 if keep is None else _KEEP)
    kept = b"" if keep is None else _KEEP_HEAD.pack(min(keep.messages, 0xFFFFFFFF), keep.seconds)
    return _record(_PUBLISH, b"".join((_PUBLISH_HEAD.pack(flags, len(name)), kept, name, content)))


def joined(request: int, position: Position, recovered: bool | None) -> bytes:
    head = _JOINED_HEAD.pack(request, _RECOVERED.index(recovered), position.offset)
    return _record(_JOINED, head + position.epoch.encode())


def replay(request: int, offset: int, content: bytes) -> bytes:
    return _record(_REPLAY, _REPLAY_HEAD.pack(request, offset) + content)


def acknowledged(count: int) -> bytes:
    return _record(_ACKNOWLEDGED, _COUNT.pack(count))


def rejoined(number: int, position: Position) -> bytes:
    return _record(
        _REJOINED, _REJOINED_HEAD.pack(number, position.offset) + position.epoch.encode()
    )


def state(is_up: bool, largest: int, why_no_history: str) -> bytes:
    return _record(_STATE, _STATE_HEAD.pack(is_up, largest) + why_no_history.encode())


def _record(kind: int, body: bytes) -> bytes:
    return _KIND.pack(len(body) + 1, kind) + body


class Outgoing:
    """What waits to be sent on a link. It is full when it holds more than `limit` octets of memory: what is
    added then is for the caller to refuse, not for this class."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: Octets that the kernel has not taken yet.
        self.size = 0
        self._waiting: deque[bytes] = deque()
        self._head = memoryview(b"")

    @property
    def held(self) -> int:
        """The octets of memory that are counted for what waits."""
        return self.size + PIECE * len(self._waiting)

    @property
    def is_full(self) -> bool:
        return self.held > self.limit

    def add(self, *octets: bytes) -> None:
        for part in octets:
            self._waiting.append(part)
            self.size += len(part)

    def head(self) -> memoryview:
        """What to send next, at most CHUNK octets unless one piece is larger; empty if there is nothing."""
        if not self._head and self._waiting:
            parts = [self._waiting.popleft()]
            size = len(parts[0])
            while self._waiting and size + len(self._waiting[0]) <= CHUNK:
                parts.append(self._waiting.popleft())
                size += len(parts[-1])
            self._head = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        return self._head

    def sent(self, count: int) -> None:
        """The kernel has taken so many octets of `head()`."""
        self._head = self._head[count:]
        self.size -= count

    def clear(self) -> None:
        self._waiting.clear()
        self._head = memoryview(b"")
        self.size = 0


class Deliveries:
    """The messages to one worker, on its link.

    While the link is full, they are dropped and counted for each topic, until half of it is free: then
    `relieve`, which is to be called whenever octets were sent, tells what was lost.
    """

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._number = 0
        self._dropped: dict[int, int] = {}

    def deliver(self, topic: int, offset: int, publication: int, content: bytes) -> None:
        outgoing = self._outgoing
        self._number += 1
        if self._dropped or outgoing.is_full:
            self._dropped[topic] = self._dropped.get(topic, 0) + 1
            return
        length = _DELIVERY_HEAD.size - _LENGTH.size + len(content)
        outgoing.add(
            _DELIVERY_HEAD.pack(length, _DELIVERY, self._number, topic, offset, publication),
            content,
        )

    def gap(self, topic: int, count: int | None) -> None:
        """Tell of messages that were lost before they came here."""
        self._tell(topic, 0, _UNKNOWN if count is None else count)

    def relieve(self) -> int:
        """Tell what was lost, if there is room again; returns how many messages that were."""
        if not self._dropped or self._outgoing.held > self._outgoing.limit // 2:
            return 0
        dropped, self._dropped = self._dropped, {}
        for topic, count in dropped.items():
            self._tell(topic, count, count)
        return sum(dropped.values())

    def _tell(self, topic: int, skipped: int, count: int) -> None:
        self._outgoing.add(_record(_GAP, _GAP_BODY.pack(topic, skipped, count)))


# Reading.


class _Records:
    """Cuts octets into records, at most `limit` octets each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        #: Octets without which nothing more can be found.
        self._need = _LENGTH.size
        self._is_first = True

    def cut(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The kinds and the bodies of the records that `data` completes. To be iterated to the end."""
        self._parts.append(data)
        self._size += len(data)
        if self._size < self._need:
            return
        octets = data if len(self._parts) == 1 else b"".join(self._parts)
        start, end = 0, len(octets)
        self._need = _LENGTH.size
        while end - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(octets, start)
            if not 0 < length <= self._limit:
                raise LinkError(f"a record of {length} octets")
            after = start + _LENGTH.size + length
            if after > end:
                self._need = after - start
                break
            kind = octets[start + _LENGTH.size]
            if self._is_first != (kind == _HELLO):
                raise LinkError(f"a record of kind {kind} in the wrong place")
            self._is_first = False
            yield kind, octets[start + _LENGTH.size + 1 : after]
            start = after
        rest = octets[start:]
        self._parts = [rest] if rest else []
        self._size = len(rest)


class Requests:
    """What a worker sends, as the hub process reads it. No record has more than `limit` octets."""

    def __init__(self, limit: int) -> None:
        self._records = _Records(limit)

    def read(self, data: bytes) -> list[Request]:
        """The records that `data` completes. Raises LinkError."""
        try:
            return [_request(kind, body) for kind, body in self._records.cut(data)]
        except (struct.error, UnicodeDecodeError, IndexError) as error:
            raise LinkError(f"a malformed record: {error}") from None


class Events:
    """What the hub process sends, as a worker reads it. No record has more than `limit` octets."""

    def __init__(self, limit: int) -> None:
        self._records = _Records(limit)
        self._expected = 1

    def read(self, data: bytes) -> list[Event]:
        """The records that `data` completes. Raises LinkError."""
        found: list[Event] = []
        try:
            for kind, body in self._records.cut(data):
                if kind == _DELIVERY:
                    number, topic, offset, publication = _DELIVERY_BODY.unpack_from(body)
                    if number != self._expected:
                        found.append(Gap(ALL, None))
                    self._expected = number + 1
                    text, key = _content(body, _DELIVERY_BODY.size)
                    found.append(Delivery(topic, offset, publication, text, key))
                else:
                    found.append(self._event(kind, body))
        except (struct.error, UnicodeDecodeError, IndexError) as error:
            raise LinkError(f"a malformed record: {error}") from None
        return found

    def _event(self, kind: int, body: bytes) -> Event:
        if kind == _REPLAY:
            request, offset = _REPLAY_HEAD.unpack_from(body)
            text, key = _content(body, _REPLAY_HEAD.size)
            return Replay(request, offset, text, key)
        if kind == _ACKNOWLEDGED:
            return Acknowledged(*_COUNT.unpack(body))
        if kind == _JOINED:
            request, recovered, offset = _JOINED_HEAD.unpack_from(body)
            epoch = body[_JOINED_HEAD.size :].decode()
            return Joined(request, Position(epoch, offset), _RECOVERED[recovered])
        if kind == _GAP:
            topic, skipped, count = _GAP_BODY.unpack(body)
            self._expected += skipped
            return Gap(topic, None if count == _UNKNOWN else count)
        if kind == _REJOINED:
            number, offset = _REJOINED_HEAD.unpack_from(body)
            return Rejoined(number, Position(body[_REJOINED_HEAD.size :].decode(), offset))
        if kind == _STATE:
            is_up, largest = _STATE_HEAD.unpack_from(body)
            return State(is_up, largest, body[_STATE_HEAD.size :].decode())
        if kind == _HELLO:
            return _hello(body)
        raise LinkError(f"a record of the unknown kind {kind}")


def uncontent(octets: bytes) -> tuple[str | bytes, str | None]:
    """The data and the key in octets that `content` has made. Raises LinkError."""
    try:
        return _content(octets, 0)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise LinkError(f"a malformed content: {error}") from None


def _request(kind: int, body: bytes) -> Request:
    if kind == _PUBLISH:
        flags, length = _PUBLISH_HEAD.unpack_from(body)
        start = _PUBLISH_HEAD.size
        keep = None
        if flags & _KEEP:
            messages, seconds = _KEEP_HEAD.unpack_from(body, start)
            if not (messages > 0 and 0.0 < seconds < float("inf")):
                raise LinkError("a history of nothing")
            keep = Keep(messages, seconds)
            start += _KEEP_HEAD.size
        topic = _name(body[start : start + length], length)
        carried = body[start + length :]
        _content(carried, 0)
        return Publish(topic, carried, keep, bool(flags & _RETURNS))
    if kind == _SUBSCRIBE:
        request, number, offset, has_since, length = _SUBSCRIBE_HEAD.unpack_from(body)
        start = _SUBSCRIBE_HEAD.size
        if number == ALL:
            raise LinkError("a topic with the number of all")
        epoch = body[start : start + length].decode()
        name = body[start + length :]
        since = Position(epoch, offset) if has_since else None
        return Subscribe(request, number, _name(name, len(name)), since)
    if kind == _UNSUBSCRIBE:
        if len(body) != 4:
            raise LinkError("a malformed record")
        return Unsubscribe(int.from_bytes(body, "little"))
    if kind == _HELLO:
        return _hello(body)
    raise LinkError(f"a record of the unknown kind {kind}")


def _name(octets: bytes, length: int) -> str:
    """A topic."""
    if not length or len(octets) != length:
        raise LinkError("a record without its topic")
    return octets.decode()


def _hello(body: bytes) -> Hello:
    if body[1:] != _MAGIC:
        raise LinkError("it does not speak our protocol")
    return Hello(body[0])


def _content(body: bytes, start: int) -> tuple[str | bytes, str | None]:
    """The data and the key that `content` has put there."""
    flags = body[start]
    start += 1
    key = None
    if flags & _KEY:
        (length,) = _KEY_LENGTH.unpack_from(body, start)
        start += _KEY_LENGTH.size
        name = body[start : start + length]
        if len(name) != length:
            raise LinkError("a record without its key")
        key = name.decode()
        start += length
    data = body[start:]
    return (data.decode() if flags & _TEXT else data), key
