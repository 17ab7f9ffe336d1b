"""How much of what was written has reached the peer, and how much of what it sent is still unread.

Rules of this file:
- The kernel accepts megabytes for a peer that takes nothing, and a socket counts as writable only when a good
  part of that is free again. So the kernel is asked how much it still holds, where that is possible; elsewhere
  that data counts as taken.
- A peer is watched only while somebody waits for it to take something: otherwise there is no `Watch`.
"""

from __future__ import annotations

import struct

from asgiws.net.ending import LEAST_TAKEN

try:
    from fcntl import ioctl
    from termios import FIONREAD, TIOCOUTQ
except ImportError:  # Windows
    _ASKS = False
else:
    _ASKS = True


def in_kernel(fd: int) -> int:
    """How many octets written to the socket `fd` its peer has not acknowledged; 0 if the system does not
    tell."""
    return _asked(fd, TIOCOUTQ) if _ASKS else 0


def to_be_read(fd: int) -> int:
    """How many octets have arrived on the socket `fd` and were not read; 0 if the system does not tell."""
    return _asked(fd, FIONREAD) if _ASKS else 0


def _asked(fd: int, what: int) -> int:
    if fd < 0:
        return 0
    try:
        size: int = struct.unpack("i", ioctl(fd, what, b"\0\0\0\0"))[0]
    except OSError:
        return 0
    return size


class Watch:
    """Whether a peer takes what was written to it: it has taken `taken` octets so far, and must take
    LEAST_TAKEN more in each `timeout` seconds from `now` on."""

    __slots__ = ("_taken", "_timeout", "has_stalled", "when")

    def __init__(self, timeout: float, now: float, taken: int) -> None:
        self._timeout = timeout
        self._taken = taken
        #: When to call `look` next.
        self.when = now + timeout
        #: Whether it had taken less than that at the last `look`.
        self.has_stalled = False

    def look(self, now: float, taken: int) -> bool:
        """`when` has come; true if the peer has taken less than it must."""
        self.has_stalled = taken - self._taken < LEAST_TAKEN
        self._taken = taken
        self.when = now + self._timeout
        return self.has_stalled
