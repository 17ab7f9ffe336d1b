"""A client's end of a connection, over TCP or TLS, with every way to leave it at hand.

Rules of this file:
- Nothing is read unless it is asked for: who does not ask is a client that has stalled.
- TLS goes through buffers of our own, so that the octets of a handshake can be held back, a connection can end
  with and without close_notify, and a close_notify can come without the end.
- Each wait has an end. `Late` is raised when it has come; ends of the connection are b"" or an OSError.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")
_RESET = struct.pack("ii", 1, 0)
_READ = 65536


class Late(Exception):
    """What was waited for did not come."""


class Wire:
    """One connection."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls: ssl.SSLObject | None = None
        if context is not None:
            self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    @classmethod
    async def connect(
        cls, host: str, port: int, context: ssl.SSLContext | None, receive_buffer: int = 0
    ) -> Wire:
        """Connect, without a handshake of TLS. Raises OSError, Late."""
        sock = socket.socket()
        sock.setblocking(False)
        try:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire = cls(sock, context)
            await _within(10, wire._loop.sock_connect(sock, (host, port)))
        except BaseException:
            sock.close()
            raise
        return wire

    # The handshake of TLS.

    async def secure(self, patience: float = 10) -> None:
        """Go through it, where there is TLS. Raises OSError, Late."""
        if self.tls is None:
            return
        while not _done(self.tls.do_handshake):
            await self._flush(patience)
            await self._fill(patience)
        await self._flush(patience)

    async def hello(self, part: float) -> None:
        """The first octets of it, or a part of them."""
        assert self.tls is not None
        _done(self.tls.do_handshake)
        octets = self._outgoing.read()
        await self._write(octets[: max(1, int(len(octets) * part))], 5)

    # Octets.

    async def send(self, data: bytes, patience: float = 5) -> None:
        """Raises OSError, Late."""
        if self.tls is None:
            await self._write(data, patience)
        else:
            self.tls.write(data)
            await self._flush(patience)

    async def receive(self, patience: float, most: int = _READ) -> bytes:
        """Some octets; b"" when the server has ended its side. Raises OSError, Late."""
        if self.tls is None:
            return await _within(patience, self._loop.sock_recv(self.sock, most))
        while (data := _read(self.tls, most)) is None:
            if not await self._fill(patience, most):
                return b""
        return data

    async def _fill(self, patience: float, most: int = _READ) -> bool:
        data = await _within(patience, self._loop.sock_recv(self.sock, most))
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)

    async def _flush(self, patience: float) -> None:
        data = self._outgoing.read()
        if data:
            await self._write(data, patience)

    async def _write(self, data: bytes, patience: float) -> None:
        await _within(patience, self._loop.sock_sendall(self.sock, data))

    # The end.

    async def notify(self) -> None:
        """A close_notify, and no end of TCP. Raises OSError, Late."""
        assert self.tls is not None
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        await self._flush(2)

    def shut(self) -> None:
        """A FIN, and nothing else: this side reads on."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """A FIN; what comes is answered by a reset, and so is what was not read."""
        self.sock.close()


def _done(step: Callable[[], object]) -> bool:
    """Whether TLS has all that it needs for that."""
    try:
        step()
    except ssl.SSLWantReadError:
        return False
    return True


def _read(tls: ssl.SSLObject, most: int) -> bytes | None:
    """What TLS has to give, b"" at its end, None while it needs more."""
    try:
        return tls.read(most)
    except ssl.SSLWantReadError:
        return None
    except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
        return b""


async def _within(seconds: float, waited: Awaitable[_T]) -> _T:
    try:
        return await asyncio.wait_for(waited, seconds)
    except asyncio.TimeoutError:
        raise Late(f"nothing for {seconds:g} s") from None
