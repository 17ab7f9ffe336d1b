"""Our own transport for a socket; a Poller tells it when the socket is ready.

Rules of this file:
- To its Connection it is like a transport of the event loop, with the same guarantees: `connection_lost` is
  called once, from the loop, and nothing after it.
- It owns the descriptor and is the only place that closes it: after `connection_lost`, so that nobody still
  uses the number when it already belongs to another connection. It drops the Connection then: the two refer to
  each other, and reference counts must be able to free them.
- It writes what the Connection could not send by itself. What is written after that waits behind it.
- The transport for TLS is in `tls_transport.py`. It changes what is done with the socket's octets (`_take`,
  `_refill`, `_end_our_side`, `_leave`), but not how the socket is watched.
- A socket is watched for what matters at the moment: for reading unless reading is paused, for the end of the
  peer's side while it is paused, for writing while data waits to be written. An error is reported in any case.
- The Connection knows whether reading is paused, and whether the peer's EOF was read: `reading`, `eof`.
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

#: The low mark, at which writing is resumed, is the high mark divided by this, as in asyncio.
LOW_PART = 4

#: Pieces that one system call writes at most.
PIECES = 64

#: How often a socket is read again in one turn while it fills the whole buffer.
READS = 3

#: `_watched` of a socket that the Poller does not watch.
_NOT = -1


def accept(listening: socket.socket) -> tuple[int, Address | None] | None:
    """`syscalls.accept` for callers that are not compiled."""
    return syscalls.accept(listening)


class SocketTransport(Watched):
    """The server's end of one connection; `fd` is a connected, non-blocking stream socket."""

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
        #: Whether, during this pause of reading, the Connection was told that the peer hung up. Its own
        #: `hung_up` stays true when reading is resumed; in the next pause it is told again.
        self._has_told = False
        #: Data that waits to be written, None if there is none; and how many octets that is.
        self._pending: deque[bytes | memoryview] | None = None
        self._size = 0
        self._high = HIGH_WATER
        self._low = HIGH_WATER // LOW_PART
        self._paused = False
        self._eof_written = False
        #: Whether nothing is read or accepted for writing any more.
        self._closing = False
        #: Whether the call of `connection_lost` is scheduled.
        self._finished = False

    def start(
        self, client: Address | None, server: tuple[str, int | None] | None, family: int
    ) -> None:
        """Start. If `server` is None, the socket is asked for its own address, which is of that family. Raises
        OSError if the socket is broken or cannot be watched; then it belongs to the caller."""
        if server is None:
            server = syscalls.own_address(self._fd, family)
        self._begin()
        try:
            self._connection.attach(self, self._fd, client, server, False)
        except Exception as error:
            self._crash(error)

    def _begin(self) -> None:
        """Start reading. Raises OSError."""
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
            elif events & ~(_IN | _OUT):  # readable data alone is of no interest any more
                self._end_of_peer()
        except Exception as error:
            self._crash(error)

    def _crash(self, error: Exception) -> None:
        """End the connection after an unexpected exception."""
        self._loop.call_exception_handler(
            {"message": "Exception on a connection", "exception": error, "transport": self}
        )
        self.abort()

    def _read(self) -> None:
        for _ in range(READS + 1):
            # That usually reads everything; what arrives meanwhile is reported again.
            if not self._take() or not self._reads():
                return

    def _take(self) -> bool:
        """Read once, and pass on what came; true if there may be more."""
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
        """True while the socket is being read: `close` ends that, and so does the peer's EOF."""
        connection = self._connection  # None after `connection_lost`, when `_closing` is set
        return not self._closing and connection.reading and not connection.eof

    def _room(self) -> int:
        """How many octets one `_take` reads at most."""
        return len(self._connection.buffer())

    def _end_in(self) -> None:
        """The peer has ended its side, and everything that it sent was read."""
        if self._connection.eof_received():
            self._watch()
        else:
            self.close()

    def read_now(self) -> None:
        """Read everything that the socket holds at this moment, unless reading is paused or over."""
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
        """While nothing is read: the peer has ended its side, or the connection is broken."""
        if self._closing or self._connection.eof or self._has_told:
            self.abort()  # in these states a mere end is not watched for
        else:
            self._has_told = True
            self._watch()
            self._connection.peer_hung_up()

    def _watch(self) -> None:
        """Watch the socket for what matters now."""
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
            events = _NOT  # it would be reported again and again
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
        """Everything that waited was written: prepare more of it, if some was held back."""

    def _written_out(self) -> None:
        """No data waits to be written any more."""
        if self._eof_written:
            try:
                self._end_our_side()
            except OSError:
                self.abort()  # reset by what was just written: the peer had closed already
                return
        if self._pending is not None:
            self._watch()  # the close_notify of TLS has yet to be written
        elif self._closing:
            self._leave()
        else:
            self._watch()

    def _end_our_side(self) -> None:
        """Close our side, after everything was written. Raises OSError if the peer has gone."""
        syscalls.shut_down(self._fd)

    def _leave(self) -> None:
        """Close, after everything was written."""
        self._finish()

    def _pause_if_full(self) -> None:
        if self._size > self._high and not self._paused:
            self._paused = True
            self._connection.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self._size

    def overhead(self) -> int:
        """How many octets more than it was given it has sent, or is going to send."""
        return 0

    def set_write_buffer_limits(self, high: int = HIGH_WATER) -> None:
        self._high = high
        self._low = high // LOW_PART
        self._pause_if_full()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Close our side after what was written. Raises OSError if the peer has gone."""
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
        """Close after what was written."""
        if not self._closing:
            self._closing = True
            if self._pending is None:
                self._leave()
            else:
                self._watch()

    def abort(self) -> None:
        """Close at once; unwritten data is lost."""
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
        """Tell the Connection that it is lost."""
        self._connection.connection_lost(None)
