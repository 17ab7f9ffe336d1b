"""Which sockets can be read or written: one epoll object of the worker's, which its event loop watches.

Rules of this file:
- The loop is woken once for all sockets that are ready, and they are served in one callback of its: a watch of
  the loop's own for each of them costs more than the small message that it tells of.
- BATCH sockets at most are served before the loop has its turn, and none is begun once TURN seconds are over:
  twenty clients that each cost a few milliseconds do not keep a twenty-first waiting for all of them. Those
  that were told of and not served come first in the next turn.
- The sockets are watched level-triggered: what was left in one is told again.
- An application may run the loop from within itself (nest_asyncio). A handle of asyncio's cannot run within
  itself, so each turn has one of its own, which costs no system call; and a turn that finds that another
  has run within it ends, since what it was told of is not true any more. No loop but asyncio's own can be
  run so.
- What it calls back runs in the context in which the Poller was made, and never in an application's.
- Linux alone has it. Elsewhere the loop's own transports serve.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from time import monotonic

from asgiws.bridge.contexts import OwnContext
from asgiws.net import syscalls

#: Whether this system has what a Poller needs.
AVAILABLE = hasattr(select, "epoll")

#: Sockets that are served in one turn of the loop.
BATCH = 128

#: Seconds after which no further socket is served in a turn of the loop, and after how many sockets the
#: clock is looked at.
TURN = 0.01
LOOK = 8


class Watched:
    """What a Poller watches the socket of."""

    __slots__ = ()

    def ready(self, events: int) -> None:
        """The socket is ready for `events`."""
        raise NotImplementedError


class Poller:
    """Tells transports when their sockets are ready. Raises OSError when there is no descriptor for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transports: dict[int, Watched] = {}
        self._epoll = select.epoll()
        self._fd = self._epoll.fileno()
        self._own = OwnContext()
        #: Whether the loop may be run from within itself.
        self._may_nest = isinstance(loop, asyncio.BaseEventLoop)
        #: The number of the turn in progress.
        self._turn = 0
        #: What was told of and not served yet.
        self._left: list[tuple[int, int]] = []
        try:
            loop.add_reader(self._fd, self._look)
        except BaseException:
            self._epoll.close()
            raise

    def add(self, fd: int, transport: Watched, events: int) -> None:
        """Have the transport's `ready` called for `events` of the socket `fd`. Raises OSError."""
        self._epoll.register(fd, events)
        self._transports[fd] = transport

    def change(self, fd: int, events: int) -> None:
        """For these `events`, from now on; an error or the end of both sides is told of in any case."""
        self._epoll.modify(fd, events)
        if self._left:  # it was told of what may not be asked for any more
            self._left = [told for told in self._left if told[0] != fd]

    def remove(self, fd: int) -> None:
        """Watch `fd` no more; it is still open. Nothing happens when it is not watched."""
        if self._transports.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            if self._left:  # the number may soon be another connection's
                self._left = [told for told in self._left if told[0] != fd]

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Have `callback` called in the loop's next turn."""
        self._loop.call_soon(callback, context=self._own.copy())

    def abandon(self) -> list[int]:
        """Serve nobody any more, in a process that was forked: the descriptors, which are the parent's."""
        descriptors = [self._fd, *self._transports]
        self._transports.clear()
        self._left = []
        return descriptors

    def close(self) -> None:
        """Watch nothing any more. Idempotent."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._fd)
            self._epoll.close()
            self._transports.clear()

    def _look(self) -> None:
        """Serve those that are ready."""
        if self._may_nest:
            self._loop.add_reader(self._fd, self._look)
        transports = self._transports
        turn = self._turn = self._turn + 1
        if self._left:
            told, self._left = self._left, []
        else:
            told = syscalls.ready(self._epoll, self._fd, BATCH)
        count = len(told)
        end = monotonic() + TURN if count > LOOK else 0.0
        for index in range(count):
            fd, events = told[index]
            transport = transports.get(fd)
            if transport is None:  # what came before it has ended it
                continue
            transport.ready(events)
            if turn != self._turn:
                return
            if end and index % LOOK == LOOK - 1 and monotonic() > end:
                self._left = told[index + 1 :]
                return
