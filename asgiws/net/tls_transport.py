"""Our own transport for a socket with TLS.

Rules of this file:
- In everything that concerns the socket it is a SocketTransport. Its Connection learns of it once the handshake
  is complete; until then it is in `Handshaking.pending`, and the ticker ends it if it takes too long.
- What is read from the socket is decrypted into the worker's buffer and passed on at once; what the application
  answers is encrypted and leaves in one system call, as without TLS.
- A record is as full as it can be: small pieces are joined, since a record costs more than copying them does.
- Data that a peer does not accept waits as the application passed it, and is encrypted, a few records at a
  time, as the socket accepts more: nothing is encrypted for a peer that never reads it. `_size` counts waiting
  data of both kinds.
- A peer's close_notify ends its side of the connection, as its FIN does, and only that: it may still read our
  response (RFC 8446, 6.1). A FIN without a close_notify is treated in the same way: HTTP and WebSocket notice
  truncation by themselves.
- A method of the base class is called by its name: a compiled class of this kind has no `super()`.
- Our side ends with a close_notify and a FIN. What arrives after that is discarded without decrypting it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections import deque
from typing import Any

from asgiws.asgi.types import Address
from asgiws.net import syscalls
from asgiws.net.connection import Connection
from asgiws.net.handshakes import Handshaking
from asgiws.net.poller import Poller
from asgiws.net.transport import SocketTransport
from asgiws.tls.records import RECORD, Records

logger = logging.getLogger("asgiws.error")

#: Records that are encrypted in one go, and leave in one system call: the frame of 64 KiB fits in.
RECORDS = 5

#: How many such chunks are encrypted at most in one turn of the loop.
CHUNKS = 16

_RECORDS = RECORDS
_CHUNKS = CHUNKS
_RECORD = RECORD


class TLSTransport(SocketTransport):
    """The server's end of one TLS connection; `fd` is a connected, non-blocking stream socket.

    It is an entry of a Ticker until its handshake is complete.
    """

    __slots__ = (
        "_client",
        "_deadline",
        "_encrypted",
        "_given",
        "_handshaking",
        "_is_made",
        "_plain",
        "_records",
        "_said_close",
        "_server",
        "bucket",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        poller: Poller,
        fd: int,
        connection: Connection,
        handshaking: Handshaking,
    ) -> None:
        SocketTransport.__init__(self, loop, poller, fd, connection)
        self.bucket = 0
        self._handshaking = handshaking
        #: None until the client has sent something.
        self._records: Records | None = None
        self._client: Address | None = None
        self._server: tuple[str, int | None] | None = None
        self._deadline = 0.0
        #: Whether the handshake is complete and the Connection knows about this transport.
        self._is_made = False
        #: Data that waits to be encrypted.
        self._plain: deque[bytes | memoryview] | None = None
        #: How many octets were encrypted, and how many that gave, including those of the handshake.
        self._given = 0
        self._encrypted = 0
        #: Whether our close_notify was created.
        self._said_close = False

    def start(
        self, client: Address | None, server: tuple[str, int | None] | None, family: int
    ) -> None:
        """Start, as without TLS."""
        if server is None:
            server = syscalls.own_address(self._fd, family)
        self._client = client
        self._server = server
        self._begin()
        self._deadline = self._handshaking.begin(self)

    def _room(self) -> int:
        return len(self._handshaking.buffer)

    # The handshake.

    def tick(self, now: float) -> float:
        """The handshake's deadline may have passed. See Ticker."""
        self.read_now()
        if self._is_made or self._finished:
            return 0.0
        if now < self._deadline:
            return self._deadline
        self._fail(ConnectionAbortedError("it took too long"))
        return 0.0

    def cancel(self) -> None:
        """The server is stopping, and no longer waits for the handshake."""
        if not self._is_made:
            self.abort()

    def _shake(self) -> bool:
        """Continue the handshake; true once it is complete."""
        records = self._records
        assert records is not None
        try:
            is_complete = records.shake()
        except OSError as error:
            self._fail(error)
            return False
        self._send_made()
        if self._finished or not is_complete:
            return False
        self._is_made = True
        self._handshaking.end(self)
        self._connection.attach(self, self._fd, self._client, self._server, True)
        return not self._finished

    def _fail(self, error: OSError) -> None:
        """The handshake has failed; an alert may tell the client."""
        self._handshaking.tell(self._client, error)
        if self._records is not None:
            self._send_made()
        self.abort()

    # In.

    def _take(self) -> bool:
        handshaking = self._handshaking
        buffer = handshaking.buffer
        count = syscalls.receive(self._fd, buffer)
        if count == syscalls.BROKEN:
            self.abort()
        elif count == 0:
            if self._is_made:
                if not self._connection.eof:
                    self._end_in()
            else:
                self._handshaking.tell(self._client, None)
                self.abort()
        elif count > 0:
            if self._said_close or self._closing:
                self._connection.arrived(count)  # which discards it
            else:
                records = self._records
                if records is None:
                    records = self._records = Records(handshaking.context())
                data = handshaking.view[:count]
                if self._is_made:
                    self._decrypt(data)
                else:
                    records.feed(data)
                    self._advance()
            return count == len(buffer)
        return False

    def _advance(self) -> None:
        """Go on with the handshake, then decrypt what was fed."""
        if self._is_made or self._shake():
            self._decrypt(None)

    def _decrypt(self, data: memoryview | None) -> None:
        """Decrypt `data`, and what was fed before, and pass it on."""
        records = self._records
        assert records is not None
        room = self._connection.get_buffer(-1)
        while self._reads() and not self._said_close:
            try:
                count = records.read(room) if data is None else records.take(data, room)
            except ssl.SSLError as error:
                logger.debug("TLS connection broken: %s", error)
                self._send_made()  # an alert that says why
                self.abort()
                return
            data = None
            if count:
                self._connection.arrived(count)
            elif records.ended:
                self._end_in()
                break
            else:
                break
        if data is not None:
            records.feed(data)
        if records.made() and not self._finished:
            self._send_made()  # an answer to a key update

    def _go_on(self) -> None:
        """Reading was resumed, and not everything that was fed has been passed on: octets, or the peer's
        end."""
        try:
            if not self._finished:
                self._advance()
        except Exception as error:
            self._crash(error)

    def resume_reading(self) -> None:
        SocketTransport.resume_reading(self)
        if self._reads() and self._records is not None and self._records.holds_some():
            self._poller.call_soon(self._go_on)

    # Out.

    def write(self, data: bytes | memoryview) -> None:
        if self._plain is not None or self._pending is not None or len(data) > _RECORD:
            self.writelines([data])
        elif data and not self._closing and not self._said_close:
            # Most messages: one record, and nothing waits.
            records = self._records
            assert records is not None
            try:
                records.write(data)
            except ssl.SSLError as error:
                logger.debug("TLS connection broken: %s", error)
                self.abort()
                return
            self._given += len(data)
            self._send_made()
            self._pause_if_full()

    def writelines(self, chunks: list[Any]) -> None:
        """Like `write`, for several pieces, which leave in one system call if they are small enough."""
        if self._closing or self._said_close:
            return
        if self._plain is None:
            self._plain = deque(chunks)
        else:
            self._plain += chunks
        self._size += sum(map(len, chunks))
        if self._pending is None:
            self._refill()
        self._pause_if_full()

    def _refill(self) -> None:
        """Encrypt waiting data as long as the socket accepts it. What is left over has encrypted data in front
        of it, so that the socket is watched."""
        for chunk in range(_CHUNKS):
            if self._plain is None or self._finished:
                return
            try:
                made = self._encrypt(self._plain)
            except ssl.SSLError as error:
                logger.debug("TLS connection broken: %s", error)
                self.abort()
                return
            if not made:
                return  # the pieces were empty
            if chunk == _CHUNKS - 1:
                self._wait_with(deque(made))
            elif not self._send_many(made):
                return

    def _encrypt(self, plain: deque[bytes | memoryview]) -> list[bytes]:
        """The next records of the waiting data, encrypted."""
        records = self._records
        assert records is not None
        made: list[bytes] = []
        while plain and len(made) < _RECORDS:
            record = _next_record(plain)
            if record:
                records.write(record)
                data = records.to_send()
                self._given += len(record)
                self._encrypted += len(data)
                self._size += len(data) - len(record)
                made.append(data)
        if not plain:
            self._plain = None
        return made

    def _send_made(self) -> None:
        """Send what the TLS layer has produced by itself, after what was written."""
        assert self._records is not None
        data = self._records.to_send()
        if data:
            self._encrypted += len(data)
            self._size += len(data)
            if self._pending is None:
                self._send(data)
            else:
                self._pending.append(data)

    def _send(self, data: bytes) -> bool:
        """Send `data`; false if some of it has to wait."""
        sent = syscalls.send(self._fd, data)
        self._size -= sent
        if sent < len(data):
            self._wait_with(deque((memoryview(data)[sent:],)))
            return False
        return True

    def _send_many(self, pieces: list[bytes]) -> bool:
        """Send the pieces in one system call; false if some of them have to wait."""
        if len(pieces) == 1:
            return self._send(pieces[0])
        try:
            sent = os.writev(self._fd, pieces)
        except OSError:
            sent = 0  # full or broken: waiting finds out which
        self._size -= sent
        for at, piece in enumerate(pieces):
            if sent < len(piece):
                self._wait_with(deque((memoryview(piece)[sent:], *pieces[at + 1 :])))
                return False
            sent -= len(piece)
        return True

    def _wait_with(self, pieces: deque[bytes | memoryview]) -> None:
        self._pending = pieces
        self._watch()

    def overhead(self) -> int:
        return self._encrypted - self._given

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The `ssl_object`, once the handshake is complete."""
        if name == "ssl_object" and self._records is not None:
            return self._records.connection
        return default

    # The end.

    def _end_our_side(self) -> None:
        self._say_close()
        if self._pending is None and not self._finished:
            syscalls.shut_down(self._fd)

    def _leave(self) -> None:
        self._say_close()
        if self._pending is None and not self._finished:
            self._finish()

    def _say_close(self) -> None:
        if not self._said_close:
            self._said_close = True
            if self._is_made:
                assert self._records is not None
                self._records.close()
                self._send_made()

    def abort(self) -> None:
        self._plain = None
        SocketTransport.abort(self)

    def _say_lost(self) -> None:
        if self._is_made:
            SocketTransport._say_lost(self)
        else:
            self._handshaking.end(self)
            self._connection.unmade()


def _next_record(plain: deque[bytes | memoryview]) -> bytes | memoryview:
    """Take what the next record holds from the waiting data: as much as there is, up to RECORD octets."""
    piece = plain.popleft()
    size = len(piece)
    if size > _RECORD:
        view = memoryview(piece)
        plain.appendleft(view[_RECORD:])
        return view[:_RECORD]
    if size == _RECORD or not plain:
        return piece
    pieces = [piece]
    while plain and size < _RECORD:
        piece = plain.popleft()
        room = _RECORD - size
        if len(piece) > room:
            view = memoryview(piece)
            plain.appendleft(view[room:])
            piece = view[:room]
        size += len(piece)
        pieces.append(piece)
    return b"".join(pieces)
