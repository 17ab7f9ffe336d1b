"""A connection begins with HTTP, and the event loop knows it as a protocol with buffers of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.net.acceptor import Acceptor
from asgiws.net.handshakes import Handshaking
from asgiws.net.loop_io import LoopIO
from asgiws.net.outbox import Outbox
from asgiws.net.poller import AVAILABLE, Poller
from asgiws.net.ticker import Ticker
from asgiws.server.wiring import connection_factory
from asgiws.services.runtime import Runtime
from tests.support.loops import on_each_loop


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@on_each_loop
async def test_requests_are_served_over_a_real_socket() -> None:
    loop = asyncio.get_running_loop()
    runtime = Runtime(hello, Config(hello), loop, None)
    ticker = Ticker(loop)
    server = await loop.create_server(
        connection_factory(runtime, ticker, LoopIO(runtime.call_soon)), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for close in (b"", b"ServedConnection: close\r\n"):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n" + close + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert await reader.readexactly(5) == b"hello"
    (connection,) = runtime.connections
    assert isinstance(connection, asyncio.BufferedProtocol)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    while runtime.connections:
        await asyncio.sleep(0)
    server.close()
    ticker.close()


@on_each_loop
async def test_one_connection_too_many_is_told_so_and_counts_no_longer_once_it_has_gone() -> None:
    loop = asyncio.get_running_loop()
    runtime = Runtime(hello, Config(hello, limit_per_ip=1), loop, None)
    ticker = Ticker(loop)
    server = await loop.create_server(
        connection_factory(runtime, ticker, LoopIO(runtime.call_soon)), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]

    _, first = await asyncio.open_connection("127.0.0.1", port)
    while not runtime.connections:
        await asyncio.sleep(0.001)
    answer = await ask(port)
    assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"\r\nretry-after: 1\r\n" in answer
    assert answer.endswith(b"\r\n\r\ntoo many connections from this address\n")
    first.close()
    await first.wait_closed()
    while runtime.connections:
        await asyncio.sleep(0.001)
    assert (await ask(port)).startswith(b"HTTP/1.1 200 ")
    server.close()
    ticker.close()


@on_each_loop
async def test_behind_the_proxy_protocol_clients_are_counted_and_not_the_proxy() -> None:
    loop = asyncio.get_running_loop()
    config = Config(hello, limit_per_ip=1, limit_connections=3, proxy_protocol=True)
    runtime = Runtime(hello, config, loop, None)
    ticker = Ticker(loop)
    server = await loop.create_server(
        connection_factory(runtime, ticker, LoopIO(runtime.call_soon)), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]

    def preface(host: str) -> bytes:
        return f"PROXY TCP4 {host} 198.51.100.1 1 80\r\n".encode()

    # One of the proxy's own, and one of a client.
    writers = []
    for said in (b"PROXY UNKNOWN\r\n", preface("192.0.2.1")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
        writers.append(writer)
    assert (await ask(port, preface("192.0.2.2"))).startswith(b"HTTP/1.1 200 ")
    answer = await ask(port, preface("192.0.2.1"))
    assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writers.append(writer)
    while len(runtime.connections) < 3:
        await asyncio.sleep(0.001)
    assert (await ask(port, preface("192.0.2.3"))).startswith(b"HTTP/1.1 503 ")
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    while runtime.connections:
        await asyncio.sleep(0.001)
    assert (await ask(port, preface("192.0.2.1"))).startswith(b"HTTP/1.1 200 ")
    server.close()
    ticker.close()


async def ask(port: int, preface: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(preface + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.skipif(not AVAILABLE, reason="needs a Poller")
@on_each_loop
async def test_one_whose_handshake_cannot_begin_counts_no_longer() -> None:
    loop = asyncio.get_running_loop()
    runtime = Runtime(hello, Config(hello, limit_connections=10), loop, None)
    ticker, poller = Ticker(loop), Poller(loop, Outbox(runtime.call_soon))
    poller.close()  # it can watch nobody
    certificates = SimpleNamespace(context=ssl.create_default_context(), handshake_timeout=10.0)
    pending: set[Any] = set()
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    acceptor = Acceptor(
        loop,
        sock,
        connection_factory(runtime, ticker, LoopIO(runtime.call_soon)),
        certificates,
        pending,
        runtime.notices,
        poller,
        handshaking=Handshaking(loop, ticker, certificates, pending, runtime.notices),
    )
    acceptor.start()
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    assert await reader.read() == b""
    assert runtime.admission._connections == 0
    assert not pending
    writer.close()
    acceptor.close()
    sock.close()
