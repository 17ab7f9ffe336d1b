"""How a fuzzer's input is read: options in its first octets, then what the peer sends.

Rules of this file: every input means something, and the same each time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

#: Up to here the cut 0 gives single octets.
SINGLES = 600

_SIZES = (1, 1, 2, 3, 5, 8, 13, 21, 55, 144, 610)


def cut(wire: bytes, how: int) -> list[bytes]:
    """`wire` in pieces: octet by octet for 0, else in pieces of the sizes that `how` gives."""
    if how == 0:
        singles = [wire[at : at + 1] for at in range(min(len(wire), SINGLES))]
        return [*singles, wire[SINGLES:]] if len(wire) > SINGLES else singles
    chance = random.Random(how)
    pieces = []
    at = 0
    while at < len(wire):
        size = chance.choice(_SIZES)
        pieces.append(wire[at : at + size])
        at += size
    return pieces


def options(data: bytes, count: int) -> tuple[Sequence[int], bytes]:
    """The first `count` octets, 0 where they are missing, and the rest."""
    return data[:count].ljust(count, b"\0"), data[count:]
