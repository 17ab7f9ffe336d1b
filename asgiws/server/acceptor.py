"""Accepting: from a listening socket to a connection for each client.

Rules of this file:
- Each TLS handshake is under the context that is in use when it begins.
- A client is counted from the moment it is accepted, in its TLS handshake too: until its connection is made,
  a task in `pending` stands for it.
- To run out of file descriptors is no fault of the program's. One line tells of it and one that it is over;
  meanwhile, whoever connects waits in the kernel's queue.
- uvloop accepts by itself where there is no TLS: that takes half the time. It closes what it has no
  descriptor for and tells nobody, so there the warning comes with one of the last descriptors. Windows' own
  loop accepts by itself too: it cannot watch a socket.
- Where several workers accept on one socket, each asks its Share before it takes a client. A loop that accepts
  by itself takes all who wait at once and cannot be asked, so there the Acceptor is always ours.
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
from ssl import SSLContext, SSLEOFError
from typing import Any, Protocol

from asgiws.asgi.runtime import peer_name
from asgiws.server import descriptors, handshakes
from asgiws.server.share import PAUSE, Share

logger = logging.getLogger("asgiws.error")

#: Seconds that TLS handshakes have to end once nobody is let in any more.
GRACE = 2.0

#: Seconds until it is tried again, when the system has refused to accept.
RETRY = 1.0

#: So many connections are accepted before the loop's other work gets its turn.
BATCH = 64

#: Where uvloop accepts: the warning comes when fewer descriptors are left, and not again for WARNED seconds.
LAST = 8
WARNED = 60.0

Make = Callable[[], asyncio.BaseProtocol]


class Certificates(Protocol):
    """What is needed for TLS: the context for who connects now, and the seconds that a handshake may take.

    On Windows, where the loop accepts by itself, the context is the one that was there at first.
    """

    @property
    def context(self) -> SSLContext: ...

    @property
    def handshake_timeout(self) -> float: ...


class Acceptor:
    """Accepts on one socket, whose connections `make` makes, until `close`.

    `certificates` are for TLS, or None. `pending` gets a task for each client that is not a connection yet.
    `share` says when to leave a client to another process, None that there is no other.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        make: Make,
        certificates: Certificates | None,
        pending: set[Any],
        share: Share | None = None,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._make = make
        self._certificates = certificates
        self._failures = handshakes.Failures(loop)
        self._pending = pending
        self._share = share
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
        """Accept from now on; the socket listens already."""
        self._retry = None
        self._watched = True
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        share = self._share
        for _ in range(BATCH):
            if share is not None and not share.may_accept():
                self._pause(PAUSE)
                return
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                self._wait(error)
                return
            sock.setblocking(False)
            task = self._loop.create_task(
                self._loop.connect_accepted_socket(
                    self._make, sock, **_tls_arguments(self._certificates)
                )
            )
            self._pending.add(task)
            task.add_done_callback(partial(self._connected, sock, address))
        if self._refused:
            # Only now: whoever waited has been let in, and the system had room for all of them.
            self._refused = False
            logger.info("Connections are accepted again")

    def _pause(self, seconds: float) -> None:
        """Accept nobody for some time."""
        self.close()
        self._retry = self._loop.call_later(seconds, self.start)

    def _wait(self, error: OSError) -> None:
        """Let some time pass before the next try."""
        self._pause(RETRY)
        if self._refused:
            return
        self._refused = True
        if error.errno == errno.EMFILE:
            logger.error(
                "Out of file descriptors: nobody is accepted until some are free; the limit is %d "
                "(ulimit -n)",
                descriptors.limit(),
            )
        else:
            logger.error("Nobody is accepted for now: %s", error.strerror or error)

    def _connected(
        self, sock: socket.socket, address: Any, task: asyncio.Task[tuple[object, object]]
    ) -> None:
        """The connection is made, or will not be."""
        self._pending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            return
        sock.close()
        client = peer_name(address[:2])
        certificates = self._certificates
        if certificates is not None and handshakes.is_failure(error):
            self._failures.tell(client, handshakes.reason(error, certificates.handshake_timeout))
        elif isinstance(error, (ConnectionError, SSLEOFError)):
            logger.debug("%s - gone before the connection was made", client)
        elif isinstance(error, OSError):
            logger.info("%s - connection not made: %s", client, error)
        elif error is not None:
            logger.error("Exception while a connection was made: %s", client, exc_info=error)


async def accept(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    make: Make,
    certificates: Certificates | None,
    pending: set[Any],
    backlog: int,
    share: Share | None = None,
) -> Acceptor | asyncio.AbstractServer:
    """Accept on `sock` until the `close()` of what this returns. Raises OSError.

    The arguments are those of an Acceptor; `backlog` is how many may wait in the kernel's queue.
    """
    sock.listen(backlog)  # here, since uvloop does not tell when that fails
    if share is not None or not _loop_is_better(loop, certificates):
        acceptor = Acceptor(loop, sock, make, certificates, pending, share)
        acceptor.start()
        return acceptor
    create: Callable[..., Any] = loop.create_server
    more = _tls_arguments(certificates)
    if sock.family == getattr(socket, "AF_UNIX", None):
        create = loop.create_unix_server
        if sys.version_info >= (3, 13):
            # The Listener removes the file, and only one that it made.
            more["cleanup_socket"] = False
    if sys.platform != "win32":
        make = _warning(loop, sock, make)
    server: asyncio.AbstractServer = await create(make, sock=sock, backlog=backlog, **more)
    return server


def _tls_arguments(certificates: Certificates | None) -> dict[str, Any]:
    if certificates is None:
        return {}
    timeout = certificates.handshake_timeout
    return {"ssl": certificates.context, "ssl_handshake_timeout": timeout}


def _loop_is_better(loop: asyncio.AbstractEventLoop, certificates: Certificates | None) -> bool:
    if sys.platform == "win32":
        return True
    uvloop = sys.modules.get("uvloop")
    return certificates is None and uvloop is not None and isinstance(loop, uvloop.Loop)


def _warning(loop: asyncio.AbstractEventLoop, sock: socket.socket, make: Make) -> Make:
    """`make` for a loop that accepts by itself, with a warning before descriptors run out."""
    quiet_until = 0.0
    unchecked = 0

    def warn_and_make() -> asyncio.BaseProtocol:
        nonlocal quiet_until, unchecked
        if unchecked > 0:
            unchecked -= 1
            return make()
        try:
            # The number is the lowest that is free.
            number = os.dup(sock.fileno())
            os.close(number)
        except OSError:
            number = sys.maxsize
        limit = descriptors.limit()
        # Each connection takes one, and what else the process opens meanwhile is in the other half.
        unchecked = (limit - LAST - number) // 2
        if number >= limit - LAST and loop.time() >= quiet_until:
            quiet_until = loop.time() + WARNED
            logger.error(
                "Almost out of file descriptors: whoever connects when there are none is not served; "
                "the limit is %d (ulimit -n)",
                limit,
            )
        return make()

    return warn_and_make
