"""Counts what it handles of everybody: plain ASGI, for test_fairness.py.

An echo answers with how many messages and requests of others were handled since it was last heard of. What is
held receives nothing before it is released.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

handled = 0
released = asyncio.Event()


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    global handled
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    if scope["type"] == "http":
        body = b""
        if scope["path"] == "/peak":
            with open("/proc/self/status", "rb") as file:
                body = b"".join(line.split()[1] for line in file if line.startswith(b"VmHWM:"))
        elif scope["path"] == "/release":
            released.set()
        else:
            handled += 1
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body})
        return
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/held":
        await released.wait()
        count = 0
        while (await receive()).get("text") != "end":
            count += 1
        await send({"type": "websocket.send", "text": str(count)})
        released.clear()
        return
    echo = scope["path"] == "/echo"
    before = handled
    while (await receive())["type"] == "websocket.receive":
        if echo:
            await send({"type": "websocket.send", "text": str(handled - before)})
            before = handled
        else:
            handled += 1
