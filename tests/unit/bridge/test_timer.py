"""asgiws/bridge/timer.py: a late timer; the ticker's tests have what follows from it."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from asgiws.bridge import timer
from asgiws.bridge.timer import Timer


async def test_it_comes_in_time_and_once() -> None:
    loop = asyncio.get_running_loop()
    came: list[tuple[float, float]] = []
    one = Timer(loop, lambda now, due: came.append((now, due)), True)
    one.arm(loop.time() + 3600)
    when = loop.time() + 0.05
    one.arm(when)
    while not came:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    ((now, due),) = came
    assert now == due
    assert now >= when - 0.01  # by the resolution of the loop's clock
    one.arm(loop.time() + 0.01)
    one.cancel()
    one.cancel()
    await asyncio.sleep(0.05)
    assert len(came) == 1


@pytest.mark.parametrize("tells", [False, True])
async def test_what_is_due_after_a_stall_waits_for_the_grace(
    tells: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timer, "STALL", 0.1)
    monkeypatch.setattr(timer, "GRACE", 0.2)
    caplog.set_level(logging.WARNING, "asgiws.error")
    loop = asyncio.get_running_loop()
    came: list[tuple[float, float]] = []
    when = loop.time() + 0.01

    def due(now: float, due: float) -> None:
        came.append((now, due))
        if due < when:
            one.arm(when)

    one = Timer(loop, due, tells)
    one.arm(when)
    time.sleep(0.3)  # the application does
    while len(came) < 2:
        await asyncio.sleep(0.01)
    (first, none), (second, all_due) = came
    assert none < when
    assert second >= first + 0.2
    assert all_due == second
    assert len(caplog.messages) == tells
