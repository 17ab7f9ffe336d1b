"""Calls whose application runs the event loop from within itself, as nest_asyncio lets it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from asgiws.bridge import tasks
from asgiws.bridge.reuse import Spare
from asgiws.bridge.wakeup import Waiter
from tests.support.jobs import CoroutineJob
from tests.support.loops import Loop, settle
from tests.support.nested import NestableLoop, run_nested, turns

Log = list[Any]
Application = Callable[[Log], Coroutine[Any, Any, None]]
Task = asyncio.Task[None]
Start = Callable[[tasks.Job], "Task | None"]

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

#: How a call is begun: by a Spare with a new task, one that has served, one that idles, or with
#: reuse turned off; as a WebSocket's.
WAYS = ("new", "used", "idle", "off", "lasting")

pytestmark = pytest.mark.parametrize("way", WAYS)


def in_a_loop(main: Coroutine[Any, Any, None]) -> None:
    loop = Loop(factory=NestableLoop)
    try:
        loop.run(main)
    finally:
        loop.close()


async def starter(way: str) -> Start:
    """How to begin a call in that way; only from a callback."""
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    if way == "lasting":
        return lambda job: tasks.start(loop, job, context.copy())
    spare = Spare(loop, context, way != "off")

    def begin(job: tasks.Job) -> Task | None:
        return spare.start(job, context.copy())

    def use() -> None:
        if way != "new":
            begin(CoroutineJob(turns(0)))

    loop.call_soon(use)
    await settle(1 if way in ("used", "off") else 5)
    return begin


async def called(function: Callable[[], Any]) -> Any:
    """What `function` returns as a callback of the loop."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()
    loop.call_soon(lambda: result.set_result(function()))
    return await result


async def ended(task: Task | None) -> str:
    if task is None:
        return "returned"
    await asyncio.wait([task], timeout=30)
    if not task.done():
        return "hangs"
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return "returned" if error is None else repr(error)


async def ends_behind_it(log: Log) -> None:
    log.append(run_nested(turns()))
    log.append("ends")


async def waits_behind_it(log: Log) -> None:
    run_nested(turns())
    await asyncio.sleep(0)
    log.append("a turn later")
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, "set")
    log.append(await future)
    run_nested(turns())
    log.append("ends")


async def runs_it_often(log: Log) -> None:
    for _ in range(3):
        run_nested(turns())
    for _ in range(3):
        await asyncio.sleep(0)
        run_nested(turns())
    log.append("ends")


async def raises_behind_it(log: Log) -> None:
    run_nested(turns())
    await asyncio.sleep(0)
    run_nested(turns())
    raise KeyError(1)


async def runs_what_raises(log: Log) -> None:
    async def fail() -> None:
        await turns()
        raise KeyError(1)

    try:
        run_nested(fail())
    except KeyError as error:
        log.append(repr(error))
    await asyncio.sleep(0)


async def is_cancelled_before(log: Log) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel("before")
    run_nested(turns())
    log.append("behind")
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError as error:
        log.append(error.args)
        raise


async def is_cancelled_meanwhile(log: Log) -> None:
    async def cancel() -> None:
        await turns()
        task.cancel("meanwhile")
        await turns()

    task: Any = asyncio.current_task()
    run_nested(cancel())
    log.append("behind")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as error:
        log.append(error.args)
        raise


async def is_cancelled_meanwhile_for_a_future(log: Log) -> None:
    future = asyncio.get_running_loop().create_future()
    task: Any = asyncio.current_task()
    task.cancel("before")
    run_nested(turns())
    try:
        await future
    except asyncio.CancelledError as error:
        log.append((error.args, future.cancelled()))
    run_nested(turns())
    await asyncio.sleep(0)
    log.append("goes on")


async def is_cancelled_in_its_last_step(log: Log) -> None:
    task: Any = asyncio.current_task()
    task.cancel("before")
    run_nested(turns())


async def takes_a_cancellation_back(log: Log) -> None:
    task: Any = asyncio.current_task()
    task.cancel("before")
    run_nested(turns())
    task.uncancel()
    try:
        await asyncio.sleep(0)
        log.append("not cancelled")
    except asyncio.CancelledError:
        log.append("cancelled")


async def has_its_own_task(log: Log) -> None:
    task = asyncio.current_task()

    async def other() -> None:
        await turns()
        log.append(asyncio.current_task() is task)

    run_nested(other())
    log.append(asyncio.current_task() is task)
    await asyncio.sleep(0)
    log.append(asyncio.current_task() is task)


async def has_its_own_context(log: Log) -> None:
    async def other() -> None:
        log.append(variable.get())
        variable.set("the nested one's")
        await turns()

    variable.set("its own")
    run_nested(other())
    log.append(variable.get())
    await asyncio.sleep(0)
    log.append(variable.get())
    run_nested(other())
    log.append(variable.get())


SCENARIOS: list[Application] = [
    ends_behind_it,
    waits_behind_it,
    runs_it_often,
    raises_behind_it,
    runs_what_raises,
    is_cancelled_before,
    is_cancelled_meanwhile,
    is_cancelled_meanwhile_for_a_future,
    is_cancelled_in_its_last_step,
    has_its_own_task,
    has_its_own_context,
]
if sys.version_info >= (3, 11):
    SCENARIOS.append(takes_a_cancellation_back)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_is_as_in_an_ordinary_task(way: str, scenario: Application) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        start = await starter(way)
        begins: list[Callable[[Log], Awaitable[Task | None]]] = [
            lambda log: called(lambda: start(CoroutineJob(scenario(log)))),
            lambda log: called(lambda: loop.create_task(scenario(log))),
        ]
        outcomes = []
        for begin in begins:
            log: Log = []
            outcomes.append((await ended(await begin(log)), log))
            await settle()
        ours, ordinary = outcomes
        if ours[0] == "returned" and scenario is is_cancelled_in_its_last_step:
            ours = ("cancelled", ours[1])  # nobody has the task, to see that
        assert ours == ordinary

    in_a_loop(main())


def test_other_calls_begin_and_end_meanwhile(way: str) -> None:
    """On every level, in the first step of the call before and in a later one."""
    log: Log = []

    async def main() -> None:
        start = await starter(way)

        def begin(application: Coroutine[Any, Any, None]) -> None:
            begun.append(start(CoroutineJob(application)))

        async def quick(name: str) -> None:
            mine = asyncio.current_task()
            assert variable.get() == "unset"
            variable.set(name)
            log.append(name)
            run_nested(turns())
            assert asyncio.current_task() is mine
            assert variable.get() == name

        async def slow(name: str) -> None:
            mine = asyncio.current_task()
            variable.set(name)
            run_nested(turns())
            await asyncio.sleep(0)
            run_nested(turns())
            assert asyncio.current_task() is mine
            assert variable.get() == name
            log.append(name)

        async def nests(depth: int) -> None:
            loop = asyncio.get_running_loop()
            for step in range(2):
                name = f"{depth}.{step}"
                loop.call_soon(begin, quick(f"quick {name}"))
                loop.call_soon(begin, slow(f"slow {name}"))
                if depth:
                    loop.call_soon(begin, nests(depth - 1))
                run_nested(turns(20))
                await asyncio.sleep(0)
            log.append(f"nests {depth}")

        begun: list[Task | None] = []
        await called(lambda: begin(nests(2)))
        while task := next((task for task in begun if task is not None and not task.done()), None):
            assert await ended(task) == "returned"
        assert [await ended(task) for task in begun] == ["returned"] * len(begun)

    in_a_loop(main())
    assert log.count("nests 2") == 1
    assert log.count("nests 1") == 2
    assert log.count("nests 0") == 4
    assert sum(name.startswith(("quick", "slow")) for name in log) == 2 * 2 * (1 + 2 + 4)


def test_a_call_that_is_woken_in_a_read_runs_the_loop(way: str) -> None:
    """Woken at once, by a callback of the loop, as a message does it; others are woken meanwhile."""
    log: Log = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start = await starter(way)
        waiters = {number: Waiter(loop) for number in range(3)}

        async def application(number: int) -> None:
            await waiters[number]
            log.append(f"{number} begins")
            loop.call_soon(waiters[(number + 1) % 3].wake)
            run_nested(turns())
            log.append(f"{number} goes on")
            await asyncio.sleep(0)
            log.append(f"{number} ends")

        begun = [
            await called(lambda number=number: start(CoroutineJob(application(number))))
            for number in range(3)
        ]
        await settle()
        loop.call_soon(waiters[0].wake)
        assert [await ended(task) for task in begun] == ["returned"] * 3

    in_a_loop(main())
    assert log[:3] == ["0 begins", "1 begins", "2 begins"]
    assert sorted(log[3:]) == sorted(
        f"{n} {what}" for n in range(3) for what in ("goes on", "ends")
    )
