"""Which sockets can be read or written: one epoll object of the worker's, which its event loop watches.

Rules of this file:
- The loop is woken once for all sockets that are ready, and they are served in one callback of its: a watch of
  the loop's own for each of them costs more than the small message that it tells of.
- BATCH sockets at most are served before the loop has its turn; the others stay ready and come next.
- The sockets are watched level-triggered: what was left is told again.
- Linux alone has it. Elsewhere, and under TLS, the loop's own transports serve.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING

from asgiws.server import syscalls

if TYPE_CHECKING:
    from asgiws.server.transport import SocketTransport

#: Whether this system has what a Poller needs.
AVAILABLE = hasattr(select, "epoll")

#: Sockets that are served in one turn of the loop.
BATCH = 128


class Poller:
    """Tells transports when their sockets are ready. Raises OSError when there is no descriptor for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transports: dict[int, SocketTransport] = {}
        self._epoll = select.epoll()
        self._fd = self._epoll.fileno()
        try:
            loop.add_reader(self._fd, self._look)
        except BaseException:
            self._epoll.close()
            raise

    def add(self, fd: int, transport: SocketTransport, events: int) -> None:
        """Have the transport's `ready` called for `events` of the socket `fd`. Raises OSError."""
        self._epoll.register(fd, events)
        self._transports[fd] = transport

    def change(self, fd: int, events: int) -> None:
        """For these `events`, from now on; an error or the end of both sides is told of in any case."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Watch `fd` no more; it is still open. Nothing happens when it is not watched."""
        if self._transports.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self) -> None:
        """Watch nothing any more. Idempotent."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._fd)
            self._epoll.close()
            self._transports.clear()

    def _look(self) -> None:
        transports = self._transports
        for fd, events in syscalls.ready(self._epoll, self._fd, BATCH):
            transport = transports.get(fd)
            if transport is not None:  # else what came before it has ended it
                transport.ready(events)
