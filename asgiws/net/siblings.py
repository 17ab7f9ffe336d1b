"""Several listening sockets on one address (SO_REUSEPORT), among which the kernel distributes new clients.

Rules of this file: all of them belong to the supervisor. A replaced worker passes its socket, and the clients
queued on it, to its successor: if the last holder closed the socket, those clients would be lost.
"""

from __future__ import annotations

import errno
import socket


def are_possible() -> bool:
    """Whether this system supports them."""
    return hasattr(socket, "SO_REUSEPORT")


def allow(sock: socket.socket) -> None:
    """Let other sockets bind to the address of `sock` as well; call this before it is bound. Raises OSError."""
    if not are_possible():
        raise OSError(errno.EOPNOTSUPP, "this system has no SO_REUSEPORT")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def make(sock: socket.socket) -> socket.socket:
    """Another socket on the address of `sock`, for which `allow` was called. Raises OSError."""
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
