"""Messages that tell by themselves whether one was lost, doubled, changed or out of order.

Rules of this file:
- It is run by both sides, so it imports nothing of the project and decides nothing.
- A message is its number, the CRC-32 of its body in hexadecimal, and the body, parted by blanks.
- Numbers begin with 0 and go up by one, in each direction of a connection on its own.
"""

from __future__ import annotations

import zlib

LOST, DOUBLED, LATE, CHANGED = "lost", "doubled", "reordered", "changed"
FAULTS = (LOST, DOUBLED, LATE, CHANGED)

#: How many numbers are remembered as missing, to tell one that is late from one that is there twice.
_REMEMBERED = 10_000


def text(number: int, body: str) -> str:
    """A text message."""
    return f"{number} {zlib.crc32(body.encode()):08x} {body}"


def binary(number: int, body: bytes) -> bytes:
    """A binary message."""
    return b"%d %08x " % (number, zlib.crc32(body)) + body


def kept_room(number: int) -> str:
    """The name of a topic that keeps messages."""
    return f"kept-{number}"


def chained(message: str | bytes, before: int) -> int:
    """The checksum over a whole conversation: kinds, lengths and octets of all its messages in order."""
    is_text = isinstance(message, str)
    data = message.encode() if isinstance(message, str) else message
    return zlib.crc32(data, zlib.crc32(b"%d %d" % (is_text, len(data)), before))


class Order:
    """What has come of a conversation: how many messages, their checksum, and what was wrong."""

    __slots__ = ("_missing", "_next", "chain", "count", "faults", "size")

    def __init__(self, first: int = 0) -> None:
        self.count = 0
        self.size = 0
        self.chain = 0
        self.faults: dict[str, int] = {}
        self._next = first
        self._missing: set[int] | None = None

    @property
    def next(self) -> int:
        """The number that is expected."""
        return self._next

    def take(self, message: str | bytes) -> None:
        """The next message as it came."""
        self.count += 1
        self.size += len(message)
        self.chain = chained(message, self.chain)
        data = message.encode() if isinstance(message, str) else message
        number, _, rest = data.partition(b" ")
        checksum, _, body = rest.partition(b" ")
        if not number.isdigit() or checksum != b"%08x" % zlib.crc32(body):
            self._fault(CHANGED)
            self._next += 1
            return
        found = int(number)
        if found != self._next:
            self._astray(found)
        else:
            self._next += 1

    def _astray(self, found: int) -> None:
        missing = self._missing
        if missing is None:
            missing = self._missing = set()
        if found > self._next:
            self._fault(LOST, found - self._next)
            missing.update(range(self._next, min(found, self._next + _REMEMBERED)))
            self._next = found + 1
        elif found in missing:
            missing.discard(found)
            self._fault(LOST, -1)
            self._fault(LATE)
        else:
            self._fault(DOUBLED)

    def _fault(self, kind: str, count: int = 1) -> None:
        self.faults[kind] = self.faults.get(kind, 0) + count
        if not self.faults[kind]:
            del self.faults[kind]
