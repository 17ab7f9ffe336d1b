"""A chat room on Starlette, with a page that shows all that a browser's WebSocket tells.

Open the page in two tabs and talk to yourself: text, and pictures as binary messages. The page logs
open, message, error and close (code, reason, wasClean), and comes back by itself, with a growing
and random delay, when the server restarts. Its buttons provoke what a chat rarely shows.

    asgiws examples.chat:app

The room lives in the memory of one process. Nobody in it can hold up the others: each member has a
bounded outbox and a task of its own that writes, and one that falls too far behind is let go.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PAGE = Path(__file__).with_name("chat.html")
OUTBOX = 64  # messages that a member may lag behind
MAX_NAME = 24
MAX_TEXT = 2_000
MAX_PICTURE = 1024 * 1024
PATIENCE = 5.0  # seconds to say good-bye to a member that does not read

Message = str | bytes
Farewell = tuple[int, str]  # close code and reason


class Member:
    """Somebody in the room, and the messages that wait to be sent there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.outbox: asyncio.Queue[Message] = asyncio.Queue(OUTBOX)
        self.stay = anyio.CancelScope()
        self.farewell: Farewell | None = None

    def post(self, message: Message) -> None:
        """Queue a message without ever waiting: the others shall not wait for this one."""
        try:
            self.outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.dismiss(1013, "too far behind")

    def dismiss(self, code: int, reason: str) -> None:
        """End the stay; the member's own task closes the socket."""
        self.farewell = (code, reason)
        self.stay.cancel()


class Room:
    def __init__(self) -> None:
        self.members: list[Member] = []

    def tell(self, *messages: Message) -> None:
        for member in self.members:
            for message in messages:
                member.post(message)

    def announce(self, kind: str, member: Member, **details: Any) -> None:
        names = [other.name for other in self.members]
        self.tell(encode(kind, name=member.name, members=names, **details))

    def join(self, member: Member) -> None:
        self.members.append(member)
        member.post(encode("welcome", name=member.name))
        self.announce("joined", member)

    def leave(self, member: Member, code: int, reason: str) -> None:
        self.members.remove(member)
        self.announce("left", member, code=code, reason=reason)


def encode(kind: str, **fields: Any) -> str:
    return json.dumps({"kind": kind, **fields})


room = Room()


async def chat(websocket: WebSocket) -> None:
    """One member's stay: a task that writes, and this one, which listens."""
    name = websocket.query_params.get("name", "").strip()[:MAX_NAME] or "somebody"
    member = Member(name)
    await websocket.accept()
    room.join(member)
    last: Farewell = (1006, "")
    try:
        with member.stay:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write, websocket, member)
                last = await listen(websocket, member)
                tasks.cancel_scope.cancel()
    finally:
        room.leave(member, *(member.farewell or last))
    if member.farewell:
        with anyio.move_on_after(PATIENCE), suppress(WebSocketDisconnect):
            await websocket.close(*member.farewell)


async def write(websocket: WebSocket, member: Member) -> None:
    """Write what is posted, at the member's own pace."""
    with suppress(WebSocketDisconnect):  # listen() is told too, and how
        while True:
            message = await member.outbox.get()
            if isinstance(message, str):
                await websocket.send_text(message)
            else:
                await websocket.send_bytes(message)


async def listen(websocket: WebSocket, member: Member) -> Farewell:
    """Pass on what the member says; return the close code and reason when it has left."""
    while (event := await websocket.receive())["type"] == "websocket.receive":
        if (picture := event.get("bytes")) is not None:
            show(member, picture)
        else:
            hear(member, event["text"])
        await asyncio.sleep(0)  # a burst may come in one piece: let everybody's write() run too
    return event["code"], event.get("reason") or ""


def show(member: Member, picture: bytes) -> None:
    """Pass a picture on: its description as text, and right behind it the bytes."""
    if len(picture) > MAX_PICTURE:
        member.dismiss(1009, f"a picture may have {MAX_PICTURE} bytes")
    else:
        room.tell(encode("picture", name=member.name, size=len(picture)), picture)


def hear(member: Member, text: str) -> None:
    try:
        match json.loads(text):
            case {"kind": "say", "text": str(words)} if 0 < len(words) <= MAX_TEXT:
                room.tell(encode("said", name=member.name, text=words))
            case {"kind": "close me", "code": int(code), "reason": str(reason)} if sendable(code):
                member.dismiss(code, shorten(reason))
            case _:
                member.dismiss(1008, "not a message of this chat, or too long")
    except ValueError:
        member.dismiss(1008, "a message is a JSON object")


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


app = Starlette(
    routes=[
        Route("/", page),
        WebSocketRoute("/room", chat),
        WebSocketRoute("/close/{code:int}", close),
        WebSocketRoute("/refuse", refuse),
        WebSocketRoute("/echo", echo),
    ]
)
