"""An application that forks. What its forks do is in the path; what became of them is the answer."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from typing import Any

from tests.integration.lifecycle_app import answer, say

context = multiprocessing.get_context("fork")
#: Those that live on, while the server does.
kept: list[int] = []


def work(path: str) -> Any:
    """What a fork does."""
    if path.startswith("/exit"):
        sys.exit({"none": None, "text": "a text"}.get(path[6:]) if path[6:].isalpha() else 7)
    if path == "/raise":
        raise LookupError("of a fork")
    if path == "/signals":
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
        found = [signal.getsignal(number) for number in numbers]
        if getattr(found[1], "__module__", "").startswith("coverage."):  # the tests measure it
            found[1] = signal.SIG_DFL
        defaults = [signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL]
        fd = signal.set_wakeup_fd(-1)
        os._exit(0 if (found, fd) == (defaults, -1) else 1)
    if path == "/keep":
        time.sleep(1000)
    return None


async def forked(path: str) -> Any:
    pid = os.fork()
    if pid == 0:
        work(path)
        if path == "/await":
            await asyncio.sleep(0)
    return pid


def sleeper() -> None:
    time.sleep(1000)


async def ended(pid: int) -> int:
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    return os.waitstatus_to_exitcode(status)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        if os.environ.get("FORKS"):
            say(f"fork ended with {await ended(await forked(os.environ['FORKS']))}")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say("stopping")
        await send({"type": "lifespan.shutdown.complete"})
        return
    parent = os.getpid()
    path, _, way = scope["path"][1:].partition("/")
    path = "/" + path.replace("-", "/")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": str(await ended(await forked(path)))})
        await receive()
        return
    if path == "/pid":
        await answer(send, os.getpid())
    elif path == "/terminate":
        process = context.Process(target=sleeper, daemon=True)
        process.start()
        process.terminate()
        await asyncio.to_thread(process.join, 30)
        await answer(send, process.exitcode)
    elif path == "/daemon":
        process = context.Process(target=sleeper, daemon=True)
        process.start()
        await answer(send, process.pid)
    elif path == "/keep":
        kept.append(await forked(path))
        await answer(send, kept[-1])
    else:
        if way == "task":
            pid = await asyncio.create_task(forked(path))
        elif way == "thread":
            pid = await asyncio.to_thread(lambda: os.fork() or work(path))
        else:
            pid = await forked(path)
        if os.getpid() == parent:
            await answer(send, await ended(pid))
