"""Writing to a socket that does not block.

Rules of this file:
- It is the one place of `asgiws/server` where the pure and the compiled build differ: this source serves the
  pure build, and `syscalls.pxd` gives the compiled modules the same function, inlined, in C, without the detour
  through `os`. The file itself is never compiled. A change of one is a change of both.
- The descriptor is non-blocking and a stream socket's.
"""

from __future__ import annotations

import os


def send(fd: int, data: bytes) -> int:
    """Send as much of `data` as the socket takes now; returns how many octets that were.

    0 when it takes none, or is broken: whoever waits for it finds out which.
    """
    try:
        return os.write(fd, data)
    except OSError:
        return 0
