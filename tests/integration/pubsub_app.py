"""Topics as a test commands them: what a client asks for is sent to the server, and what it tells goes back.

Rules of this file: it runs in the server, and imports nothing of the tests.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

from asgiws import pubsub

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
        await websocket(hub, scope, receive, send)


async def websocket(hub: Any, scope: Any, receive: Any, send: Any) -> None:
    """Each message is a list of events to send, one after the other; what is raised goes back, as events do."""
    while True:
        event = await receive()
        if event["type"] == "websocket.connect":
            early = None
            if scope["path"] == "/early":
                early = await attempt(send, {"type": "websocket.subscribe", "topic": "room"})
            await send({"type": "websocket.accept"})
            if early is not None:
                await send({"type": "websocket.send", "text": early})
        elif event["type"] == "websocket.disconnect":
            return
        elif event["type"] == "websocket.receive":
            for one in json.loads(event["text"]):
                answer = await (flood(hub, send) if one["type"] == "flood" else attempt(send, one))
                if answer is not None:
                    await send({"type": "websocket.send", "text": answer})
        else:
            await send({"type": "websocket.send", "text": json.dumps(event, default=bytes.decode)})


async def attempt(send: Any, event: Any) -> str | None:
    """Send an event, whose "bytes" are text here; what was raised, as JSON."""
    if "bytes" in event:
        event["bytes"] = event["bytes"].encode()
    try:
        await send(event)
    except RuntimeError as error:
        return json.dumps({"error": str(error), "class": type(error).__name__})
    return None


async def flood(hub: Any, send: Any) -> str:
    """Publish a mebibyte again and again, in one turn, until that is refused; what was raised, as JSON."""
    event = {"type": "websocket.publish", "topic": "flood", "text": "x" * 2**20}
    async with hub.subscribe("flood", limit=1):
        for _ in range(100):
            answer = await attempt(send, event)
            if answer is not None:
                return answer
    return "nothing was refused"


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
    elif scope["path"].startswith("/behind/"):
        body = json.dumps(await behind(hub, scope["path"][len("/behind/") :])).encode()
    elif scope["path"] == "/extensions":
        body = json.dumps(sorted(scope["extensions"])).encode()
    elif scope["path"] == "/heard":
        body = json.dumps(heard).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def behind(hub: Any, on_gap: str) -> list[Any]:
    """What a subscription yields that lets two messages wait, of five and then one more."""
    found: list[Any] = []
    async with (
        hub.subscribe("busy", on_gap=on_gap, limit=2) as messages,
        hub.subscribe("busy") as witness,
    ):
        for number in range(5):
            hub.publish("busy", str(number))
        for _ in range(5):  # then the other was given them, too
            await anext(witness)
        found += [(await anext(messages)).data for _ in range(2)]
        hub.publish("busy", "last")
        try:
            while not found or found[-1] != "last":
                item = await anext(messages)
                found.append(item.data if isinstance(item, pubsub.Message) else list(item))
        except pubsub.MessagesLost as error:
            found += [str(error), error.lost, (await anext(messages)).data]
    return found


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
