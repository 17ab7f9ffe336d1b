"""Topics as a test commands them: what a client asks for is sent to the server, and what it tells goes back.

Rules of this file: it runs in the server, and imports nothing of the tests.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

#: What the lifespan's own subscription has heard.
heard: list[str] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    extension = scope["extensions"].get("asgiws.pubsub")
    hub = extension and extension["hub"]
    if scope["type"] == "lifespan":
        await lifespan(hub, receive, send)
    elif scope["type"] == "http":
        await http(hub, scope, receive, send)
    else:
        await websocket(receive, send)


async def websocket(receive: Any, send: Any) -> None:
    """Each message is a list of events to send, one after the other; "" pauses the application for good."""
    while True:
        event = await receive()
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif event["type"] == "websocket.disconnect":
            return
        elif event["type"] == "websocket.receive":
            for one in json.loads(event["text"]):
                await attempt(send, one)
        else:
            await send({"type": "websocket.send", "text": json.dumps(event)})


async def attempt(send: Any, event: Any) -> None:
    try:
        await send(event)
    except RuntimeError as error:
        text = json.dumps({"error": str(error)})
        await send({"type": "websocket.send", "text": text})


async def http(hub: Any, scope: Any, receive: Any, send: Any) -> None:
    body = b""
    if scope["path"] == "/publish":
        event = await receive()
        hub.publish("room", event["body"].decode(), keep={"messages": 100, "seconds": 60})
    elif scope["path"] == "/thread":
        thread = threading.Thread(
            target=lambda: [hub.publish_threadsafe("room", str(number)) for number in range(100)]
        )
        thread.start()
    elif scope["path"] == "/extensions":
        body = json.dumps(sorted(scope["extensions"])).encode()
    elif scope["path"] == "/heard":
        body = json.dumps(heard).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def lifespan(hub: Any, receive: Any, send: Any) -> None:
    async def listen() -> None:
        if hub is None:
            return
        async with hub.subscribe("room") as messages:
            async for message in messages:
                heard.append(message.data)  # noqa: PERF401  # they are looked at meanwhile

    await receive()
    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.wait_for(task, 10)  # the iteration ends with the server, by itself
    print("the iteration has ended", file=sys.stderr, flush=True)
    await send({"type": "lifespan.shutdown.complete"})
