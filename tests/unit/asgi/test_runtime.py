"""What the connections of a worker share: tasks, and whose exceptions are whose."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar
from typing import Any, cast

from asgiws.asgi.errors import ProcessEnds
from asgiws.asgi.runtime import Runtime

from .loops import on_each_loop

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="the server's")


def make_runtime() -> Runtime:
    return Runtime(cast(Any, None), cast(Any, None), asyncio.get_running_loop(), None)


@on_each_loop
async def test_a_task_does_not_inherit_the_context_of_the_request_before() -> None:
    runtime = make_runtime()
    seen: list[str] = []

    async def second() -> None:
        seen.append(VARIABLE.get())

    async def first() -> None:
        VARIABLE.set("the first request's")
        runtime.spawn(second())

    await runtime.spawn(first())
    await asyncio.gather(*runtime.tasks)
    assert seen == ["the server's"]


@on_each_loop
async def test_tasks_are_held_until_they_end() -> None:
    runtime = make_runtime()
    task = runtime.spawn(asyncio.sleep(0))
    assert runtime.tasks == {task}
    await task
    await asyncio.sleep(0)
    assert not runtime.tasks


@on_each_loop
async def test_what_an_application_did_not_raise() -> None:
    runtime = make_runtime()
    for error in (KeyboardInterrupt(), GeneratorExit(), ProcessEnds(3)):
        assert runtime.is_passing(error)
    for error in (SystemExit(3), ValueError(), asyncio.CancelledError()):
        assert not runtime.is_passing(error)
    runtime.cutting_off = True
    assert runtime.is_passing(asyncio.CancelledError())


@on_each_loop
async def test_whose_cancellation_it_was() -> None:
    runtime = make_runtime()
    passing: list[bool] = []

    async def app() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            passing.append(runtime.is_passing(error))

    for runtime.cutting_off in (True, False):
        task = runtime.spawn(app())
        await asyncio.sleep(0)
        task.cancel()
        await task
    # The server's own is known everywhere; somebody else's only where a task can tell.
    assert passing == [True, sys.version_info >= (3, 11)]
