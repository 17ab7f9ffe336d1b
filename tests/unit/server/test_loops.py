"""Which loop runs, and that its run ends."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

import pytest

from asgiws.server import loops
from asgiws.server.loops import LoopMissing, choose, factory, run

HAVE_UVLOOP = loops.uvloop_version() is not None
NAMES = ["asyncio", *(["uvloop"] if HAVE_UVLOOP else [])]


async def which() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_loop_is_the_one_asked_for(name: str) -> None:
    assert run(which, name) == name


@pytest.mark.skipif(not HAVE_UVLOOP, reason="uvloop is not installed")
def test_auto_prefers_uvloop() -> None:
    assert choose("auto") == "uvloop"
    assert run(which, "auto") == "uvloop"


def test_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert choose("auto") == "asyncio"
    assert factory("auto") is asyncio.SelectorEventLoop
    with pytest.raises(LoopMissing, match="--loop uvloop needs the package uvloop"):
        run(which, "uvloop")


def test_on_windows_it_is_the_one_that_can_do_subprocesses(monkeypatch: pytest.MonkeyPatch) -> None:
    proactor = object()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(asyncio, "ProactorEventLoop", proactor, raising=False)
    assert factory("asyncio") is proactor


async def test_not_within_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="an event loop is already running"):
        run(which, "auto")


@pytest.mark.parametrize("name", NAMES)
def test_what_it_raises_comes_out(name: str) -> None:
    async def fail() -> None:
        raise LookupError("out")

    with pytest.raises(LookupError, match="out"):
        run(fail, name)


@pytest.mark.parametrize("name", NAMES)
def test_tasks_that_are_left_are_cancelled(name: str) -> None:
    ended = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> Any:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        return task

    assert run(main, name).cancelled()
    assert ended == [True]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_interrupted_ends_before_the_tasks_that_it_started(name: str) -> None:
    """So that it can end them itself, and they can tell whose doing it is."""
    ended = []

    async def child(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    async def main() -> None:
        tasks = [asyncio.create_task(child(number)) for number in range(20)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(interrupt)
        try:
            await asyncio.gather(*tasks[:1])
        finally:
            ended.append(-1)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(main, name)
    # The one that it waits for is cancelled through it; all others behind it.
    assert sorted(ended) == list(range(-1, 20))
    assert ended[:2] == [0, -1]


@pytest.mark.parametrize("name", NAMES)
def test_an_exception_of_a_task_that_is_left_is_not_lost(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("at the end")

    async def main() -> Any:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        return task

    run(main, name)
    assert "Exception in a task that was left at the end" in caplog.text
    assert "LookupError: at the end" in caplog.text


@pytest.mark.parametrize("name", NAMES)
def test_a_task_that_ignores_its_cancellation_does_not_hold_the_end(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "LAST_MOMENT", 0.05)
    cancelled = []

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:  # noqa: PERF203
                cancelled.append(True)
                if len(cancelled) > 1:
                    raise

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(stubborn())
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return task

    task = run(main, name)
    assert cancelled == [True]
    assert not task.done()


@pytest.mark.parametrize("name", NAMES)
def test_a_thread_that_never_ends_does_not_hold_the_end(name: str) -> None:
    release = threading.Event()

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, release.wait)
        await asyncio.sleep(0)

    thread = threading.Thread(target=run, args=(main, name))
    started = time.monotonic()
    thread.start()
    thread.join(30)
    ended = not thread.is_alive()
    release.set()
    thread.join()
    assert ended, f"still there after {time.monotonic() - started:.0f} s"


@pytest.mark.parametrize("name", NAMES)
def test_async_generators_are_closed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "LAST_MOMENT", 0.05)
    closed = []

    async def numbers(wait: bool) -> Any:
        try:
            yield 1
        finally:
            closed.append(wait)
            if wait:
                await asyncio.Event().wait()

    async def main() -> Any:
        kept = [numbers(False), numbers(True)]
        for generator in kept:
            await generator.__anext__()
        return kept

    run(main, name)
    assert sorted(closed) == [False, True]
