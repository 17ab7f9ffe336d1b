"""What a call leaves behind where the garbage collector does not run: nothing, however it ends."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asgiws.bridge import tasks
from asgiws.bridge.calls import Call
from asgiws.bridge.reuse import Spare
from asgiws.bridge.wakeup import Waiter
from tests.support.jobs import CoroutineJob
from tests.support.loops import LOOPS, Loop, settle


class Payload:
    """What an application has."""


class Waits(Call):
    """A Call that waits for its owner, a Waiter."""

    def advance(self) -> Any:
        if not self._owner.done():
            self._waiter = self._owner
        return None


class Noticed(CoroutineJob):
    """Takes what the application raises, but for its cancellation, as the drivers do."""

    def ended(self, error: BaseException | None) -> None:
        if isinstance(error, asyncio.CancelledError):
            raise error


variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")

Application = Callable[[], Coroutine[Any, Any, None]]
Window = Callable[["asyncio.Task[None]"], object]


async def ends() -> None:
    pass


async def sleeps() -> None:
    await asyncio.sleep(0)


def soon_done() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(lambda: future.done() or future.set_result(None))
    return future


async def waits() -> None:
    await soon_done()
    await asyncio.sleep(0)


async def waits_for_a_waiter() -> None:
    waiter = Waiter(asyncio.get_running_loop())
    asyncio.get_running_loop().call_soon(waiter.wake)
    await waiter


async def raises() -> None:
    raise ValueError(1)


async def raises_later() -> None:
    await asyncio.sleep(0)
    raise ValueError(1)


async def waits_for_ever() -> None:
    await asyncio.Event().wait()


async def waits_in_a_call() -> None:
    await Waits(Waiter(asyncio.get_running_loop()), None)  # type: ignore[misc]  # it can be awaited


async def cleans_up() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)


def cancel_current() -> None:
    """Here, and not where a traceback would hold a frame that names the task."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def cancels_itself() -> None:
    cancel_current()
    await asyncio.sleep(0)


async def cancels_itself_and_ends() -> None:
    cancel_current()


async def raises_its_own_cancellation() -> None:
    raise asyncio.CancelledError


APPLICATIONS = [
    ends,
    sleeps,
    waits,
    waits_for_a_waiter,
    raises,
    raises_later,
    waits_for_ever,
    waits_in_a_call,
    cleans_up,
    cancels_itself,
    cancels_itself_and_ends,
    raises_its_own_cancellation,
]

#: When it is cancelled: behind its first step, before the loop has stepped the task, or some turns later.
MOMENTS: dict[str, Callable[[asyncio.AbstractEventLoop], Window]] = {
    "at once": lambda loop: lambda task: task.cancel(),
    "later": lambda loop: lambda task: loop.call_soon(loop.call_soon, loop.call_soon, task.cancel),
}
ENDLESS = (waits_for_ever, waits_in_a_call, cleans_up)


@pytest.mark.parametrize("loop_name", LOOPS)
@pytest.mark.parametrize("way", ["new", "used", "idle", "off", "lasting"])
@pytest.mark.parametrize("cancelled", ["no", *MOMENTS])
@pytest.mark.parametrize("application", APPLICATIONS)
def test_a_call_leaves_nothing_behind(
    loop_name: str, way: str, cancelled: str, application: Application
) -> None:
    if cancelled == "no" and application in ENDLESS:
        pytest.skip("it would never end")
    payloads: weakref.WeakSet[Payload] = weakref.WeakSet()
    loop = Loop(loop_name)
    told: list[Any] = []
    loop.loop.set_exception_handler(lambda _, context: told.append(context["message"]))

    async def call() -> None:
        payload = Payload()
        payloads.add(payload)
        variable.set(payload)
        await application()

    context = contextvars.copy_context()
    spare = Spare(loop.loop, context, way != "off")

    def start(what: Application) -> asyncio.Task[None] | None:
        job = Noticed(what())
        if way == "lasting":
            return tasks.start(loop.loop, job, context.copy())
        return spare.start(job, context.copy())

    def begin() -> None:
        if way in ("used", "off"):
            start(ends)
        task = start(call)
        if task is not None and cancelled != "no":
            MOMENTS[cancelled](loop.loop)(task)

    async def main() -> None:
        if way == "idle":
            loop.loop.call_soon(start, ends)
            await settle()
        loop.loop.call_soon(begin)
        await settle()
        assert not payloads

    gc.collect()
    gc.disable()
    try:
        loop.run(main())
        spare.close()
        loop.run(settle())
        kinds = (asyncio.Task, tasks.Runner, contextvars.Context, BaseException)
        left = garbage()
        assert [thing for thing in left if isinstance(thing, kinds)] == []
        assert [message for message in told if "never retrieved" not in message] == []
    finally:
        gc.enable()
        loop.close()


def garbage() -> list[Any]:
    """What only the collector would have freed."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return gc.garbage[:]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
