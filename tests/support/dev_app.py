"""An application that the tests write to a file, have served, and change while it is.

Rules of this file: what it answers and its process's number tell which of its versions serves.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.server import RunningServer

APP = """
import asyncio, json, os, time

ANSWER = "first"


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("app: stopped", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        while True:
            await send({"type": "http.response.body", "body": b"tick\\n", "more_body": True})
            await asyncio.sleep(0.01)
    if scope["path"] == "/block":
        time.sleep(1000)
    answer = os.getpid() if scope["path"] == "/pid" else ANSWER
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
"""


def change(project: Path, old: str, new: str) -> None:
    """Change a part of its text, which must be there."""
    path = project / "dev_app.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def wait_for_starts(server: RunningServer, count: int) -> None:
    """Wait until it has been started so often."""
    server.wait_for_log(r"(?s)" + "asgiws running on .*" * count)
