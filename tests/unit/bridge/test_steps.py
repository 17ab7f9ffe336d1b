"""`asgiws/bridge/steps.py` and its compiled twin, which has no name at run time: through a Runner."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asgiws.bridge import steps, tasks
from tests.support.jobs import CoroutineJob

First = Callable[[contextvars.Context, Coroutine[Any, Any, Any]], tuple[bool, Any]]

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Once:
    """Awaited, it yields itself, as a future does."""

    def __await__(self) -> Any:
        yield self


def by_itself(
    context: contextvars.Context, coroutine: Coroutine[Any, Any, Any]
) -> tuple[bool, Any]:
    """The pure functions."""
    found: list[Any] = []
    steps.call(context, lambda coroutine: found.append(steps.send(coroutine)), coroutine)
    return (False, None) if found[0] is coroutine else (True, found[0])


def by_a_runner(
    context: contextvars.Context, coroutine: Coroutine[Any, Any, Any]
) -> tuple[bool, Any]:
    """Those of whichever build runs."""
    loop = asyncio.new_event_loop()

    async def nothing() -> None:
        pass

    runner = tasks.Runner(loop, None)
    runner.task = loop.create_task(nothing())
    try:
        asyncio._enter_task(loop, runner.task)
        runner.run(CoroutineJob(coroutine), context)
        waits = not runner.has_ended()
        if waits:
            return True, next(runner)
        try:
            next(runner)
        except StopIteration:
            pass
        return False, None
    finally:
        loop.run_until_complete(runner.task)
        loop.close()


BOTH = pytest.mark.parametrize("first", [by_itself, by_a_runner])


@BOTH
def test_it_waits(first: First) -> None:
    once = Once()

    async def application() -> None:
        await once

    coroutine = application()
    waits, value = first(contextvars.copy_context(), coroutine)
    assert waits is True
    assert value is once
    coroutine.close()


@BOTH
def test_it_waits_for_the_next_turn(first: First) -> None:
    coroutine = asyncio.sleep(0)
    assert first(contextvars.copy_context(), coroutine) == (True, None)
    coroutine.close()


@BOTH
def test_it_ends(first: First) -> None:
    async def application() -> str:
        return "a result that nobody asks for"

    assert first(contextvars.copy_context(), application()) == (False, None)


@BOTH
@pytest.mark.parametrize(
    "error", [ValueError("x"), asyncio.CancelledError("x"), KeyboardInterrupt(), SystemExit(3)]
)
def test_it_raises(first: First, error: BaseException) -> None:
    async def application() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        first(contextvars.copy_context(), application())
    assert caught.value is error


@BOTH
def test_stop_iteration_is_no_end(first: First) -> None:
    async def application() -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        first(contextvars.copy_context(), application())


@BOTH
@pytest.mark.parametrize("raises", [False, True])
def test_it_runs_in_the_context_and_leaves_it(first: First, raises: bool) -> None:
    seen: list[str] = []

    async def application() -> None:
        seen.append(variable.get())
        variable.set("set by it")
        if raises:
            raise ValueError

    context = contextvars.copy_context()
    context.run(variable.set, "given")
    if raises:
        with pytest.raises(ValueError):
            first(context, application())
    else:
        first(context, application())
    assert seen == ["given"]
    assert context[variable] == "set by it"
    assert variable.get() == "unset"
    context.run(variable.get)  # it can be entered again


@BOTH
def test_no_reference_is_kept_or_lost(first: First) -> None:
    value = Once()

    async def waits() -> None:
        await value

    async def ends() -> object:
        return value

    context = contextvars.copy_context()
    before = sys.getrefcount(value), sys.getrefcount(None)
    for _ in range(1000):
        coroutine = waits()
        first(context, coroutine)
        coroutine.close()
        first(context, ends())
    del coroutine
    after = sys.getrefcount(value), sys.getrefcount(None)
    assert after[0] == before[0]
    assert abs(after[1] - before[1]) < 1000  # immortal from 3.12 on; others use it meanwhile
