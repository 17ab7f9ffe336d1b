"""Applications that speak HTTP, plain ASGI, one function for each style.

Rules of this file:
- A style ends when the client has gone, by what `send()` raises, by `http.disconnect` or, where it asks for
  neither, by the server's cancellation. It catches nothing that would keep it going.
- One that sends without an end is stopped by `call.count` alone when the client stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from tests.chaos.books import Asked, AskedBase, blocking, books, forking
from tests.chaos.calls import CHUNK, Call

#: Seconds that a task may go on beside or behind its call, and that a handler works while it is left alone.
BESIDE = 0.3
FILE_SIZE = 2_000_000
_FOREVER = 86400.0


async def answers(call: Call) -> None:
    await call.answer(b"an answer")


async def only_sends(call: Call) -> None:
    """`send()` and nothing else, as fast as it goes."""
    await call.start()
    for _ in range(call.count):
        await call.body(CHUNK)
    await call.body(b"", False)


async def sends_empty(call: Call) -> None:
    """Chunks of nothing: they are written nowhere, and waited for by nobody."""
    await call.start()
    for _ in range(call.count):
        await call.body(b"")
    await call.body(b"", False)


async def sends_at_times(call: Call) -> None:
    """Server-sent events, a few a second."""
    await call.start(200, (b"content-type", b"text/event-stream"))
    for number in range(min(call.count, 1 << 20)):
        await call.body(b"data: %d\n\n" % number)
        if call.stays and number == 3:
            break
        await asyncio.sleep(0.05)
    await call.body(b"", False)


async def listens_and_is_silent(call: Call) -> None:
    """An event stream on which nothing happens, beside a task that waits for the client's end."""
    await call.start(200, (b"content-type", b"text/event-stream"))
    await call.body(b": welcome\n\n")
    gone = asyncio.ensure_future(call.until_gone())
    await asyncio.wait([gone], timeout=BESIDE if call.stays else None)
    if gone.done():
        return
    gone.cancel()
    await call.body(b"", False)


async def deaf(call: Call) -> None:
    """Neither sends nor receives: nothing but its cancellation tells it."""
    await call.start()
    await call.body(b"wait for it")
    await asyncio.sleep(BESIDE if call.stays else _FOREVER)
    await call.body(b"", False)


async def only_receives(call: Call) -> None:
    """Answers first, then asks for events until there are none."""
    await call.start()
    await call.body(b"", False)
    await call.until_gone()


async def generator(call: Call) -> None:
    """What frameworks do: an asynchronous generator that never waits."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(call.count):
            yield CHUNK

    await call.start()
    async for chunk in chunks():
        await call.body(chunk)
    await call.body(b"", False)


async def head(call: Call) -> None:
    """A body without an end for a request that has none: HEAD."""
    await only_sends(call)


async def no_content(call: Call) -> None:
    """The same behind 204."""
    await call.start(204)
    for _ in range(call.count):
        await call.body(CHUNK)
    await call.body(b"", False)


async def not_modified(call: Call) -> None:
    """The same behind 304, out of a generator."""
    await call.start(304)
    for _ in range(call.count):
        await call.body(b"x")
    await call.body(b"", False)


# Uploads.


async def reads_upload(call: Call) -> None:
    size = 0
    while True:
        event = await call.receive()
        if event["type"] == "http.disconnect":
            return
        size += len(event["body"])
        if not event["more_body"]:
            break
    await call.answer(b"%d" % size)


async def reads_upload_slowly(call: Call) -> None:
    while True:
        event = await call.receive()
        if event["type"] == "http.disconnect" or not event["more_body"]:
            break
        await asyncio.sleep(0.01)
    await call.answer(b"slowly")


async def leaves_upload(call: Call) -> None:
    """An answer before the body was asked for."""
    await call.answer(b"too much", 413)


async def reads_upload_once(call: Call) -> None:
    await call.receive()
    await call.answer(b"enough")


async def answers_within_upload(call: Call) -> None:
    """Echoes while it reads."""
    await call.start()
    while True:
        event = await call.receive()
        if event["type"] == "http.disconnect":
            return
        await call.body(event["body"])
        if not event["more_body"]:
            break
    await call.body(b"", False)


# Files.


def _file() -> Path:
    path = Path(tempfile.gettempdir()) / f"chaos-{os.getpid()}.bin"
    if not path.exists():
        path.write_bytes(bytes(FILE_SIZE))
    return path


async def path_send(call: Call) -> None:
    await call.start(200, (b"content-length", b"%d" % FILE_SIZE))
    if "http.response.pathsend" in call.scope.get("extensions", {}):
        await call.send({"type": "http.response.pathsend", "path": str(_file())})
    else:
        await call.body(bytes(FILE_SIZE), False)


async def zero_copy_send(call: Call) -> None:
    await call.start(200, (b"content-length", b"%d" % FILE_SIZE))
    if "http.response.zerocopysend" in call.scope.get("extensions", {}):
        with _file().open("rb") as file:
            message = {"type": "http.response.zerocopysend", "file": file.fileno()}
            await call.send({**message, "count": FILE_SIZE, "more_body": False})
    else:
        await call.body(bytes(FILE_SIZE), False)


# Tasks and threads.


async def task_group(call: Call) -> None:
    """One that sends and one that listens, as frameworks have them; who ends first ends both."""
    await call.start()
    async with anyio.create_task_group() as group:

        async def listen() -> None:
            await call.until_gone()
            group.cancel_scope.cancel()

        async def stream() -> None:
            for _ in range(call.count):
                await call.body(CHUNK)
            await call.body(b"", False)
            group.cancel_scope.cancel()

        group.start_soon(listen)
        group.start_soon(stream)


async def group_that_only_sends(call: Call) -> None:
    """What `send()` raises comes out of it in an ExceptionGroup."""
    await call.start()
    turn = asyncio.Lock()

    async def stream() -> None:
        for _ in range(call.count // 2):
            async with turn:
                await call.body(CHUNK)

    async with anyio.create_task_group() as group:
        group.start_soon(stream)
        group.start_soon(stream)
    await call.body(b"", False)


async def nested_tasks(call: Call) -> None:
    """A task in a task in a task sends."""
    await call.start()

    async def level(depth: int) -> None:
        if depth:
            await asyncio.get_running_loop().create_task(level(depth - 1))
            return
        for _ in range(call.count):
            await call.body(CHUNK)

    await level(3)
    await call.body(b"", False)


async def sends_at_once(call: Call) -> None:
    """Several tasks call `send()` at the same time."""
    await call.start()
    for _ in range(call.count):
        await asyncio.gather(*(call.body(CHUNK) for _ in range(3)))
    await call.body(b"", False)


async def receives_at_once(call: Call) -> None:
    """Several tasks wait in `receive()`."""
    await call.start()
    await call.body(b"ready")
    tasks = [asyncio.ensure_future(call.until_gone()) for _ in range(3)]
    await asyncio.wait(tasks, timeout=BESIDE if call.stays else None)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await call.body(b"", False)


async def gives_up_receiving(call: Call) -> None:
    """Asks again and again for a little while."""
    await call.start()
    for number in range(call.count):
        try:
            event = await asyncio.wait_for(call.receive(), 0.005)
        except asyncio.TimeoutError:
            event = {"type": ""}
        if event["type"] == "http.disconnect":
            return
        await call.body(b"%d" % number)
    await call.body(b"", False)


async def outlived(call: Call) -> None:
    """A task goes on when the call has ended, and sends what nobody wants any more."""

    async def later() -> None:
        await asyncio.sleep(BESIDE)
        with contextlib.suppress(RuntimeError):  # the response is complete
            await call.body(b"too late")

    call.detach("a task of outlived", later())
    await call.answer(b"done")


async def outlived_by_listener(call: Call) -> None:
    """A task that receives outlives the call."""
    call.detach("a listener of outlived", asyncio.wait_for(call.until_gone(), 10 * BESIDE))
    await call.answer(b"done")


async def threads(call: Call) -> None:
    """A thread sends by way of the loop."""
    loop = asyncio.get_running_loop()
    await call.start()

    def work() -> None:
        for _ in range(min(call.count, 200)):
            asyncio.run_coroutine_threadsafe(_body(call), loop).result(20)

    await loop.run_in_executor(None, work)
    await call.body(b"", False)


async def _body(call: Call) -> None:
    await call.body(CHUNK)


async def works_in_threads(call: Call) -> None:
    await call.start()
    for _ in range(min(call.count, 50)):
        await asyncio.to_thread(time.sleep, 0.01)
        await call.body(CHUNK)
    await call.body(b"", False)


async def blocks(call: Call) -> None:
    """Holds up the loop for a few tens of milliseconds."""
    if blocking.take():
        begun = time.monotonic()
        time.sleep(0.03)
        blocking.blocked(time.monotonic() - begun)
    await call.answer(b"blocked")


# Forks.


async def _ended(pid: int, what: str) -> None:
    """See a child end; one that does not is a problem, and is killed."""
    for _ in range(500):
        if _has_ended(pid):
            return
        await asyncio.sleep(0.01)
    books.problems[f"{what} did not end within 5 s"] += 1
    os.kill(pid, signal.SIGKILL)
    while not _has_ended(pid):
        await asyncio.sleep(0.01)


def _has_ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] != 0


async def forks(call: Call) -> None:
    if forking.take():
        begun = time.monotonic()
        pid = os.fork()
        if not pid:
            os._exit(0)
        forking.blocked(time.monotonic() - begun)
        await _ended(pid, "a forked child that calls os._exit()")
    await call.answer(b"forked")


async def forks_and_exits(call: Call) -> None:
    """The child leaves by SystemExit, through all that stands above it."""
    if forking.take():
        begun = time.monotonic()
        pid = os.fork()
        if not pid:
            sys.exit(0)
        forking.blocked(time.monotonic() - begun)
        await _ended(pid, "a forked child that calls sys.exit()")
    await call.answer(b"forked")


def _nothing() -> None:
    pass


async def multiprocesses(call: Call) -> None:
    if forking.take():
        begun = time.monotonic()
        child = multiprocessing.get_context("fork").Process(target=_nothing, daemon=True)
        child.start()
        forking.blocked(time.monotonic() - begun)
        await _joined(child, "a daemon process of multiprocessing")
        child.close()
    await call.answer(b"forked")


def _waits() -> None:
    time.sleep(60)


async def terminates_process(call: Call) -> None:
    if forking.take():
        begun = time.monotonic()
        child = multiprocessing.get_context("fork").Process(target=_waits, daemon=True)
        child.start()
        forking.blocked(time.monotonic() - begun)
        child.terminate()
        await _joined(child, "a daemon process that was terminated")
        child.close()
    await call.answer(b"forked")


async def _joined(child: multiprocessing.process.BaseProcess, what: str) -> None:
    for _ in range(500):
        if child.exitcode is not None:
            return
        await asyncio.sleep(0.01)
    books.problems[f"{what} did not end within 5 s"] += 1
    child.kill()
    while child.exitcode is None:
        await asyncio.sleep(0.01)


# Ends of its own.


async def raises(call: Call) -> None:
    raise Asked


async def raises_behind_head(call: Call) -> None:
    await call.start()
    raise Asked


async def raises_within_body(call: Call) -> None:
    await call.start()
    await call.body(CHUNK)
    await asyncio.sleep(0)
    raise Asked


async def raises_behind_response(call: Call) -> None:
    await call.answer(b"all is well")
    raise Asked


async def raises_in_finally(call: Call) -> None:
    await call.start()
    try:
        for _ in range(call.count):
            await call.body(CHUNK)
    finally:
        raise Asked


async def raises_from_group(call: Call) -> None:
    async def one() -> None:
        raise Asked

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        group.start_soon(call.until_gone)


async def raises_base(call: Call) -> None:
    await call.start()
    await call.body(CHUNK)
    raise AskedBase


async def exits(call: Call) -> None:
    raise SystemExit("Asked")


async def cancels_itself(call: Call) -> None:
    await call.start()
    await call.body(CHUNK)
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def raises_cancelled(call: Call) -> None:
    await call.start()
    raise asyncio.CancelledError("Asked")


async def takes_back_cancellation(call: Call) -> None:
    """Cancels itself, catches that and goes on as if nothing had been."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    if hasattr(task, "uncancel"):
        task.uncancel()
    await call.answer(b"and yet")


async def holds_on(call: Call) -> None:
    """Cleans up for a while when it is told to end."""
    await call.start()
    try:
        for _ in range(call.count):
            await call.body(CHUNK)
        await call.body(b"", False)
    finally:
        await asyncio.sleep(BESIDE)


async def never_answers(call: Call) -> None:
    await call.receive()


async def answers_in_part(call: Call) -> None:
    await call.start(200, (b"content-length", b"100000"))
    await call.body(CHUNK)
