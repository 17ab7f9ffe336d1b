"""Streams, by Starlette and plain ASGI, for clients that leave.

Each handler counts in `COUNTS` how often it began and how it ended; `/counts` tells.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import contextmanager
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

COUNTS: Counter[str] = Counter()
MORE = {"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True}
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream")],
}


@contextmanager
def counted(name: str) -> Any:
    COUNTS[f"{name} began"] += 1
    try:
        yield
    except asyncio.CancelledError:
        COUNTS[f"{name} cancelled"] += 1
        raise
    except OSError:
        COUNTS[f"{name} told by send"] += 1
        raise
    finally:
        COUNTS[f"{name} ended"] += 1


# Starlette.


async def idle(request: Request) -> Response:
    """One event, and then none."""

    async def events() -> AsyncIterator[bytes]:
        with counted(request.url.path):
            yield b"data: hello\n\n"
            await asyncio.Event().wait()

    return StreamingResponse(events(), media_type="text/event-stream")


async def ticks(request: Request) -> Response:
    async def events() -> AsyncIterator[bytes]:
        with counted(request.url.path):
            while True:
                yield b"data: tick\n\n"
                await asyncio.sleep(0.05)

    return StreamingResponse(events(), media_type="text/event-stream")


async def three(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"piece %d\n" % number
            await asyncio.sleep(0.3)

    return StreamingResponse(pieces())


class Through(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        return response


routes = [
    Route("/idle", idle, methods=["GET", "POST"]),
    Route("/ticks", ticks),
    Route("/three", three),
]
starlette = Starlette(routes=routes)
wrapped = Starlette(
    routes=[Route("/wrapped-idle", idle), Route("/wrapped-three", three)],
    middleware=[Middleware(Through)],
)


# Plain ASGI.


async def sends(send: Any) -> None:
    """Never receive; send until it raises."""
    await send(START)
    while True:
        await send(MORE)
        await asyncio.sleep(0.05)


async def group(send: Any) -> None:
    """The same, in a task group in a task group."""
    async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
        inner.start_soon(sends, send)
        outer.start_soon(anyio.sleep, 0)


async def group_and_more(send: Any) -> None:
    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("of its own")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fails)
        tasks.start_soon(sends, send)


async def deaf(send: Any) -> None:
    """Neither receive nor send, once begun."""
    await send(START)
    await send(MORE)
    await asyncio.Event().wait()


async def silent(send: Any) -> None:
    """Do not even begin."""
    await asyncio.Event().wait()


async def slow(send: Any) -> None:
    """Never receive; send now and then for a while."""
    await send(START)
    for _ in range(4):
        await send(MORE)
        await asyncio.sleep(0.5)
    await send({**MORE, "more_body": False})


async def parts(send: Any) -> None:
    """Parts of this file, by zerocopysend, among pieces of a body."""
    part = {"type": "http.response.zerocopysend", "more_body": True}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    with open(__file__, "rb") as file:
        await send({**part, "file": file, "count": 10})
        await send({**MORE, "body": b"<between>"})
        await send({**part, "file": file, "offset": 20, "count": 30})
        await send({**part, "file": file.fileno(), "offset": 0, "count": 5})
        await send({**part, "file": file, "more_body": False})


async def big(send: Any) -> None:
    """A file of 64 MiB, which is gone already, in one."""
    fd = os.memfd_create("big")
    try:
        os.truncate(fd, 64 << 20)
        os.pwrite(fd, b"begin", 0)
        os.pwrite(fd, b"end", (64 << 20) - 3)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % (64 << 20))],
            }
        )
        await send({"type": "http.response.zerocopysend", "file": fd})
    finally:
        os.close(fd)


async def counts(send: Any) -> None:
    await send({**START, "headers": [(b"content-type", b"application/json")]})
    await send({**MORE, "body": json.dumps(COUNTS).encode(), "more_body": False})


PLAIN = {
    "/" + handler.__name__.replace("_", "-"): handler
    for handler in (sends, group, group_and_more, deaf, silent, slow, parts, big)
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    path = scope.get("path")
    if scope["type"] == "lifespan" or path == "/counts":
        if path:
            await counts(send)
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(push, send)
        return
    handler = PLAIN.get(path)
    if handler is not None:
        with counted(path):
            await handler(send)
    elif path.startswith("/wrapped"):
        await wrapped(scope, receive, send)
    elif path == "/extensions":
        await send(START)
        names = json.dumps(sorted(scope["extensions"])).encode()
        await send({**MORE, "body": names, "more_body": False})
    else:
        await starlette(scope, receive, send)


async def push(send: Any) -> None:
    while True:
        await send({"type": "websocket.send", "text": "tick"})
        await asyncio.sleep(0.05)
