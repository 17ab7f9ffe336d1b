"""An application's task and its first step, begun from a callback of the loop as a read begins it.

What applications can see of it is held against an ordinary task, which is cancelled at the same point: after
its first step.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgiws.bridge import tasks
from asgiws.bridge.reuse import Spare
from tests.support.jobs import CoroutineJob
from tests.support.loops import LOOPS, Loop, on_each_loop, settle

#: Whether the first step runs within `start`.
EAGER = sys.version_info >= (3, 11)
eager = pytest.mark.skipif(not EAGER, reason="the first step is the loop's before Python 3.11")

#: Seconds: far more than a few turns of the loop take, in which a cancellation comes.
DELAY = 0.05

Application = Coroutine[Any, Any, None]
Task = asyncio.Task[None]
Window = Callable[[Task], object]

#: How a task is come by: `tasks.start` makes one; a Spare has one that served a call already, in this turn of
#: the loop or in an earlier one; with reuse turned off, it has none.
WAYS = ("new", "used", "idle", "off")

_way = "new"
_spares: list[Spare] = []


@pytest.fixture(autouse=True, params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    global _way
    _way = request.param
    _spares.clear()
    return _way


def start(
    loop: asyncio.AbstractEventLoop, application: Application, context: contextvars.Context
) -> Task | None:
    """Start it in the way that is being tested."""
    job = CoroutineJob(application)
    if _way == "new" or asyncio.current_task(loop) is not None:
        return tasks.start(loop, job, context)
    spare = _spares.pop() if _spares else used(loop)
    try:
        return spare.start(job, context)
    finally:
        spare.close()


def used(loop: asyncio.AbstractEventLoop) -> Spare:
    """A Spare that has started a call already."""

    async def ends_at_once() -> None:
        pass

    spare = new_spare(loop)
    spare.start(CoroutineJob(ends_at_once()), contextvars.copy_context())
    return spare


def new_spare(loop: asyncio.AbstractEventLoop) -> Spare:
    return Spare(loop, contextvars.copy_context(), _way != "off")


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def from_callback(call: Callable[[], Any]) -> Any:
    """What `call` returns in a callback of the loop, where no task is running."""
    loop = asyncio.get_running_loop()
    if _way == "idle":
        loop.call_soon(lambda: _spares.append(used(loop)))
        await settle()
    result: asyncio.Future[Any] = loop.create_future()

    def callback() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    loop.call_soon(callback)
    return await result


async def begin(application: Application, window: Window | None = None) -> Task | None:
    """Start it; `window` runs before the loop has stepped the task."""
    loop = asyncio.get_running_loop()

    def call() -> Task | None:
        task = start(loop, application, contextvars.copy_context())
        if task is not None and window is not None:
            if EAGER:
                window(task)
            else:
                loop.call_soon(window, task)
        return task

    task: Task | None = await from_callback(call)
    return task


async def begin_ordinary(application: Application, window: Window | None = None) -> Task:
    """The same as an ordinary task; `window` runs behind its first step."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(application)
    if window is not None:
        loop.call_soon(window, task)
    return task


async def end(task: Task | None) -> str:
    """How the task ended."""
    if task is None:
        return "ended at once"
    await asyncio.wait([task])
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return "returned" if error is None else f"raised {error!r}"


# The first step.


@eager
@on_each_loop
async def test_the_first_step_runs_at_once() -> None:
    log: list[str] = []

    async def application() -> None:
        log.append("first")
        await asyncio.sleep(0)
        log.append("second")

    task = await begin(application(), lambda task: log.append("started"))
    assert task is not None
    assert log[:2] == ["first", "started"]
    assert await end(task) == "returned"
    assert log == ["first", "started", "second"]


@eager
@on_each_loop
async def test_an_end_within_the_first_step() -> None:
    log: list[str] = []

    async def application() -> None:
        log.append("ran")

    assert await begin(application()) is None
    await settle()
    assert log == ["ran"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("loop_name", LOOPS)
def test_an_exception_in_the_first_step_is_told(loop_name: str) -> None:
    """Nobody holds the task: the loop's exception handler hears of it, once."""
    loop = Loop(loop_name)

    async def application() -> None:
        raise ValueError("in the first step")

    async def main() -> None:
        task = await begin(application())
        assert (task is None) == EAGER
        del task
        await settle()
        gc.collect()

    loop.run(main())
    told = [repr(complaint["exception"]) for complaint in loop.complaints]
    loop.complaints.clear()
    loop.close()
    assert told == ["ValueError('in the first step')"]


@on_each_loop
async def test_a_cancelled_error_in_the_first_step_cancels_the_task() -> None:
    mine: list[Task] = []

    async def application() -> None:
        mine.append(asyncio.current_task())  # type: ignore[arg-type]
        raise asyncio.CancelledError

    await begin(application())
    await settle()
    assert mine[0].cancelled()


# What the application's task is.


@on_each_loop
async def test_each_call_has_its_own_current_task() -> None:
    seen: list[list[Any]] = []

    async def application() -> None:
        mine = [asyncio.current_task()]
        seen.append(mine)
        await asyncio.sleep(0)
        mine.append(asyncio.current_task())
        await asyncio.sleep(0)
        mine.append(asyncio.current_task())

    begun = [await begin(application()) for _ in range(3)]
    for task in begun:
        assert await end(task) == "returned"
    assert seen == [[task] * 3 for task in begun]
    assert len(set(begun)) == 3


@on_each_loop
async def test_attributes_of_the_task_are_the_calls_own() -> None:
    seen: list[Any] = []

    async def application() -> None:
        task: Any = asyncio.current_task()
        seen.append(getattr(task, "attribute", None))
        task.attribute = "mine"

    loop = asyncio.get_running_loop()

    def call() -> None:
        spare = new_spare(loop)
        for _ in range(2):
            spare.start(CoroutineJob(application()), contextvars.copy_context())
        spare.close()

    await from_callback(call)
    await settle()
    assert seen == [None, None]


@eager
@on_each_loop
async def test_no_task_is_left_where_a_call_leads_to_another() -> None:
    async def ends() -> None:
        pass

    async def begins_another() -> None:
        spare.start(CoroutineJob(ends()), contextvars.copy_context())

    loop = asyncio.get_running_loop()
    spare = new_spare(loop)
    gc.disable()
    try:
        before = asyncio.all_tasks()
        for _ in range(3):
            loop.call_soon(spare.start, CoroutineJob(begins_another()), contextvars.copy_context())
            await settle()
        spare.close()
        await settle()
        assert asyncio.all_tasks() == before
    finally:
        gc.enable()


@on_each_loop
async def test_no_task_is_current_behind_the_start() -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    async def ends() -> None:
        pass

    loop = asyncio.get_running_loop()

    def call() -> list[Any]:
        current = []
        for application in (waits(), ends(), ends()):
            begun.append(start(loop, application, contextvars.copy_context()))
            current.append(asyncio.current_task())
        return current

    begun: list[Task | None] = []
    assert await from_callback(call) == [None, None, None]
    await settle()


@on_each_loop
async def test_context_variables_are_the_calls_own() -> None:
    seen: list[str] = []

    async def application(value: str) -> None:
        seen.append(variable.get())
        variable.set(value)
        await asyncio.sleep(0)
        seen.append(variable.get())
        await asyncio.create_task(child())
        seen.append(variable.get())

    async def child() -> None:
        seen.append(variable.get())
        variable.set("child")

    for value in ("one", "two"):
        seen.clear()
        assert await end(await begin(application(value))) == "returned"
        assert seen == ["unset", value, value, value]
    assert await from_callback(variable.get) == "unset"


@eager
@on_each_loop
async def test_from_within_a_task_the_loop_runs_the_first_step() -> None:
    log: list[Any] = []

    async def application() -> None:
        log.append(asyncio.current_task())
        log.append(variable.get())

    context = contextvars.copy_context()
    context.run(variable.set, "given")
    task = start(asyncio.get_running_loop(), application(), context)
    assert log == []
    assert await end(task) == "returned"
    assert log == [task, "given"]


@eager
@on_each_loop
async def test_what_a_debugger_sees() -> None:
    names: list[str] = []

    async def application() -> None:
        task = asyncio.current_task()
        assert task is not None
        assert task in asyncio.all_tasks()
        names.append(task.get_name())
        await asyncio.sleep(0)
        await asyncio.Event().wait()

    def look(task: Task) -> None:
        assert task in asyncio.all_tasks(asyncio.get_running_loop())
        assert not task.done()
        coroutine: Any = task.get_coro()
        assert asyncio.iscoroutine(coroutine)
        assert coroutine.cr_code is application.__code__
        assert coroutine.cr_frame.f_code is application.__code__
        assert coroutine.cr_running is False
        assert coroutine.__qualname__ == application.__qualname__
        assert [frame.f_code for frame in task.get_stack()] == [application.__code__]
        assert application.__qualname__ in repr(task)
        assert task.get_name() == tasks.NAME

    task = await begin(application(), look)
    assert task is not None
    await settle()
    look(task)
    task.cancel()
    assert await end(task) == "cancelled"
    assert names == [tasks.NAME]
    assert task not in asyncio.all_tasks()


@on_each_loop
async def test_a_task_factory_makes_the_task() -> None:
    made: list[Task] = []

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        made.append(task)
        return task

    async def application() -> None:
        made.append(asyncio.current_task())  # type: ignore[arg-type]

    asyncio.get_running_loop().set_task_factory(factory)
    try:
        task = await begin(application())
        assert await end(task) == "returned"
    finally:
        asyncio.get_running_loop().set_task_factory(None)
    assert made[-2:] == [task, task]


# What an application may do in its first step, and how it sees its cancellation, as in an ordinary task.

Log = list[Any]


async def waits_for_a_future(log: Log) -> None:
    future = asyncio.get_running_loop().create_future()
    log.append(future)
    asyncio.get_running_loop().call_later(DELAY, lambda: future.done() or future.set_result("set"))
    log.append(await future)


async def waits_for_a_done_future(log: Log) -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_result("set")
    log.append(await future)
    await asyncio.sleep(0)


async def waits_for_a_failed_future(log: Log) -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: future.done() or future.set_exception(KeyError(1)))
    await future


async def sleeps_for_a_turn(log: Log) -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def waits_with_a_time_limit(log: Log) -> None:
    async def child() -> str:
        await asyncio.sleep(DELAY)
        return "in time"

    log.append(await asyncio.wait_for(child(), 30))
    try:
        await asyncio.wait_for(asyncio.Event().wait(), DELAY)
    except asyncio.TimeoutError:
        log.append("too late")


async def waits_too_long(log: Log) -> None:
    try:
        await asyncio.wait_for(asyncio.Event().wait(), DELAY)
    except asyncio.TimeoutError:
        log.append("too late")


async def times_out(log: Log) -> None:
    for delay in (DELAY, 0, -1):
        try:
            async with asyncio.timeout(delay):
                await asyncio.Event().wait()
        except TimeoutError:  # noqa: PERF203
            log.append("too late")


async def times_out_at_once(log: Log) -> None:
    try:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    except TimeoutError:
        log.append("too late")


async def has_a_task_group(log: Log) -> None:
    async def child(number: int) -> None:
        await asyncio.sleep(0)
        log.append(number)

    async with asyncio.TaskGroup() as group:
        group.create_task(child(1))
        group.create_task(child(2))


async def has_an_anyio_task_group(log: Log) -> None:
    async def child(number: int) -> None:
        await anyio.lowlevel.checkpoint()
        log.append(number)

    async with anyio.create_task_group() as group:
        group.start_soon(child, 1)
        group.start_soon(child, 2)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        group.cancel_scope.cancel()
    log.append("cancelled the group")


async def has_a_failing_anyio_task_group(log: Log) -> None:
    async def child() -> None:
        raise KeyError(1)

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(child)
            await anyio.sleep_forever()
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError):
            raise
        log.append(repr(error))


async def moves_on(log: Log) -> None:
    with anyio.move_on_after(DELAY) as scope:
        await anyio.sleep_forever()
    log.append(scope.cancel_called)
    with anyio.move_on_after(30) as scope:
        await anyio.lowlevel.checkpoint()
    log.append(scope.cancel_called)


async def moves_on_at_once(log: Log) -> None:
    with anyio.move_on_after(0) as scope:
        await anyio.sleep_forever()
    log.append(scope.cancel_called)
    with anyio.CancelScope(shield=True):
        await anyio.lowlevel.checkpoint()


async def has_a_child(log: Log) -> None:
    async def child() -> str:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            log.append("the child is cancelled")
            raise
        return "the child has ended"

    log.append(await asyncio.create_task(child()))


async def has_a_stubborn_child(log: Log) -> None:
    async def child() -> str:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            log.append("the child goes on")
        await asyncio.sleep(0)
        return "the child has ended"

    log.append(await asyncio.create_task(child()))


async def gathers(log: Log) -> None:
    async def child(number: int) -> int:
        await asyncio.sleep(0)
        return number

    log.append(await asyncio.gather(child(1), child(2)))


async def shields(log: Log) -> None:
    async def child() -> str:
        await asyncio.sleep(0)
        log.append("the shielded one has ended")
        return "shielded"

    log.append(await asyncio.shield(asyncio.create_task(child())))


async def cleans_up(log: Log) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as error:
        log.append(("cleaning up", error.args))
        await asyncio.sleep(0)
        log.append("cleaned up")
        raise


async def refuses_to_be_cancelled(log: Log) -> None:
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        log.append("no")
    await asyncio.sleep(0)
    log.append("still here")


async def cancels_itself(log: Log) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel("myself")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.append("cancelled by myself")
        raise


async def takes_a_cancellation_back(log: Log) -> None:
    task: Any = asyncio.current_task()
    task.cancel("not meant")
    task.uncancel()
    await waits_for_a_future(log)


async def takes_one_of_two_back(log: Log) -> None:
    task: Any = asyncio.current_task()
    task.cancel("first")
    task.cancel("second")
    task.uncancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError as error:
        log.append(error.args)
        raise


async def takes_a_cancellation_back_for_a_turn(log: Log) -> None:
    task: Any = asyncio.current_task()
    task.cancel()
    task.uncancel()
    await asyncio.sleep(0)
    log.append("a turn later")
    await asyncio.sleep(0)


async def cancels_itself_and_goes_on(log: Log) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel("myself")
    await asyncio.sleep(0)
    log.append("not reached")


async def raises_later(log: Log) -> None:
    await asyncio.sleep(0)
    raise KeyError(1)


async def yields_what_cannot_be_awaited(log: Log) -> None:
    class Bad:
        def __await__(self) -> Any:
            yield 5

    try:
        await Bad()
    except RuntimeError:
        log.append("refused")


SCENARIOS = [
    waits_for_a_future,
    waits_for_a_done_future,
    waits_for_a_failed_future,
    sleeps_for_a_turn,
    waits_with_a_time_limit,
    waits_too_long,
    has_an_anyio_task_group,
    has_a_failing_anyio_task_group,
    moves_on,
    moves_on_at_once,
    has_a_child,
    has_a_stubborn_child,
    gathers,
    shields,
    cancels_itself,
    cancels_itself_and_goes_on,
    raises_later,
    yields_what_cannot_be_awaited,
]
ENDLESS = [cleans_up, refuses_to_be_cancelled]
if sys.version_info >= (3, 11):
    SCENARIOS += [
        times_out,
        times_out_at_once,
        has_a_task_group,
        takes_a_cancellation_back,
        takes_a_cancellation_back_for_a_turn,
        takes_one_of_two_back,
    ]


def as_told(log: Log) -> Log:
    """The log, with a future told as what became of it."""
    return [
        ("a future", item.done(), item.cancelled()) if asyncio.isfuture(item) else item
        for item in log
    ]


async def in_both(
    scenario: Callable[[Log], Application], window: Window | None = None
) -> list[tuple[str, Log]]:
    """How it ends, and its log: as the server's task and as an ordinary one."""
    outcomes = []
    starts: list[Callable[..., Awaitable[Task | None]]] = [begin, begin_ordinary]
    for start in starts:
        log: Log = []
        task = await start(scenario(log), window)
        outcome = await end(task)
        await settle()
        outcomes.append((outcome, as_told(log)))
    return outcomes


@pytest.mark.parametrize("scenario", SCENARIOS)
@on_each_loop
async def test_waiting_in_the_first_step(scenario: Callable[[Log], Application]) -> None:
    ours, ordinary = await in_both(scenario)
    assert ours == ordinary


@pytest.mark.parametrize("scenario", [*SCENARIOS, *ENDLESS])
@on_each_loop
async def test_cancelled_behind_the_first_step(scenario: Callable[[Log], Application]) -> None:
    ours, ordinary = await in_both(scenario, lambda task: task.cancel("why"))
    assert ours == ordinary


@pytest.mark.parametrize("scenario", [*SCENARIOS, *ENDLESS])
@on_each_loop
async def test_cancelled_a_turn_later(scenario: Callable[[Log], Application]) -> None:
    """Ours may be a turn behind the ordinary one by then, or, with a used task, a turn ahead of it."""
    call_soon = asyncio.get_running_loop().call_soon
    ours, later = await in_both(scenario, lambda task: call_soon(task.cancel))
    _, now = await in_both(scenario, lambda task: task.cancel())
    _, latest = await in_both(scenario, lambda task: call_soon(call_soon, task.cancel))
    assert ours in (now, later, latest)


@on_each_loop
async def test_the_future_that_it_waits_for_is_cancelled_with_the_message() -> None:
    log: Log = []
    task = await begin(cleans_up(log), lambda task: task.cancel("why"))
    assert await end(task) == "cancelled"
    assert log == [("cleaning up", ("why",)), "cleaned up"]
    log = []
    task = await begin(waits_for_a_future(log), lambda task: task.cancel())
    assert await end(task) == "cancelled"
    assert as_told(log) == [("a future", True, True)]


@eager
@on_each_loop
async def test_a_task_whose_first_step_was_the_last_is_not_cancelled() -> None:
    mine: list[Task] = []

    async def application() -> None:
        mine.append(asyncio.current_task())  # type: ignore[arg-type]

    loop = asyncio.get_running_loop()

    def call() -> None:
        assert start(loop, application(), contextvars.copy_context()) is None
        mine[0].cancel()

    await from_callback(call)
    await settle()
    assert mine[0].done()
    assert not mine[0].cancelled()
    assert mine[0].result() is None


@eager
@pytest.mark.parametrize("taken_back", [False, True])
@on_each_loop
async def test_cancelled_in_a_first_step_that_is_the_last(taken_back: bool) -> None:
    mine: list[Task] = []

    async def application() -> None:
        task: Any = asyncio.current_task()
        mine.append(task)
        task.cancel("in the last step")
        if taken_back:
            task.uncancel()

    async def next_call() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    await begin(application())
    following = await begin(next_call())
    await begin_ordinary(application())
    assert await end(following) == "returned"
    await settle()
    ours, ordinary = mine
    if ours.done():  # else it serves another call, and cannot be told from a new one
        assert ours.cancelled() == ordinary.cancelled()
    else:
        assert taken_back


@on_each_loop
async def test_a_cancel_scope_of_the_first_step_is_cancelled_behind_it() -> None:
    """The scope knows its own cancellation by the message, which must come through."""
    log: Log = []
    scopes: list[anyio.CancelScope] = []

    async def application() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await anyio.sleep_forever()
        log.append("out of the scope")
        await anyio.lowlevel.checkpoint()

    task = await begin(application(), lambda task: scopes[0].cancel())
    assert await end(task) == "returned"
    assert log == ["out of the scope"]


@on_each_loop
async def test_several_wait_for_one_future_in_their_first_step() -> None:
    """As requests that came in the same turn and wait for one look-up."""
    loop = asyncio.get_running_loop()
    shared = loop.create_future()
    log: Log = []

    async def application() -> None:
        log.append(await shared)

    async def other() -> None:
        log.append(await shared)

    def call() -> list[Task | None]:
        behind = [loop.create_task(other())]
        ours = [start(loop, application(), contextvars.copy_context()) for _ in range(3)]
        loop.call_later(DELAY, shared.set_result, 1)
        return [*behind, *ours, loop.create_task(other())]

    for task in await from_callback(call):
        assert await end(task) == "returned"
    assert log == [1] * 5


@eager
@on_each_loop
async def test_what_it_waits_for_comes_before_the_loop_has_stepped_it() -> None:
    future = asyncio.get_running_loop().create_future()
    log: Log = []

    async def application() -> None:
        log.append(await future)

    task = await begin(application(), lambda task: future.set_result("came"))
    assert await end(task) == "returned"
    assert log == ["came"]


# Nothing is complained about.


@pytest.mark.parametrize("scenario", [*SCENARIOS, *ENDLESS])
@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("loop_name", LOOPS)
def test_in_debug_mode(
    loop_name: str, scenario: Callable[[Log], Application], cancelled: bool
) -> None:
    if scenario is cleans_up and not cancelled:
        pytest.skip("it would never end")
    loop = Loop(loop_name, debug=True)
    window = (lambda task: task.cancel()) if cancelled else None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        ours, ordinary = loop.run(in_both(scenario, window))
        gc.collect()
        loop.close()
    assert ours == ordinary
    assert [str(warning.message) for warning in warned] == []


@pytest.mark.parametrize("loop_name", LOOPS)
def test_a_loop_that_ends_behind_the_first_step(loop_name: str) -> None:
    """No coroutine is called unawaited, whether the loop has stepped its task or not."""
    loop = Loop(loop_name)
    begun: list[Task | None] = []
    log: Log = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("unwound")

    async def ends() -> None:
        pass

    def last() -> None:
        begun[:] = [
            start(loop.loop, application, contextvars.copy_context())
            for application in (waits(), ends())
        ]
        loop.loop.stop()

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        loop.loop.call_soon(last)
        loop.loop.run_forever()
        loop.close()  # cancels what is left
        begun.clear()
        gc.collect()
    if EAGER:  # else the loop may have ended before the first step
        assert log == ["unwound"]
    assert [str(warning.message) for warning in warned] == []
