"""A task that serves several calls: when it does, when it does not, and how that is turned off.

What a call can see of it is held in test_tasks.py, for all ways to come by a task.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asgiws.bridge import reuse, tasks
from asgiws.bridge.reuse import Spare
from tests.support.jobs import CoroutineJob
from tests.support.loops import on_each_loop, settle

eager = pytest.mark.skipif(
    not tasks.CAN_STEP, reason="the first step is the loop's before Python 3.11"
)

#: Seconds: far more than a few turns of the loop take, in which a cancellation comes.
DELAY = 0.05

Task = asyncio.Task[None]
Log = list[Any]


async def called(function: Callable[[], Any]) -> Any:
    """What `function` returns as a callback of the loop, where no task is running."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()

    def callback() -> None:
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    loop.call_soon(callback)
    return await result


def begin(spare: Spare, application: Coroutine[Any, Any, None]) -> Task | None:
    return spare.start(CoroutineJob(application), contextvars.copy_context())


async def ends() -> None:
    pass


def new_spare(is_on: bool = True) -> Spare:
    return Spare(asyncio.get_running_loop(), contextvars.copy_context(), is_on)


def others() -> set[asyncio.Task[Any]]:
    """The tasks beside the current one."""
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]  # there is one


@eager
@on_each_loop
async def test_a_task_is_used_again_and_again() -> None:
    """Or all of this would be for nothing."""
    spare = new_spare()
    seen: list[int] = []

    async def application() -> None:
        seen.append(id(asyncio.current_task()))

    for _ in range(3):
        for _ in range(2):
            assert await called(lambda: begin(spare, application())) is None
        await settle()
    assert len(seen) == 6
    assert len(set(seen)) == 1
    assert len(others()) == 1
    spare.close()
    await settle()
    assert not others()


@on_each_loop
async def test_turned_off_each_call_has_a_task_of_its_own() -> None:
    spare = new_spare(False)
    seen: list[str] = []

    async def application() -> None:
        assert asyncio.current_task() is not None
        seen.append("ran")

    for number in range(3):
        await called(lambda: begin(spare, application()))
        await settle()
        assert len(seen) == number + 1
        # The task has ended, so the next call cannot have it.
        assert not others()
    spare.close()


@on_each_loop
async def test_turned_off_calls_of_one_turn_have_different_tasks() -> None:
    spare = new_spare(False)
    seen: list[asyncio.Task[Any] | None] = []

    async def application() -> None:
        seen.append(asyncio.current_task())

    def both() -> None:
        begin(spare, application())
        begin(spare, application())

    await called(both)
    await settle()
    assert len(set(seen)) == 2
    assert all(task is not None and task.done() for task in seen)


@eager
@on_each_loop
async def test_a_call_that_goes_on_keeps_its_task() -> None:
    spare = new_spare()
    seen: list[asyncio.Task[Any] | None] = []

    async def application() -> None:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    await called(lambda: begin(spare, ends()))
    first = await called(lambda: begin(spare, application()))
    second = await called(lambda: begin(spare, application()))
    await asyncio.wait([first, second])
    assert first is not second
    assert seen.count(first) == seen.count(second) == 2
    spare.close()


async def keeps_its_task(log: Log) -> None:
    log.append(asyncio.current_task())


async def names_its_task(log: Log) -> None:
    task: Any = asyncio.current_task()
    task.set_name("mine")


async def gives_it_attributes(log: Log) -> None:
    task: Any = asyncio.current_task()
    task.attribute = "mine"


async def waits_for_its_task(log: Log) -> None:
    task: Any = asyncio.current_task()
    task.add_done_callback(bool)


async def cancels_its_task(log: Log) -> None:
    task: Any = asyncio.current_task()
    task.cancel()


@eager
@pytest.mark.parametrize(
    "application",
    [
        keeps_its_task,
        names_its_task,
        gives_it_attributes,
        waits_for_its_task,
        cancels_its_task,
    ],
)
@on_each_loop
async def test_a_task_that_a_call_has_left_traces_on_serves_no_other(
    application: Callable[[Log], Coroutine[Any, Any, None]],
) -> None:
    spare = new_spare()
    log: Log = []
    await called(lambda: begin(spare, application(log)))
    await settle()
    assert not others()
    spare.close()


@eager
@pytest.mark.parametrize("idle", [False, True])
@on_each_loop
async def test_a_cancellation_of_the_idle_task_that_is_taken_back(idle: bool) -> None:
    """It comes all the same, before Python 3.13, and is not the next call's."""
    log: Log = []

    async def application() -> None:
        await asyncio.sleep(0)
        log.append("undisturbed")

    def cancel() -> None:
        (task,) = asyncio.all_tasks() - {main}
        task.cancel()
        task.uncancel()

    def call() -> Task | None:
        if not idle:
            begin(spare, ends())
            cancel()
        return begin(spare, application())

    main: Any = asyncio.current_task()
    spare = new_spare()
    if idle:
        await called(lambda: begin(spare, ends()))
        await settle()
        cancel()
    task = await called(call)
    await asyncio.wait([task])
    assert not task.cancelled()
    assert log == ["undisturbed"]
    spare.close()
    await settle()


@eager
@on_each_loop
async def test_who_has_seen_the_idle_task_cannot_cancel_a_later_call() -> None:
    """As a shutdown of somebody else's that asks for all tasks, and cancels them later."""
    spare = new_spare()
    await called(lambda: begin(spare, ends()))
    await settle()
    (idle,) = others()
    assert idle.get_name() == tasks.NAME
    log: Log = []

    async def application() -> None:
        log.append(asyncio.current_task())
        await asyncio.sleep(DELAY)
        log.append("done")

    task = await called(lambda: begin(spare, application()))
    idle.cancel()
    await asyncio.wait([task])
    assert not task.cancelled()
    assert log == [task, "done"]
    assert task is not idle
    await asyncio.wait([idle])
    spare.close()


# Where it is on.


@pytest.mark.parametrize("minor", [10, 11, 12, 13])
def test_it_is_on_where_it_was_tested(minor: int) -> None:
    assert reuse.is_tested("cpython", (3, minor), "")


@pytest.mark.parametrize(
    ("implementation", "version", "abiflags"),
    [
        ("cpython", (3, 14), ""),
        ("cpython", (3, 9), ""),
        ("cpython", (4, 11), ""),
        ("cpython", (3, 13), "t"),
        ("pypy", (3, 11), ""),
    ],
)
def test_it_is_off_in_an_unknown_python(
    implementation: str, version: tuple[int, int], abiflags: str
) -> None:
    assert not reuse.is_tested(implementation, version, abiflags)


def in_a_process(mode: str | None, version: tuple[int, int] | None = None) -> Any:
    """A fresh interpreter that tells IS_ON; where a version is given, it takes itself for that one."""
    code = (
        f"import sys; version = {version!r}\n"
        "if version: sys.version_info = (*version, 0, 'final', 0)\n"
        "from asgiws.bridge import reuse; print(reuse.IS_ON)"
    )
    environment = {key: value for key, value in os.environ.items() if key != reuse.VARIABLE}
    if mode is not None:
        environment[reuse.VARIABLE] = mode
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )


KNOWN = reuse.is_tested(sys.implementation.name, sys.version_info[:2], getattr(sys, "abiflags", ""))


@pytest.mark.parametrize(
    ("mode", "is_on"), [(None, KNOWN), ("", KNOWN), ("auto", KNOWN), ("no", False)]
)
def test_the_variable_turns_it_off(mode: str | None, is_on: bool) -> None:
    result = in_a_process(mode)
    assert (result.stdout, result.stderr) == (f"{is_on}\n", "")


def test_a_version_that_is_not_in_the_table_turns_it_off() -> None:
    result = in_a_process("auto", (3, 14))
    assert (result.stdout, result.stderr) == ("False\n", "")


def test_another_value_of_the_variable_is_refused() -> None:
    result = in_a_process("maybe")
    assert result.returncode == 1
    assert result.stderr == "ASGIWS_TASK_REUSE='maybe' is not one of auto, no\n"


@on_each_loop
async def test_a_spare_does_as_the_process_says() -> None:
    spare = Spare(asyncio.get_running_loop(), contextvars.copy_context())
    await called(lambda: begin(spare, ends()))
    await settle()
    assert len(others()) == (reuse.IS_ON and tasks.CAN_STEP)
    spare.close()
    await settle()
    assert not others()
