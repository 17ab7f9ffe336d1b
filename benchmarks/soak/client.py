"""A client connection: octets over TCP, HTTP responses, and a WebSocket after its handshake.

Rules of this file:
- Pings are answered where they are read, unless `answers_pings` is false: so a client that waits for something
  else, or for nothing, is a live one.
- A wait ends with what it waited for, with Gone, or with Impatient after `patience` seconds.
- What breaks the protocol is kept in `broken` and ends the connection.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import struct
from collections import deque
from typing import NamedTuple, cast

from benchmarks.soak import wire
from benchmarks.soak.wire import Event, Ping, WireError

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_RESET = struct.pack("ii", 1, 0)


class Gone(Exception):
    """The connection has ended before what was waited for came."""


class Impatient(Exception):
    """What was waited for did not come."""


class Refused(Gone):
    """The handshake was answered with something else than 101; `status` says with what."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the handshake was answered with {status}")
        self.status = status


class Response(NamedTuple):
    """An HTTP response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.events: deque[Event] = deque()
        self.answers_pings = True
        #: Read once at a time, and again only when all that came was taken: slow, but steady.
        self.reads_once = False
        #: A guard against hanging: machines are shared.
        self.patience = 90.0
        self.pings = 0
        self.ended = False
        self.broken = ""
        self.deflater: wire.Deflater | None = None
        self._transport = cast("asyncio.Transport", None)
        self._reader: wire.Reader | None = None
        self._shut = False
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    @classmethod
    async def connect(cls, host: str, port: int, receive_buffer: int = 0) -> Client:
        """Connect. Raises OSError."""
        loop = asyncio.get_running_loop()
        if not receive_buffer:
            _, client = await loop.create_connection(cls, host, port)
            return client
        sock = socket.socket()
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await loop.sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        _, client = await loop.create_connection(cls, sock=sock)
        return client

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.reads_once:
            self.pause()
        reader = self._reader
        if reader is None:
            self.data += data
        else:
            reader.feed(data)
            self._read(reader)
        self._wake()

    def _read(self, reader: wire.Reader) -> None:
        try:
            while (event := reader.next()) is not None:
                if type(event) is Ping:
                    self.pings += 1
                    if self.answers_pings:
                        self.write(wire.frame(wire.PONG, event.payload))
                else:
                    self.events.append(event)
        except WireError as error:
            self.broken = str(error)
            self._transport.abort()

    def eof_received(self) -> bool:
        self.ended = True
        self._wake()
        return True  # so that it is closed when the behaviour says so

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._wake()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # Waiting.

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.patience

    async def wait(self, deadline: float = 0.0) -> None:
        """Wait until something comes, if only a ping, or the connection ends. Raises Impatient."""
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_at(deadline or self._deadline(), _give_up, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    async def receive(self) -> Event:
        """The next message, pong or close frame. Raises Gone, Impatient."""
        deadline = 0.0
        while not self.events:
            if self.ended:
                raise Gone(self.broken or "the connection has ended")
            deadline = deadline or self._deadline()
            if self.reads_once:
                self.resume()
            await self.wait(deadline)
        return self.events.popleft()

    async def until_ended(self) -> list[Event]:
        """What still comes, until the server has ended the connection. Raises Impatient."""
        self.resume()
        while not self.ended:
            await self.wait()
        left = list(self.events)
        self.events.clear()
        return left

    async def drain(self) -> None:
        """Wait until what was written is on its way. Raises Gone."""
        if self._writable is not None:
            await self._writable
        if self.ended and self._transport.is_closing():
            raise Gone("the connection has ended")

    # Out.

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing() and not self._shut:
            self._transport.write(data)

    async def send(self, message: str | bytes, pieces: list[bytes] | None = None) -> None:
        """Send a message, in one frame or in these fragments, compressed where that was agreed on."""
        is_text = isinstance(message, str)
        opcode = wire.TEXT if is_text else wire.BINARY
        payload = message.encode() if isinstance(message, str) else message
        flags = 0
        if self.deflater is not None:
            payload, flags = self.deflater.compress(payload), wire.RSV1
        if pieces is None:
            self.write(wire.frame(opcode, payload, flags=wire.FIN | flags))
        else:
            self.write(b"".join(fragments(opcode, payload, flags, len(pieces), pieces)))
        await self.drain()

    def pause(self) -> None:
        """Read no more."""
        if not self._transport.is_closing() and self._transport.is_reading():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    # The end.

    def shut(self) -> None:
        """Send no more: a FIN, and still read."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._shut = True  # pongs too end here
            self._transport.write_eof()

    def close(self) -> None:
        """End the connection: a FIN, once all is written."""
        self._transport.close()

    def reset(self) -> None:
        """End the connection by a TCP reset."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and not self._transport.is_closing():
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass  # it has gone already
        self._transport.abort()

    # HTTP and the handshake.

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of a response. Raises Gone, Impatient."""
        while (end := self.data.find(b"\r\n\r\n")) < 0:
            if self.ended:
                raise Gone(f"the connection has ended behind {bytes(self.data[-60:])!r}")
            await self.wait()
        lines = bytes(self.data[:end]).decode("latin-1").split("\r\n")
        del self.data[: end + 4]
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(lines[0].split(" ")[1]), headers

    async def octets(self, size: int) -> bytes:
        """Exactly so many octets. Raises Gone, Impatient."""
        while len(self.data) < size:
            if self.ended:
                raise Gone(f"the connection has ended {size - len(self.data)} octets too early")
            await self.wait()
        found = bytes(self.data[:size])
        del self.data[:size]
        return found

    async def response(self) -> Response:
        """A whole response, to another method than HEAD. Raises Gone, Impatient."""
        status, headers = await self.head()
        if "content-length" in headers:
            return Response(status, headers, await self.octets(int(headers["content-length"])))
        if headers.get("transfer-encoding") != "chunked":
            await self.until_ended()
            return Response(status, headers, await self.octets(len(self.data)))
        body = b""
        while True:
            while (end := self.data.find(b"\r\n")) < 0:
                if self.ended:
                    raise Gone("the connection has ended within a chunked body")
                await self.wait()
            size = int((await self.octets(end + 2)).strip(), 16)
            body += (await self.octets(size + 2))[:size]
            if size == 0:
                return Response(status, headers, body)

    def ask(self, target: str, deflate: bool) -> bytes:
        """Write the request of a handshake; its key."""
        key = base64.b64encode(os.urandom(16))
        self.write(handshake(target, key, deflate))
        return key

    async def answered(self, key: bytes) -> None:
        """Read the answer to the handshake. Raises Refused, Gone, Impatient."""
        status, headers = await self.head()
        if status != 101:
            raise Refused(status)
        proof = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        if headers.get("sec-websocket-accept") != proof.decode():
            self.broken = "a wrong Sec-WebSocket-Accept"
            self.reset()
            raise Gone(self.broken)
        agreed = [part.strip() for part in headers.get("sec-websocket-extensions", "").split(";")]
        if agreed[0] == "permessage-deflate":
            parameters = dict(part.partition("=")[::2] for part in agreed[1:])
            self.deflater = wire.Deflater(
                int(parameters.get("client_max_window_bits", "15")),
                "client_no_context_takeover" not in parameters,
            )
        self._reader = wire.Reader(self.deflater is not None)
        if self.data:
            self._reader.feed(bytes(self.data))
            self.data.clear()
            self._read(self._reader)


def handshake(target: str, key: bytes, deflate: bool) -> bytes:
    """The request of an opening handshake."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    return (
        f"GET {target} HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key.decode()}\r\n"
        f"{offer if deflate else ''}\r\n"
    ).encode()


def fragments(
    opcode: int, payload: bytes, flags: int, count: int, between: list[bytes]
) -> list[bytes]:
    """A message in `count` frames, with the frames of `between` among them."""
    frames = []
    size = -(-len(payload) // count) or 1
    for number in range(count):
        final = wire.FIN if number == count - 1 else 0
        first = (opcode, flags) if number == 0 else (wire.CONTINUATION, 0)
        piece = payload[number * size : (number + 1) * size]
        frames.append(wire.frame(first[0], piece, flags=final | first[1]))
        if number < count - 1:
            frames.append(between[number])
    return frames


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(Impatient("nothing came"))
