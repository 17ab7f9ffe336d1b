"""The application's part with topics: rooms, and topics of one subscriber that is too slow for them.

Rules of this file:
- What the extension `asgiws.pubsub` tells the application goes on to the client, as JSON: "subscribed", "ack",
  "gap", "left". Messages go as they are, or as a client gets them with offsets.
- What is refused with TooMuchQueued is published again, so that a publisher's numbers have no hole.
- SOAK_ROOMS says how many rooms keep messages.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from asgiws.pubsub import Gap, TooMuchQueued
from benchmarks.soak import messages

if TYPE_CHECKING:
    from benchmarks.soak.application import Talk

#: Seconds between two attempts to publish.
AGAIN = 0.02
#: Seconds for which rooms keep messages: longer than anybody is away.
SECONDS = 600
_BLOCK = bytes(range(256)) * 256


async def _again(publish: Callable[[], Awaitable[None]]) -> None:
    while not await _is_taken(publish):  # noqa: ASYNC110 - nothing tells when there is room again
        await asyncio.sleep(AGAIN)


async def _is_taken(publish: Callable[[], Awaitable[None]]) -> bool:
    try:
        await publish()
    except TooMuchQueued:
        return False
    return True


async def room(talk: Talk) -> None:
    """Subscribe as the query says; publish what comes, by the WebSocket or by the hub; at "leave",
    unsubscribe."""
    await talk.accept()
    query = talk.query
    topic, keep = query["topic"], talk.number("keep")
    kept = {"messages": keep, "seconds": SECONDS} if keep else None
    subscribe: dict[str, Any] = {"type": "websocket.subscribe", "topic": topic, "id": "s"}
    subscribe |= {"deliver": query["deliver"], "offsets": keep > 0}
    if "epoch" in query:
        subscribe["since"] = {"epoch": query["epoch"], "offset": talk.number("offset")}
    await talk.tell(subscribe)
    number = 0

    async def publish(data: str) -> None:
        if query["via"] == "hub":
            talk.hub.publish(topic, data, keep=kept)
            await talk.say(ack=number)
            return
        wants = {"type": "websocket.publish", "topic": topic, "text": data, "id": number}
        await talk.tell({**wants, "keep": kept} if kept else wants)

    while (event := await talk.event()) is not None:
        if event["type"] != "websocket.receive":
            await _relay(talk, event)
            continue
        text = event["text"]
        talk.order.take(text)
        if text.endswith(" leave"):
            await talk.tell({"type": "websocket.unsubscribe", "topic": topic, "id": "l"})
            continue
        data = f"{query['id']} {text}"
        await _again(lambda data=data: publish(data))  # type: ignore[misc]  # mypy infers no type for a lambda with a default
        number += 1


async def _relay(talk: Talk, event: Any) -> None:
    """Pass on what the server tells."""
    kind = event["type"]
    about = {key: value for key, value in event.items() if key not in ("type", "id")}
    if kind == "websocket.subscribed":
        await talk.say(subscribed=about)
    elif kind == "websocket.published":
        await talk.say(ack=event["id"])
    elif kind == "websocket.gap":
        await talk.say(gap=event["lost"])
    elif kind == "websocket.unsubscribed":
        await talk.say(left=True)
    elif "offset" in event:
        await talk.say(**about)
    else:
        data = event.get("text")
        await talk.send(event["bytes"] if data is None else data)


async def burst(talk: Talk) -> None:
    """Subscribe to a topic of its own; once the client says so, publish `count` messages of `size` octets to
    it, and only then receive."""
    await talk.accept()
    topic = f"own-{talk.query['id']}"
    subscribe = {"type": "websocket.subscribe", "topic": topic}
    subscribe |= {name: talk.query[name] for name in ("deliver", "overflow")}
    await talk.tell(subscribe)
    if await talk.receive() is None:
        return
    body, keys = _BLOCK[: talk.number("size")], talk.number("keys")
    for number in range(talk.number("count")):
        wants: dict[str, Any] = {"type": "websocket.publish", "topic": topic}
        wants["bytes"] = messages.binary(number, body)
        if keys:
            wants["key"] = str(number % keys)
        await _again(lambda wants=wants: talk.tell(wants))  # type: ignore[misc]  # the same
        if number % 8 == 0:
            await asyncio.sleep(0.002)
    while (event := await talk.event()) is not None:
        if event["type"] == "websocket.receive":
            talk.order.take(event["text"])
        else:
            await _relay(talk, event)


async def task(talk: Talk) -> None:
    """The same with the hub's own subscription, in which few messages may wait."""
    await talk.accept()
    topic, count = f"own-{talk.query['id']}", talk.number("count")
    body = _BLOCK[: talk.number("size")]
    if await talk.receive() is None:
        return
    async with talk.hub.subscribe(topic, limit=talk.number("limit")) as subscription:
        for number in range(count):
            data = messages.binary(number, body)

            async def publish(data: bytes = data) -> None:
                talk.hub.publish(topic, data)

            await _again(publish)
        done = 0
        async for one in subscription:
            if isinstance(one, Gap):
                await talk.say(gap=one.lost)
                done += count if one.lost is None else one.lost
            else:
                await talk.send(one.data)
                done += 1
            if done >= count:
                break


WEBSOCKETS = {"/topics/room": room, "/topics/burst": burst, "/topics/task": task}


async def settle(hub: Any) -> None:
    """Leave one message in each room that keeps any: what is kept is the same whenever nobody is there."""
    rooms = int(os.environ.get("SOAK_ROOMS", "0"))
    if not rooms:
        return
    async with hub.subscribe("settled"):
        pass  # the hub process is there, if there are several workers
    for number in range(rooms):
        hub.publish(messages.kept_room(number), "settled", keep={"messages": 1, "seconds": SECONDS})
