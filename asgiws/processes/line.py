"""One end of a link between a worker and the hub process: a stream socket in an event loop.

Rules of this file:
- Nothing waits. What is to be sent is in an `Outgoing`; all of one turn of the event loop leaves in one
  write, at its end.
- A side that cannot be written to any more is still read to its end: what it sent last counts.
- The end of the other side, whatever its cause, is reported once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from asgiws.server import forks
from asgiws.topics.link import Outgoing

READ_SIZE = 1 << 16


class Line:
    """`sock` is connected; it is closed here. What waits in `outgoing` is sent.

    `received` is called with octets, `ended` at the end of the other side, `sent` after octets were sent.
    `call_soon` has a function called in the event loop's next turn.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        outgoing: Outgoing,
        received: Callable[[bytes], object],
        ended: Callable[[], object],
        sent: Callable[[], object] = bool,
        call_soon: Callable[[Callable[[], object]], object] | None = None,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._outgoing = outgoing
        self._received = received
        self._ended = ended
        self._sent = sent
        self._call_soon = loop.call_soon if call_soon is None else call_soon
        self._is_due = False
        self._is_closed = False
        self._is_paused = True
        #: Whether the socket has taken all that it could, and whether it takes nothing any more.
        self._is_stuck = False
        self._is_broken = False
        sock.setblocking(False)
        self.resume()
        self.flush_soon()

    def fileno(self) -> int:
        """The socket's descriptor, -1 once it is closed."""
        return self._sock.fileno()

    def flush_soon(self) -> None:
        """Send what waits at the end of this turn."""
        if not (self._is_due or self._is_stuck or self._is_closed):
            self._is_due = True
            self._call_soon(self._flush)

    def pause(self) -> None:
        """Read nothing until `resume`. Idempotent."""
        if not (self._is_paused or self._is_closed):
            self._is_paused = True
            self._loop.remove_reader(self._sock.fileno())

    def resume(self) -> None:
        """Idempotent."""
        if self._is_paused and not self._is_closed:
            self._is_paused = False
            self._loop.add_reader(self._sock.fileno(), self._read)

    def close(self, patience: float = 0.0) -> None:
        """Idempotent. What waits is sent if the other side takes it within `patience` seconds, in which
        this blocks."""
        if self._is_closed:
            return
        self.pause()
        if self._is_stuck:
            self._loop.remove_writer(self._sock.fileno())
        self._is_closed = True
        try:
            self._sock.settimeout(patience)
            while not self._is_broken and (head := self._outgoing.head()):
                self._outgoing.sent(self._sock.send(head))
        except OSError:
            pass
        self._outgoing.clear()
        self._sock.close()

    def _read(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._received(data)
        else:
            self._is_broken = True
            self.close()
            self._ended()

    def _flush(self) -> None:
        self._is_due = False
        if self._is_closed:
            return  # what waits may be for the next link
        outgoing = self._outgoing
        was_stuck = self._is_stuck
        is_stuck = False
        before = outgoing.size
        try:
            while head := outgoing.head():
                if self._is_broken:
                    outgoing.clear()
                else:
                    outgoing.sent(self._sock.send(head))
        except (BlockingIOError, InterruptedError):
            is_stuck = True
        except OSError:
            self._is_broken = True  # its end is still to be read
            outgoing.clear()
        if is_stuck != was_stuck:
            self._is_stuck = is_stuck
            if is_stuck:
                self._loop.add_writer(self._sock.fileno(), self._flush)
            else:
                self._loop.remove_writer(self._sock.fileno())
        if outgoing.size != before:
            self._sent()


class Dialer:
    """Connects a worker to the hub process, whose socket is at `path`. A process that the application forks
    has no such line."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        path: str,
        call_soon: Callable[[Callable[[], object]], object] | None = None,
    ) -> None:
        self._loop = loop
        self._path = path
        self._call_soon = call_soon
        self._line: Line | None = None
        forks.in_child(self._forked)

    def __call__(
        self, outgoing: Outgoing, received: Callable[[bytes], object], ended: Callable[[], object]
    ) -> Line:
        """Raises OSError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            # It is taken by the kernel, whether the hub process runs or not; an error if too many wait.
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        self._line = Line(self._loop, sock, outgoing, received, ended, call_soon=self._call_soon)
        return self._line

    def _forked(self) -> None:
        if self._line is not None and self._line.fileno() >= 0:
            forks.let_go([self._line.fileno()])
