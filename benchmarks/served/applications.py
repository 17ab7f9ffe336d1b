"""The applications that are served: plain ASGI, so that the server is what is measured.

Rules of this file:
- It runs in the environment of each server, so it imports nothing.
- An application does what one does in earnest: one `await` a message, one a receiver.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    Event = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Event]]
    Send = Callable[[Event], Awaitable[None]]

CHUNK = 65536
PATTERN = b'{"user": 4711, "text": "lorem ipsum dolor sit amet"}, '
_ENDLESS = PATTERN * (CHUNK // len(PATTERN) + 2)

_subscribers: set[Send] = set()


async def echo(scope: Event, receive: Receive, send: Send) -> None:
    """WebSocket: each message as it came. HTTP: `Hello, world!`."""
    kind = scope["type"]
    if kind == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is not None:
                await send({"type": "websocket.send", "text": text})
            else:
                await send({"type": "websocket.send", "bytes": message["bytes"]})
    elif kind == "http":
        await respond(send, b"Hello, world!")
    else:
        await live(receive, send)


async def broadcast(scope: Event, receive: Receive, send: Send) -> None:
    """Each message to every open WebSocket, one after the other."""
    if scope["type"] != "websocket":
        await echo(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    _subscribers.add(send)
    try:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            event = {"type": "websocket.send", "text": message["text"]}
            for subscriber in list(_subscribers):
                await subscriber(event)
    finally:
        _subscribers.discard(send)


async def bodies(scope: Event, receive: Receive, send: Send) -> None:
    """POST: the number of octets in the body. GET /N: N octets of PATTERN, CHUNK at a time."""
    if scope["type"] != "http" or (scope["path"] == "/" and scope["method"] == "GET"):
        await echo(scope, receive, send)
    elif scope["method"] == "POST":
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await respond(send, str(size).encode())
    else:
        size = int(scope["path"][1:])
        await send(start(size))
        for at in range(0, size, CHUNK):
            begin = at % len(PATTERN)
            body = _ENDLESS[begin : begin + min(CHUNK, size - at)]
            last = at + CHUNK >= size
            await send({"type": "http.response.body", "body": body, "more_body": not last})


async def respond(send: Send, body: bytes) -> None:
    await send(start(len(body)))
    await send({"type": "http.response.body", "body": body})


def start(size: int) -> Event:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(size).encode())]
    return {"type": "http.response.start", "status": 200, "headers": headers}


async def live(receive: Receive, send: Send) -> None:
    """The lifespan."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
