"""One accepted connection: the transport on one side, a driver on the other.

Rules of this file:
- It moves octets and does not know what they mean. Every protocol is a `Driver`.
- All connections of a loop read into one buffer (`LoopIO.read_buffer`): it is free again once the driver has
  returned, so no connection owns a read buffer.
- How written data leaves is in `sending.py`, on which this builds.
- The transport is our own (`transport.py`, `tls_transport.py`) where possible, and the event loop's otherwise.
- As soon as the connection starts closing, for whatever reason, `write_paused` is true. Senders therefore call
  `drain`, which no longer waits, and then `is_closing`.
- A driver is called through a local variable of the caller: it may hand the connection over during the call,
  and must outlive that.
- A lost connection drops its driver, which refers to it for as long as the application uses it: reference
  counts must be able to free both.
- No peer is judged by a clock before everything that the socket holds was read (`tick`).
- Closing ends in any case: `ending.py` says when.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection
from typing import Any

from asgiws.asgi.types import Address
from asgiws.bridge.outlet import Conversation, Driver
from asgiws.net import syscalls
from asgiws.net.ending import Ending, Passing
from asgiws.net.loop_io import LoopIO
from asgiws.net.sending import (
    CLOSING,
    DIRECT,
    LOST,
    OPEN,
    STOPPING,
    STRAIGHT,
    THROUGH,
    Sending,
)
from asgiws.net.ticker import Ticker
from asgiws.services.runtime import Runtime
from asgiws.tls import info as tls_info

#: Octets that may wait in a transport before `write_paused` is set: what asyncio and uvloop use without TLS.
HIGH_WATER = 65536

_OPEN, _STOPPING, _CLOSING, _LOST = OPEN, STOPPING, CLOSING, LOST
_THROUGH, _STRAIGHT = THROUGH, STRAIGHT


class Connection(Sending):
    """The server's side of one TCP, TLS or Unix connection; `driver` speaks on it first.

    `bucket` belongs to the ticker.
    """

    __slots__ = (
        "_driver",
        "_ending",
        "_io",
        "_proceeding",
        "_runtime",
        "_ticker",
        "_tls",
        "bucket",
        "client",
        "eof",
        "hung_up",
        "reading",
        "server",
    )

    def __init__(self, runtime: Runtime, ticker: Ticker, io: LoopIO, driver: Driver) -> None:
        Sending.__init__(self, runtime.loop, io)
        self.client: Address | None = None
        self.server: tuple[str, int | None] | None = None
        self.bucket = 0
        self._runtime = runtime
        self._ticker = ticker
        self._driver = driver
        self._io = io
        self._proceeding = False
        self.reading = True
        self.eof = False
        self.hung_up = False
        #: What closing waits for: first what the peer may finish sending before our side ends, then what comes
        #: after that end.
        self._ending: Passing | Ending | None = None
        self._tls: dict[str, Any] | None = None

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        info = transport.get_extra_info
        self.secure = info("sslcontext") is not None
        if self.secure:
            # The loops' default with TLS is eight times that of a plain connection, for each peer that does not
            # read.
            self._transport.set_write_buffer_limits(HIGH_WATER)
        sock = info("socket")
        if sock is not None and sock.family == getattr(socket, "AF_UNIX", None):
            self.server = (sock.getsockname() or "", None)
        elif sock is not None:
            self.client = _address(info("peername"))
            self.server = _address(info("sockname"))
        if sock is not None:
            self._fd = sock.fileno()
            if DIRECT and not self.secure:
                self._way = _STRAIGHT
        self.begun()

    def attach(
        self,
        transport: Any,
        fd: int,
        client: Address | None,
        server: tuple[str, int | None] | None,
        secure: bool,
    ) -> None:
        """Like `connection_made`, for our own transport."""
        self._transport = transport
        self._own = True
        self._way = _THROUGH if secure else _STRAIGHT
        self.secure = secure
        self._fd = fd
        self.client = client
        self.server = server
        self.begun()

    def expected(self, client: Address | None) -> bool:
        """`client` was accepted and its TLS handshake is about to begin; false to turn it away at once."""
        return True

    def unmade(self) -> None:
        """The client has not become a connection after all."""

    def begun(self) -> None:
        """The connection is established."""
        self._runtime.connections.add(self)
        driver = self._driver
        driver.connected(self)

    def descriptor(self) -> int:
        """The descriptor of the socket if the event loop owns it; -1 if our own transport does."""
        return -1 if self._own else self._fd

    def detach(self) -> None:
        """Our own transport has given up the socket; `connection_lost` follows."""
        self._way = _THROUGH
        self._state = _CLOSING
        self._wake_drains()

    def buffer(self) -> bytearray:
        """The buffer that our own transport reads into before it calls `arrived`."""
        return self._io.read_buffer

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._io.read_view

    def buffer_updated(self, nbytes: int) -> None:
        self.arrived(nbytes)

    def arrived(self, count: int) -> None:
        """`count` octets are in the buffer."""
        if self._state >= _CLOSING:
            # What arrives after the close is discarded.
            ending = self._ending
            if isinstance(ending, Passing):
                if ending.took(count, self.loop.time()):
                    self._end_side(False)
            elif ending is not None:
                ending.heard()
            return
        driver = self._driver
        self._gathering.begin(self)
        try:
            driver.receive_data(self._io.read_buffer, 0, count)
        finally:
            self.uncork()

    def eof_received(self) -> bool:
        self.eof = True
        if self._state >= _CLOSING:
            if (
                self._own or not self.secure
            ):  # asyncio's TLS ends by itself, and breaks when closed twice
                self._transport.close()
            return False
        driver = self._driver
        self._gathering.begin(self)
        try:
            driver.receive_eof()
        finally:
            self.uncork()
        # Stay half-open so that the response still goes out; the loops' TLS has no such state.
        return self._own or not self.secure

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _LOST
        self._way = _THROUGH
        self._forget_unsent()
        self._ticker.discard(self)
        self._runtime.connections.discard(self)
        self._wake_drains()
        driver, self._driver = self._driver, _NOBODY
        driver.connection_lost()

    def pause_writing(self) -> None:
        # Once the connection is closing nothing more is written, so there is nothing to wait for.
        if self._state < _CLOSING:
            self.write_paused = True
            self._watch_progress()

    def resume_writing(self) -> None:
        self._wake_drains()
        if self._state < _CLOSING:
            self._watch = None
            driver = self._driver
            driver.writable()

    # From the ticker.

    def tick(self, now: float) -> float:
        """A deadline has come: the driver's, that of a peer we are waiting for, or that of our own close."""
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
        if self._state < _CLOSING:
            driver = self._driver
            when: float = driver.check(now)
            self._look_for_progress(now)
            watch = self._watch
            if watch is not None and self._state < _CLOSING and (when == 0.0 or watch.when < when):
                when = watch.when
            return when
        ending = self._ending
        if isinstance(ending, Passing):
            when = ending.next_look(now)
            return self._end_side(False) if when == 0.0 else when
        if ending is None:
            return 0.0
        taken, outstanding = self.taken()
        when = ending.next_look(now, taken, outstanding)
        if when == 0.0:
            self._transport.abort()
        return when

    def _look_for_progress(self, now: float) -> None:
        """Check whether the peer accepts anything, if somebody is waiting for it."""
        watch = self._watch
        if watch is not None and now >= watch.when and self._state < _CLOSING:
            taken, _ = self.taken()
            if watch.look(now, taken):
                driver = self._driver
                driver.stalled()

    # From the server.

    def shutdown(self) -> None:
        """End gracefully: the driver finishes what it is doing, then closes."""
        ending = self._ending
        if self._state < _CLOSING:
            self._state = _STOPPING
            driver = self._driver
            driver.shutdown()
        elif isinstance(ending, Passing):
            self._end_side(False)
        elif ending is not None:
            ending.hurry(self.loop.time())

    def conversations(self) -> Collection[Conversation]:
        """What a stopping server ends one by one: the driver's conversations if it has several, otherwise this
        connection."""
        driver = self._driver
        return driver.conversations() or (self,)

    def lasts(self) -> bool:
        """True while the driver's conversation does not end by itself."""
        driver = self._driver
        return self._state < _CLOSING and driver.lasts()

    # The outlet.

    def tls(self) -> dict[str, Any] | None:
        if not self.secure:
            return None
        if self._tls is None:
            self._tls = tls_info.describe(self._transport.get_extra_info("ssl_object"))
        return self._tls.copy()

    # Our own transports look at `reading` and `eof`. The loops' transports stop reading by themselves at the
    # peer's EOF; without TLS, pausing and resuming them after it would read and report it once more.

    def pause_reading(self) -> None:
        if self.reading and self._state < _CLOSING:
            self.reading = False
            if self.secure or not self.eof:
                self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.reading and self._state < _CLOSING:
            self.reading = True
            if self.secure or not self.eof:
                self._transport.resume_reading()

    def peer_hung_up(self) -> None:
        """While reading is paused: the peer has ended its side, or the connection is broken."""
        self.hung_up = True
        if self._state < _CLOSING:
            driver = self._driver
            driver.hung_up()

    def proceed_soon(self, driver: Driver) -> None:
        if not self._proceeding:
            self._proceeding = True
            self._runtime.own.run(self.loop.call_soon, self._proceed, driver)

    def _proceed(self, asking: Driver) -> None:
        driver = asking if self._state == _LOST else self._driver
        self._proceeding = False
        self._gathering.begin(self)
        try:
            driver.proceed()
        finally:
            self.uncork()

    def check_at(self, when: float) -> None:
        if self._state < _CLOSING:
            self._ticker.schedule(self, when)

    def hand_over(self, driver: Driver, tail: bytes) -> None:
        self._driver = driver
        # Again: a stopping server has to know about the new driver.
        self._runtime.connections.add(self)
        driver.connected(self)
        if tail:
            driver.receive_data(bytearray(tail), 0, len(tail))

    def introduce(self, client: Address, server: Address) -> None:
        self.client = client
        self.server = server

    def await_rest(self, size: int) -> None:
        if self._state < _CLOSING:
            self._ending = Passing(size, self.loop.time())

    def close(self, linger: bool = True) -> None:
        if self._state >= _CLOSING:
            return
        self._flush()
        self.resume_reading()
        if self._state >= _CLOSING:
            return  # the connection was broken, as has just turned out
        linger = linger and self._state == _OPEN
        self._state = _CLOSING
        self._wake_drains()
        if self._transport.is_closing():
            return  # the peer has gone, and the transport already knows
        if self._ending is not None and not self.eof:
            self._ticker.schedule(self, self._ending.first_look())
        else:
            self._end_side(linger)

    def _end_side(self, linger: bool) -> float:
        """Close our side after what was written. Returns when to check for the peer's end first, or 0.0 if the
        connection is broken."""
        transport = self._transport
        taken, _ = self.taken()
        try:
            if not self.eof and transport.can_write_eof():
                # RFC 9112, 9.6: close our side, and read until the peer has closed its own.
                transport.write_eof()
            else:
                transport.close()
        except OSError:
            transport.abort()  # the peer has gone, and the transport is about to find out
            return 0.0
        now = self.loop.time()
        self._ending = Ending(now, taken, self._watch is not None and self._watch.has_stalled)
        if not linger:
            self._ending.hurry(now)
        when = self._ending.first_look()
        self._ticker.schedule(self, when)
        return when

    def abort(self) -> None:
        if self._state == _LOST:
            return
        self._state = _CLOSING
        self._forget_unsent()
        self._wake_drains()
        transport = self._transport
        if self._own and self.client is not None and not transport.is_closing():
            # A reset: an orderly end would look like the end of a response without a length.
            try:
                syscalls.reset_on_close(self._fd)
            except OSError:
                pass  # the socket is already shut down or gone: there is no orderly end to prevent
        transport.abort()


def _address(name: object) -> Address | None:
    """(host, port) of a socket address, which has four items in IPv6."""
    if type(name) is tuple and len(name) == 2:
        return name  # the tuple that the transport keeps
    if isinstance(name, (tuple, list)) and len(name) >= 2:
        return str(name[0]), int(name[1])
    return None


#: The driver of a lost connection.
_NOBODY = Driver()
