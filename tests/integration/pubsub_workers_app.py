"""An application whose WebSockets do what their client says, for the tests of topics over several workers.

Rules of this file: a client sends one JSON object for each thing that it wants done. What the server tells
about it comes back as JSON; what was published comes as it is.
"""

from __future__ import annotations

import json
import os
from typing import Any

PID = os.getpid()
#: What an event of the server becomes for the client.
EVENTS = {
    "websocket.subscribed": "subscribed",
    "websocket.unsubscribed": "unsubscribed",
    "websocket.published": "published",
    "websocket.gap": "gap",
}


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def websocket(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps({"pid": PID})})
    while (event := await receive())["type"] != "websocket.disconnect":
        if event["type"] == "websocket.receive":
            command = json.loads(event["text"])
            await send({**command, "type": f"websocket.{command['type']}"})
        elif event["type"] in EVENTS:
            about = {key: value for key, value in event.items() if key != "type"}
            text = json.dumps({"event": EVENTS[event["type"]], **about})
            await send({"type": "websocket.send", "text": text})


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websocket(receive, send)
    else:
        if scope["path"].startswith("/publish/"):
            scope["extensions"]["asgiws.pubsub"]["hub"].publish("room", scope["path"][9:])
        body = b"%d" % PID
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
