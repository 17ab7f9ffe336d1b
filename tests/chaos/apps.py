"""The application that is served: every style under a path of its own, and what is asked of it.

Rules of this file:
- `/alive` answers a probe, `/books` tells what was written down; `/probe` is a WebSocket that waits, so that
  the server's own pong tells whether it is alive. None of them is counted.
- CHAOS_PLANT puts a fault in, so that it can be seen that it is found: `handler` lets one never end, `task`
  and `descriptor` leave one of these behind now and then, `log` writes what nobody expects, `stop` holds up
  the loop for ever when the server stops.
- SIGUSR1 shows in the log where every thread stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import json
import os
import signal
import sys
import time
from typing import Any

from tests.chaos.books import blocking, books, collector, forking, pulse
from tests.chaos.calls import Call, Message, Receive, Send
from tests.chaos.styles import STYLES

PLANTS = ("handler", "task", "descriptor", "log", "stop")

_paths = {style.path: style for style in STYLES.values()}
_plants = {name for name in os.environ.get("CHAOS_PLANT", "").split(",") if name}
_planted: set[asyncio.Future[Any]] = set()

faulthandler.register(signal.SIGUSR1)


def _state(collect: bool) -> dict[str, Any]:
    if collect:
        gc.collect()
    return {
        "begun": dict(books.begun),
        "ended": dict(books.ended),
        "outcomes": dict(books.outcomes),
        "problems": dict(books.problems),
        "running": books.running(),
        "tasks": len(asyncio.all_tasks()),
        "largest": pulse.largest,
        "late": pulse.late,
        "beats": pulse.beats,
        "blocked": max(blocking.longest, forking.longest),
        "collected": collector.longest,
    }


async def _plant() -> None:
    if sum(books.begun.values()) % 20 != 7:
        return
    if "log" in _plants:
        print("This is not expected", file=sys.stderr, flush=True)
    if "descriptor" in _plants:
        os.open(os.devnull, os.O_RDONLY)
    if "task" in _plants:
        _planted.add(asyncio.ensure_future(asyncio.sleep(86400)))
    if "handler" in _plants:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(86400)


async def _lifespan(receive: Receive, send: Send) -> None:
    beating = None
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            beating = asyncio.ensure_future(pulse.run())
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            if "stop" in _plants:
                time.sleep(3600)
            if beating is not None:
                beating.cancel()
            return


async def _styled(call: Call, path: str) -> None:
    style = _paths[path]

    async def work() -> None:
        if _plants:
            await _plant()
        await style.handler(call)

    await books.keep(style.name, call.way, work())


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """ASGI 3."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    call = Call(scope, receive, send)
    path = scope["path"]
    if path in _paths:
        await _styled(call, path)
    elif path == "/probe":
        await call.accept()
        await call.until_gone()
    elif path == "/books":
        await call.answer(json.dumps(_state(b"collect" in scope["query_string"])).encode())
    else:
        await call.answer(b"alive", 200 if path == "/alive" else 404)
