"""Where HTTP hands a connection over to a WebSocket, or answers in its place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgiws.asgi.http import HTTPDriver
from asgiws.asgi.runtime import Runtime
from asgiws.asgi.upgrade import upgrade
from asgiws.asgi.websocket import WebSocketSession
from asgiws.config import Config

from .loops import on_each_loop, settle
from .memory_outlet import MemoryOutlet

HANDSHAKE = (
    b"GET /chat?room=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Application:
    """Accepts, and keeps its scope and the first event after that."""

    def __init__(self) -> None:
        self.scope: Any = None
        self.event: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        await receive()
        await send({"type": "websocket.accept"})
        self.event = await receive()


async def connect(data: bytes, app: Application) -> MemoryOutlet:
    runtime = Runtime(app, Config(app), asyncio.get_running_loop(), None)
    outlet = MemoryOutlet(HTTPDriver(runtime, upgrade))
    await outlet.feed(data)
    await settle()
    return outlet


@on_each_loop
async def test_a_handshake_becomes_a_session_with_what_came_behind_it() -> None:
    app = Application()
    outlet = await connect(HANDSHAKE + b"\x81\x82\0\0\0\0hi", app)
    assert type(outlet.driver) is WebSocketSession
    # RFC 6455, 1.3, has the answer to this key.
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in outlet.take()
    assert (app.scope["type"], app.scope["path"]) == ("websocket", "/chat")
    assert app.scope["query_string"] == b"room=1"
    assert app.event == {"type": "websocket.receive", "text": "hi"}


@pytest.mark.parametrize(
    ("before", "after", "status", "field"),
    [
        (b"Version: 13", b"Version: 8", b"426", b"\r\nsec-websocket-version: 13\r\n"),
        (b"Version: 13", b"Version: 8", b"426", b"\r\nupgrade: websocket\r\n"),
        (b"Version: 13", b"Version: 8", b"426", b"\r\nconnection: upgrade\r\n"),
        (b"dGhl", b"!", b"400", b"content-type: text/plain"),
    ],
)
@on_each_loop
async def test_a_bad_handshake_is_answered_in_http(
    before: bytes, after: bytes, status: bytes, field: bytes
) -> None:
    app = Application()
    outlet = await connect(HANDSHAKE.replace(before, after), app)
    response = outlet.take()
    assert response.startswith(b"HTTP/1.1 " + status)
    assert field in response
    assert type(outlet.driver) is HTTPDriver
    assert app.scope is None
