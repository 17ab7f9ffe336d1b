"""Where HTTP hands a connection over to a WebSocket, or answers in its place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.drivers.http import HTTPDriver
from asgiws.drivers.http_parts import HTTPParts
from asgiws.drivers.upgrade import upgrade
from asgiws.drivers.websocket import WebSocketSession
from asgiws.services.runtime import Runtime
from tests.support.loops import on_each_loop, settle
from tests.support.memory_outlet import MemoryOutlet

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


async def connect(data: bytes, app: Application, **options: Any) -> MemoryOutlet:
    runtime = Runtime(app, Config(app, **options), asyncio.get_running_loop(), None)
    outlet = MemoryOutlet(HTTPDriver(HTTPParts(runtime), upgrade))
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


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"Origin: https://good.example\r\n", b"101"),
        (b"Origin: https://evil.example\r\n", b"403"),
        (b"Origin: null\r\n", b"403"),
        (b"Origin: https://good.example\r\nOrigin: https://evil.example\r\n", b"403"),
        (b"Origin: https://good.example\r\nOrigin: https://good.example\r\n", b"403"),
        (b"", b"403"),
    ],
)
@on_each_loop
async def test_other_origins_are_refused_before_the_application_runs(
    origin: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    app = Application()
    data = HANDSHAKE.replace(b"\r\n\r\n", b"\r\n" + origin + b"\r\n")
    outlet = await connect(data, app, ws_allowed_origins="https://good.example")
    assert outlet.take().startswith(b"HTTP/1.1 " + status)
    assert (app.scope is not None) == (status == b"101")
    assert ("(ws_allowed_origins)" in caplog.text) == (status == b"403")


@on_each_loop
async def test_too_many_websockets(caplog: pytest.LogCaptureFixture) -> None:
    app = Application()
    runtime = Runtime(app, Config(app, limit_websockets=1), asyncio.get_running_loop(), None)
    outlets = [MemoryOutlet(HTTPDriver(HTTPParts(runtime), upgrade)) for _ in range(3)]
    for outlet, status in zip(outlets[:2], (b"101", b"503"), strict=True):
        await outlet.feed(HANDSHAKE)
        await settle()
        assert outlet.take().startswith(b"HTTP/1.1 " + status)
    assert "503, too many WebSockets (limit_websockets)" in caplog.text
    await outlets[0].lose()
    await outlets[2].feed(HANDSHAKE)
    await settle()
    assert outlets[2].take().startswith(b"HTTP/1.1 101")


@on_each_loop
async def test_too_many_handshakes_of_one_address() -> None:
    app = Application()
    runtime = Runtime(app, Config(app, limit_handshakes_per_ip=1), asyncio.get_running_loop(), None)
    for status in (b"101", b"429"):
        outlet = MemoryOutlet(HTTPDriver(HTTPParts(runtime), upgrade))
        await outlet.feed(HANDSHAKE)
        await settle()
        data = outlet.take()
        assert data.startswith(b"HTTP/1.1 " + status)
        assert (b"\r\nretry-after: 1\r\n" in data) == (status == b"429")
