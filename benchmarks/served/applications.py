"""The applications that are served: plain ASGI, so that the server is what is measured.

Rules of this file:
- It runs in the environment of each server, so it imports the standard library alone.
- An application does what one does in earnest: one `await` a message, one a receiver.
"""

from __future__ import annotations

import asyncio

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

#: How often `topic_burst` publishes a message.
PUBLISHED = 8

#: Messages that `push` sends to each client at once, and what stands behind their number.
BURST = 16
_BEHIND_NUMBER = PATTERN[10:32].decode()

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


async def topic(scope: Event, receive: Receive, send: Send) -> None:
    """Each message to every open WebSocket, through a topic of the server (`asgiws.pubsub`)."""
    await _publish(scope, receive, send, 1)


async def topic_burst(scope: Event, receive: Receive, send: Send) -> None:
    """The same, each message PUBLISHED times in a turn."""
    await _publish(scope, receive, send, PUBLISHED)


async def _publish(scope: Event, receive: Receive, send: Send, times: int) -> None:
    if scope["type"] != "websocket":
        await echo(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.subscribe", "topic": "room"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message["type"] == "websocket.gap":  # for a client that does not read
            continue
        event = {"type": "websocket.publish", "topic": "room", "text": message["text"]}
        for _ in range(times):
            await send(event)


class _Pusher:
    """The clients of `push`, those of them that have acknowledged, and the task that sends to them."""

    def __init__(self) -> None:
        self.clients: set[Send] = set()
        self.ready: list[Send] = []
        self.all_ready = asyncio.Event()
        self.task = asyncio.create_task(self.run())

    def acknowledged(self, send: Send) -> None:
        self.ready.append(send)
        if len(self.ready) == len(self.clients):
            self.all_ready.set()

    async def run(self) -> None:
        first = 0
        while True:
            await self.all_ready.wait()
            self.all_ready.clear()
            clients, self.ready = self.ready, []
            texts = [f"{number:010}{_BEHIND_NUMBER}" for number in range(first, first + BURST)]
            first += BURST
            for send in clients:
                for text in texts:
                    await send({"type": "websocket.send", "text": text})


_pusher: _Pusher | None = None


async def push(scope: Event, receive: Receive, send: Send) -> None:
    """WebSocket: a message acknowledges. Once all clients have, a task that is none of theirs sends BURST
    numbered messages to each of them, without waiting for anything in between."""
    global _pusher
    if scope["type"] != "websocket":
        await echo(scope, receive, send)
        return
    await receive()
    pusher = _pusher = _pusher or _Pusher()
    pusher.clients.add(send)
    await send({"type": "websocket.accept"})
    try:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            pusher.acknowledged(send)
    finally:
        pusher.clients.discard(send)


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


#: The code that the application closes with when it is asked to.
CLOSES_WITH = 4001

#: What the server's log has when its lifespan has ended.
SHUT_DOWN = "the lifespan has ended"

_told = {"/lifespan": "not started", "/close": "nothing"}


async def checked(scope: Event, receive: Receive, send: Send) -> None:
    """WebSocket: an echo, which closes on the text `close`. HTTP: POST echoes the body, GET `/lifespan` and
    `/close` say whether the lifespan has started and the last close code, GET `/parts` comes in three."""
    kind = scope["type"]
    if kind == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await _converse(receive, send)
    elif kind == "lifespan":
        await live(_noting_lifespan(receive), send)
    elif scope["method"] == "POST":
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        await respond(send, body)
    elif scope["path"] == "/parts":
        await send(start(9))
        for part, more in ((b"one", True), (b"two", True), (b"six", False)):
            await send({"type": "http.response.body", "body": part, "more_body": more})
    else:
        await respond(send, _told.get(scope["path"], "Hello, world!").encode())


async def _converse(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            _told["/close"] = str(message.get("code"))
            return
        text = message.get("text")
        if text == "close":
            await send({"type": "websocket.close", "code": CLOSES_WITH})
            return
        elif text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


def _noting_lifespan(receive: Receive) -> Receive:
    async def noting() -> Event:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _told["/lifespan"] = "started"
        else:
            print(SHUT_DOWN, flush=True)
        return message

    return noting


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
