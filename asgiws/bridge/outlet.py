"""The seam between a connection and its driver: two interfaces, no behaviour.

Rules of this file:
- A Driver turns bytes into ASGI events and back for one connection at a time: the HTTP driver until an
  upgrade, the WebSocket session afterwards. It knows nothing of sockets, transports and processes.
- An Outlet is the connection as a driver sees it. `net/connection.py` implements it.
- The outlet calls the driver only from callbacks of the event loop, so a driver may wake a task at once in
  those methods (`bridge/wakeup.py`). The outlet never calls back into the driver from within a driver's call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, BinaryIO, Protocol

from asgiws.asgi.types import Address


class Conversation(Protocol):
    """What a stopping server ends: a connection, or one of several conversations on it."""

    def lasts(self) -> bool: ...

    def shutdown(self) -> None: ...


class Driver:
    """The protocol on a connection."""

    __slots__ = ()

    def connected(self, outlet: Outlet) -> None:
        """The connection is open (or was handed over by the previous driver)."""
        raise NotImplementedError

    def receive_data(self, data: bytearray, start: int, end: int) -> None:
        """Bytes `start` to `end` of `data` arrived. `data` is overwritten after this returns: copy to keep."""
        raise NotImplementedError

    def receive_eof(self) -> None:
        """The peer will send no more; what was sent to it may still arrive."""
        raise NotImplementedError

    def connection_lost(self) -> None:
        """The connection is gone. Called once, last."""
        raise NotImplementedError

    def check(self, now: float) -> float:
        """A time requested with `Outlet.check_at` has come (the call may be late or early).

        `now` is `loop.time()` in seconds. Acts on the deadlines that have passed and returns the time of the
        next call, or 0.0 for none.
        """
        raise NotImplementedError

    def writable(self) -> None:
        """`Outlet.write_paused` has become false."""

    def hung_up(self) -> None:
        """While reading was paused, the peer ended its side, or the connection broke. What the peer sent
        before can still be read. Not every system reports this."""
        raise NotImplementedError

    def stalled(self) -> None:
        """The peer has accepted next to nothing of what was written, as described in `Outlet.watch_sending`.
        Called again after the same number of seconds while that continues."""
        raise NotImplementedError

    def proceed(self) -> None:
        """Continue with the rest of a read, after `Outlet.proceed_soon`; also once the connection is gone."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """The server is stopping: end what is idle at once, and let everything else finish properly."""
        raise NotImplementedError

    def conversations(self) -> Collection[Conversation]:
        """The conversations that a stopping server ends one by one, if the driver carries several; by
        default it is the only one."""
        return ()

    def lasts(self) -> bool:
        """True for a conversation that does not end by itself: a stopping server chooses when to end it."""
        raise NotImplementedError


class Outlet:
    """The connection as its driver sees it."""

    __slots__ = ()

    loop: asyncio.AbstractEventLoop
    #: Address of the peer and own address as (host, port); for a Unix socket None and (path, None).
    client: Address | None
    server: tuple[str, int | None] | None
    #: True with TLS.
    secure: bool
    #: True while more data than the high-water mark is waiting to be sent, for which `drain()` waits, and from
    #: the moment the connection is closing. So a driver that has written something and finds it false need not
    #: call `is_closing()`; a driver that finds it true, and has awaited `drain()`, must.
    write_paused: bool
    #: False from `pause_reading` until `resume_reading`.
    reading: bool
    #: The peer has ended its side and everything that it sent was read: no more will come.
    eof: bool
    #: While reading was paused, the peer was seen to end its side; `eof` follows once everything was read.
    hung_up: bool

    def tls(self) -> dict[str, Any] | None:
        """The `tls` extension for this connection (ASGI TLS Extension 0.2), as a dict that the caller owns;
        None if this server does no TLS on it."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send `data` as soon as possible, after everything written before. Never blocks, never raises:
        on a lost or closing connection it does nothing."""
        raise NotImplementedError

    def writelines(self, chunks: list[bytes]) -> None:
        """Like `write`, for several pieces that need not be joined."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Wait until `write_paused` is false or the connection is closing; `is_closing()` says which."""
        raise NotImplementedError

    def sends_files(self) -> bool:
        """True if `send_file` lets the kernel send the file, with `sendfile(2)`."""
        raise NotImplementedError

    async def send_file(self, file: BinaryIO, size: int) -> int:
        """Send at most `size` octets of an open file, from its position on, after everything written before.

        Returns how many were sent: fewer if the file or the connection ends. The file stays open.
        Raises OSError if the file cannot be read.
        """
        raise NotImplementedError

    def watch_sending(self, timeout: float) -> None:
        """From now on, call the driver's `stalled` when the peer accepts next to nothing for `timeout`
        seconds; 0.0 for never."""
        raise NotImplementedError

    def unsent(self) -> int:
        """How many octets of what was written are waiting to be sent."""
        raise NotImplementedError

    def taken(self) -> tuple[int, int]:
        """How many octets the peer's kernel has acknowledged so far, and how many are on their way to it:
        the one measure of progress for everything that judges a peer. With TLS these are octets of TLS."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Stop calling `receive_data` (data on its way may still arrive once). Idempotent."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        raise NotImplementedError

    def proceed_soon(self, driver: Driver) -> None:
        """Call the driver's `proceed` in the event loop's next turn, as a read of its own. For a driver that
        leaves work for later so that other connections get their turn. Idempotent. `driver` is the driver that
        asks: a connection that is gone no longer has one."""
        raise NotImplementedError

    def check_at(self, when: float) -> None:
        """Call the driver's `check` at `when` (`loop.time()`, seconds) or a little later. An earlier time
        requested before stays in force; a later one is forgotten."""
        raise NotImplementedError

    def hand_over(self, driver: Driver, tail: bytes) -> None:
        """Make `driver` the driver of this connection from now on; `tail` is data that has already arrived for
        it, and is passed to its `receive_data` right away."""
        raise NotImplementedError

    def introduce(self, client: Address, server: Address) -> None:
        """From now on, use the `client` and `server` addresses that a proxy has named."""
        raise NotImplementedError

    def await_rest(self, size: int) -> None:
        """The peer is in the middle of something of which `size` octets are still to come: `close` ends
        our side after they have passed, or when no more of them arrive. Some clients break if we end our side
        while they are writing."""
        raise NotImplementedError

    def close(self, linger: bool = True) -> None:
        """Send what was written, then close. Later writes do nothing. Idempotent.

        Our side of the connection is closed first, and what the peer still sends is discarded (RFC 9112, 9.6):
        if the socket were closed at once, with octets unread, TCP would reset the connection and the peer could
        lose what it was just sent. With `linger`, that continues for as long as a peer may need for the rest of
        an upload; without, only for a moment: the peer is known to send no more, or has had its time.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once; unsent data is lost."""
        raise NotImplementedError

    def is_closing(self) -> bool:
        """True after `close` or `abort` was called, or the connection was lost."""
        raise NotImplementedError
