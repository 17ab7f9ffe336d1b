"""TLS on one connection: octets of the socket in, octets of the application out, and the other way round.

Rules of this file:
- OpenSSL does it, between two buffers in memory (`ssl.MemoryBIO`). No socket, no loop.
- `feed` what came, then `shake` until it is true, then `read` until it gives 0. Whatever is called,
  `to_send` has something for the peer afterwards, perhaps: a handshake's answer, an alert, a key update.
- What OpenSSL refuses is an `ssl.SSLError`, after which nothing is read any more.
- Python gives no way to shrink those buffers: they stay as large as what was in them at once. So nobody
  feeds or writes more than some ten thousand octets at a time.
"""

from __future__ import annotations

import ssl
from typing import Any


class Records:
    """The server's end of one TLS connection under `context`."""

    __slots__ = ("_error", "_in", "_out", "_ssl", "ended")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._in, self._out, server_side=True)
        #: The peer has said that it sends no more (close_notify; RFC 8446, 6.1), and all before that was read.
        self.ended = False
        self._error: ssl.SSLError | None = None

    @property
    def connection(self) -> ssl.SSLObject:
        """What knows of certificates, ciphers and versions."""
        return self._ssl

    # From the socket.

    def feed(self, data: memoryview) -> None:
        """Take octets that came; they may be overwritten afterwards."""
        self._in.write(data)

    def holds_some(self) -> bool:
        """True while something was fed and not read, and once the peer's end was read."""
        return self.ended or self._in.pending > 0 or self._ssl.pending() > 0

    def shake(self) -> bool:
        """Go on with the handshake; true once it is complete. Raises ssl.SSLError when it has failed."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def read(self, room: memoryview) -> int:
        """Decrypt what was fed into `room`, as far as it goes: how many octets, 0 when more is to be fed first.

        Raises ssl.SSLError for what is no TLS, once everything before it was given out.
        """
        if self._error is not None:
            raise self._error
        size = len(room)
        count = 0
        try:
            while count < size and not self.ended:
                # Without the look, the end of nearly every read would be an exception.
                if not self._in.pending and not self._ssl.pending():
                    break
                # With a buffer it returns the number; the stubs know of the octets only.
                piece: Any = self._ssl.read(size - count, room[count:] if count else room)
                if piece == 0:
                    self.ended = True
                count += piece
        except ssl.SSLWantReadError:
            pass  # a part of a record
        except ssl.SSLError as error:
            if not count:
                raise
            self._error = error
        return count

    # To the socket.

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt `data`. Raises ssl.SSLError."""
        self._ssl.write(data)

    def close(self) -> None:
        """Say that we send no more (close_notify); nothing may be written afterwards."""
        try:
            self._ssl.unwrap()
        except ssl.SSLError:
            pass  # the peer has not said so yet, and need not, or is in the middle of something

    def made(self) -> int:
        """How many octets wait for `to_send`."""
        return self._out.pending

    def to_send(self) -> bytes:
        """Take what is to be sent."""
        return self._out.read()
