"""An application behind an HTTP driver, on a connection in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asgiws.bridge.outlet import Driver, Outlet
from asgiws.config import Config
from asgiws.drivers.http import ALONE, HTTPDriver
from asgiws.drivers.http_carrier import HTTPCarrier
from asgiws.drivers.http_parts import HTTPParts
from asgiws.http.head import RequestHead
from asgiws.services.runtime import Runtime
from tests.support.memory_outlet import MemoryOutlet

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
WEBSOCKET = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"ok"}
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
MORE = {**BODY, "more_body": True}
DISCONNECT = {"type": "http.disconnect"}

App = Callable[[Any, Any, Any], Awaitable[None]]

Upgrade = Callable[[RequestHead, Outlet, HTTPCarrier], Driver | None]


def never(head: RequestHead, outlet: Outlet, carrier: HTTPCarrier) -> Driver | None:
    raise AssertionError("no upgrade is expected")


class Served:
    """An application behind a driver on a connection in memory."""

    def __init__(
        self, app: App, upgrade: Upgrade = never, runtime: Runtime | None = None, **options: Any
    ) -> None:
        if runtime is None:
            options = {"server_header": False, "date_header": False, **options}
            config = Config(app="unused:app", **options)
            runtime = Runtime(app, config, asyncio.get_running_loop(), None)
        self.runtime = runtime
        self.driver = HTTPDriver(HTTPParts(runtime), upgrade)
        self.outlet = MemoryOutlet(self.driver)
        self.runtime.connections.add(self.outlet)
        self.clock = 0.0

    async def exchange(self, *reads: bytes) -> bytes:
        """Feed each of `reads`, let the application run after it, and give what was written."""
        for data in reads:
            await self.outlet.feed(data)
            await settle()
        return self.outlet.take()

    async def look(self) -> None:
        """The driver looks once more whether a client is there that has ended its side."""
        self.clock = max(self.clock, self.outlet.loop.time()) + ALONE + 0.001
        await self.outlet.tick(self.clock)
        await settle()


async def settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


async def ok(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            break
    await send(START)
    await send({"type": "http.response.body", "body": body})


class Recorder:
    """An application that keeps what it receives and waits to be told what to send."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.errors: list[BaseException] = []
        self.outbox: asyncio.Queue[Any] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        reader = asyncio.create_task(self.read(receive))
        while (message := await self.outbox.get()) is not None:
            await self.try_to_send(send, message)
            self.outbox.task_done()
        reader.cancel()

    async def try_to_send(self, send: Any, message: Any) -> None:
        try:
            await send(message)
        except Exception as error:
            self.errors.append(error)

    async def read(self, receive: Any) -> None:
        while True:
            self.messages.append(await receive())
            if self.messages[-1] == DISCONNECT:
                return

    async def send(self, *messages: Any) -> None:
        for message in messages:
            self.outbox.put_nowait(message)
        await settle()

    async def send_all(self, *messages: Any) -> None:
        """Return when the last of them was sent, also one that takes a thread's time."""
        for message in messages:
            self.outbox.put_nowait(message)
        await asyncio.wait_for(self.outbox.join(), 10)
        await settle()
