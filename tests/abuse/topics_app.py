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
SIZE = 1000

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
            except RuntimeError as error:  # noqa: PERF203  # the next are to be tried as well
                await text(send, json.dumps({"error": str(error), "class": type(error).__name__}))


async def room(receive: Receive, send: Send) -> None:
    """Be in the room; the client hears of what it has lost."""
    await accept(receive, send)
    await send({"type": "websocket.subscribe", "topic": "room"})
    await text(send, f"pid {os.getpid()}")
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.gap":
            await text(send, f"lost {message['lost']}")


class Publisher:
    """Publishes in the room, and tells the client of the first refusal."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._has_told = False

    async def publish(self, words: str) -> None:
        try:
            await self._send({"type": "websocket.publish", "topic": "room", "text": words})
        except TooMuchQueued:
            await self.refused()

    async def refused(self) -> None:
        ended["refused"] += 1
        if not self._has_told:
            self._has_told = True
            await text(self._send, "refused")


async def relay(receive: Receive, send: Send) -> None:
    """Publish what the client sends."""
    await accept(receive, send)
    publisher = Publisher(send)
    while (message := await receive())["type"] == "websocket.receive":
        await publisher.publish(message["text"])


async def storm(receive: Receive, send: Send) -> None:
    """Publish for each message of the room another."""
    await accept(receive, send)
    await send({"type": "websocket.subscribe", "topic": "room", "deliver": "app"})
    await text(send, "in")
    publisher = Publisher(send)
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] in ("websocket.message", "websocket.receive"):
            await publisher.publish("x" * SIZE)


async def long_publisher(receive: Receive, send: Send, size: int = SIZE) -> None:
    """Publish, and nothing else, until `send()` raises."""
    await accept(receive, send)
    publisher = Publisher(send)
    while True:
        await publisher.publish("x" * size)


async def short_publisher(receive: Receive, send: Send) -> None:
    await long_publisher(receive, send, 1)


async def hub_publisher(receive: Receive, send: Send) -> None:
    """Publish in each turn as long as there is room, and never look whether the client is there: until
    cancelled."""
    await accept(receive, send)
    publisher = Publisher(send)
    while True:
        try:
            for _ in range(TURN):
                hub.publish("room", "x" * SIZE)
        except TooMuchQueued:
            await publisher.refused()
        await asyncio.sleep(0)


for handler in (commands, room, relay, storm, long_publisher, short_publisher, hub_publisher):
    HANDLERS[f"websocket/{handler.__name__}"] = handler
