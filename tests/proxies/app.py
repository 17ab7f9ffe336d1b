"""What stands behind the proxies: an application that notes what it is asked, and echoes.

Rules of this file: a request is noted when it begins, and its body once it is complete, so that half a request
counts too. `/_take` gives what was noted since it was asked last.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SEEN: list[dict[str, Any]] = []


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await serve(scope, receive, send)
    elif scope["type"] == "websocket":
        await talk(scope, receive, send)
    else:
        raise NotImplementedError(scope["type"])


async def serve(scope: Message, receive: Receive, send: Send) -> None:
    target = scope["raw_path"]
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    if target == b"/_take":
        await answer(send, SEEN)
        SEEN.clear()
        return
    seen = {
        "method": scope["method"],
        "target": target.decode("latin-1"),
        "hosts": [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"],
        "body": None,
    }
    SEEN.append(seen)
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    seen["body"] = body.decode("latin-1")
    if scope["raw_path"] == b"/told":
        await answer(send, told(scope))
    else:
        await answer(send, {**seen, "headers": told(scope)["headers"]})


def told(scope: Message) -> dict[str, Any]:
    """What the scope says of the client and the way that it came."""
    return {
        "type": scope["type"],
        "client": scope["client"],
        "scheme": scope["scheme"],
        "server": scope["server"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode("latin-1"),
        "root_path": scope["root_path"],
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
    }


async def answer(send: Send, value: Any) -> None:
    body = json.dumps(value).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def talk(scope: Message, receive: Receive, send: Send) -> None:
    """Echo until the end; `close CODE REASON` ends it from here, `scope` and `seen` ask for facts."""
    await receive()
    offered = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": offered[-1] if offered else None})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            SEEN.append({"code": message["code"], "reason": message["reason"]})
            return
        text = message.get("text")
        if text == "seen":
            await send({"type": "websocket.send", "text": json.dumps(SEEN)})
        elif text == "scope":
            await send({"type": "websocket.send", "text": json.dumps(told(scope))})
        elif text is not None and text.startswith("close "):
            _, code, reason = text.split(" ", 2)
            await send({"type": "websocket.close", "code": int(code), "reason": reason})
        elif text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
