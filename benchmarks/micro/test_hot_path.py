"""Decoder, encoder, mask, UTF-8, the session's queue, the HTTP head and response: each on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from asgiws.bridge.outlet import Driver, Outlet
from asgiws.config import Config
from asgiws.drivers.http import HTTPDriver
from asgiws.drivers.http_parts import HTTPParts
from asgiws.drivers.upgrade import upgrade
from asgiws.http.connection import EndOfRequest, HTTPConnection
from asgiws.http.parsers import make_parser
from asgiws.http.response import ResponseDefaults
from asgiws.services.runtime import Runtime
from asgiws.websocket.connection import WebSocketConnection
from asgiws.websocket.mask import apply_mask
from asgiws.websocket.messages import MessageReader
from asgiws.websocket.utf8 import Utf8Validator
from benchmarks.inside import GET, UPGRADE, masked, plain
from benchmarks.served.applications import echo

Benchmark = Callable[..., Any]

SMALL = b'{"user": 4711, "text": "lorem i"'
TEXT, BINARY = 1, 2
SIZES = {"32b": 32, "4k": 4096, "60k": 60_000}
MAX_SIZE = 1 << 24


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_decode_binary(benchmark: Benchmark, size: int) -> None:
    payload = bytes(size)
    frame = masked(payload, BINARY)
    reader = MessageReader(MAX_SIZE)

    def decode() -> object:
        reader.feed(bytearray(frame), 0, len(frame))  # anew, for it is unmasked in place
        return reader.next_event()

    assert benchmark(decode) == payload


def test_decode_16_text_messages(benchmark: Benchmark) -> None:
    frames = masked(SMALL, TEXT) * 16
    reader = MessageReader(MAX_SIZE)

    def decode() -> list[object]:
        reader.feed(bytearray(frames), 0, len(frames))
        events: list[object] = []
        while (event := reader.next_event()) is not None:
            events.append(event)
        return events

    assert benchmark(decode) == [SMALL.decode()] * 16


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_encode_text(benchmark: Benchmark, size: int) -> None:
    connection = WebSocketConnection()
    connection.open(MAX_SIZE, None)
    text = "x" * size
    frame = b"".join(benchmark(connection.text, text))
    assert frame == plain(text.encode(), TEXT)


@pytest.mark.parametrize("size", [32, 4096, 1 << 20], ids=["32b", "4k", "1m"])
def test_mask(benchmark: Benchmark, size: int) -> None:
    payload, key = bytes(range(256)) * (size // 256 + 1), b"\x37\xfa\x21\x3d"
    data = payload[:size]
    assert apply_mask(benchmark(apply_mask, data, key), key) == data


@pytest.mark.parametrize(
    "text", ["lorem ipsum ", "čeština ", "日本語テキスト"], ids=["ascii", "latin", "cjk"]
)
def test_utf8_4k(benchmark: Benchmark, text: str) -> None:
    data = (text * 500).encode()[:4096].decode(errors="ignore").encode()
    validator = Utf8Validator()

    def validate() -> bool:
        validator.feed(data)
        validator.finish()
        return True

    assert benchmark(validate)


class Sink(Outlet):
    """A connection in memory that keeps what was written last."""

    client, server, secure, write_paused = ("192.0.2.1", 4321), ("192.0.2.2", 80), False, False

    def __init__(self, runtime: Runtime) -> None:
        self.loop = runtime.loop
        self.driver: Driver = HTTPDriver(HTTPParts(runtime), upgrade)
        self.written = b""
        self.driver.connected(self)

    def write(self, data: bytes) -> None:
        self.written = data

    def writelines(self, chunks: list[bytes]) -> None:
        self.written = b"".join(chunks)

    def hand_over(self, driver: Driver, tail: bytes) -> None:
        self.driver = driver
        driver.connected(self)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def check_at(self, when: float) -> None:
        pass

    def watch_sending(self, timeout: float) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def close(self, linger: bool = True) -> None:
        pass

    def receive(self, data: bytes) -> bytes:
        self.driver.receive_data(bytearray(data), 0, len(data))
        return self.written


@pytest.mark.parametrize("messages", [1, 16])
def test_queue(benchmark: Benchmark, messages: int) -> None:
    """From a read's octets through receive() and send() of an application to the octets to write."""
    frames = masked(SMALL, TEXT) * messages

    async def run() -> bytes:
        loop = asyncio.get_running_loop()
        config = Config(echo, access_log=False, ws_ping_interval=0)
        runtime = Runtime(echo, config, loop, None)
        sink = Sink(runtime)
        sink.receive(UPGRADE)
        await asyncio.sleep(0.05)
        assert sink.written.startswith(b"HTTP/1.1 101")
        done: asyncio.Future[bytes] = loop.create_future()

        def measure() -> None:  # in a callback, as a read is
            try:
                done.set_result(benchmark(sink.receive, frames))
            except Exception as error:
                done.set_exception(error)

        loop.call_soon(measure)
        try:
            return await done
        finally:
            for task in runtime.tasks:
                task.cancel()
            await asyncio.sleep(0)

    assert asyncio.run(run()) == plain(SMALL, TEXT)


@pytest.mark.parametrize("parser", ["httptools", "h11"])
def test_http_request_and_response(benchmark: Benchmark, parser: str) -> None:
    connection = HTTPConnection(make_parser(parser), ResponseDefaults([], b"asgiws", True))
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]

    def serve() -> bytes:
        connection.receive_data(GET)
        connection.next_event()
        assert type(connection.next_event()) is EndOfRequest
        connection.start_response(200, headers)
        return b"".join(connection.send_body(b"Hello, world!", False))

    response = benchmark(serve)
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert response.endswith(b"\r\n\r\nHello, world!")
