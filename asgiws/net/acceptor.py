"""Accepting: from a listening socket to a connection for each client.

Rules of this file:
- Each TLS handshake uses the context that is in use when it begins.
- A client counts as soon as it is accepted, including during its TLS handshake: what is not a connection yet is
  in `pending`, and can be cancelled.
- Running out of file descriptors is not a bug in the server. It logs one line when that happens and one when it
  is over; meanwhile, clients that connect wait in the kernel's queue.
- A connection uses our own transport if there is a Poller, and the event loop's otherwise.
- If several workers accept on one socket, each asks its Balancer before it accepts a client.
- The event loop of Windows accepts by itself: it cannot watch a socket.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from asgiws.asgi.types import Address
from asgiws.net import connect_failures, descriptors
from asgiws.net.connection import Connection
from asgiws.net.handshakes import Certificates, Handshaking
from asgiws.net.poller import Poller
from asgiws.net.tls_transport import TLSTransport
from asgiws.net.transport import SocketTransport
from asgiws.net.transport import accept as accept_client
from asgiws.services.notices import Notices

logger = logging.getLogger("asgiws.error")

#: Seconds that TLS handshakes may still take once no more clients are accepted.
GRACE = 2.0

#: Seconds until the next try after the system has refused to accept.
RETRY = 1.0

#: Seconds for which waiting clients are left to other processes.
PAUSE = 0.002

#: How many connections are accepted before the loop's other work gets its turn.
BATCH = 64

Make = Callable[[], Any]  # a Connection that is a protocol too


class Balancer(Protocol):
    """Says which of several processes that accept on one socket takes a client."""

    def may_accept(self) -> bool:
        """Whether this one accepts the next client; called for each waiting client."""


class Acceptor:
    """Accepts on one socket until `close`; `make` creates the connections.

    `certificates` are for TLS, or None. `pending` gets what stands for a client that is not a connection yet:
    our TLSTransport, or the task if the event loop makes the connection; our transport without TLS is a
    connection at once. `poller` watches the connections' sockets and `handshaking` is for their TLS; None
    leaves both to the event loop. `balancer` says when to leave a client to another process; None if there is
    no other.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        make: Make,
        certificates: Certificates | None,
        pending: set[Any],
        notices: Notices,
        poller: Poller | None = None,
        balancer: Balancer | None = None,
        handshaking: Handshaking | None = None,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._make = make
        self._certificates = certificates
        self._notices = notices
        self._pending = pending
        self._poller = poller if certificates is None or handshaking is not None else None
        self._handshaking = handshaking
        #: Our address on its connections, if it is always the same.
        self._address = _own_address(sock)
        self._family = int(sock.family)
        self._balancer = balancer
        self._refused = False
        self._retry: asyncio.TimerHandle | None = None
        self._watched = False

    def close(self) -> None:
        """Stop accepting; the socket stays open. Idempotent."""
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._sock.fileno())
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def start(self) -> None:
        """Accept from now on; the socket is already listening."""
        self._retry = None
        self._watched = True
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        balancer, poller = self._balancer, self._poller
        for _ in range(BATCH):
            if balancer is not None and not balancer.may_accept():
                self._pause(PAUSE)
                return
            try:
                accepted = accept_client(self._sock)
            except OSError as error:
                self._wait(error)
                return
            if accepted is None:
                break
            fd, address = accepted
            if poller is not None:
                self._connect(poller, fd, address)
            else:
                self._hand_to_loop(fd, address)
        if self._refused:
            # Only now: the clients that waited have been accepted without an error.
            self._refused = False
            logger.info("Connections are accepted again")

    def _connect(self, poller: Poller, fd: int, address: Address | None) -> None:
        """Make a connection with our own transport."""
        connection: Connection | None = None
        try:
            connection = self._make()
            handshaking = self._handshaking
            if handshaking is None:
                transport = SocketTransport(self._loop, poller, fd, connection)
            elif connection.expected(address):
                transport = TLSTransport(self._loop, poller, fd, connection, handshaking)
            else:
                os.close(fd)
                return
            transport.start(address, self._address, self._family)
        except Exception as error:
            os.close(fd)
            if connection is not None:
                connection.unmade()
            connect_failures.tell(self._notices, address, error)

    def _hand_to_loop(self, fd: int, address: Address | None) -> None:
        """Have the event loop make a connection."""
        sock = socket.socket(self._sock.family, self._sock.type, 0, fileno=fd)
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(
                self._make, sock, **_tls_arguments(self._certificates)
            )
        )
        self._pending.add(task)
        task.add_done_callback(partial(self._connected, sock, address))

    def _pause(self, seconds: float) -> None:
        """Accept no clients for some time."""
        self.close()
        self._retry = self._loop.call_later(seconds, self.start)

    def _wait(self, error: OSError) -> None:
        """Wait before the next try, after `error`."""
        self._pause(RETRY)
        if self._refused:
            return
        self._refused = True
        if error.errno == errno.EMFILE:
            logger.error(
                "Out of file descriptors: no client is accepted until some are free; the limit is %d "
                "(ulimit -n)",
                descriptors.limit(),
            )
        else:
            logger.error("No client is accepted for now: %s", error.strerror or error)

    def _connected(
        self,
        sock: socket.socket,
        address: Address | None,
        task: asyncio.Task[tuple[object, object]],
    ) -> None:
        """The connection is made, or could not be made."""
        self._pending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            return
        sock.close()
        if error is not None:
            certificates = self._certificates
            timeout = None if certificates is None else certificates.handshake_timeout
            connect_failures.tell(self._notices, address, error, timeout)


async def accept(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    make: Make,
    certificates: Certificates | None,
    pending: set[Any],
    notices: Notices,
    backlog: int,
    poller: Poller | None = None,
    balancer: Balancer | None = None,
    handshaking: Handshaking | None = None,
) -> Acceptor | asyncio.AbstractServer:
    """Accept on `sock` until `close()` is called on what this returns. Raises OSError.

    The arguments are those of an Acceptor; `backlog` is how many clients may wait in the kernel's queue.
    """
    sock.listen(backlog)
    if sys.platform == "win32":
        return await loop.create_server(
            make, sock=sock, backlog=backlog, **_tls_arguments(certificates)
        )
    acceptor = Acceptor(
        loop, sock, make, certificates, pending, notices, poller, balancer, handshaking
    )
    acceptor.start()
    return acceptor


def _tls_arguments(certificates: Certificates | None) -> dict[str, Any]:
    if certificates is None:
        return {}
    timeout = certificates.handshake_timeout
    return {"ssl": certificates.context, "ssl_handshake_timeout": timeout}


def _own_address(sock: socket.socket) -> tuple[str, int | None] | None:
    """Our address on connections accepted on `sock`; None if each connection has to be asked for it."""
    name = sock.getsockname()
    if sock.family == getattr(socket, "AF_UNIX", None):
        return name or "", None
    host = name[0]
    return None if host in ("0.0.0.0", "::") else (host, name[1])
