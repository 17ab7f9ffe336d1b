"""asgiws' own path of a message within one process: socket, stream, driver, application and back.

Rules of this file:
- The client and the server's end are the two ends of a socketpair, and the client is as little as can be:
  it sends, hands what the server's socket has to the connection, receives and compares.
- A connection is driven from callbacks of the event loop, as the loop drives it, but the loop's own reading
  is off: what is left is asgiws, the application, and three system calls.
- What happens does not depend on time or chance, so that instructions can be counted.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asgiws.config import Config
from asgiws.net.connection import Connection
from asgiws.net.loop_io import LoopIO
from asgiws.net.ticker import Ticker
from asgiws.server.wiring import connection_factory
from asgiws.services.runtime import Runtime
from benchmarks.served.applications import echo

_MASK = bytes((0x37, 0xFA, 0x21, 0x3D))
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_HELLO = b"Hello, world!"
_TURNS = 50


@dataclass(frozen=True)
class Exchange:
    """What goes in at once and what must come back for it; `messages` are in it."""

    name: str
    request: bytes
    reply: bytes
    messages: int = 1
    websocket: bool = True


def masked(payload: bytes, opcode: int) -> bytes:
    """A client's frame that is a whole message."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else bytes((0xFE,)) + size.to_bytes(2, "big")
    mask = (_MASK * (size // 4 + 1))[:size]
    return bytes((0x80 | opcode,)) + length + _MASK + bytes(map(int.__xor__, payload, mask))


def plain(payload: bytes, opcode: int) -> bytes:
    """A server's frame that is a whole message."""
    size = len(payload)
    length = bytes((size,)) if size < 126 else bytes((126,)) + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + payload


_SMALL = b'{"user": 4711, "text": "lorem i"'
_LARGE = bytes(range(256)) * 16
EXCHANGES = (
    Exchange("echo-32b-text", masked(_SMALL, 1), plain(_SMALL, 1)),
    Exchange("echo-4k-binary", masked(_LARGE, 2), plain(_LARGE, 2)),
    Exchange("echo-pipelined-16", masked(_SMALL, 1) * 16, plain(_SMALL, 1) * 16, messages=16),
    Exchange("http-hello", GET, _HELLO, websocket=False),
)


class Failure(Exception):
    """The server answered what it must not; one line for the user."""


class Client:
    """A client and its connection, in the running loop. `open` before `exchange`."""

    def __init__(self, runtime: Runtime, ticker: Ticker) -> None:
        self._loop = runtime.loop
        self._runtime = runtime
        self._ticker = ticker
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)
        self._connection: Connection | None = None

    async def open(self, websocket: bool) -> None:
        """Connect, and upgrade if asked to. Raises Failure."""
        make: Any = connection_factory(self._runtime, self._ticker, LoopIO(self._runtime.call_soon))
        transport, self._connection = await self._loop.connect_accepted_socket(make, self._there)
        transport.pause_reading()
        if websocket:
            upgrade = Exchange("upgrade", UPGRADE, b"\r\n\r\n")
            await self.exchange(upgrade, 1)

    async def exchange(self, what: Exchange, times: int) -> None:
        """Exchange it that often, one after the other. Raises Failure."""
        done = self._loop.create_future()
        self._loop.call_soon(self._step, what.request, what.reply, times, done)
        await done

    def _step(self, request: bytes, reply: bytes, left: int, done: asyncio.Future[None]) -> None:
        connection = self._connection
        assert connection is not None
        send, receive = self._here.send, self._here.recv
        take, buffer, arrived = (
            self._there.recv_into,
            connection.get_buffer(-1),
            connection.buffer_updated,
        )
        while left:
            send(request)
            arrived(take(buffer))
            left -= 1
            try:
                got = receive(65536)
            except BlockingIOError:  # it needs turns of the loop
                self._loop.call_soon(self._await_reply, request, reply, left, done, _TURNS)
                return
            if not got.endswith(reply):
                done.set_exception(Failure(f"a wrong answer: {got[:80]!r}"))
                return
        done.set_result(None)

    def _await_reply(
        self, request: bytes, reply: bytes, left: int, done: asyncio.Future[None], turns: int
    ) -> None:
        try:
            got = self._here.recv(65536)
        except BlockingIOError:
            if turns:
                self._loop.call_soon(self._await_reply, request, reply, left, done, turns - 1)
            else:
                done.set_exception(Failure(f"no answer in {_TURNS} turns of the loop"))
            return
        if got.endswith(reply):
            self._step(request, reply, left, done)
        else:
            done.set_exception(Failure(f"a wrong answer: {got[:80]!r}"))

    async def close(self) -> None:
        """End the connection, and let the server see it."""
        self._here.close()
        if self._connection is not None:
            self._connection.abort()
        await asyncio.sleep(0.01)


async def run(what: Exchange, rows: Sequence[int], mark: Callable[[], object]) -> None:
    """Exchange it as often as the first of `rows` says to warm up, then `mark()`; and as often as each says,
    with a `mark()` after each. Raises Failure."""
    config = Config(echo, access_log=False, ws_ping_interval=0)
    loop = asyncio.get_running_loop()
    client = Client(Runtime(echo, config, loop, None), Ticker(loop))
    try:
        await client.open(what.websocket)
        await client.exchange(what, rows[0])
        mark()
        for times in rows:
            await client.exchange(what, times)
            mark()
    finally:
        await client.close()
