"""A chat room on Starlette, with a page that shows all that a browser's WebSocket tells.

Open the page in two tabs and talk to yourself: text, and pictures as binary messages. The page logs
open, message, error and close (code, reason, wasClean), and comes back by itself, with a growing
and random delay, when the server restarts. Its buttons provoke what a chat rarely shows.

    asgiws examples.chat:app

The room is a topic: what is published there the server writes to all members, on whichever of its workers
they are. A member that does not read holds up nobody, and is let go by the server. Which members there are
the workers tell each other, by another topic. Other servers get topics from PubSubMiddleware, with one worker.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgiws.pubsub import Gap, PubSub, PubSubMiddleware, TooMuchQueued

PAGE = Path(__file__).with_name("chat.html")
MAX_NAME = 24
MAX_TEXT = 2_000
MAX_PICTURE = 1_000_000
HEARTBEAT = 5.0  # seconds between two signs of life of a worker
GONE = 15.0  # seconds after which a worker without one is gone, and its members with it

TALK = "chat"
PRESENCE = "chat/presence"

Farewell = tuple[int, str]  # close code and reason


class Room:
    """The room as one worker knows it: the names of its own members, and those that other workers tell of."""

    def __init__(self) -> None:
        self.worker = secrets.token_hex(4)
        self.members: dict[object, str] = {}
        self.workers: dict[str, tuple[float, list[str]]] = {}
        self.names: list[str] = []

    @property
    def topic(self) -> str:
        """The topic of this worker's members."""
        return f"{PRESENCE}/{self.worker}"

    def join(self, hub: PubSub, name: str) -> object:
        key = object()
        self.members[key] = name
        with suppress(TooMuchQueued):
            hub.publish(TALK, encode("joined", name=name))
        self.tell(hub)
        return key

    def leave(self, hub: PubSub, key: object, code: int, reason: str) -> None:
        name = self.members.pop(key)
        with suppress(TooMuchQueued):
            hub.publish(TALK, encode("left", name=name, code=code, reason=reason))
        self.tell(hub)

    def tell(self, hub: PubSub, *, asks: bool = False) -> None:
        """Tell all workers, this one too, who is here. If it cannot be told now, the next heartbeat does."""
        names = list(self.members.values())
        with suppress(TooMuchQueued):
            hub.publish(PRESENCE, json.dumps({"worker": self.worker, "names": names, "asks": asks}))

    async def listen(self, hub: PubSub) -> None:
        """Follow what the workers tell, and pass it on to the members here."""
        async with hub.subscribe(PRESENCE) as told:
            self.tell(hub, asks=True)
            async for message in told:
                if isinstance(message, Gap):
                    self.tell(hub, asks=True)
                    continue
                told_by = json.loads(message.data)
                self.workers[told_by["worker"]] = (time.monotonic(), told_by["names"])
                if told_by["asks"] and told_by["worker"] != self.worker:
                    self.tell(hub)
                self.show(hub)

    async def beat(self, hub: PubSub) -> None:
        """Give signs of life, and forget workers that give none."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            oldest = time.monotonic() - GONE
            self.workers = {key: one for key, one in self.workers.items() if one[0] > oldest}
            self.tell(hub)

    def show(self, hub: PubSub) -> None:
        """Show the members here who is in the room, if that has changed."""
        names = sorted(name for _, names in self.workers.values() for name in names)
        if names != self.names:
            with suppress(TooMuchQueued):
                hub.publish(self.topic, encode("members", members=names))
                self.names = names


def encode(kind: str, **fields: Any) -> str:
    return json.dumps({"kind": kind, **fields})


room = Room()


async def chat(websocket: WebSocket) -> None:
    """One member's stay. What others say the server writes to the client; here is what the member says."""
    hub: PubSub = websocket.scope["extensions"]["asgiws.pubsub"]["hub"]
    name = websocket.query_params.get("name", "").strip()[:MAX_NAME] or "somebody"
    await websocket.accept()
    await websocket.send_text(encode("welcome", name=name))
    await hub.attach(websocket, room.topic)
    await hub.attach(websocket, TALK)
    await websocket.send_text(encode("members", members=room.names))
    key = room.join(hub, name)
    last: Farewell = (1006, "")
    try:
        last = await listen(websocket, hub, name)
    finally:
        room.leave(hub, key, *last)


async def listen(websocket: WebSocket, hub: PubSub, name: str) -> Farewell:
    """Pass on what the member says; return the close code and reason when it has left."""
    try:
        while (event := await websocket.receive())["type"] == "websocket.receive":
            await publish(hub, understand(name, event.get("text"), event.get("bytes")))
    except Dismissed as error:
        with suppress(WebSocketDisconnect):
            await websocket.close(error.code, error.reason)
        return error.code, error.reason
    return event["code"], event.get("reason") or ""


async def publish(hub: PubSub, data: str | bytes) -> None:
    """Publish to the room, once there is room for it: a member may talk faster than others can be told."""
    while True:
        try:
            return hub.publish(TALK, data)
        except TooMuchQueued:  # noqa: PERF203
            await asyncio.sleep(0.05)


class Dismissed(Exception):
    """The member is to leave, with a close code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


def understand(name: str, text: str | None, picture: bytes | None) -> str | bytes:
    """What the room is told: text, or for a picture bytes: its description as a line, and then the picture."""
    if picture is not None:
        if len(picture) > MAX_PICTURE:
            raise Dismissed(1009, f"a picture may have {MAX_PICTURE} bytes")
        return encode("picture", name=name, size=len(picture)).encode() + b"\n" + picture
    try:
        match json.loads(text or ""):
            case {"kind": "say", "text": str(words)} if 0 < len(words) <= MAX_TEXT:
                return encode("said", name=name, text=words)
            case {"kind": "close me", "code": int(code), "reason": str(reason)} if sendable(code):
                raise Dismissed(code, shorten(reason))
            case _:
                raise Dismissed(1008, "not a message of this chat, or too long")
    except ValueError:
        raise Dismissed(1008, "a message is a JSON object") from None


def sendable(code: int) -> bool:
    """Whether a close frame may carry the code (RFC 6455, section 7.4)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def shorten(reason: str) -> str:
    """Cut a reason to the 123 bytes that a close frame has room for."""
    return reason.encode()[:123].decode(errors="ignore")


async def page(request: Request) -> FileResponse:
    return FileResponse(PAGE)


# What follows is for the buttons of the page and for tests: it does, on demand, what goes wrong.


async def close(websocket: WebSocket) -> None:
    """Accept, then close with the code in the path and the reason in the query."""
    await websocket.accept()
    await websocket.close(websocket.path_params["code"], websocket.query_params.get("reason"))


async def refuse(websocket: WebSocket) -> None:
    """Refuse the handshake; a browser tells its page only that it failed, never the 403."""
    await websocket.send_denial_response(PlainTextResponse("Not for you.\n", status_code=403))


async def echo(websocket: WebSocket) -> None:
    """Send everything back, text as text and bytes as bytes."""
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while (event := await websocket.receive())["type"] == "websocket.receive":
            await websocket.send({**event, "type": "websocket.send"})


class Presence:
    """Follows the other workers while the application runs. A middleware, since the hub is in the scope of the
    lifespan, which Starlette does not show to a `lifespan` function."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        async with following(scope["extensions"]["asgiws.pubsub"]["hub"]):
            await self.app(scope, receive, send)


@asynccontextmanager
async def following(hub: PubSub) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(room.listen(hub)), asyncio.create_task(room.beat(hub))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


app = Starlette(
    routes=[
        Route("/", page),
        WebSocketRoute("/room", chat),
        WebSocketRoute("/close/{code:int}", close),
        WebSocketRoute("/refuse", refuse),
        WebSocketRoute("/echo", echo),
    ],
    middleware=[Middleware(PubSubMiddleware), Middleware(Presence)],
)
