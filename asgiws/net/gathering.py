"""What is written during a read is gathered, so that it leaves in one system call when the read is done.

Rules of this file:
- There is one Gathering per worker, and one connection at a time gathers: if an application runs the loop from
  within itself, the read that begins there ends the gathering of the read around it.
- It sends nothing; the connection does.
"""

from __future__ import annotations

from typing import Protocol

#: Octets that are gathered at most: an application that is stepped within the read may send endlessly, and the
#: transport must see the data to notice that the peer does not keep up.
MOST = 65536

_MOST = MOST


class Gatherer(Protocol):
    """A connection that gathers."""

    def uncork(self) -> None:
        """Send what was gathered, and set `Gathering.connection` to None."""


class Gathering:
    """What `connection`, which is reading at the moment, is about to send: the pieces `out`, `size` octets in
    total."""

    __slots__ = ("connection", "out", "size")

    def __init__(self) -> None:
        self.connection: Gatherer | None = None
        self.out: list[bytes] = []
        self.size = 0

    def begin(self, connection: Gatherer) -> None:
        """Gather what this connection writes, until its `uncork`."""
        other = self.connection
        if other is not None:
            other.uncork()
        self.connection = connection

    def add(self, data: bytes) -> bool:
        """Add a piece; true if what was gathered must be sent now."""
        self.out.append(data)
        self.size += len(data)
        return self.size >= _MOST

    def add_all(self, chunks: list[bytes]) -> bool:
        """Like `add`, for several pieces."""
        self.out += chunks
        self.size += sum(map(len, chunks))
        return self.size >= _MOST

    def clear(self) -> None:
        """Forget what was gathered: it was sent, or there is no peer left to send it to."""
        out = self.out  # Cython calls `clear` directly on a variable, but by name on an attribute
        out.clear()
        self.size = 0
