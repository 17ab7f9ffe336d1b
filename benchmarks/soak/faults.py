"""A server with a fault, so that it can be seen that the soak finds it (`--fault NAME`).

Rules of this file:
- A fault stands between the server and the application, as the server's own would.
- What is published does not come back through the application: such a fault is in what it sends.
- Every EVERY-th event or connection is wronged, so that most go well.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

EVERY = 50

FAULTS = {
    "lose-message": "a message of a client is lost",
    "double-message": "a message of a client comes twice",
    "reorder-messages": "two messages of a client change places",
    "change-message": "a character of a message is another one",
    "lose-reply": "a message of the application is lost",
    "lose-publication": "a message that was published is lost",
    "double-publication": "a message is published twice",
    "reorder-publications": "two messages of a publisher change places",
    "hide-gap": "a gap is never told",
    "hole-in-history": "who comes back misses a message",
    "wrong-code": "1006 is reported as 1005",
    "two-disconnects": "a disconnect is reported twice",
    "no-disconnect": "a disconnect is never reported",
    "leak-task": "a task stays for a connection that has ended",
    "leak-descriptor": "a descriptor stays",
    "leak-objects": "the scope of a connection stays",
    "leak-memory": "100 KB stay",
}

#: What is leaked.
_kept: list[Any] = []
_tasks: set[asyncio.Task[None]] = set()


def broken(application: Application, fault: str) -> Application:
    """The application behind a server with that fault."""
    seen = 0

    def now() -> bool:
        nonlocal seen
        seen += 1
        return seen % EVERY == 0

    async def served(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if fault.startswith("leak-"):
                if now():
                    _leak(fault, scope)
            else:
                receive, send = _wronged(fault, receive, send, now)
        await application(scope, receive, send)

    return served


def _leak(fault: str, scope: Message) -> None:
    if fault == "leak-task":
        _tasks.add(asyncio.get_running_loop().create_task(asyncio.sleep(1e6)))
    elif fault == "leak-descriptor":
        _kept.append(os.open(os.devnull, os.O_RDONLY))
    elif fault == "leak-objects":
        _kept.append(scope)
    else:
        _kept.append(os.urandom(100_000))


def _wronged(
    fault: str, receive: Receive, send: Send, now: Callable[[], bool]
) -> tuple[Receive, Send]:
    again: list[Message] = []
    held: list[Message] = []

    async def wrong_receive() -> Message:
        if again:
            return again.pop(0)
        event = await receive()
        while fault == "hide-gap" and event["type"] == "websocket.gap":
            event = await receive()
        if event["type"] == "websocket.receive":
            if fault == "lose-message" and now():
                return await receive()
            if fault == "double-message" and now():
                again.append(event)
            elif fault == "reorder-messages" and now():
                try:
                    other = await asyncio.wait_for(receive(), 0.1)
                except asyncio.TimeoutError:
                    return event
                if other["type"] == event["type"]:
                    again.append(event)
                    return other
                again.append(other)
            elif fault == "change-message" and event.get("text") and now():
                return {**event, "text": event["text"][:-1] + "\N{SNOWMAN}"}
        elif event["type"] == "websocket.disconnect":
            if fault == "wrong-code" and event["code"] == 1006:
                return {**event, "code": 1005}
            if fault == "two-disconnects" and now():
                again.append(event)
            elif fault == "no-disconnect" and now():
                await asyncio.sleep(1e6)
        return event

    async def wrong_send(event: Message) -> None:
        if event["type"] == "websocket.send" and fault == "lose-reply" and now():
            return
        if event["type"] == "websocket.publish" and fault.endswith(("publication", "publications")):
            await wrong_publish(event)
            return
        if fault == "hole-in-history" and "since" in event:
            since = event["since"]
            event = {**event, "since": {**since, "offset": since["offset"] + 1}}
        await send(event)

    async def wrong_publish(event: Message) -> None:
        if held:
            await send(event)
            await send(held.pop())
        elif not now():
            await send(event)
        elif fault == "double-publication":
            await send(event)
            await send({name: value for name, value in event.items() if name != "id"})
        else:
            if "id" in event:
                again.append({**event, "type": "websocket.published"})
            if fault == "reorder-publications":
                held.append({name: value for name, value in event.items() if name != "id"})

    return wrong_receive, wrong_send
