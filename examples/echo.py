"""An application in plain ASGI: a WebSocket echo, and Hello over HTTP.

It shows the three kinds of scope without any framework: the lifespan (which leaves something in the
state that every request then sees), an HTTP response, and a WebSocket that chooses a subprotocol
and sends back what it gets, text as text and bytes as bytes.

    asgiws examples.echo:app
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

#: The subprotocols spoken here, the best first.
SUBPROTOCOLS = ("echo.v2", "echo.v1")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    match scope["type"]:
        case "lifespan":
            await lifespan(scope, receive, send)
        case "http":
            await hello(scope, send)
        case "websocket":
            await echo(scope, receive, send)
        case other:
            raise NotImplementedError(f"this application does not serve {other!r}")


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Run once around the life of the server: prepare, wait for the end, clean up."""
    await receive()  # lifespan.startup
    scope["state"]["greeting"] = "Hello"
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    await send({"type": "lifespan.shutdown.complete"})


async def hello(scope: Scope, send: Send) -> None:
    body = f"{scope['state']['greeting']} from {scope['path']}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()  # websocket.connect
    chosen = next((name for name in SUBPROTOCOLS if name in scope["subprotocols"]), None)
    await send({"type": "websocket.accept", "subprotocol": chosen})
    while (event := await receive())["type"] == "websocket.receive":
        answer = {"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")}
        try:
            await send(answer)
        except OSError:  # the peer has gone; the next event says how
            pass
