"""How data that is written on a connection leaves.

Rules of this file:
- What is written during a read is gathered (`gathering.py`), and leaves in one system call when the read is
  done. Outside a read, the first write of a turn of the event loop leaves at once, and the others leave
  together at its end (`outbox.py`). Whatever is sent, what is held back goes first.
- Octets go straight to the socket while the transport holds none, and through the transport otherwise and
  under TLS. A transport that is closing is never written to: its descriptor may already belong to another
  connection.
- What is needed only for a time is a separate object, created when needed: `files.py` sends a file,
  `progress.py` watches a peer that somebody is waiting for.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import Any, BinaryIO

from asgiws.bridge.outlet import Outlet
from asgiws.bridge.wakeup import Waiter
from asgiws.net import files, syscalls
from asgiws.net.loop_io import LoopIO
from asgiws.net.progress import Watch, in_kernel

#: Several pieces of fewer octets than this in total are joined into one; larger ones are passed on as they are.
JOIN_BELOW = 65536

#: Whether this system can write to a socket past its transport.
DIRECT = hasattr(os, "writev")

_IOV_MAX = 1024
_HAS_SENDFILE = hasattr(os, "sendfile")

#: The states of a connection, in their order. In STOPPING the driver knows that the server is stopping; from
#: CLOSING on, nothing is accepted for writing, and nothing that arrives is passed to the driver.
OPEN, STOPPING, CLOSING, LOST = range(4)

#: How octets leave: through the transport (with TLS, and once the socket is gone); straight to the socket as
#: soon as the transport has sent what it was given; straight to the socket.
THROUGH, BEHIND, STRAIGHT = range(3)

_CLOSING, _LOST = CLOSING, LOST
_THROUGH, _BEHIND, _STRAIGHT = THROUGH, BEHIND, STRAIGHT


class Sending(Outlet):
    """The half of a connection that sends, and the connection's state."""

    __slots__ = (
        "_drains",
        "_fd",
        "_gathering",
        "_given",
        "_held",
        "_held_size",
        "_outbox",
        "_own",
        "_send_timeout",
        "_state",
        "_transport",
        "_watch",
        "_way",
        "_wrote_in",
        "loop",
        "secure",
        "write_paused",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, io: LoopIO) -> None:
        self.loop = loop
        self.secure = False
        self.write_paused = False
        #: Ours, or the event loop's.
        self._transport: Any = _NO_TRANSPORT
        self._fd = -1
        #: Whether the transport is our own.
        self._own = False
        self._way = THROUGH
        self._state = OPEN
        self._gathering = io.gathering
        self._outbox = io.outbox
        #: The turn of the last write outside a read; and what is held back for a moment, None for nothing, with
        #: its octets.
        self._wrote_in = 0
        self._held: list[bytes] | None = None
        self._held_size = 0
        #: Octets that were sent so far, or given to the transport for sending.
        self._given = 0
        #: For how many seconds the peer may take nothing, 0.0 for no limit; and what watches it while somebody
        #: waits for it.
        self._send_timeout = 0.0
        self._watch: Watch | None = None
        self._drains: deque[Waiter] | None = None

    def is_closing(self) -> bool:
        return self._state >= _CLOSING

    def write(self, data: bytes) -> None:
        gathering = self._gathering
        if self._state >= _CLOSING:
            return
        if gathering.connection is self:
            if gathering.add(data):
                self._flush()
        elif self._is_first():
            self._send(data)
        else:
            self._hold([data], len(data))

    def writelines(self, chunks: list[bytes]) -> None:
        gathering = self._gathering
        if self._state >= _CLOSING:
            return
        if gathering.connection is self:
            if gathering.add_all(chunks):
                self._flush()
        elif self._is_first():
            self._send_many(chunks)
        else:
            self._hold(chunks, sum(map(len, chunks)))

    def _is_first(self) -> bool:
        """True for the first write of this turn outside a read."""
        outbox = self._outbox
        if self._held is not None or self._wrote_in == outbox.number:
            return False
        self._wrote_in = outbox.number
        outbox.wrote()
        return True

    def _hold(self, chunks: list[bytes], size: int) -> None:
        """Hold back what is written for a moment (`outbox.py`), unless it is too much for that."""
        if self._held is None:
            self._held = chunks.copy()
            self._outbox.hold(self)
        else:
            self._held += chunks
        self._held_size += size
        if self._held_size >= JOIN_BELOW:
            self._send_held()

    def _send_held(self) -> None:
        held, self._held = self._held, None
        self._held_size = 0
        if held is not None:
            self._send_many(held)

    def send_held(self) -> None:
        """Send what was held back. Raises nothing."""
        if self._held is not None and self._state < _CLOSING:
            try:
                self._send_held()
            except Exception as error:  # which must not keep other connections from sending
                self.loop.call_exception_handler(
                    {"message": "Exception while sending on a connection", "exception": error}
                )
                self.abort()

    def uncork(self) -> None:
        """Send what was gathered and stop gathering, unless a read within this one has done so already. While
        sockets are served, hold it back instead."""
        gathering = self._gathering
        if gathering.connection is self:
            try:
                if self._outbox.serving and gathering.out and self._state < _CLOSING:
                    self._hold(gathering.out, gathering.size)
                    gathering.clear()
                else:
                    self._flush()
            finally:
                gathering.connection = None

    def _flush(self) -> None:
        """Send what was held back, and what was gathered."""
        gathering = self._gathering
        if self._held is not None:
            self._send_held()
        if gathering.connection is self and gathering.out:
            try:
                self._send_many(gathering.out)
            finally:
                gathering.clear()  # in any case: the next read may be another connection's

    def _forget_unsent(self) -> None:
        """Forget what was held back or gathered."""
        self._held = None
        self._held_size = 0
        if self._gathering.connection is self:
            self._gathering.clear()

    def _send_many(self, chunks: list[bytes]) -> None:
        if len(chunks) == 1:
            self._send(chunks[0])
        elif sum(map(len, chunks)) < JOIN_BELOW:
            self._send(b"".join(chunks))
        elif self._can_send_directly() and len(chunks) <= _IOV_MAX:
            self._given += sum(map(len, chunks))
            try:
                sent = os.writev(self._fd, chunks)
            except OSError:
                sent = 0  # full or broken: the transport finds out which
            for chunk in chunks:
                if sent >= len(chunk):
                    sent -= len(chunk)
                else:
                    self._give_to_transport(memoryview(chunk)[sent:] if sent else chunk)
                    sent = 0
        elif self._own and self.secure and self._state < _CLOSING:
            self._given += sum(map(len, chunks))
            self._transport.writelines(chunks)
        else:
            for chunk in chunks:
                self._send(chunk)

    def _send(self, data: bytes) -> None:
        self._given += len(data)
        if self._can_send_directly():
            sent = syscalls.send(self._fd, data)
            if sent == len(data):
                return
            self._give_to_transport(memoryview(data)[sent:] if sent else data)
        else:
            self._give_to_transport(data)

    def _can_send_directly(self) -> bool:
        way = self._way
        if way == _THROUGH or (not self._own and self._transport.is_closing()):
            return False
        if way == _BEHIND:
            if self._transport.get_write_buffer_size():
                return False
            self._way = _STRAIGHT
        return True

    def _give_to_transport(self, data: bytes | memoryview) -> None:
        if not self._transport.is_closing():
            if self._way == _STRAIGHT:
                self._way = _BEHIND
            self._transport.write(data)
        else:
            # The loop's transport already knows that the peer has gone, and will tell us.
            self._state = _CLOSING
            self._wake_drains()

    async def drain(self) -> None:
        while self.write_paused and self._state < _CLOSING:
            await self._waiter()

    def _waiter(self) -> Waiter:
        """A new waiter, which `_wake_drains` wakes."""
        if self._drains is None:
            self._drains = deque()
        waiter = Waiter(self.loop)
        self._drains.append(waiter)
        return waiter

    def _wake_drains(self) -> None:
        self.write_paused = self._state >= _CLOSING
        waiters = self._drains
        if waiters is not None:
            self._drains = None
            for waiter in waiters:
                waiter.wake_soon()

    def sends_files(self) -> bool:
        return self._way != _THROUGH and _HAS_SENDFILE

    async def send_file(self, file: BinaryIO, size: int) -> int:
        self._flush()  # what was written before comes first
        if not self.sends_files():
            return await files.read_and_write(self, file, size)
        transport = self._transport
        sending = files.KernelSending(file, self._fd)
        try:
            transport.set_write_buffer_limits(0)  # so that `drain` waits for the last octet
            await self.drain()
            return await sending.run(self, size)
        finally:
            sending.close()
            if self._state < _CLOSING:
                transport.set_write_buffer_limits()

    def count_sent(self, size: int) -> None:
        """Count `size` octets that were sent without this object."""
        self._given += size

    async def until_writable(self, fd: int) -> None:
        """Wait until `fd`, a descriptor of the socket that no transport uses, accepts octets or the connection
        is closing."""
        waiter = self._waiter()
        self.loop.add_writer(fd, waiter.wake_soon)
        self._watch_progress()
        try:
            await waiter
        finally:
            if self._state < _CLOSING:
                self._watch = None
            self.loop.remove_writer(fd)
            if self._drains is not None and waiter in self._drains:
                self._drains.remove(waiter)

    def watch_sending(self, timeout: float) -> None:
        self._send_timeout = timeout

    def taken(self) -> tuple[int, int]:
        held = 0 if self._state == _LOST else in_kernel(self._fd)
        outstanding = self._transport.get_write_buffer_size() + held
        given = self._given
        if self._own:
            given += self._transport.overhead()
        return given - outstanding, outstanding

    def unsent(self) -> int:
        gathering = self._gathering
        size: int = self._transport.get_write_buffer_size()
        size += self._held_size
        return size + (gathering.size if gathering.connection is self else 0)

    def _watch_progress(self) -> None:
        """Somebody waits for the peer: watch it."""
        if self._send_timeout:
            taken, _ = self.taken()
            self._watch = Watch(self._send_timeout, self.loop.time(), taken)
            self.check_at(self._watch.when)


_NO_TRANSPORT = asyncio.Transport()
