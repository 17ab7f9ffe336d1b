"""Reading from and writing to a socket that does not block, and what is done once for each connection.

Rules of this file:
- It is a twin, one of the files where the pure and the compiled build differ: this source serves the pure
  build, and `syscalls.pxd` gives the compiled modules the same functions, inlined, in C, without the detour
  through `os`. The file itself is never compiled. A change of one is a change of both.
- The descriptor is non-blocking and a stream socket's.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import Any

from asgiws.asgi.types import Address

#: What `receive` returns when there is nothing to be read now, and when the connection is broken.
NOTHING, BROKEN = -1, -2

#: SO_LINGER for zero seconds: closing resets the connection.
_RESET = struct.pack("ii", 1, 0)


def send(fd: int, data: bytes) -> int:
    """Send as much of `data` as the socket takes now; returns how many octets that were.

    0 when it takes none, or is broken: whoever waits for it finds out which.
    """
    try:
        return os.write(fd, data)
    except OSError:
        return 0


def receive(fd: int, buffer: bytearray) -> int:
    """Read as many octets as there are, and as `buffer` has room for; returns how many.

    0 at the end of what the peer sends; NOTHING and BROKEN, which are negative.
    """
    try:
        return os.readv(fd, (buffer,))
    except (BlockingIOError, InterruptedError):
        return NOTHING
    except OSError:
        return BROKEN


def accept(listening: socket.socket) -> tuple[int, Address | None] | None:
    """Accept who waits on a listening socket: the descriptor, which does not block and is not inherited, and
    the address, None where clients have none. None when nobody waits. Raises OSError."""
    try:
        sock, address = listening.accept()
    except (BlockingIOError, InterruptedError, ConnectionAbortedError):
        return None
    sock.setblocking(False)
    return sock.detach(), _host_and_port(address)


def own_address(fd: int, family: int) -> Address | None:
    """Our own address on a connection. Raises OSError."""
    sock = socket.socket(family, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        return _host_and_port(sock.getsockname())
    finally:
        sock.detach()


def _host_and_port(name: Any) -> Address | None:
    return name[:2] if type(name) is tuple else None


def ready(epoll: select.epoll, fd: int, most: int) -> list[tuple[int, int]]:
    """What is ready now of what an epoll object watches: descriptors and their events, `most` or 128 at most.

    `fd` is the object's own descriptor.
    """
    return epoll.poll(0, most)


def shut_down(fd: int) -> None:
    """Close our side of the connection. Raises OSError when the peer has gone."""
    with _Socket(fd) as sock:
        sock.shutdown(socket.SHUT_WR)


def reset_on_close(fd: int) -> None:
    """Have the connection reset when it is closed. Raises OSError."""
    with _Socket(fd) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class _Socket:
    """A descriptor as a socket, for a moment."""

    def __init__(self, fd: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)

    def __enter__(self) -> socket.socket:
        return self._sock

    def __exit__(self, *error: object) -> None:
        self._sock.detach()
