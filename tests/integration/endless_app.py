"""Applications that never wait for anything but `receive()` and `send()`, for test_endless.py.

The last part of the path names the style. `/ended` tells how many have ended, `/probe` that the loop turns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

from starlette.responses import StreamingResponse

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

TEXT = {"type": "websocket.send", "text": "x"}
BODY = {"type": "http.response.body", "body": b"x" * 1000, "more_body": True}

ended = 0


async def sends(receive: Receive, send: Send) -> None:
    while True:
        await send(TEXT)


async def receives(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "websocket.receive":
        pass


async def echoes(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "websocket.receive":
        await send(TEXT)


async def sends_whatever_it_is_told(receive: Receive, send: Send) -> None:
    while True:
        with suppress(OSError):
            await send(TEXT)


async def receives_whatever_it_is_told(receive: Receive, send: Send) -> None:
    while True:
        with suppress(RuntimeError):
            await receive()


WEBSOCKETS = {
    function.__name__: function
    for function in (
        sends,
        receives,
        echoes,
        sends_whatever_it_is_told,
        receives_whatever_it_is_told,
    )
}


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 1000


async def http(style: str, scope: Scope, receive: Receive, send: Send) -> None:
    if style == "starlette":

        async def chunks() -> Any:
            for chunk in endless():
                yield chunk

        await StreamingResponse(chunks())(scope, receive, send)
    elif style == "asks":
        while True:
            await receive()
    else:
        status = int(style) if style.isdigit() else 200
        await send({"type": "http.response.start", "status": status})
        if style == "answers":
            await send({"type": "http.response.body"})
        while True:
            with suppress(RuntimeError):  # the response is complete
                await send(BODY)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    global ended
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    style = scope["path"].rpartition("/")[2]
    if style in ("probe", "ended"):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": str(ended).encode()})
        return
    try:
        if scope["type"] == "http":
            await http(style, scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.accept"})
            await WEBSOCKETS[style](receive, send)
    finally:
        ended += 1
