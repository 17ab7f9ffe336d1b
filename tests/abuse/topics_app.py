"""The application that is abused, with topics.

Rules of this file:
- A client says at `/commands` what is to be sent, as a list in JSON; what is told or raised goes back to it.
- Refusals are counted in `ended`, which `/report` tells.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from asgiws.pubsub import TooMuchQueued
from tests.abuse import app as base
from tests.abuse.app import HANDLERS, Message, Receive, Send, accept, ended, text

#: What is published without a pause is text of so many characters.
SIZE = int(os.environ.get("SIZE", "1000"))

#: The most messages that `hub_publisher` publishes in a turn.
TURN = 1000

hub: Any = None


async def app(scope: Message, receive: Receive, send: Send) -> None:
    global hub
    hub = scope["extensions"]["asgiws.pubsub"]["hub"]
    if scope["type"] == "lifespan":
        async with hub.subscribe("first"):  # with workers, the hub process has started then
            pass
    await base.app(scope, receive, send)


async def commands(receive: Receive, send: Send) -> None:
    await accept(receive, send)
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] != "websocket.receive":
            await text(send, json.dumps(message))
            continue
        for event in json.loads(message["text"]):
            try:
                await send(event)
            except RuntimeError as error:
                await text(send, json.dumps({"error": str(error), "class": type(error).__name__}))


async def room(receive: Receive, send: Send) -> None:
    """Be in the room; the client hears of what it has lost."""
    await accept(receive, send)
    await send({"type": "websocket.subscribe", "topic": "room"})
    await text(send, f"pid {os.getpid()}")
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.gap":
            await text(send, f"lost {message['lost']}")


async def relay(receive: Receive, send: Send) -> None:
    """Publish what the client sends."""
    await accept(receive, send)
    await text(send, f"pid {os.getpid()}")
    while (message := await receive())["type"] == "websocket.receive":
        await publish(send, message["text"])


async def storm(receive: Receive, send: Send) -> None:
    """Publish each message of the room in the room."""
    await accept(receive, send)
    subscribe = {"type": "websocket.subscribe", "topic": "room", "deliver": "app"}
    await send(subscribe)
    await text(send, "in")
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] in ("websocket.message", "websocket.receive"):
            await publish(send, "x" * SIZE)


async def publisher(receive: Receive, send: Send) -> None:
    """Publish, and nothing else, until `send()` raises."""
    await accept(receive, send)
    await first_refusal(send)
    while True:
        await publish(send, "x" * SIZE)


async def hub_publisher(receive: Receive, send: Send) -> None:
    """Publish in each turn as long as there is room, and never look whether the client is there: until
    cancelled."""
    await accept(receive, send)
    while True:
        try:
            for _ in range(TURN):
                hub.publish("room", "x" * SIZE)
        except TooMuchQueued:
            ended["refused"] += 1
        await asyncio.sleep(0)


async def first_refusal(send: Send) -> None:
    """Publish until that is refused, and tell the client."""
    before = ended["refused"]
    while ended["refused"] == before:
        await publish(send, "x" * SIZE)
    await text(send, "refused")


async def publish(send: Send, words: str) -> None:
    try:
        await send({"type": "websocket.publish", "topic": "room", "text": words})
    except TooMuchQueued:
        ended["refused"] += 1


for handler in (commands, room, relay, storm, publisher, hub_publisher):
    HANDLERS[f"websocket/{handler.__name__}"] = handler
