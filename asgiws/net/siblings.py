"""Several listening sockets on one address (SO_REUSEPORT), among which the kernel spreads who connects.

Rules of this file: all of them belong to the supervisor. A worker that is replaced leaves its socket to its
successor, and with it whoever waits there: closed with its last holder, a socket takes them along.
"""

from __future__ import annotations

import errno
import socket


def are_possible() -> bool:
    """Whether this system has them."""
    return hasattr(socket, "SO_REUSEPORT")


def allow(sock: socket.socket) -> None:
    """Let others bind to the address of `sock` as well; to be called before it is bound. Raises OSError."""
    if not are_possible():
        raise OSError(errno.EOPNOTSUPP, "this system has no SO_REUSEPORT")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def make(sock: socket.socket) -> socket.socket:
    """Another socket on the address of `sock`, which `allow`ed it. Raises OSError."""
    sibling = socket.socket(sock.family, sock.type, sock.proto)
    try:
        sibling.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        allow(sibling)
        if sock.family == socket.AF_INET6:
            only = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            sibling.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        sibling.bind(sock.getsockname())
    except BaseException:
        sibling.close()
        raise
    return sibling
