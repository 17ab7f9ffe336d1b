"""One call of the application, as the styles see it.

Rules of this file:
- Plain ASGI with as little help as there can be: a style says itself what it sends and when it waits.
- `count` is how many chunks or messages are wanted: few for a client that stays to the end, without an end for
  one that leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from tests.chaos.books import books

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

ENDLESS = 1 << 40
CHUNK = bytes(range(256)) * 16

_detached: set[asyncio.Task[None]] = set()


class Call:
    """Scope, `receive` and `send`, with what the client asked for."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        query = dict(parse_qsl(scope.get("query_string", b"").decode()))
        self.way = query.get("way", "")
        self.stays = "stays" in query
        self.count = 40 if self.stays else ENDLESS

    # HTTP.

    async def start(self, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers]})

    async def body(self, data: bytes, more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, data: bytes, status: int = 200) -> None:
        await self.start(status, (b"content-length", b"%d" % len(data)))
        await self.body(data, False)

    async def until_gone(self) -> None:
        """Receive until the client has gone."""
        while not (await self.receive())["type"].endswith(".disconnect"):
            pass

    # WebSocket.

    async def accept(self) -> None:
        await self.receive()
        await self.send({"type": "websocket.accept"})

    async def say(self, what: str | bytes) -> None:
        key = "text" if isinstance(what, str) else "bytes"
        await self.send({"type": "websocket.send", key: what})

    async def hear(self) -> str | bytes | None:
        """The next message; None once the client has gone."""
        event = await self.receive()
        if event["type"] == "websocket.disconnect":
            return None
        text: str | None = event.get("text")
        return event["bytes"] if text is None else text

    # Tasks beside the call.

    def detach(self, name: str, work: Awaitable[Any]) -> asyncio.Task[None]:
        """A task that may outlive the call, written down as a style of its own."""

        async def quiet() -> None:
            try:
                await books.keep(name, self.way, work)
            except Exception:
                pass  # nobody asks for what came out of it

        task = asyncio.get_running_loop().create_task(quiet())
        _detached.add(task)
        task.add_done_callback(_detached.discard)
        return task
