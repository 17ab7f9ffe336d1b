"""The seam between a connection and what speaks on it: two interfaces, no behaviour.

Rules of this file:
- A Driver turns bytes into ASGI events and back for one connection at a time: the HTTP driver until an
  upgrade, the WebSocket session afterwards. It knows no socket, transport or process.
- An Outlet is the connection as a driver sees it. `net/connection.py` implements it.
- The outlet calls the driver from callbacks of the event loop only, so a driver may wake a task at once in
  those methods (`bridge/wakeup.py`). The driver's calls of the outlet never call back into the driver.
"""

from __future__ import annotations

import asyncio
from typing import Any, BinaryIO

from asgiws.asgi.types import Address


class Driver:
    """What speaks on a connection."""

    __slots__ = ()

    def connected(self, outlet: Outlet) -> None:
        """The connection is there (or was handed over by the driver before)."""
        raise NotImplementedError

    def receive_data(self, data: bytearray, start: int, end: int) -> None:
        """Bytes `start` to `end` of `data` arrived. `data` is overwritten once this returns: copy to keep."""
        raise NotImplementedError

    def receive_eof(self) -> None:
        """The peer will send no more; what was sent to it may still arrive."""
        raise NotImplementedError

    def connection_lost(self) -> None:
        """The connection is gone. Called once, last."""
        raise NotImplementedError

    def check(self, now: float) -> float:
        """A moment asked for by `Outlet.check_at` has come (it may come late, or early).

        `now` is `loop.time()` in seconds. Acts on the deadlines that have passed and returns the next
        moment to be called at, or 0.0 for none.
        """
        raise NotImplementedError

    def writable(self) -> None:
        """`Outlet.write_paused` has become false."""

    def hung_up(self) -> None:
        """While reading was paused the peer has ended its side, or the connection is broken. What it sent
        before can still be read. Not every system tells."""
        raise NotImplementedError

    def stalled(self) -> None:
        """The peer has taken next to nothing of what was written, as `Outlet.watch_sending` says. Called
        again after as many, while that is so."""
        raise NotImplementedError

    def proceed(self) -> None:
        """Go on with what was left of a read, after `Outlet.proceed_soon`; also once the connection is gone."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """The server stops: end what is idle at once, and let the rest come to its proper end."""
        raise NotImplementedError

    def lasts(self) -> bool:
        """True for a conversation that has no end of its own: a server that stops chooses when to end it."""
        raise NotImplementedError


class Outlet:
    """The connection as its driver sees it."""

    __slots__ = ()

    loop: asyncio.AbstractEventLoop
    #: Peer and own address as (host, port); for a Unix socket None and (path, None).
    client: Address | None
    server: tuple[str, int | None] | None
    #: True under TLS.
    secure: bool
    #: True while more is waiting to be sent than the high-water mark, for which `drain()` waits, and from
    #: the moment that the connection is closing: so a driver that has written something and finds it false
    #: need not ask `is_closing()`, and one that finds it true, and has called `drain()`, must.
    write_paused: bool
    #: False from `pause_reading` until `resume_reading`.
    reading: bool
    #: The peer has ended its side, and all that it sent was read: it sends no more.
    eof: bool
    #: While reading was paused it was seen that the peer has ended its side; `eof` follows once all was read.
    hung_up: bool

    def tls(self) -> dict[str, Any] | None:
        """What the `tls` extension says of the connection (ASGI TLS Extension 0.2), as a dict of the caller's
        own; None where this server does no TLS on it."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send `data` as soon as possible, after all that was written before. Never blocks, never raises:
        on a lost or closing connection it does nothing."""
        raise NotImplementedError

    def writelines(self, chunks: list[bytes]) -> None:
        """As `write`, for several pieces that need not be joined."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Wait until `write_paused` is false, or the connection is closing; ask `is_closing()` which it is."""
        raise NotImplementedError

    def sends_files(self) -> bool:
        """True where `send_file` has the kernel send the file, by `sendfile(2)`."""
        raise NotImplementedError

    async def send_file(self, file: BinaryIO, size: int) -> int:
        """Send at most `size` octets of an open file, from its position on, after all that was written before.

        Returns how many were sent: fewer when the file ends, or the connection does. The file stays open.
        Raises OSError when it cannot be read.
        """
        raise NotImplementedError

    def watch_sending(self, timeout: float) -> None:
        """Have the driver's `stalled` called when the peer takes next to nothing for `timeout` seconds, from
        now on; 0.0 for never."""
        raise NotImplementedError

    def unsent(self) -> int:
        """How many octets of what was written wait to be sent."""
        raise NotImplementedError

    def taken(self) -> tuple[int, int]:
        """How many octets the peer's kernel has acknowledged so far, and how many are on their way to it:
        the one measure of progress for whatever judges a peer. Under TLS they are TLS's octets."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Stop calling `receive_data` (data on its way may still come once). Idempotent."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        raise NotImplementedError

    def proceed_soon(self, driver: Driver) -> None:
        """Have the driver's `proceed` called in the loop's next turn, as a read of its own: for a driver that
        leaves work for later, so that other connections have their turn. Idempotent. `driver` is the one that
        asks: a connection that is gone knows none any more."""
        raise NotImplementedError

    def check_at(self, when: float) -> None:
        """Have the driver's `check` called at `when` (`loop.time()`, seconds) or a little later. An earlier
        moment asked for before stays in force; a later one is forgotten."""
        raise NotImplementedError

    def hand_over(self, driver: Driver, tail: bytes) -> None:
        """Let `driver` speak on this connection from now on; `tail` is what arrived for it already and is
        given to it by `receive_data` right away."""
        raise NotImplementedError

    def introduce(self, client: Address, server: Address) -> None:
        """Let `client` and `server` be these from now on, as a proxy has named them."""
        raise NotImplementedError

    def await_rest(self, size: int) -> None:
        """The peer is in the midst of something of which `size` octets are still to come: `close` ends
        our side once it has passed, or no more of it comes. Some clients break on an end of ours
        while they are writing."""
        raise NotImplementedError

    def close(self, linger: bool = True) -> None:
        """Send what was written, then close. Later writes do nothing. Idempotent.

        Our side of the connection is closed first, and what the peer still sends is thrown away (RFC 9112,
        9.6): closed at once, with octets unread, TCP would reset the connection and the peer could lose what
        it was just told. With `linger`, that goes on as long as a peer may take for the rest of an upload;
        without, for a moment: it is known to send no more, or had its time.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        raise NotImplementedError

    def is_closing(self) -> bool:
        """True once `close` or `abort` was called, or the connection was lost."""
        raise NotImplementedError
