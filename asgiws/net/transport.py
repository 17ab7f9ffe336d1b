"""A socket as a transport of our own, which a Poller tells when it is ready.

Rules of this file:
- To its Connection it is what a transport of the event loop's is, with the same promises: `connection_lost` is
  called once, from the loop, and nothing after it.
- It owns the descriptor, and is the one place that closes it: behind `connection_lost`, so that nobody meets
  the number as another connection's. It forgets the Connection then: the two refer to each other, and reference
  counts are to free them.
- It writes what the Connection could not send by itself. What is written after that waits behind it.
- `tls_transport.py` has the one for TLS, which changes what is done with the octets of the socket (`_take`,
  `_refill`, `_end_our_side`, `_leave`) and nothing of how the socket is watched.
- A socket is watched for what is of use just now: for reading while nobody has paused it, for the end of the
  peer's side while somebody has, for writing while something waits to be written. An error is told in any case.
- Whether reading is paused, and whether the peer's end was read, the Connection knows: `reading`, `eof`.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections import deque
from itertools import islice

from asgiws.asgi.types import Address
from asgiws.net import syscalls
from asgiws.net.connection import HIGH_WATER, Connection
from asgiws.net.poller import Poller, Watched
from asgiws.net.progress import to_be_read

_IN: int = getattr(select, "EPOLLIN", 0)
_OUT: int = getattr(select, "EPOLLOUT", 0)
_RDHUP: int = getattr(select, "EPOLLRDHUP", 0)

#: How much is kept at least when writing goes on, as a part of the high mark: asyncio's.
LOW_PART = 4

#: Pieces that one system call writes.
PIECES = 64

#: Times more that a socket is read in one turn while it fills the whole buffer.
READS = 3

#: `_watched` of a socket that the Poller does not know.
_NOT = -1


def accept(listening: socket.socket) -> tuple[int, Address | None] | None:
    """As `syscalls.accept`, for who is not compiled."""
    return syscalls.accept(listening)


class SocketTransport(Watched):
    """The server's end of one connection; `fd` is a connected stream socket that does not block."""

    __slots__ = (
        "_closing",
        "_connection",
        "_eof_written",
        "_fd",
        "_finished",
        "_has_told",
        "_high",
        "_loop",
        "_low",
        "_paused",
        "_pending",
        "_poller",
        "_size",
        "_watched",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, poller: Poller, fd: int, connection: Connection
    ) -> None:
        self._loop = loop
        self._poller = poller
        self._fd = fd
        self._connection = connection
        self._watched = _NOT
        #: In this pause of reading the Connection was told that the peer hung up. Its own `hung_up` stays true
        #: when reading goes on; in the next pause it is told again.
        self._has_told = False
        #: What waits to be written, and how many octets that is; None while it is nothing.
        self._pending: deque[bytes | memoryview] | None = None
        self._size = 0
        self._high = HIGH_WATER
        self._low = HIGH_WATER // LOW_PART
        self._paused = False
        self._eof_written = False
        #: Nothing is read or taken to be written any more.
        self._closing = False
        #: `connection_lost` is on its way.
        self._finished = False

    def start(
        self, client: Address | None, server: tuple[str, int | None] | None, family: int
    ) -> None:
        """Begin; without `server`, with the address that the socket of that family has. Raises OSError when it
        has gone, or cannot be watched; it is the caller's then."""
        if server is None:
            server = syscalls.own_address(self._fd, family)
        self._begin()
        try:
            self._connection.attach(self, self._fd, client, server, False)
        except Exception as error:
            self._crash(error)

    def _begin(self) -> None:
        """Read from now on. Raises OSError."""
        self._poller.add(self._fd, self, _IN)
        self._watched = _IN

    # From the Poller.

    def ready(self, events: int) -> None:
        """The socket is ready for `events`, or broken."""
        try:
            if events & _OUT:
                self._write_out()
            if self._finished:
                return
            if self._reads():
                if events & ~_OUT:
                    self._read()
            elif events & ~(_IN | _OUT):  # what can be read is not asked for any more
                self._end_of_peer()
        except Exception as error:
            self._crash(error)

    def _crash(self, error: Exception) -> None:
        """End the connection for a fault that is not its own."""
        self._loop.call_exception_handler(
            {"message": "Exception on a connection", "exception": error, "transport": self}
        )
        self.abort()

    def _read(self) -> None:
        for _ in range(READS + 1):
            # All of it, as a rule; what else has come meanwhile is told of again.
            if not self._take() or not self._reads():
                return

    def _take(self) -> bool:
        """Read once, and hand on what came; true when there may be more."""
        buffer = self._connection.buffer()
        count = syscalls.receive(self._fd, buffer)
        if count > 0:
            self._connection.arrived(count)
            return count == len(buffer)
        if count == 0:
            self._end_in()
        elif count == syscalls.BROKEN:
            self.abort()
        return False

    def _reads(self) -> bool:
        """True while what comes is read: `close` ends that, as the peer's end does."""
        connection = self._connection  # None behind the last call, when it is closing
        return not self._closing and connection.reading and not connection.eof

    def _room(self) -> int:
        """How many octets one `_take` may read."""
        return len(self._connection.buffer())

    def _end_in(self) -> None:
        """The peer sends no more, and all that it sent was read."""
        if self._connection.eof_received():
            self._watch()
        else:
            self.close()

    def read_now(self) -> None:
        """Read all that the socket holds at this moment, unless reading is paused or over."""
        if not self._reads():
            return
        held = to_be_read(self._fd)
        try:
            while held > 0 and self._reads():
                held -= self._room()
                if not self._take():
                    break
        except Exception as error:
            self._crash(error)

    def _end_of_peer(self) -> None:
        """While nothing is read: the peer sends no more, or the connection is broken."""
        if self._closing or self._connection.eof or self._has_told:
            self.abort()  # a mere end is not watched for here
        else:
            self._has_told = True
            self._watch()
            self._connection.peer_hung_up()

    def _watch(self) -> None:
        """Be told of what is of use now."""
        if self._finished:
            return
        reads = self._reads()
        events = 0
        if reads:
            events = _IN
        elif not (self._has_told or self._connection.eof or self._closing):
            events = _RDHUP
        if self._pending is not None:
            events |= _OUT
        if self._has_told and not reads and not events:
            events = _NOT  # it would be told of again and again
        watched = self._watched
        if events != watched:
            self._watched = events
            if events == _NOT:
                self._poller.remove(self._fd)
            elif watched == _NOT:
                self._poller.add(self._fd, self, events)
            else:
                self._poller.change(self._fd, events)

    # Writing.

    def write(self, data: bytes | memoryview) -> None:
        if self._closing or not data:
            return
        if self._pending is None:
            self._pending = deque()
        self._pending.append(data)
        self._size += len(data)
        self._watch()
        self._pause_if_full()

    def _write_out(self) -> None:
        pending = self._pending
        if pending is None:
            return
        try:
            sent = os.writev(self._fd, list(islice(pending, PIECES)))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.abort()
            return
        self._size -= sent
        while sent:
            piece = pending.popleft()
            if len(piece) > sent:
                pending.appendleft(memoryview(piece)[sent:])
                break
            sent -= len(piece)
        if not pending:
            self._pending = None
            self._refill()
            if self._pending is None and not self._finished:
                self._written_out()
        if self._paused and self._size <= self._low and not self._finished:
            self._paused = False
            self._connection.resume_writing()

    def _refill(self) -> None:
        """All that waited was written: have more of it wait, where some was kept back."""

    def _written_out(self) -> None:
        """Nothing waits to be written any more."""
        if self._eof_written:
            try:
                self._end_our_side()
            except OSError:
                self.abort()  # reset by what was just written: the peer had closed already
                return
        if self._pending is not None:
            self._watch()  # last words, of TLS
        elif self._closing:
            self._leave()
        else:
            self._watch()

    def _end_our_side(self) -> None:
        """Close our side, behind all that was written. Raises OSError when the peer has gone."""
        syscalls.shut_down(self._fd)

    def _leave(self) -> None:
        """Close, behind all that was written."""
        self._finish()

    def _pause_if_full(self) -> None:
        if self._size > self._high and not self._paused:
            self._paused = True
            self._connection.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self._size

    def overhead(self) -> int:
        """How many octets more than it was given it has sent, or is about to."""
        return 0

    def set_write_buffer_limits(self, high: int = HIGH_WATER) -> None:
        self._high = high
        self._low = high // LOW_PART
        self._pause_if_full()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Close our side behind what was written. Raises OSError when the peer has gone."""
        if not self._eof_written:
            self._eof_written = True
            if self._pending is None:
                self._end_our_side()

    # Reading.

    def pause_reading(self) -> None:
        """`Connection.reading` has become false."""
        self._watch()

    def resume_reading(self) -> None:
        """`Connection.reading` has become true."""
        if self._reads():
            self._has_told = False
            self._watch()

    # The end.

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Close behind what was written."""
        if not self._closing:
            self._closing = True
            if self._pending is None:
                self._leave()
            else:
                self._watch()

    def abort(self) -> None:
        """Close; what was not written is lost."""
        if not self._finished:
            self._closing = True
            self._pending = None
            self._size = 0
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        if self._watched != _NOT:
            self._watched = _NOT
            self._poller.remove(self._fd)
        self._connection.detach()
        self._poller.call_soon(self._lose)

    def _lose(self) -> None:
        fd, self._fd = self._fd, -1
        try:
            self._say_lost()
        finally:
            self._connection = None  # type: ignore[assignment]  # nothing is called on it any more
            os.close(fd)

    def _say_lost(self) -> None:
        """Tell of the end."""
        self._connection.connection_lost(None)
