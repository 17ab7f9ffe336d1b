"""Octets that wait in pieces, as they arrived.

Rules of this file: small pieces are joined while they wait, since each by itself would take many times its size
in memory. The first piece is never joined: where it is the only one, nothing is copied.
"""

from __future__ import annotations

#: Pieces of fewer octets than this are joined to the one before.
JOIN_BELOW = 1024

# The same as a C integer for the compiled module.
_JOIN_BELOW = JOIN_BELOW


def add(pieces: list[bytes | bytearray], piece: bytes) -> None:
    """Add a piece behind the others."""
    if not pieces or len(piece) >= _JOIN_BELOW:
        pieces.append(piece)
    elif type(pieces[-1]) is bytearray:
        pieces[-1] += piece
    else:
        pieces.append(bytearray(piece))


def join(pieces: list[bytes | bytearray]) -> bytes:
    """All of them in one; there must be at least one."""
    first = pieces[0]
    if len(pieces) == 1 and type(first) is bytes:
        return first
    return b"".join(pieces)
