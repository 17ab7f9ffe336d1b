"""`asgiws/bridge/exchange.py`: what is the same for a request and a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError
from asgiws.bridge.exchange import Exchange, Receive, Send
from asgiws.config import Config
from asgiws.drivers.http import HTTPDriver
from asgiws.drivers.http_parts import HTTPParts
from asgiws.services.runtime import Runtime
from tests.support.loops import on_each_loop, settle
from tests.support.memory_outlet import MemoryOutlet
from tests.support.websocket_peer import Peer


def request(app: Any) -> MemoryOutlet:
    runtime = Runtime(app, Config(app=app), asyncio.get_running_loop(), None)
    return MemoryOutlet(HTTPDriver(HTTPParts(runtime), lambda *_: None))


async def begin_request(app: Any) -> None:
    await request(app).feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")


async def begin_websocket(app: Any) -> None:
    Peer(app)
    await settle()


BOTH = pytest.mark.parametrize("begin", [begin_request, begin_websocket])


@BOTH
@on_each_loop
async def test_receive_and_send_are_of_the_same_kinds(begin: Callable[[Any], Any]) -> None:
    kinds: list[type] = []
    owners: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        owners.extend(isinstance(one.__self__, Exchange) for one in (receive, send))
        first, second = receive(), send({"type": "nonsense"})
        kinds.extend([type(first), type(second)])
        assert asyncio.iscoroutine(first)
        first.close()
        with pytest.raises(ApplicationError, match="nonsense"):
            await second
        raise asyncio.CancelledError

    await begin(app)
    await settle()
    assert kinds == [Receive, Send]
    assert owners == [True, True]


@BOTH
@on_each_loop
async def test_one_that_is_cancelled_leaves_the_line(begin: Callable[[Any], Any]) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            seen.append((await receive())["type"])  # websocket.connect
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seen.append("cancelled")

    await begin(app)
    await settle()
    assert seen[-1] == "cancelled"


@pytest.mark.parametrize("message", [None, 5, {}, {"kind": "x"}, "text"])
@BOTH
@on_each_loop
async def test_what_is_no_message(begin: Callable[[Any], Any], message: Any) -> None:
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(message)
        except ApplicationError as error:
            errors.append(str(error))

    await begin(app)
    await settle()
    assert len(errors) == 1
    assert "'type'" in errors[0]
