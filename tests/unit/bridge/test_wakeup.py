"""The Waiter under everything that awaits it: tasks of both kinds, timeouts, cancel scopes, both
loops."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import types
from asyncio.tasks import _PyTask  # type: ignore[attr-defined]
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from asgiws.bridge.wakeup import Waiter
from tests.support.loops import LOOPS, Loop, on_each_loop, settle

Task = asyncio.Task[Any]
TASKS: dict[str, Callable[..., Any]] = {"C": asyncio.Task, "Python": _PyTask}
each_kind_of_task = pytest.mark.parametrize("kind", TASKS)


class Channel:
    """A queue as `receive()` has it, on top of the Waiter."""

    def __init__(self) -> None:
        self.items: deque[object] = deque()
        self.waiters: deque[Waiter] = deque()

    async def receive(self) -> object:
        while not self.items:
            waiter = Waiter(asyncio.get_running_loop())
            self.waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter in self.waiters:
                    self.waiters.remove(waiter)
                raise
        return self.items.popleft()

    def put(self, item: object, now: bool = False) -> None:
        self.items.append(item)
        if self.waiters:
            waiter = self.waiters.popleft()
            if now:
                waiter.wake()
            else:
                waiter.wake_soon()


def from_the_loop(function: Callable[..., object], *arguments: object) -> asyncio.Future[Any]:
    """Call `function` from a callback of the loop, as a read does; the result is a future of what
    it gave."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def call() -> None:
        result = function(*arguments)
        if not done.cancelled():
            done.set_result(result)

    loop.call_soon(call)
    return done


def start(kind: str, coroutine: Any, **options: Any) -> Any:
    return TASKS[kind](coroutine, loop=asyncio.get_running_loop(), **options)


# Waking


@each_kind_of_task
@on_each_loop
async def test_wake_steps_the_task_before_it_returns(kind: str) -> None:
    waiter = Waiter(asyncio.get_running_loop())
    steps: list[str] = []

    async def wait() -> None:
        steps.append("waits")
        await waiter
        steps.append("woken")

    task = start(kind, wait())
    await settle()

    def wake() -> None:
        steps.append("before")
        waiter.wake()
        steps.append("after")

    await from_the_loop(wake)
    assert steps == ["waits", "before", "woken", "after"]
    await task


@each_kind_of_task
@on_each_loop
async def test_wake_soon_steps_the_task_in_the_next_turn(kind: str) -> None:
    waiter = Waiter(asyncio.get_running_loop())
    steps: list[str] = []

    async def wait() -> str:
        await waiter
        steps.append("woken")
        return "result"

    task = start(kind, wait())
    await settle()
    waiter.wake_soon()
    steps.append("after")
    assert await task == "result"
    assert steps == ["after", "woken"]


@on_each_loop
async def test_a_waiter_that_was_woken_before_it_is_awaited_does_not_wait() -> None:
    for wake in (Waiter.wake, Waiter.wake_soon):
        waiter = Waiter(asyncio.get_running_loop())
        assert not waiter.done()
        wake(waiter)
        wake(waiter)
        assert waiter.done()
        assert not waiter.cancelled()
        ran: list[int] = []
        asyncio.get_running_loop().call_soon(ran.append, 1)
        await waiter
        assert not ran  # not even a turn of the loop passed


@each_kind_of_task
@on_each_loop
async def test_a_second_wake_up_is_nothing(kind: str) -> None:
    waiter = Waiter(asyncio.get_running_loop())
    steps: list[int] = []

    async def wait() -> None:
        await waiter
        steps.append(1)
        await asyncio.sleep(0)
        steps.append(2)

    task = start(kind, wait())
    await settle()

    def twice() -> None:
        waiter.wake_soon()
        waiter.wake()
        waiter.wake_soon()
        assert steps == []

    await from_the_loop(twice)
    await task
    assert steps == [1, 2]


@each_kind_of_task
@on_each_loop
async def test_the_woken_step_is_a_step_of_the_task(kind: str) -> None:
    waiter = Waiter(asyncio.get_running_loop())
    seen: list[object] = []

    async def wait() -> None:
        await waiter
        seen.append(asyncio.current_task())

    task = start(kind, wait())
    await settle()

    def wake() -> None:
        assert asyncio.current_task() is None
        waiter.wake()
        assert asyncio.current_task() is None

    await from_the_loop(wake)
    assert seen == [task]
    await task


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.mark.parametrize("now", [True, False])
@each_kind_of_task
@on_each_loop
async def test_context_variables_are_the_tasks_own(kind: str, now: bool) -> None:
    waiter = Waiter(asyncio.get_running_loop())
    seen: list[str] = []

    async def wait() -> None:
        variable.set("task")
        await waiter
        seen.append(variable.get())
        variable.set("changed")
        await asyncio.sleep(0)
        seen.append(variable.get())

    task = start(kind, wait())
    await settle()

    def wake() -> None:
        variable.set("waker")
        (waiter.wake if now else waiter.wake_soon)()
        assert variable.get() == "waker"

    await from_the_loop(wake)
    await task
    assert seen == ["task", "changed"]
    assert variable.get() == "unset"


@each_kind_of_task
@on_each_loop
async def test_an_error_of_the_woken_step_stays_in_its_task(kind: str) -> None:
    waiter = Waiter(asyncio.get_running_loop())

    async def wait() -> None:
        await waiter
        raise LookupError("the application's")

    task = start(kind, wait())
    await settle()
    await from_the_loop(waiter.wake)
    with pytest.raises(LookupError):
        await task


@on_each_loop
async def test_a_woken_step_may_wait_again_and_be_woken_again() -> None:
    channel = Channel()
    taken: list[object] = []

    async def take() -> None:
        while (item := await channel.receive()) is not None:
            taken.append(item)

    task = asyncio.ensure_future(take())
    await settle()

    def put_all() -> None:
        for item in range(5):
            channel.put(item, now=True)
            assert taken[-1] == item
        channel.put(None, now=True)

    await from_the_loop(put_all)
    await task
    assert taken == [0, 1, 2, 3, 4]


# Under what applications do with receive()


@pytest.mark.parametrize("now", [True, False])
@each_kind_of_task
@on_each_loop
async def test_a_task_around_receive(kind: str, now: bool) -> None:
    channel = Channel()
    task = start(kind, channel.receive())
    other = start(kind, channel.receive())
    await settle()
    await from_the_loop(channel.put, "first", now)
    await from_the_loop(channel.put, "second", now)
    assert await asyncio.wait_for(task, 10) == "first"
    done, _ = await asyncio.wait({other})
    assert done == {other}
    assert other.result() == "second"


@pytest.mark.parametrize("now", [True, False])
@on_each_loop
async def test_wait_for(now: bool) -> None:
    channel = Channel()
    task = asyncio.ensure_future(asyncio.wait_for(channel.receive(), 30))
    await settle()
    await from_the_loop(channel.put, "in time", now)
    assert await task == "in time"
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(channel.receive(), 0.001)
    assert not channel.waiters
    channel.put("after the timeout")
    assert await asyncio.wait_for(channel.receive(), 30) == "after the timeout"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with Python 3.11")
@on_each_loop
async def test_asyncio_timeout() -> None:
    channel = Channel()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await channel.receive()
    assert not channel.waiters
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]

    async def receive() -> object:
        async with asyncio.timeout(30):
            return await channel.receive()

    task = asyncio.ensure_future(receive())
    await settle()
    await from_the_loop(channel.put, "in time", True)
    assert await task == "in time"


@pytest.mark.parametrize("now", [True, False])
@on_each_loop
async def test_anyio_cancel_scopes_and_task_groups(now: bool) -> None:
    channel = Channel()
    with anyio.move_on_after(0.001) as scope:
        await channel.receive()
    assert scope.cancelled_caught
    assert not channel.waiters
    received: list[object] = []

    async def receive() -> None:
        received.append(await channel.receive())
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        group.start_soon(anyio.sleep_forever)
        group.start_soon(channel.receive)  # cancelled while it waits
        await settle()
        await from_the_loop(channel.put, "item", now)
    assert received == ["item"]
    assert not channel.waiters


@on_each_loop
async def test_gather_and_shield() -> None:
    channel = Channel()
    both = asyncio.gather(channel.receive(), channel.receive())
    await settle()
    channel.put(1)
    channel.put(2)
    assert await both == [1, 2]
    inner = asyncio.ensure_future(channel.receive())
    outer = asyncio.shield(inner)
    await settle()
    outer.cancel()
    await settle()
    channel.put(3)
    assert await inner == 3


@on_each_loop
async def test_yield_from() -> None:
    waiter = Waiter(asyncio.get_running_loop())

    @types.coroutine
    def wait() -> Any:
        yield from waiter

    async def main() -> None:
        await wait()

    task = asyncio.ensure_future(main())
    await settle()
    assert not task.done()
    waiter.wake_soon()
    await task


# Cancellation at each point


@each_kind_of_task
@on_each_loop
async def test_cancelled_before_it_waits(kind: str) -> None:
    waiter = Waiter(asyncio.get_running_loop())

    async def wait() -> None:
        await waiter

    task = start(kind, wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    waiter.wake()  # nobody is there


@each_kind_of_task
@on_each_loop
async def test_cancelled_while_it_waits(kind: str) -> None:
    waiter = Waiter(asyncio.get_running_loop())
    ended: list[str] = []

    async def wait() -> None:
        try:
            await waiter
        except asyncio.CancelledError as error:
            ended.append(*error.args)
            raise

    task = start(kind, wait())
    await settle()
    task.cancel("the message")
    assert waiter.cancelled()
    assert waiter.done()
    # A wake-up between the cancellation and its arrival is ignored.
    await from_the_loop(waiter.wake)
    waiter.wake_soon()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["the message"]


@each_kind_of_task
@on_each_loop
async def test_cancelled_between_the_wake_up_and_its_step(kind: str) -> None:
    waiter = Waiter(asyncio.get_running_loop())
    ended: list[str] = []

    async def wait() -> None:
        try:
            await waiter
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    task = start(kind, wait())
    await settle()
    waiter.wake_soon()
    assert waiter.cancel() is False
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]


@each_kind_of_task
@on_each_loop
async def test_cancelled_within_the_woken_step(kind: str) -> None:
    waiter = Waiter(asyncio.get_running_loop())
    ended: list[str] = []

    async def wait() -> None:
        await waiter
        ended.append("woken")
        task.cancel()
        await asyncio.sleep(0)
        ended.append("never")

    task = start(kind, wait())
    await settle()
    await from_the_loop(waiter.wake)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["woken"]


@each_kind_of_task
@on_each_loop
async def test_a_cancellation_that_is_caught_lets_it_wait_again(kind: str) -> None:
    channel = Channel()

    async def wait() -> object:
        try:
            return await channel.receive()
        except asyncio.CancelledError:
            return await channel.receive()

    task = start(kind, wait())
    await settle()
    task.cancel()
    await settle()
    await from_the_loop(channel.put, "again", True)
    assert await task == "again"


@on_each_loop
async def test_a_coroutine_that_is_closed_while_it_waits() -> None:
    channel = Channel()
    coroutine = channel.receive()
    coroutine.send(None)
    assert len(channel.waiters) == 1
    coroutine.close()
    assert not channel.waiters


# What a task asks of a future


@on_each_loop
async def test_it_answers_as_a_future() -> None:
    loop = asyncio.get_running_loop()
    waiter = Waiter(loop)
    assert waiter.get_loop() is loop
    assert not waiter.done()
    assert not waiter.cancelled()
    for ask in (waiter.result, waiter.exception):
        with pytest.raises(asyncio.InvalidStateError):
            ask()
    assert asyncio.isfuture(waiter)
    waiter.wake()
    assert waiter.result() is None
    assert waiter.exception() is None

    waiter = Waiter(loop)
    assert waiter.cancel() is True
    assert waiter.cancel() is False
    assert waiter.cancelled()
    for ask in (waiter.result, waiter.exception):
        with pytest.raises(asyncio.CancelledError):
            ask()
    with pytest.raises(asyncio.CancelledError):
        await waiter


@on_each_loop
async def test_callbacks() -> None:
    loop = asyncio.get_running_loop()
    called: list[object] = []
    waiter = Waiter(loop)
    waiter.add_done_callback(called.append)
    with pytest.raises(RuntimeError, match="one task only"):
        waiter.add_done_callback(print)
    assert waiter.remove_done_callback(print) == 0
    assert waiter.remove_done_callback(called.append) == 1
    assert waiter.remove_done_callback(called.append) == 0
    waiter.add_done_callback(called.append)
    waiter.wake()
    (told,) = called  # any future that is done
    assert isinstance(told, asyncio.Future)
    assert told.done()
    assert told.result() is None
    # One that is added too late is called in the next turn.
    context = contextvars.copy_context()
    context.run(variable.set, "late")
    waiter.add_done_callback(lambda _: called.append(variable.get()), context=context)
    assert called == [told]
    await settle()
    assert called == [told, "late"]


# Debug mode


@pytest.mark.parametrize("loop_name", LOOPS)
def test_debug_mode_has_no_complaint(loop_name: str) -> None:
    async def main() -> None:
        for now in (True, False):
            channel = Channel()
            task = asyncio.ensure_future(channel.receive())
            await settle()
            assert "receive" in repr(task)
            await from_the_loop(channel.put, "item", now)
            assert await task == "item"
            task = asyncio.ensure_future(channel.receive())
            await settle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    loop = Loop(loop_name, debug=True)
    try:
        loop.run(main())
    finally:
        loop.close()
