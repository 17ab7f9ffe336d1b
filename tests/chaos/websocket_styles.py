"""Applications that speak WebSocket, plain ASGI, one function for each style.

Rules of this file: those of `http_styles`. A client that stays says a few messages, then closes.
"""

from __future__ import annotations

import asyncio
import os
import time

import anyio

from tests.chaos.books import Asked, AskedBase, blocking, forking
from tests.chaos.calls import CHUNK, Call
from tests.chaos.http_styles import _FOREVER, BESIDE, _ended


async def echo(call: Call) -> None:
    await call.accept()
    while (message := await call.hear()) is not None:
        await call.say(message)


async def only_sends(call: Call) -> None:
    """`send()` and nothing else, as fast as it goes."""
    await call.accept()
    for _ in range(call.count):
        await call.say(CHUNK)


async def only_sends_tiny(call: Call) -> None:
    await call.accept()
    for _ in range(call.count):
        await call.say("x")


async def sends_at_times(call: Call) -> None:
    await call.accept()
    for number in range(call.count):
        await call.say(f"tick {number}")
        await asyncio.sleep(0.01)


async def only_receives(call: Call) -> None:
    await call.accept()
    while await call.hear() is not None:
        pass


async def receives_slowly(call: Call) -> None:
    await call.accept()
    while await call.hear() is not None:
        await asyncio.sleep(0.02)


async def deaf(call: Call) -> None:
    """Neither sends nor receives: nothing but its cancellation tells it."""
    await call.accept()
    await asyncio.sleep(BESIDE if call.stays else _FOREVER)


async def floods_then_listens(call: Call) -> None:
    await call.accept()
    for _ in range(min(call.count, 500)):
        await call.say(CHUNK)
    await call.until_gone()


async def answers_late(call: Call) -> None:
    """Accepts when the client may have gone."""
    await call.receive()
    await asyncio.sleep(BESIDE)
    await call.send({"type": "websocket.accept"})
    while (message := await call.hear()) is not None:
        await call.say(message)


async def task_group(call: Call) -> None:
    await call.accept()
    async with anyio.create_task_group() as group:

        async def listen() -> None:
            while (await call.hear()) is not None:
                pass
            group.cancel_scope.cancel()

        async def stream() -> None:
            for _ in range(call.count):
                await call.say(CHUNK)

        group.start_soon(listen)
        group.start_soon(stream)


async def group_that_only_sends(call: Call) -> None:
    """What `send()` raises comes out of it in an ExceptionGroup."""
    await call.accept()

    async def stream() -> None:
        for _ in range(call.count // 2):
            await call.say(CHUNK)

    async with anyio.create_task_group() as group:
        group.start_soon(stream)
        group.start_soon(stream)


async def nested_tasks(call: Call) -> None:
    await call.accept()

    async def level(depth: int) -> None:
        if depth:
            await asyncio.get_running_loop().create_task(level(depth - 1))
            return
        while (message := await call.hear()) is not None:
            await call.say(message)

    await level(3)


async def gives_up_receiving(call: Call) -> None:
    await call.accept()
    while True:
        try:
            message = await asyncio.wait_for(call.hear(), 0.005)
        except asyncio.TimeoutError:
            await call.say("are you there?")
            continue
        if message is None:
            return
        await call.say(message)


async def receives_at_once(call: Call) -> None:
    await call.accept()
    tasks = [asyncio.ensure_future(call.until_gone()) for _ in range(3)]
    _, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def outlived(call: Call) -> None:
    """A task goes on when the call has ended, and sends what nobody wants any more."""
    await call.accept()

    async def later() -> None:
        for _ in range(call.count):
            await call.say(CHUNK)

    call.detach("a task of ws outlived", later())
    await call.hear()


async def threads(call: Call) -> None:
    loop = asyncio.get_running_loop()
    await call.accept()

    def work() -> None:
        for _ in range(min(call.count, 200)):
            asyncio.run_coroutine_threadsafe(_say(call), loop).result(20)

    await loop.run_in_executor(None, work)


async def _say(call: Call) -> None:
    await call.say(CHUNK)


async def blocks(call: Call) -> None:
    await call.accept()
    while (message := await call.hear()) is not None:
        if blocking.take():
            begun = time.monotonic()
            time.sleep(0.03)
            blocking.blocked(time.monotonic() - begun)
        await call.say(message)


async def forks(call: Call) -> None:
    await call.accept()
    if forking.take():
        begun = time.monotonic()
        pid = os.fork()
        if not pid:
            os._exit(0)
        forking.blocked(time.monotonic() - begun)
        await _ended(pid, "a child forked by a WebSocket")
    await call.until_gone()


async def closes(call: Call) -> None:
    await call.accept()
    await call.say("that is all")
    await call.send({"type": "websocket.close", "code": 4000, "reason": "Asked"})


async def closes_and_listens(call: Call) -> None:
    await call.accept()
    await call.send({"type": "websocket.close", "code": 4000, "reason": "Asked"})
    await call.until_gone()


async def returns(call: Call) -> None:
    await call.accept()
    await call.hear()


async def refuses(call: Call) -> None:
    await call.receive()
    await call.send({"type": "websocket.close"})


async def denies(call: Call) -> None:
    """A response of its own, without an end."""
    await call.receive()
    await call.send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    body = {"type": "websocket.http.response.body", "body": CHUNK, "more_body": True}
    for _ in range(call.count):
        await call.send(body)
    await call.send({**body, "more_body": False})


async def never_answers(call: Call) -> None:
    await call.receive()


async def raises(call: Call) -> None:
    raise Asked


async def raises_later(call: Call) -> None:
    await call.accept()
    await call.hear()
    raise Asked


async def raises_in_finally(call: Call) -> None:
    await call.accept()
    try:
        for _ in range(call.count):
            await call.say(CHUNK)
    finally:
        raise Asked


async def raises_base(call: Call) -> None:
    await call.accept()
    raise AskedBase


async def exits(call: Call) -> None:
    await call.accept()
    await call.hear()
    raise SystemExit("Asked")


async def cancels_itself(call: Call) -> None:
    await call.accept()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def holds_on(call: Call) -> None:
    await call.accept()
    try:
        for _ in range(call.count):
            await call.say(CHUNK)
    finally:
        await asyncio.sleep(BESIDE)
