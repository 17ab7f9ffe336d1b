"""Peers that end the connection while nobody reads from it.

Rules of this file:
- What a peer sent before stays in the kernel while its application is slow, and the end behind it: a loop
  that does not watch for reading does not see it. Linux tells of it all the same (EPOLLRDHUP), in an epoll
  object of our own, which the loop watches as any other descriptor.
- A socket is in it only while reading is paused. It is told of once.
- There is one for each loop, whoever serves in it; the last one that uses it closes it.
- Elsewhere there is nothing: the next ping, or the next write, finds out.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

_OF: WeakKeyDictionary[asyncio.AbstractEventLoop, Hangups] = WeakKeyDictionary()

_EPOLLRDHUP = getattr(select, "EPOLLRDHUP", 0)


def of(loop: asyncio.AbstractEventLoop) -> Hangups:
    """The one that belongs to `loop`."""
    found = _OF.get(loop)
    if found is None:
        found = _OF[loop] = Hangups(loop)
    return found


@contextmanager
def use(loop: asyncio.AbstractEventLoop) -> Iterator[Hangups]:
    """The one that belongs to `loop`, for a server; once none is left that uses it, it watches nothing."""
    one = of(loop)
    one.users += 1
    try:
        yield one
    finally:
        one.users -= 1
        if not one.users:
            one.close()


class Hangups:
    """Tells which of the sockets that are watched were closed by their peers, or broken."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        #: How many servers use it.
        self.users = 0
        self._loop = loop
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._epoll: select.epoll | None = None

    def watch(self, fd: int, callback: Callable[[], object]) -> None:
        """Have `callback` called, in the loop, when the peer of the socket `fd` sends no more."""
        if not _EPOLLRDHUP or fd < 0 or fd in self._callbacks:
            return
        try:
            if self._epoll is None:
                self._epoll = select.epoll()
                self._loop.add_reader(self._epoll.fileno(), self._look)
            self._epoll.register(fd, _EPOLLRDHUP | select.EPOLLONESHOT)
        except OSError:
            return  # no descriptor is left, or no memory: the next ping finds out
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Watch `fd` no more; it is still open. Nothing happens when it is not watched."""
        if self._callbacks.pop(fd, None) is not None and self._epoll is not None:
            try:
                self._epoll.unregister(fd)
            except OSError:
                pass  # it was closed by somebody else, and has left by that

    def descriptors(self) -> list[int]:
        """What it has of the system's."""
        return [] if self._epoll is None else [self._epoll.fileno()]

    def close(self) -> None:
        """Watch nothing any more."""
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
        self._callbacks.clear()

    def _look(self) -> None:
        assert self._epoll is not None
        for fd, _ in self._epoll.poll(0):
            callback = self._callbacks.get(fd)
            self.forget(fd)
            if callback is not None:
                callback()
