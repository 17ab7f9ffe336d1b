"""Real frameworks over real sockets: Starlette, FastAPI, Django Channels, Socket.IO, ASGI 2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.support.server import RunningServer, serve

HERE = Path(__file__).resolve().parent
#: Seconds until a hanging test is given up.
GUARD = 25


def application(name: str, *, expect_errors: bool = False) -> Callable[[], Iterator[RunningServer]]:
    """A fixture: the application, served once for this file."""

    @pytest.fixture(scope="module")
    def server() -> Iterator[RunningServer]:
        # Frameworks warn of things in themselves, which is not looked at here.
        with serve(name, expect_errors=expect_errors, env={"PYTHONWARNINGS": "ignore"}) as server:
            yield server

    return server


starlette = application("starlette_app:app")
fastapi = application("fastapi_app:app")
channels = application("channels_app:app")
socket_io = application("socketio_app:app")
asgi_2 = application("asgi2_app:App")
faulty_fastapi = application("fastapi_app:app", expect_errors=True)
faulty_channels = application("channels_app:app", expect_errors=True)


def open_socket(server: RunningServer, path: str, **options: Any) -> connect:
    return connect(server.ws_url(path), proxy=None, **options)


def http(server: RunningServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url(""), trust_env=False)


async def end_of(socket: ClientConnection) -> tuple[int, str]:
    await socket.wait_closed()
    return socket.close_code or 0, socket.close_reason or ""


async def in_log(server: RunningServer, entry: Any) -> None:
    """Wait until the application has noted `entry`."""

    async def ask() -> None:
        async with http(server) as client:
            while entry not in (await client.get("/log")).json():
                await asyncio.sleep(0.01)

    await asyncio.wait_for(ask(), GUARD)


# Starlette.


async def test_starlette_endpoint(starlette: RunningServer) -> None:
    offers = [Subprotocol("chat"), Subprotocol("other")]
    async with open_socket(starlette, "/echo", subprotocols=offers) as socket:
        assert socket.subprotocol == "chat"
        for text in ("hello", "", "ü" * 10_000):
            await socket.send(text)
            assert await socket.recv() == f"echo: {text}"
        await socket.close(4001)
    await in_log(starlette, ["disconnect", 4001])


async def test_starlette_endpoint_gets_the_wrong_kind(starlette: RunningServer) -> None:
    """Its own rule: 1003, before it raises."""
    with serve("starlette_app:app", expect_errors=True) as server:
        async with open_socket(server, "/binary") as socket:
            await socket.send(b"\0binary")
            assert await socket.recv() == b"\0binary"
            await socket.send("text")
            assert (await end_of(socket))[0] == 1003


async def test_starlette_iteration(starlette: RunningServer) -> None:
    async with open_socket(starlette, "/iterates") as socket:
        for number in range(3):
            await socket.send(f"[{number}]")
            assert await socket.recv() == f'{{"got":[{number}]}}'
    await in_log(starlette, "iteration ended")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "leaving"), (4321, "the reason")])
async def test_starlette_is_told_code_and_reason(
    starlette: RunningServer, code: int, reason: str
) -> None:
    async with open_socket(starlette, "/tells-code") as socket:
        await socket.close(code, reason)
    await in_log(starlette, [code, reason])


async def test_starlette_is_told_of_a_lost_connection(starlette: RunningServer) -> None:
    async with open_socket(starlette, "/tells-code") as socket:
        socket.transport.abort()
    await in_log(starlette, [1006, ""])


async def test_starlette_send_to_a_client_that_left(starlette: RunningServer) -> None:
    """It makes a WebSocketDisconnect of the OSError that `send()` raises."""
    async with open_socket(starlette, "/sends-to-nobody") as socket:
        assert await socket.recv() == "x"
    await in_log(starlette, ["send told", 1006])


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/denies", 402, b'{"why":"no ticket"}'),
        ("/closes-first", 403, None),
        ("/no-such-path", 403, None),
    ],
)
async def test_starlette_refuses(
    starlette: RunningServer, path: str, status: int, body: bytes | None
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(starlette, path)
    response = caught.value.response
    assert response.status_code == status
    if body is not None:
        assert response.body == body


async def test_starlette_responses(starlette: RunningServer) -> None:
    async with http(starlette) as client:
        response = await client.get("/stream")
        assert response.text.split() == [str(number) for number in range(1000)]
        response = await client.get("/file")
        assert response.content == (HERE / "starlette_app.py").read_bytes()
        assert "attachment" in response.headers["content-disposition"]
        etag = response.headers["etag"]
        response = await client.get("/file", headers={"range": "bytes=3-9"})
        assert response.status_code == 206
        assert response.content == (HERE / "starlette_app.py").read_bytes()[3:10]
        response = await client.head("/file")
        assert response.headers["etag"] == etag
        assert response.content == b""
        response = await client.post("/body", content=b"x" * 300_000)
        assert response.json() == {"size": 300_000, "host": "127.0.0.1"}
        response = await client.get("/no-such-path")
        assert response.status_code == 404
        assert (await client.get("/background")).text == "sent"
    await in_log(starlette, "background done")


async def test_starlette_stream_to_a_client_that_left(starlette: RunningServer) -> None:
    async with http(starlette) as client, client.stream("GET", "/endless") as response:
        async for line in response.aiter_lines():
            assert line == "tick"
            break
    await in_log(starlette, "stream closed")


# FastAPI.


async def test_fastapi_dependency_lives_as_long_as_the_socket(fastapi: RunningServer) -> None:
    async with open_socket(fastapi, "/uses/5") as socket:
        assert await socket.recv() == "5 a resource"
        async with http(fastapi) as client:
            log = (await client.get("/log")).json()
        assert log.count("opened") == log.count("closed") + 1
        await socket.close(4007)
    await in_log(fastapi, 4007)
    async with http(fastapi) as client:
        while (log := (await client.get("/log")).json()).count("opened") > log.count("closed"):
            await asyncio.sleep(0.01)


async def test_fastapi_exception_before_accept(fastapi: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(fastapi, "/guarded?ticket=forged")
    assert caught.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(fastapi, "/uses/not-a-number")
    assert caught.value.response.status_code == 403


async def test_fastapi_exception_after_accept(fastapi: RunningServer) -> None:
    async with open_socket(fastapi, "/guarded?ticket=valid") as socket:
        assert await socket.recv() == "valid"
        await socket.send("more")
        assert await end_of(socket) == (4402, "that was too much")


async def test_fastapi_unexpected_exception(faulty_fastapi: RunningServer) -> None:
    async with open_socket(faulty_fastapi, "/breaks") as socket:
        assert (await end_of(socket))[0] == 1011
    faulty_fastapi.wait_for_log("RuntimeError: a fault of the application")
    await in_log(faulty_fastapi, "closed")


async def test_fastapi_http(fastapi: RunningServer) -> None:
    async with http(fastapi) as client:
        response = await client.post("/upload", content=b"x" * 2_000_000)
        assert response.json() == {"size": 2_000_000}
        answers = await asyncio.gather(*(client.get(f"/sync/{number}") for number in range(20)))
        assert [answer.json()["square"] for answer in answers] == [n * n for n in range(20)]
        assert (await client.get("/sync/x")).status_code == 422
        assert "/upload" in (await client.get("/openapi.json")).json()["paths"]


# Django Channels.


async def test_channels_group(channels: RunningServer) -> None:
    async with (
        open_socket(channels, "/room/one") as first,
        open_socket(channels, "/room/one") as second,
        open_socket(channels, "/room/two") as other,
    ):
        await first.send('{"text": "hello"}')
        assert await first.recv() == '{"text": "hello"}'
        assert await second.recv() == '{"text": "hello"}'
        await other.send('"alone"')
        assert await other.recv() == '"alone"'
        await second.close(4009)
        await in_log(channels, ["left", "one", 4009])
        await first.send("1")
        assert await first.recv() == "1"


async def test_channels_disconnect_is_always_called(channels: RunningServer) -> None:
    async with open_socket(channels, "/room/lost") as socket:
        await socket.send("1")
        assert await socket.recv() == "1"
        socket.transport.abort()
    await in_log(channels, ["left", "lost", 1006])


async def test_channels_refuses(channels: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(channels, "/room/private")
    assert caught.value.response.status_code == 403


async def test_channels_sync_consumer(channels: RunningServer) -> None:
    offers = [Subprotocol("chat")]
    async with open_socket(channels, "/sync", subprotocols=offers) as socket:
        assert socket.subprotocol == "chat"
        for message in ("text", b"bytes", ""):
            await socket.send(message)
            assert await socket.recv() == message
        async with http(channels) as client:
            assert (await client.get("/announce?text=hear")).text == "announced"
        assert await socket.recv() == "hear"
        await socket.send("close")
        assert await end_of(socket) == (4010, "as you wish")
    await in_log(channels, ["sync left", 4010])


async def test_channels_faulty_consumer(faulty_channels: RunningServer) -> None:
    async with open_socket(faulty_channels, "/faulty") as socket:
        await socket.send("break")
        assert (await end_of(socket))[0] == 1011
    faulty_channels.wait_for_log("RuntimeError: a fault of the application")


async def test_django_views(channels: RunningServer) -> None:
    async with http(channels) as client:
        response = await client.post("/page", content=b"x" * 1_000_000)
        assert response.json() == {"method": "POST", "size": 1_000_000}
        response = await client.get("/stream")
        assert response.text.split() == [str(number) for number in range(100)]
        assert (await client.get("/nothing")).status_code == 404
        answers = await asyncio.gather(*(client.get("/page") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}


# Socket.IO.


@pytest.fixture
async def sio(socket_io: RunningServer) -> AsyncIterator[Callable[..., Any]]:
    clients = []

    async def open_client(
        transports: list[str] | None, inbox: asyncio.Queue[Any] | None = None, **options: Any
    ) -> socketio.AsyncClient:
        client = socketio.AsyncClient(reconnection=False)
        clients.append(client)
        client.inbox = inbox or asyncio.Queue()
        for event in ("joined", "said", "connect_error"):
            client.on(event, client.inbox.put)
        await client.connect(socket_io.url(""), transports=transports, **options)
        return client

    yield open_client
    await asyncio.gather(*(client.disconnect() for client in clients))
    for client in clients:
        if client.eio.http is not None:
            await client.eio.http.close()


@pytest.mark.parametrize("transports", [None, ["polling"], ["websocket"]])
async def test_socket_io(sio: Callable[..., Any], transports: list[str] | None) -> None:
    """Polling that upgrades (the default), polling alone, WebSocket alone."""
    room = f"room of {transports}"
    clients = [await sio(transports) for _ in range(2)]
    for client in clients:
        assert client.transport() == ("polling" if transports == ["polling"] else "websocket")
        name = await client.call("transport", timeout=GUARD)
        assert name == client.transport()
        answer = await client.call("ask", {"a": [1, "zwei", None]}, timeout=GUARD)
        assert answer == {"answer": {"a": [1, "zwei", None]}}
        binary = bytes(range(256)) * 400
        answer = await client.call("ask", {"a": binary, "b": [b"", b"x"]}, timeout=GUARD)
        assert answer == {"answer": {"a": binary, "b": [b"", b"x"]}}
        await client.emit("join", room)
        assert await asyncio.wait_for(client.inbox.get(), GUARD) == room
    await clients[0].emit("say", (room, "hello"))
    for client in clients:
        assert await asyncio.wait_for(client.inbox.get(), GUARD) == "hello"
    # As many as a polling client takes in one payload.
    for number in range(10):
        await clients[0].emit("say", (room, number))
    for client in clients:
        got = [await asyncio.wait_for(client.inbox.get(), GUARD) for _ in range(10)]
        assert got == list(range(10))


async def test_socket_io_refuses(sio: Callable[..., Any]) -> None:
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    with pytest.raises(socketio.exceptions.ConnectionError):
        await sio(["websocket"], auth="wrong", wait_timeout=GUARD, inbox=inbox)
    assert (await asyncio.wait_for(inbox.get(), GUARD))["message"] == "wrong password"


# ASGI 2.


async def test_asgi_2(asgi_2: RunningServer) -> None:
    async with http(asgi_2) as client:
        assert (await client.get("/")).text == "2.0"
    async with open_socket(asgi_2, "/") as socket:
        assert await socket.recv() == b"2.0"
        assert await end_of(socket) == (1000, "")
