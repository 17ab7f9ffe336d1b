"""An application steered by the environment, whose steps stand in the server's log.

Rules of this file: a step is a line `app: ...` on stderr, written before what it announces.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import sys
import time
from typing import Any

BEHAVIOUR = os.environ.get("LIFESPAN", "")


def say(text: str) -> None:
    print(f"app: {text}", file=sys.stderr, flush=True)


if os.environ.get("AT_EXIT"):
    atexit.register(say, "atexit")


async def forever() -> None:
    await asyncio.Event().wait()


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    say("starting")
    if BEHAVIOUR == "start-fails":
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        return
    if BEHAVIOUR == "start-raises":
        raise LookupError("own fault")
    if BEHAVIOUR == "start-hangs":
        await forever()
    scope["state"]["shared"] = ["from the start"]
    await send({"type": "lifespan.startup.complete"})
    await receive()
    say("stopping")
    if BEHAVIOUR == "stop-fails":
        await send({"type": "lifespan.shutdown.failed", "message": "still dirty"})
        return
    if BEHAVIOUR == "stop-raises":
        raise LookupError("own fault")
    if BEHAVIOUR == "stop-hangs":
        await forever()
    say("stopped")
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send: Any, value: Any, status: int = 200) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    path = scope["path"].removeprefix(scope["root_path"])
    if path == "/state":
        state = scope.get("state")
        shown = state and {key: value for key, value in state.items() if "." not in key}
        await answer(send, shown)
        if state is not None:
            state["shared"].append("by a request")
            state["own"] = True
    elif path == "/scope":
        await answer(send, {key: scope[key] for key in ("client", "server", "scheme", "root_path")})
    elif path == "/environ":
        await answer(send, sorted(os.environ))
    elif path == "/loop":
        await answer(send, type(asyncio.get_running_loop()).__module__.partition(".")[0])
    elif path == "/body":
        say("reading")
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        await answer(send, size)
    elif path == "/hang":
        say("hanging")
        try:
            await forever()
        except asyncio.CancelledError:
            say("cancelled")
            raise
    elif path == "/ignore":
        say("hanging")
        while True:
            try:
                await forever()
            except asyncio.CancelledError:  # noqa: PERF203
                say("ignored")
    elif path == "/block":
        if scope["method"] == "POST":
            say("reading")
            await receive()
        say("blocking")
        time.sleep(1000)
    elif path == "/thread":
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000)
        await answer(send, "started")
    else:
        await answer(send, path)


def create() -> Any:
    say("created")
    return app


def wsgi(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return [b""]


class Double:
    """ASGI 2."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        if self.scope["type"] != "http":
            raise ValueError("http alone")
        await answer(send, self.scope["asgi"]["version"])


something = 7
