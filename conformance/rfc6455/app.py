"""The application under the cases, for a test in memory and for a server that is started.

Rules of this file:
- What a case says that the application does, and nothing else. It sees ASGI, no server.
- `/ID?NAME` is the case of that id; `/told?NAME` then gives what its application was told, once it
  has ended, as a Python literal.
"""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, unquote

from conformance.rfc6455 import notation
from conformance.rfc6455.notation import Case, Event
from conformance.rfc6455.table import CASES

Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class Deliberate(Exception):
    """What an application raises that is to raise."""


async def perform(
    case: Case, scope: Event, receive: Receive, send: Send, told: list[Event]
) -> None:
    """Do what the case's application does; `told` collects what it is told."""

    async def take() -> Event:
        event = await receive()
        if event["type"] != "websocket.connect":
            # Either of the two keys may be missing or None.
            told.append({key: value for key, value in event.items() if value is not None})
        return event

    async def give(event: Event) -> None:
        try:
            await send(event)
        except Exception:
            told.append(notation.REFUSED)

    for step in case.does:
        if isinstance(step, dict):
            await give(step)
        elif step == notation.RAISE:
            raise Deliberate
        elif step == notation.SUBPROTOCOLS:
            told.append({"type": step, "names": list(scope["subprotocols"])})
        elif step == notation.RECEIVE:
            while (await take())["type"] == "websocket.connect":
                pass
        else:
            while (event := await take())["type"] != "websocket.disconnect":
                if step == notation.ECHO and event["type"] == "websocket.receive":
                    await give({**event, "type": "websocket.send"})


def path(case: Case, name: str) -> str:
    return f"/{quote(case.id)}?{name}"


def read_report(body: bytes) -> tuple[Event, ...] | None:
    """What `/told` answered; None when the application was not called."""
    told = ast.literal_eval(body.decode())
    return None if told is None else tuple(told)


_TOLD: dict[str, tuple[list[Event], asyncio.Event]] = {}


async def app(scope: Any, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    name = scope["query_string"].decode()
    if scope["type"] == "http":
        await _http(scope, name, send)
        return
    told: list[Event] = []
    ended = asyncio.Event()
    _TOLD[name] = told, ended
    try:
        await perform(CASES[unquote(scope["path"])[1:]], scope, receive, send, told)
    finally:
        ended.set()


async def _http(scope: Event, name: str, send: Send) -> None:
    status, body = 404, b"this is no WebSocket"
    if scope["path"] == "/told":
        told, ended = _TOLD.pop(name, (None, None))
        if ended is not None:
            await ended.wait()
        status, body = 200, repr(told).encode()
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})
