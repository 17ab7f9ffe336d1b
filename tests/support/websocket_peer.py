"""A WebSocket client in memory, the session that serves it, and applications that do what a test says.

Rules of this file: time is what `check(now)` is called with, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.config import Config
from asgiws.drivers.scope import websocket_scope
from asgiws.drivers.websocket import WebSocketSession
from asgiws.http.connection import HTTPConnection
from asgiws.http.parsers import make_parser
from asgiws.http.response import ResponseDefaults
from asgiws.services.runtime import Runtime
from asgiws.services.topics import Topics
from asgiws.websocket.handshake import check
from tests.support.loops import settle
from tests.support.memory_outlet import MemoryOutlet, RecordingDriver
from tests.support.wire import (
    TEXT,
    client_frame,
    server_frames,
)

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FIN = 0x80
#: The first octets of what a server sends.
TEXT_FRAME, BINARY_FRAME, CLOSE_FRAME, PING_FRAME, PONG_FRAME = 0x81, 0x82, 0x88, 0x89, 0x8A

ACCEPT = {"type": "websocket.accept"}

HIGH_WATER = Config("main:app").ws_queue_high
LOW_WATER = Config("main:app").ws_queue_low


def text(payload: str) -> bytes:
    return client_frame(TEXT, payload.encode())


def send_text(payload: str) -> Message:
    return {"type": "websocket.send", "text": payload}


def closed(code: int | None, reason: str = "") -> tuple[int, bytes]:
    """The close frame of a server as `server_frames` gives it."""
    body = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
    return CLOSE_FRAME, body


def disconnect(code: int, reason: str = "") -> Message:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def received(payload: str | bytes) -> Message:
    key = "text" if isinstance(payload, str) else "bytes"
    return {"type": "websocket.receive", key: payload}


class Outlet(MemoryOutlet):
    """It remembers whether the close was to linger. `room` is how many more writes it takes until it is paused,
    None for any number."""

    linger: bool | None = None
    room: int | None = None

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.room is not None:
            self.room -= 1
            self.write_paused = self.write_paused or self.room <= 0

    def close(self, linger: bool = True) -> None:
        if self.linger is None:
            self.linger = linger
        super().close(linger)


_alive: set[Peer] = set()


class Peer:
    """A client, and the session that serves it. `receive` and `send` are those that the application was
    given."""

    receive: Receive
    send: Send

    def __init__(
        self,
        app: Any,
        *fields: str,
        unix: bool = False,
        topics: Topics | None = None,
        **options: Any,
    ) -> None:
        def called(scope: Any, receive: Receive, send: Send) -> Any:
            self.receive, self.send = receive, send
            return app(scope, receive, send)

        loop = asyncio.get_running_loop()
        config = Config(app=app, **options)
        self.runtime = Runtime(called, config, loop, None, None, topics)
        http = HTTPConnection(make_parser("auto"), ResponseDefaults(server=b"", with_date=False))
        lines = [
            "GET /chat?room=1 HTTP/1.1",
            "Host: example.com",
            "Upgrade: websocket",
            "Connection: keep-alive, Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *fields,
        ]
        http.receive_data("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        head = http.next_event()
        http.take_tail()
        http.closing = True
        handshake = check(head)  # type: ignore[arg-type]
        client = None if unix else ("192.0.2.1", 4321)
        facts = MemoryOutlet(RecordingDriver(), client=client)
        scope = websocket_scope(self.runtime, head, facts, handshake.subprotocols)  # type: ignore[arg-type]
        if unix:
            scope["query_string"] = b""
        self.session = WebSocketSession(self.runtime, scope, handshake, http)
        self.outlet = Outlet(self.session, client)
        (self.task,) = self.runtime.tasks
        # A server holds on to its runtime, and so to the application's tasks.
        _alive.add(self)
        self.task.add_done_callback(lambda _: _alive.discard(self))

    async def feed(self, *frames: bytes) -> None:
        """The frames arrive in one read."""
        await self.outlet.feed(b"".join(frames))

    def feed_now(self, *frames: bytes) -> None:
        """The same from within a callback of the loop."""
        if not self.outlet.ended:
            buffer = bytearray(b"<" + b"".join(frames) + b">")
            self.session.receive_data(buffer, 1, len(buffer) - 1)
            buffer[:] = b"?" * len(buffer)

    def feed_eof_now(self) -> None:
        if not self.outlet.ended:
            self.session.receive_eof()

    def resume_writing_now(self) -> None:
        self.outlet.write_paused = False
        self.outlet._wake_drains()
        if not self.outlet.ended:
            self.session.writable()

    def take_response(self) -> bytes:
        """The head of the response that was written, with what follows it when it is no 101."""
        data = self.outlet.take()
        head, _, rest = data.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 101"):
            self.outlet.written += rest
            return head
        return data

    def take(self) -> list[tuple[int, bytes]]:
        return server_frames(self.outlet.take())

    async def open(self) -> None:
        """Let the application accept."""
        await settle()
        assert self.take_response().startswith(b"HTTP/1.1 101 ")

    def last_check(self) -> float:
        return self.outlet.check_times[-1]


class Echo:
    """Accepts, echoes, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Message] = []

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            self.told.append(message)
            if message["type"] == "websocket.connect":
                await send(ACCEPT)
            elif message["type"] == "websocket.receive":
                await send({**message, "type": "websocket.send"})
            else:
                return


class Script:
    """An application that does what the test tells it, one thing after another; each gives what
    came of it."""

    def __init__(self) -> None:
        self.orders: asyncio.Queue[tuple[Callable[..., Awaitable[Any]] | None, Any, Any]] = (
            asyncio.Queue()
        )
        self.told: list[Message] = []

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        async def record() -> Message:
            message = await receive()
            self.told.append(message)
            return message

        self.receive, self.send = receive, send
        while True:
            kind, argument, result = await self.orders.get()
            if kind == "return":
                return
            if kind == "raise":
                raise argument
            try:
                outcome = await (record() if kind == "receive" else send(argument))
            except (ApplicationError, ClientDisconnected) as error:
                if not result.done():
                    result.set_exception(error)
            else:
                if not result.done():
                    result.set_result(outcome)

    def order(self, kind: Any, argument: Any = None) -> asyncio.Future[Any]:
        result = asyncio.get_running_loop().create_future()
        self.orders.put_nowait((kind, argument, result))
        return result

    async def do(self, kind: Any, argument: Any = None) -> Any:
        return await asyncio.wait_for(self.order(kind, argument), 10)


async def scripted(*fields: str, accept: bool = True, **options: Any) -> tuple[Script, Peer]:
    """A scripted application that has received websocket.connect, and accepted unless told not
    to."""
    app = Script()
    peer = Peer(app, *fields, **options)
    await app.do("receive")
    if accept:
        await app.do("send", ACCEPT)
        assert peer.take_response().startswith(b"HTTP/1.1 101 ")
    return app, peer
