"""Which sockets can be read or written: one epoll object per worker, which the worker's event loop watches.

Rules of this file:
- The loop wakes once for all ready sockets and serves them in one callback: watching each socket separately
  would cost more than handling a small message.
- At most BATCH sockets are served before the loop's other work gets its turn, and none is begun once TURN
  seconds have passed: twenty clients that each cost a few milliseconds do not make a twenty-first wait for all
  of them. Sockets that were reported and not served come first in the next turn.
- If several are ready, their answers are held back (`outbox.py`) until there are ANSWERS of them, for HOLD
  seconds at most, and never beyond the turn.
- The sockets are watched level-triggered: data that was left in one is reported again.
- An application may run the loop from within itself (nest_asyncio). A handle of asyncio cannot run within
  itself, so each turn has its own, which costs no system call. A turn that finds that another has run within
  it ends, because what was reported to it is no longer true. Only asyncio's own loop can be run in this way.
- Callbacks run in the context in which the Poller was created, and never in an application's.
- Linux only. Elsewhere the loop's own transports are used.
"""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable
from time import monotonic

from asgiws.bridge.contexts import OwnContext
from asgiws.net import syscalls
from asgiws.net.outbox import Outbox

#: Whether this system has what a Poller needs. The event loop of Windows accepts connections by itself.
AVAILABLE = hasattr(select, "epoll") and sys.platform != "win32"

#: Sockets that are served at most in one turn of the loop.
BATCH = 128

#: Seconds after which no further socket is served in a turn of the loop.
TURN = 0.01

#: How many answers are held back at most, and for how many seconds.
ANSWERS = 32
HOLD = 0.001

_ANSWERS = ANSWERS
_HOLD = HOLD


class Watched:
    """The owner of a socket that a Poller watches."""

    __slots__ = ()

    def ready(self, events: int) -> None:
        """The socket is ready for `events`."""
        raise NotImplementedError


class Poller:
    """Tells transports when their sockets are ready; `outbox` is that of their connections. Raises OSError if
    there is no descriptor for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self._loop = loop
        self._outbox = outbox
        self._transports: dict[int, Watched] = {}
        self._epoll = select.epoll()
        self._fd = self._epoll.fileno()
        self._own = OwnContext()
        #: Whether the loop may be run from within itself.
        self._may_nest = isinstance(loop, asyncio.BaseEventLoop)
        #: The number of the turn in progress.
        self._turn = 0
        #: (descriptor, events) that were reported and not served yet.
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
        """Watch for these `events` from now on; an error or the end of both sides is reported in any case."""
        self._epoll.modify(fd, events)
        if self._left:  # events were reported that may no longer be wanted
            self._left = [told for told in self._left if told[0] != fd]

    def remove(self, fd: int) -> None:
        """Stop watching `fd`, which is still open. Does nothing if it is not watched."""
        if self._transports.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            if self._left:  # the number may soon belong to another connection
                self._left = [told for told in self._left if told[0] != fd]

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call `callback` in the loop's next turn."""
        self._loop.call_soon(callback, context=self._own.copy())

    def abandon(self) -> list[int]:
        """Stop serving, in a forked process. Returns the descriptors, which belong to the parent."""
        descriptors = [self._fd, *self._transports]
        self._transports.clear()
        self._left = []
        return descriptors

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._fd)
            self._epoll.close()
            self._transports.clear()

    def _look(self) -> None:
        """Serve the sockets that are ready."""
        if self._may_nest:
            self._loop.add_reader(self._fd, self._look)
        transports = self._transports
        turn = self._turn = self._turn + 1
        if self._left:
            told, self._left = self._left, []
        else:
            told = syscalls.ready(self._epoll, self._fd, BATCH)
        count = len(told)
        if count > 1:
            self._serve(told, count, turn)
        elif count:
            fd, events = told[0]
            transport = transports.get(fd)
            if transport is not None:
                transport.ready(events)

    def _serve(self, told: list[tuple[int, int]], count: int, turn: int) -> None:
        """Serve several sockets."""
        transports = self._transports
        outbox = self._outbox
        now = monotonic()
        end = now + TURN
        due = now + _HOLD
        outbox.serving = True
        if self._may_nest:
            outbox.wrote()  # a loop that is run from within an application's step sends what is held back
        try:
            for index in range(count):
                fd, events = told[index]
                transport = transports.get(fd)
                if transport is None:  # one that was served before has ended it
                    continue
                transport.ready(events)
                if turn != self._turn:
                    return
                now = monotonic()
                if now > due or outbox.size() >= _ANSWERS:
                    outbox.send_some()
                    due = now + _HOLD
                if now > end:
                    self._left = told[index + 1 :]
                    return
        finally:
            outbox.serving = False
            outbox.send_some()
