"""TLS on one connection: encrypted octets of the socket in, octets of the application out, and vice versa.

Rules of this file:
- OpenSSL does the work, between two memory buffers (`ssl.MemoryBIO`). No socket, no event loop.
- `feed` incoming data, then `shake` until it is true, then `read` until it returns 0. After any of these calls,
  `to_send` may have something for the peer: an answer of the handshake, an alert, a key update.
- OpenSSL does not look at the client's certificate again when a session is resumed, and TLS 1.3 lets a client
  renew a session for ever. So here it must still be valid then.
- If OpenSSL rejects data, that is an `ssl.SSLError`, after which nothing more is read.
- Python cannot shrink those buffers: they stay as large as the most that they ever held. So `take` feeds PIECE
  octets at a time, and no more should be written before the next `to_send`.
- The calls go to the object behind Python's SSLObject, whose methods only pass them on: a frame of Python's for
  each of the two calls of a message. That object is private: where a Python has none, the SSLObject itself
  serves.
"""

from __future__ import annotations

import ssl
from datetime import datetime, timezone
from typing import Any

from asgiws.tls import x509

#: Octets that are fed at a time: a full record of TLS 1.3, as it arrives.
PIECE = 16406

#: Octets of a full record: no more should be written at a time.
RECORD = 16384

_PIECE = PIECE


class Records:
    """The server's end of one TLS connection with `context`."""

    __slots__ = ("_error", "_in", "_inner", "_is_dry", "_out", "_ssl", "ended")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._in, self._out, server_side=True)
        self._inner: Any = getattr(self._ssl, "_sslobj", self._ssl)
        #: Whether a read is known to need more data first.
        self._is_dry = True
        #: The peer has said that it sends no more (close_notify; RFC 8446, 6.1), and all data before was read.
        self.ended = False
        self._error: ssl.SSLError | None = None

    @property
    def connection(self) -> ssl.SSLObject:
        """The object that knows certificates, ciphers and versions."""
        return self._ssl

    # From the socket.

    def feed(self, data: memoryview) -> None:
        """Take incoming octets; they may be overwritten afterwards."""
        self._in.write(data)
        self._is_dry = False

    def holds_some(self) -> bool:
        """True while data was fed but not read, and once the peer's end or a fault was read."""
        if self.ended or self._error is not None:
            return True
        return self._in.pending > 0 or self._inner.pending() > 0

    def shake(self) -> bool:
        """Continue the handshake; true once it is complete. Raises ssl.SSLError if it has failed."""
        try:
            self._inner.do_handshake()
        except ssl.SSLWantReadError:
            return False
        if self._inner.session_reused:
            _verify_again(self._ssl)
        return True

    def take(self, data: memoryview, room: memoryview) -> int:
        """Feed `data` and decrypt it into `room`. Returns the number of octets; `read` has what is left.

        Raises ssl.SSLError as `read` does.
        """
        size = len(data)
        if size <= _PIECE:
            self.feed(data)
            return self.read(room)
        at = count = 0
        while at < size:
            self.feed(data[at : at + _PIECE])
            at += _PIECE
            if self._error is None and count < len(room):
                try:
                    count += self.read(room[count:])
                except ssl.SSLError as error:
                    if not count:
                        raise
                    self._error = error
        return count

    def read(self, room: memoryview) -> int:
        """Decrypt fed data into `room`. Returns the number of octets, 0 if more must be fed first.

        Raises ssl.SSLError for data that is not TLS, after everything before it was returned.
        """
        if self._error is not None:
            raise self._error
        size = len(room)
        count = 0
        try:
            while count < size and not self._is_dry and not self.ended:
                piece: int = self._inner.read(size - count, room[count:] if count else room)
                if piece == 0:
                    self.ended = True
                count += piece
                # OpenSSL returns the rest of one record. Without this check, nearly every read would end with
                # an exception.
                if count < size and not self._in.pending:
                    self._is_dry = True
        except ssl.SSLWantReadError:
            self._is_dry = True  # a part of a record
        except ssl.SSLError as error:
            if not count:
                raise
            self._error = error
        return count

    # To the socket.

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt `data`. Raises ssl.SSLError."""
        self._inner.write(data)

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
        """Take the data to send."""
        return self._out.read()


def _verify_again(connection: ssl.SSLObject) -> None:
    """Raise SSLCertVerificationError if the client's certificate, if it has one, is not valid any more."""
    der = connection.getpeercert(True)
    if der is None:
        return
    try:
        first, last = x509.validity(der)
        is_valid = first <= datetime.now(timezone.utc) <= last
    except ValueError:
        is_valid = False
    if not is_valid:
        error = ssl.SSLCertVerificationError("the certificate of a resumed session has expired")
        error.verify_message = "certificate has expired"
        raise error
