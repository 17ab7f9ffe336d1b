"""An application that turns the garbage collector off, and tells what it has that is still alive."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
import weakref
from collections import Counter
from contextvars import ContextVar
from typing import Any

gc.disable()


#: What there is for each call, and for each connection.
KINDS = (
    "Task",
    "Runner",
    "Context",
    "Connection",
    "CountedConnection",
    "SocketTransport",
    "TLSTransport",
    "SSLObject",
    "HTTPDriver",
    "HTTPExchange",
    "HTTPCarrier",
    "HTTPConnection",
    "WebSocketSession",
)


class Payload:
    """What a call has."""


payloads: weakref.WeakSet[Payload] = weakref.WeakSet()
variable: ContextVar[Any] = ContextVar("variable")
request: ContextVar[str] = ContextVar("request", default="none")

_make_record = logging.getLogRecordFactory()


def _with_request(*arguments: Any, **options: Any) -> logging.LogRecord:
    record = _make_record(*arguments, **options)
    record.msg = f"[request {request.get()}] {record.msg}"
    return record


logging.setLogRecordFactory(_with_request)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    path = scope["path"]
    if path == "/alive":
        kinds = Counter(type(thing).__name__ for thing in gc.get_objects())
        counts = {kind: kinds[kind] for kind in KINDS}
        await answer(send, json.dumps([len(payloads), counts]).encode())
        return
    payload = Payload()
    payloads.add(payload)
    variable.set(payload)
    request.set(path)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
    await WAYS[path](receive, send)


async def answer(send: Any, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


async def at_once(receive: Any, send: Any) -> None:
    await answer(send, b"x")


async def blocks(receive: Any, send: Any) -> None:
    time.sleep(2.5)
    await answer(send, b"x")


async def waits(receive: Any, send: Any) -> None:
    await asyncio.sleep(0)
    await answer(send, b"x")


async def raises(receive: Any, send: Any) -> None:
    raise ValueError("at once")


async def raises_later(receive: Any, send: Any) -> None:
    await asyncio.sleep(0)
    raise ValueError("later")


async def is_cancelled(receive: Any, send: Any) -> None:
    asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)  # type: ignore[union-attr]
    await asyncio.sleep(3600)


async def listens(receive: Any, send: Any) -> None:
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass


async def streams(receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        await asyncio.sleep(0.01)


async def pushes(receive: Any, send: Any) -> None:
    while True:
        await send({"type": "websocket.send", "text": "x" * 1000})
        await asyncio.sleep(0.01)


async def goes_on(receive: Any, send: Any) -> None:
    await asyncio.sleep(3600)


async def raises_on_a_message(receive: Any, send: Any) -> None:
    await receive()
    raise ValueError("on a message")


WAYS = {
    f"/{way.__name__}": way
    for way in (
        at_once,
        blocks,
        waits,
        raises,
        raises_later,
        is_cancelled,
        listens,
        streams,
        pushes,
        goes_on,
        raises_on_a_message,
    )
}
