"""The application that is abused: plain ASGI, one handler for each path.

Rules of this file:
- The victim asks at `/victim` (a WebSocket) and at `/tasks`: the answers say how many tasks the server's loop
  has, so that whoever measures needs nobody else.
- How many applications of each path began, and what became of them, is counted in `ended`, which `/report`
  tells.
- Nothing is waited for by time, but for the rhythm of who sends again and again.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PIECE = bytes(65536)
#: Seconds between two messages of who pushes.
RHYTHM = 0.05

ended: Counter[str] = Counter()
members: list[Send] = []
released = asyncio.Event()


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    handler = HANDLERS[scope["type"] + scope["path"]]
    word = scope["path"].strip("/")
    ended[f"{word} began"] += 1
    try:
        await handler(receive, send)
    except asyncio.CancelledError:
        ended[f"{word} cancelled"] += 1
        raise
    except OSError:
        ended[f"{word} told by send"] += 1
    else:
        ended[f"{word} returned"] += 1


# WebSockets.


async def accept(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def text(send: Send, text: str) -> None:
    await send({"type": "websocket.send", "text": text})


async def victim(receive: Receive, send: Send) -> None:
    """Answer each text with it and the number of tasks."""
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await text(send, f"{message['text']} {len(asyncio.all_tasks())}")


async def echo(receive: Receive, send: Send) -> None:
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    ended[f"echo {message['code']}"] += 1


async def count(receive: Receive, send: Send) -> None:
    """Take messages, and answer the text `count` with how many and how much came before it."""
    await accept(receive, send)
    number = size = 0
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "count":
            await text(send, f"{number} {size}")
            continue
        number += 1
        size += len(message.get("bytes") or message.get("text") or "")


async def never_accepts(receive: Receive, send: Send) -> None:
    """Wait for what comes after `websocket.connect`."""
    await receive()
    ended[f"never_accepts {(await receive())['code']}"] += 1


async def closes(receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.close", "code": 4000})
    ended[f"closes {(await receive())['code']}"] += 1


async def deaf(receive: Receive, send: Send) -> None:
    """Never receive, and never end."""
    await accept(receive, send)
    await asyncio.Event().wait()


async def deaf_pusher(receive: Receive, send: Send) -> None:
    """Never receive; send again and again until `send()` raises."""
    await accept(receive, send)
    while True:
        await text(send, "pushed")
        await asyncio.sleep(RHYTHM)


async def endless(receive: Receive, send: Send) -> None:
    """Send as fast as `send()` lets until it raises."""
    await accept(receive, send)
    while True:
        await send({"type": "websocket.send", "bytes": PIECE})
        await asyncio.sleep(0)


async def unwaiting(receive: Receive, send: Send) -> None:
    """Send without waiting for `send()`: each message from a task of its own, until one has raised."""
    await accept(receive, send)
    tasks: set[asyncio.Task[None]] = set()

    async def one() -> None:
        await send({"type": "websocket.send", "bytes": PIECE})

    failed: OSError | None = None
    while failed is None:
        tasks.add(asyncio.create_task(one()))
        await asyncio.sleep(0)
        for task in [task for task in tasks if task.done()]:
            tasks.discard(task)
            error = task.exception()
            if isinstance(error, OSError):
                failed = error
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert result is None or isinstance(result, OSError), result
    raise failed


async def member(receive: Receive, send: Send) -> None:
    """Get what is broadcast, and broadcast what is said: to one member after the other."""
    await accept(receive, send)
    members.append(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            event = {**message, "type": "websocket.send"}
            for other in members:
                with suppress(OSError):
                    await other(event)
    finally:
        if send in members:
            members.remove(send)


# HTTP.


async def answer(send: Send, body: str) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body.encode()})


async def tasks(receive: Receive, send: Send) -> None:
    await answer(send, str(len(asyncio.all_tasks())))


async def report(receive: Receive, send: Send) -> None:
    await answer(send, json.dumps(ended))


async def read(receive: Receive, send: Send) -> None:
    """Read the body, and answer with its length."""
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            await answer(send, str(size))
            return
    ended["read disconnected"] += 1


async def late(receive: Receive, send: Send) -> None:
    """Read the body a while after it has come."""
    await asyncio.sleep(RHYTHM)
    await read(receive, send)


async def unread(receive: Receive, send: Send) -> None:
    """Do not read the body; answer once released."""
    await released.wait()
    await answer(send, "unread")


async def release(receive: Receive, send: Send) -> None:
    released.set()
    await answer(send, "released")


async def download(receive: Receive, send: Send) -> None:
    """Send a body without an end until `send()` raises."""
    await send({"type": "http.response.start", "status": 200})
    while True:
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await asyncio.sleep(0)


async def large(receive: Receive, send: Send) -> None:
    """Answer with 64 KiB."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": PIECE})


HANDLERS: dict[str, Callable[[Receive, Send], Awaitable[None]]] = {
    **{
        f"websocket/{handler.__name__}": handler
        for handler in (
            victim,
            echo,
            count,
            never_accepts,
            closes,
            deaf,
            deaf_pusher,
            endless,
            unwaiting,
            member,
        )
    },
    **{
        f"http/{handler.__name__}": handler
        for handler in (tasks, report, read, late, unread, release, download, large)
    },
}
