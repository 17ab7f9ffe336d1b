"""One accepted connection: the transport on one side, a driver on the other.

Rules of this file:
- It moves octets and knows nothing of what they mean. Every protocol is a `Driver`.
- All connections of a loop read into one buffer (`Runtime.read_buffer`): it is free again once the driver has
  returned, so no connection owns a read buffer.
- What is written during a read is gathered and leaves in one system call when the read is done. One stream of
  the worker gathers at a time: where an application runs the loop from within itself, the read that begins
  there ends the gathering of the one around it.
- The transport is our own (`transport.py`, `tls_transport.py`) where that can be, and the event loop's
  otherwise.
- Octets go straight to the socket while the transport holds none, and through the transport otherwise, or
  under TLS. A transport that is closing is never written to: its descriptor may be another connection's
  already.
- From the moment that the connection is closing, by whoever's doing, `write_paused` is true: so whoever sends
  asks `drain`, which does not wait any more, and then `is_closing`.
- A driver is called through a variable of the caller's: it may hand the connection over while it is called, and
  must outlive that.
- A connection that is lost forgets its driver, which refers to it as long as the application does: reference
  counts are to free both.
- Nobody is judged by a clock before what the socket holds was read (`tick`).
- Closing ends: `ending.py` says when.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from typing import Any, BinaryIO

from asgiws.asgi.types import Address
from asgiws.bridge.outlet import Driver, Outlet
from asgiws.bridge.wakeup import Waiter
from asgiws.net import syscalls
from asgiws.net.ending import LEAST_TAKEN, Ending, Passing
from asgiws.net.progress import in_kernel
from asgiws.net.ticker import Ticker
from asgiws.services.runtime import Runtime
from asgiws.tls import info as tls_info

#: Octets that wait in a transport before `write_paused`, as asyncio and uvloop have it without TLS.
HIGH_WATER = 65536

#: Several pieces below this many octets are joined to one; larger ones are handed over as they are.
JOIN_BELOW = 65536

#: Octets of a file that are read, or sent by the kernel, at once.
FILE_CHUNK = 262144
SENDFILE_CHUNK = 1 << 20

_DIRECT = hasattr(os, "writev")
_IOV_MAX = 1024
_HAS_SENDFILE = hasattr(os, "sendfile")
#: What a socket says of a peer that is out of reach, beside what Python calls a ConnectionError.
_PEER_GONE = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN)


class Gathering:
    """What the stream that reads at the moment is about to send; one for a worker."""

    __slots__ = ("out", "stream")

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.stream: Connection | None = None


class Connection(Outlet):
    """The server's side of one TCP, TLS or Unix connection; `driver` speaks on it first.

    `bucket` belongs to the ticker.
    """

    __slots__ = (
        "_closing",
        "_corked",
        "_direct",
        "_drains",
        "_driver",
        "_ending",
        "_fd",
        "_gathered",
        "_gathering",
        "_given",
        "_has_stalled",
        "_lost",
        "_own",
        "_passing",
        "_proceeding",
        "_read_buffer",
        "_runtime",
        "_send_timeout",
        "_stall_at",
        "_stopping",
        "_taken",
        "_ticker",
        "_tls",
        "_transport",
        "_via_transport",
        "bucket",
        "client",
        "eof",
        "hung_up",
        "loop",
        "reading",
        "secure",
        "server",
        "write_paused",
    )

    def __init__(self, runtime: Runtime, ticker: Ticker, driver: Driver) -> None:
        self.loop = runtime.loop
        self.client: Address | None = None
        self.server: tuple[str, int | None] | None = None
        self.secure = False
        self.write_paused = False
        self.bucket = 0
        self._runtime = runtime
        self._ticker = ticker
        self._driver = driver
        #: Ours, or the event loop's.
        self._transport: Any = _NO_TRANSPORT
        self._fd = -1
        #: Whether the transport is our own, and whether writes may go straight to the socket.
        self._own = False
        self._direct = False
        #: Whether the transport was given something that it may not have sent yet.
        self._via_transport = False
        self._corked = False
        if runtime.gathering is None:
            runtime.gathering = Gathering()
        self._gathering: Gathering = runtime.gathering
        self._read_buffer: bytearray = runtime.read_buffer
        self._gathered = 0
        self._proceeding = False
        self.reading = True
        self.eof = False
        self.hung_up = False
        #: Seconds that the peer may take nothing; 0.0 for ever.
        self._send_timeout = 0.0
        #: Octets that were sent, ever, or given to the transport for it.
        self._given = 0
        #: When it is looked at whether the peer takes what was written; 0.0 while nobody waits for that.
        self._stall_at = 0.0
        #: What it had taken when it was looked at last, and whether that was next to nothing.
        self._taken = 0
        self._has_stalled = False
        self._closing = False
        #: From the end of our side on; before that, what is let pass first.
        self._ending: Ending | None = None
        self._passing: Passing | None = None
        self._lost = False
        #: The server stops.
        self._stopping = False
        self._drains: deque[Waiter] | None = None
        self._tls: dict[str, Any] | None = None

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        info = transport.get_extra_info
        self.secure = info("sslcontext") is not None
        if self.secure:
            # Their own limit is eight times as high as that of a plain connection, for each that does not read.
            self._transport.set_write_buffer_limits(HIGH_WATER)
        sock = info("socket")
        if sock is not None and sock.family == getattr(socket, "AF_UNIX", None):
            self.server = (sock.getsockname() or "", None)
        elif sock is not None:
            self.client = _address(info("peername"))
            self.server = _address(info("sockname"))
        if sock is not None:
            self._fd = sock.fileno()
            self._direct = _DIRECT and not self.secure
        self.begun()

    def attach(
        self,
        transport: Any,
        fd: int,
        client: Address | None,
        server: tuple[str, int | None] | None,
        secure: bool,
    ) -> None:
        """As `connection_made`, for a transport of our own."""
        self._transport = transport
        self._own = True
        self._direct = not secure
        self.secure = secure
        self._fd = fd
        self.client = client
        self.server = server
        self.begun()

    def expected(self, client: Address | None) -> bool:
        """`client` was accepted, and its TLS handshake begins; false when it is to be turned away at once."""
        return True

    def unmade(self) -> None:
        """What was `expected` has not become a connection."""

    def begun(self) -> None:
        """The connection is there."""
        self._runtime.connections.add(self)
        driver = self._driver
        driver.connected(self)

    def descriptor(self) -> int:
        """The socket's, where it is the event loop's; -1 where it is our own transport's."""
        return -1 if self._own else self._fd

    def detach(self) -> None:
        """Our own transport has given up the socket; `connection_lost` follows."""
        self._direct = False
        self._closing = True
        self._wake_drains()

    def buffer(self) -> bytearray:
        """What our own transport is to read into, before `arrived`."""
        return self._read_buffer

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._runtime.read_view

    def buffer_updated(self, nbytes: int) -> None:
        self.arrived(nbytes)

    def arrived(self, count: int) -> None:
        """So many octets are in the buffer."""
        if self._closing:
            # What comes behind our last words is thrown away.
            if self._ending is not None:
                self._ending.heard()
            elif self._passing is not None and self._passing.took(count, self.loop.time()):
                self._end_side(False)
            return
        driver = self._driver
        self._cork()
        try:
            driver.receive_data(self._read_buffer, 0, count)
        finally:
            self.uncork()

    def eof_received(self) -> bool:
        self.eof = True
        if self._closing:
            if (
                self._own or not self.secure
            ):  # asyncio's TLS ends by itself, and breaks when closed twice
                self._transport.close()
            return False
        driver = self._driver
        self._cork()
        try:
            driver.receive_eof()
        finally:
            self.uncork()
        # Stay half-open so that the answer still goes out; the loops' TLS has no such state.
        return self._own or not self.secure

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._lost = True
        self._direct = False
        if self._corked:
            self._gathering.out.clear()
        self._ticker.discard(self)
        self._runtime.connections.discard(self)
        self._wake_drains()
        driver, self._driver = self._driver, _NOBODY
        driver.connection_lost()

    def pause_writing(self) -> None:
        # Once we are closing nothing more is written, so there is nothing to wait for.
        if not self._closing:
            self.write_paused = True
            self._watch_progress()

    def resume_writing(self) -> None:
        self._has_stalled = False
        self._wake_drains()
        if not self._closing:
            driver = self._driver
            driver.writable()

    # From the ticker.

    def tick(self, now: float) -> float:
        """A deadline of the driver's has come, or the one of our own closing."""
        try:
            return self._tick(now)
        except Exception as error:  # or it would never be ticked again
            self.loop.call_exception_handler(
                {"message": "Exception at a connection's deadline", "exception": error}
            )
            self.abort()
            return 0.0

    def _tick(self, now: float) -> float:
        if self._own and self.reading:
            self._transport.read_now()
        if not self._closing:
            driver = self._driver
            when: float = driver.check(now)
            if self._stall_at and not self._closing:
                self._look_for_progress(now)
                if self._stall_at and (when == 0.0 or self._stall_at < when):
                    when = self._stall_at
            return when
        if self._passing is not None and self._ending is None:
            when = self._passing.next_look(now)
            if when == 0.0:
                self._end_side(False)
                when = 0.0 if self._ending is None else self._ending.first_look()
            return when
        if self._ending is None:
            return 0.0
        taken, outstanding = self.taken()
        when = self._ending.next_look(now, taken, outstanding)
        if when == 0.0:
            self._transport.abort()
        return when

    def _watch_progress(self) -> None:
        if self._send_timeout:
            self._taken, _ = self.taken()
            self._stall_at = self.loop.time() + self._send_timeout
            self._ticker.schedule(self, self._stall_at)

    def _look_for_progress(self, now: float) -> None:
        """The peer is slow to take what was written: see whether it takes anything."""
        if now < self._stall_at:
            return
        taken, _ = self.taken()
        self._has_stalled = taken - self._taken < LEAST_TAKEN
        self._taken = taken
        self._stall_at = now + self._send_timeout
        if self._has_stalled:
            driver = self._driver
            driver.stalled()

    # From the server.

    def shutdown(self) -> None:
        """End gracefully: the driver brings what it does to its proper end, then closes."""
        self._stopping = True
        if not self._closing:
            driver = self._driver
            driver.shutdown()
        elif self._ending is not None:
            self._ending.hurry(self.loop.time())
        elif self._passing is not None:
            self._end_side(False)

    def lasts(self) -> bool:
        """True while the driver's conversation has no end of its own."""
        driver = self._driver
        return not self._closing and driver.lasts()

    # The outlet.

    def tls(self) -> dict[str, Any] | None:
        if not self.secure:
            return None
        if self._tls is None:
            self._tls = tls_info.describe(self._transport.get_extra_info("ssl_object"))
        return self._tls.copy()

    def write(self, data: bytes) -> None:
        if self._closing:
            return
        if self._corked:
            self._gathering.out.append(data)
            self._gather(len(data))
        else:
            self._send(data)

    def writelines(self, chunks: list[bytes]) -> None:
        if self._closing:
            return
        if self._corked:
            self._gathering.out += chunks
            self._gather(sum(map(len, chunks)))
        else:
            self._send_many(chunks)

    def _gather(self, size: int) -> None:
        # An application that is stepped within the read may send without end: from here on the transport
        # must see it, so that it can say that the peer does not keep up.
        self._gathered += size
        if self._gathered >= JOIN_BELOW:
            self._flush()

    def _cork(self) -> None:
        """Gather what is written, until `uncork`."""
        gathering = self._gathering
        other = gathering.stream
        if other is not None:
            other.uncork()
        gathering.stream = self
        self._corked = True

    def uncork(self) -> None:
        """Send what was gathered, unless a read within this one has done so."""
        if self._corked:
            try:
                self._flush()
            finally:
                self._corked = False
                self._gathering.stream = None

    def _flush(self) -> None:
        """Send what was gathered."""
        out = self._gathering.out
        if out and self._corked:
            self._gathered = 0
            try:
                self._send_many(out)
            finally:
                out.clear()  # whatever happens: the next read is another connection's

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
                sent = 0  # full, or broken: the transport finds out which
            for chunk in chunks:
                if sent >= len(chunk):
                    sent -= len(chunk)
                else:
                    self._give_to_transport(memoryview(chunk)[sent:] if sent else chunk)
                    sent = 0
        elif self._own and self.secure and not self._closing:
            self._given += sum(map(len, chunks))
            self._via_transport = True
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
        transport = self._transport
        if not self._direct or (not self._own and transport.is_closing()):
            return False
        if self._via_transport:
            if transport.get_write_buffer_size():
                return False
            self._via_transport = False
        return True

    def _give_to_transport(self, data: bytes | memoryview) -> None:
        if not self._transport.is_closing():
            self._via_transport = True
            self._transport.write(data)
        else:
            # The loop's transport knows already that the peer has gone, and will tell us.
            self._closing = True
            self._wake_drains()

    async def drain(self) -> None:
        while self.write_paused and not self._closing:
            if self._drains is None:
                self._drains = deque()
            waiter = Waiter(self.loop)
            self._drains.append(waiter)
            await waiter

    def _wake_drains(self) -> None:
        self.write_paused = self._closing
        self._stall_at = 0.0
        waiters = self._drains
        if waiters is not None:
            self._drains = None
            for waiter in waiters:
                waiter.wake_soon()

    def sends_files(self) -> bool:
        return self._direct and _HAS_SENDFILE

    async def send_file(self, file: BinaryIO, size: int) -> int:
        self._flush()  # what was written in the read in progress comes first
        if self.sends_files():
            return await self._sendfile(file, size)
        left = size
        while left and not self._closing:
            take = min(left, FILE_CHUNK)
            chunk = await self.loop.run_in_executor(None, file.read, take)
            if not chunk:
                break
            self.write(chunk)
            left -= len(chunk)
            await self.drain()
        return size - left

    async def _sendfile(self, file: BinaryIO, size: int) -> int:
        """`send_file` without the octets passing through this process."""
        transport = self._transport
        position = start = file.tell()
        end = start + size
        # Descriptors of our own: the file and the connection may be closed while the kernel reads the disk, in
        # another thread, and only a socket that is no transport's can be waited for.
        pair = _Descriptors(file.fileno(), self._fd)
        sending: asyncio.Future[int] | None = None
        try:
            transport.set_write_buffer_limits(0)  # so that `drain` waits for the last octet
            await self.drain()
            while position < end and not self._closing:
                count = min(end - position, SENDFILE_CHUNK)
                sending = self.loop.run_in_executor(None, pair.send, position, count)
                try:
                    sent = await asyncio.shield(sending)
                except BlockingIOError:
                    await self._writable(pair.socket)
                    continue
                except OSError as error:
                    if not isinstance(error, ConnectionError) and error.errno not in _PEER_GONE:
                        raise
                    self.abort()  # the peer has gone; who asks now is to know it before the transport does
                    break
                if sent == 0:
                    break  # the file has become shorter
                position += sent
                self._given += sent
        finally:
            if sending is None or sending.done():
                pair.close()
            else:
                sending.add_done_callback(pair.close)  # cancelled, but the kernel is not
            if not self._closing:
                transport.set_write_buffer_limits()
        return position - start

    async def _writable(self, fd: int) -> None:
        """Wait until `fd` takes octets, or the connection is lost."""
        waiter = Waiter(self.loop)
        if self._drains is None:
            self._drains = deque()
        self._drains.append(waiter)
        self.loop.add_writer(fd, waiter.wake_soon)
        self._watch_progress()
        try:
            await waiter
        finally:
            self._stall_at = 0.0
            self.loop.remove_writer(fd)
            if self._drains is not None and waiter in self._drains:
                self._drains.remove(waiter)

    def watch_sending(self, timeout: float) -> None:
        self._send_timeout = timeout

    def taken(self) -> tuple[int, int]:
        held = 0 if self._lost else in_kernel(self._fd)
        outstanding = self._transport.get_write_buffer_size() + held
        given = self._given
        if self._own:
            given += self._transport.overhead()
        return given - outstanding, outstanding

    def unsent(self) -> int:
        size: int = self._transport.get_write_buffer_size()
        return size + (self._gathered if self._corked else 0)

    def pause_reading(self) -> None:
        if self.reading and not self._closing:
            self.reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.reading and not self._closing:
            self.reading = True
            self._transport.resume_reading()

    def peer_hung_up(self) -> None:
        """While nothing is read: the peer has ended its side, or the connection is broken."""
        self.hung_up = True
        if not self._closing:
            driver = self._driver
            driver.hung_up()

    def proceed_soon(self, driver: Driver) -> None:
        if not self._proceeding:
            self._proceeding = True
            self._runtime.own.run(self.loop.call_soon, self._proceed, driver)

    def _proceed(self, asking: Driver) -> None:
        driver = asking if self._lost else self._driver
        self._proceeding = False
        self._cork()
        try:
            driver.proceed()
        finally:
            self.uncork()

    def check_at(self, when: float) -> None:
        if not self._closing:
            self._ticker.schedule(self, when)

    def hand_over(self, driver: Driver, tail: bytes) -> None:
        self._driver = driver
        # Again: a server that stops is to know of the new driver.
        self._runtime.connections.add(self)
        driver.connected(self)
        if tail:
            driver.receive_data(bytearray(tail), 0, len(tail))

    def introduce(self, client: Address, server: Address) -> None:
        self.client = client
        self.server = server

    def is_closing(self) -> bool:
        return self._closing

    def await_rest(self, size: int) -> None:
        self._passing = Passing(size, self.loop.time())

    def close(self, linger: bool = True) -> None:
        if self._closing:
            return
        self._flush()
        self.resume_reading()
        self._closing = True
        self._wake_drains()
        transport = self._transport
        if transport.is_closing():
            return  # the peer has gone, and the transport knows it already
        if self._passing is not None and not self.eof:
            self._ticker.schedule(self, self._passing.first_look())
        else:
            self._passing = None
            self._end_side(linger)

    def _end_side(self, linger: bool) -> None:
        """Close our side, behind what was written."""
        transport = self._transport
        taken, _ = self.taken()
        try:
            if not self.eof and transport.can_write_eof():
                # RFC 9112, 9.6: close our side, and read until the peer has closed its own.
                transport.write_eof()
            else:
                transport.close()
        except OSError:
            transport.abort()  # the peer has gone, and the transport is about to learn of it
            return
        now = self.loop.time()
        self._ending = Ending(now, taken, self._has_stalled)
        if self._stopping or not linger:
            self._ending.hurry(now)
        self._ticker.schedule(self, self._ending.first_look())

    def abort(self) -> None:
        if self._lost:
            return
        self._closing = True
        if self._corked:
            self._gathering.out.clear()
        self._wake_drains()
        transport = self._transport
        if self._own and self.client is not None and not transport.is_closing():
            # A reset: an orderly end would be taken for that of a response without a length.
            try:
                syscalls.reset_on_close(self._fd)
            except OSError:
                pass  # the socket is shut down or gone already: there is no orderly end to prevent
        transport.abort()


class _Descriptors:
    """A file and a socket for `sendfile`, as descriptors of their own."""

    def __init__(self, file: int, sock: int) -> None:
        self.file = os.dup(file)
        try:
            self.socket = os.dup(sock)
        except OSError:  # no descriptor is left
            os.close(self.file)
            raise

    def send(self, position: int, count: int) -> int:
        return os.sendfile(self.socket, self.file, position, count)

    def close(self, sending: object = None) -> None:
        os.close(self.file)
        os.close(self.socket)
        if isinstance(sending, asyncio.Future) and not sending.cancelled():
            sending.exception()  # nobody else asks for it


def _address(name: object) -> Address | None:
    """(host, port) of a socket's name, which has four items in IPv6."""
    if type(name) is tuple and len(name) == 2:
        return name  # as the transport keeps it
    if isinstance(name, (tuple, list)) and len(name) >= 2:
        return str(name[0]), int(name[1])
    return None


_NO_TRANSPORT = asyncio.Transport()
#: Drives what is lost.
_NOBODY = Driver()
