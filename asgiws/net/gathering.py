"""What is written during a read: gathered, so that it leaves in one system call when the read is done.

Rules of this file:
- There is one for a worker, and one connection at a time gathers: where an application runs the loop from
  within itself, the read that begins there ends the gathering of the one around it.
- It sends nothing; the connection does.
"""

from __future__ import annotations

from typing import Protocol

#: So many octets are not gathered any further: an application that is stepped within the read may send without
#: end, and the transport must see it to say that the peer does not keep up.
MOST = 65536

_MOST = MOST


class Gatherer(Protocol):
    """A connection that gathers."""

    def uncork(self) -> None:
        """Send what was gathered, and set `Gathering.connection` to None."""


class Gathering:
    """What the connection that reads at the moment, `connection`, is about to send: the pieces `out`, `size`
    octets in all."""

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
        """True when what was gathered is to be sent now."""
        self.out.append(data)
        self.size += len(data)
        return self.size >= _MOST

    def add_all(self, chunks: list[bytes]) -> bool:
        """As `add`, for several pieces."""
        self.out += chunks
        self.size += sum(map(len, chunks))
        return self.size >= _MOST

    def clear(self) -> None:
        """Forget what was gathered: it was sent, or nobody is left to take it."""
        out = self.out  # Cython calls a variable's `clear` directly, and an attribute's by its name
        out.clear()
        self.size = 0
