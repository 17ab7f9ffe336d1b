"""System calls on sockets: reading and writing without blocking, and what is done once per connection.

Rules of this file:
- It is a twin, one of the files where the pure and the compiled build differ: this source serves the pure
  build, and `syscalls.pxd` gives the compiled modules the same functions, inlined, in C, without the detour
  through `os`. The file itself is never compiled. Change both together.
- Descriptors are those of non-blocking stream sockets.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import Any

from asgiws.asgi.types import Address

#: What `receive` returns if there is nothing to read now, and if the connection is broken.
NOTHING, BROKEN = -1, -2

#: SO_LINGER for zero seconds: closing resets the connection.
_RESET = struct.pack("ii", 1, 0)


def send(fd: int, data: bytes) -> int:
    """Send as much of `data` as the socket accepts now; returns how many octets were sent.

    0 if it accepts none, or is broken: a caller that waits for it finds out which.
    """
    try:
        return os.write(fd, data)
    except OSError:
        return 0


def receive(fd: int, buffer: bytearray) -> int:
    """Read as many octets as there are and as fit into `buffer`; returns how many were read.

    0 at the end of the peer's data. If nothing could be read, NOTHING or BROKEN, which are negative.
    """
    try:
        return os.readv(fd, (buffer,))
    except (BlockingIOError, InterruptedError):
        return NOTHING
    except OSError:
        return BROKEN


def accept(listening: socket.socket) -> tuple[int, Address | None] | None:
    """Accept a client on a listening socket. Returns the descriptor, which is non-blocking and not inherited,
    and the client's address, None if clients have none; or None if no client is waiting. Raises OSError."""
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
    """Which descriptors of an epoll object are ready now, with their events: at most `most`, and at most 128 in
    the compiled build.

    `fd` is the object's own descriptor.
    """
    return epoll.poll(0, most)


def shut_down(fd: int) -> None:
    """Close our side of the connection. Raises OSError if the peer has gone."""
    with _Socket(fd) as sock:
        sock.shutdown(socket.SHUT_WR)


def reset_on_close(fd: int) -> None:
    """Make closing the connection reset it. Raises OSError."""
    with _Socket(fd) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class _Socket:
    """Wraps a descriptor in a socket object for the duration of a call."""

    def __init__(self, fd: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)

    def __enter__(self) -> socket.socket:
        return self._sock

    def __exit__(self, *error: object) -> None:
        self._sock.detach()
