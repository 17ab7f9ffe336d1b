"""asgiws/services/reaper.py: applications that outlive their client."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time

import pytest

from asgiws.bridge import timer
from asgiws.services.reaper import Reaper

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def test_who_goes_on_is_cancelled_and_who_ends_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    loop = asyncio.get_running_loop()
    reaper = Reaper(loop, 0.05, "ws_cancel_after")
    stop = asyncio.Event()
    tasks = [loop.create_task(stop.wait()), loop.create_task(asyncio.sleep(3600))]
    for number, task in enumerate(tasks):
        reaper.add(task, f"192.0.2.{number}")  # type: ignore[arg-type]
    stop.set()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [False, True]
    assert caplog.messages == [
        "192.0.2.1 - application cancelled, 0.05 seconds after its client had gone (ws_cancel_after)"
    ]
    late = loop.create_task(asyncio.sleep(3600))
    reaper.add(late, "192.0.2.2")  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        await late


async def test_each_has_its_full_time() -> None:
    loop = asyncio.get_running_loop()
    reaper = Reaper(loop, 0.2, "ws_cancel_after")
    ends = []
    begin = loop.time()
    tasks = []
    for _ in range(3):
        task = loop.create_task(asyncio.sleep(3600))
        task.add_done_callback(lambda _: ends.append(loop.time() - begin))
        tasks.append(task)
        reaper.add(task, "")  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
    await asyncio.wait(tasks)
    assert ends[0] >= 0.2
    assert ends[2] >= 0.3


async def test_who_ends_by_itself_is_forgotten() -> None:
    loop = asyncio.get_running_loop()
    reaper = Reaper(loop, 3600, "ws_cancel_after")
    stop = asyncio.Event()
    task = loop.create_task(stop.wait())
    reaper.add(task, "")  # type: ignore[arg-type]
    stop.set()
    await task
    assert not reaper.discard(task)  # type: ignore[arg-type]
    assert not reaper.discard(task)  # type: ignore[arg-type]
    assert not reaper._waiting
    assert reaper._timer._handle is None


async def test_who_could_not_end_as_the_loop_stood_still_has_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timer, "STALL", 0.05)
    monkeypatch.setattr(timer, "GRACE", 3600.0)
    loop = asyncio.get_running_loop()
    reaper = Reaper(loop, 0.01, "ws_cancel_after")
    other = loop.create_future()
    task = loop.create_task(asyncio.wait_for(other, None))
    reaper.add(task, "")  # type: ignore[arg-type]
    time.sleep(0.2)
    for _ in range(5):
        await asyncio.sleep(0)
    other.set_result(None)
    await task
    reaper.discard(task)  # type: ignore[arg-type]


async def test_its_lines_are_in_the_context_of_the_server() -> None:
    loop = asyncio.get_running_loop()
    reaper = Reaper(loop, 0.01, "ws_cancel_after")
    seen: list[str] = []

    class Looks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(variable.get())

    logger = logging.getLogger("asgiws.error")
    handler = Looks()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        task = loop.create_task(asyncio.sleep(3600))

        def application() -> None:
            variable.set("an application's")
            reaper.add(task, "")  # type: ignore[arg-type]

        contextvars.copy_context().run(application)
        await asyncio.wait([task])
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
    assert seen == ["unset"]


async def test_who_is_handed_over_again_keeps_its_moment_and_is_cancelled_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    loop = asyncio.get_running_loop()
    cancelled: list[str] = []
    may_end = asyncio.Event()

    async def cleans_up() -> None:
        while not may_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await may_end.wait()
                return
            cancelled.append("once more")

    reaper = Reaper(loop, 0.05, "http_cancel_after")
    task = loop.create_task(cleans_up())
    await asyncio.sleep(0)
    begin = loop.time()
    while not cancelled:
        reaper.add(task, "192.0.2.1")
        await asyncio.sleep(0.01)
        assert loop.time() - begin < 10
    reaper.add(task, "192.0.2.1")
    other = loop.create_task(asyncio.sleep(3600))
    reaper.add(other, "192.0.2.2")  # type: ignore[arg-type]
    await asyncio.wait([other])
    assert cancelled == ["once more"]
    assert [message.rpartition(" ")[2] for message in caplog.messages] == [
        "(http_cancel_after)"
    ] * 2
    assert reaper.discard(task)
    assert not reaper.discard(task)
    may_end.set()
    await task
