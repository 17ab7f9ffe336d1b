"""A room that spans all workers of all nodes, and shows each client where it is.

Every message is published to one topic that keeps a history, so a client that was cut off comes back to any
worker of any node and gets what it missed. A client numbers what it says, takes its own message's return as the
confirmation, and says again what was not confirmed; so nothing is lost when a worker dies with a message in its
hands, and a number that was there before is skipped.

The buttons of the page end the worker or the node that serves it, without any farewell.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PAGE = Path(__file__).with_name("page.html")
NODE = os.environ.get("CLUSTER_NODE", "alone")
WORKER = os.getpid()

#: The last messages of the room, and for how many seconds.
KEEP = {"messages": 1000, "seconds": 600.0}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await room(scope, receive, send)
    elif scope["type"] == "http":
        await page(scope, send)
    else:
        await lifespan(receive, send)


async def room(scope: Message, receive: Receive, send: Send) -> None:
    """One client. It names in its query where it was: `epoch` and `offset` of the last message that it has."""
    query = parse_qs(scope["query_string"].decode())
    since = None
    if "epoch" in query:
        since = {"epoch": query["epoch"][0], "offset": int(query["offset"][0])}
    await receive()
    await send({"type": "websocket.accept"})
    await send(
        {
            "type": "websocket.subscribe",
            "topic": "room",
            "id": "room",
            "offsets": True,
            "since": since,
            # What is lost is in the history: the client comes back for it.
            "on_gap": "close",
        }
    )
    while True:
        event = await receive()
        if event["type"] == "websocket.subscribed":
            await say(send, kind="here", node=NODE, worker=WORKER)
            if event["recovered"] is False:
                await say(send, kind="gone")  # what it missed is not kept any more
        elif event["type"] == "websocket.receive":
            said = json.loads(event["text"])
            if "kill" in said:
                kill(said["kill"])
            said.update(node=NODE, worker=WORKER)
            await send(
                {
                    "type": "websocket.publish",
                    "topic": "room",
                    "text": json.dumps(said),
                    "keep": KEEP,
                }
            )
        elif event["type"] == "websocket.disconnect":
            return


def kill(what: str) -> None:
    """End this worker, or the node: the supervisor, whose other workers end with it."""
    if what == "node":
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(WORKER, signal.SIGKILL)


async def say(send: Send, **fields: Any) -> None:
    await send({"type": "websocket.send", "text": json.dumps(fields)})


async def page(scope: Message, send: Send) -> None:
    status, kind, body = 404, b"text/plain", b"not found\n"
    if scope["path"] == "/":
        status, kind, body = 200, b"text/html; charset=utf-8", PAGE.read_bytes()
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return
