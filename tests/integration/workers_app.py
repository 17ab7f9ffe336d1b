"""An application that says which process serves, for the tests of workers.

Rules of this file: a step is a line `app: ...` on stderr with the process's number, written before what it
announces. `APP_DIR` in the environment names a directory for what outlives a process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

PID = os.getpid()
DIRECTORY = Path(os.environ.get("APP_DIR", "."))
BEHAVIOUR = os.environ.get("BEHAVIOUR", "")
held: list[bytes] = []


def say(text: str) -> None:
    print(f"app: {text} {PID}", file=sys.stderr, flush=True)


if (DIRECTORY / "broken").exists():
    raise LookupError("the new code is broken")
say("imported")


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if (DIRECTORY / "fails").exists() or BEHAVIOUR == "start-fails":
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        return
    if BEHAVIOUR == "slow":
        await asyncio.sleep(1.0)
    say("started")
    await send({"type": "lifespan.startup.complete", "drain": BEHAVIOUR == "drain"})
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            break
        say(f"told {json.dumps(message)}")
        for socket in sockets[:]:
            await socket({"type": "websocket.send", "text": "soon"})
        await send({"type": "lifespan.drain.complete"})
    say("stopping")
    await send({"type": "lifespan.shutdown.complete"})


def journal(text: str) -> None:
    """Write down, for good, what is about to be acknowledged."""
    with (DIRECTORY / f"journal-{PID}").open("a") as file:
        file.write(text + "\n")


sockets: list[Any] = []


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    """Tells the process's number, then answers each message with itself."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": str(PID)})
    sockets.append(send)
    watch = None
    if scope["path"] == "/draining":

        async def tell() -> None:
            await scope["extensions"]["asgiws.drain"]["event"].wait()
            await send({"type": "websocket.send", "text": "draining"})

        watch = asyncio.create_task(tell())
    while (message := await receive())["type"] == "websocket.receive":
        if scope["path"] == "/journal":
            journal(message["text"])
        await send({"type": "websocket.send", "text": message["text"]})
    sockets.remove(send)
    if watch is not None:
        watch.cancel()
    if scope["path"] == "/closes":
        say(f"closed {message['code']} {message['reason']}")


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
        return
    path = scope["path"]
    if path == "/hang":
        say("hanging")
        time.sleep(1000)
    elif path == "/wait":
        say("waiting")
        await asyncio.Event().wait()
    elif path == "/slow":
        say("slow")
        await asyncio.sleep(1.0)
    elif path == "/exit":
        os._exit(7)
    elif path == "/kill":
        os.kill(PID, signal.SIGKILL)
    elif path == "/grow":
        held.append(b"x" * (200 << 20))
    elif path == "/thread":
        threading.Thread(target=time.sleep, args=(1000,)).start()
    body = json.dumps([PID, sys.argv[1:]]).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})
