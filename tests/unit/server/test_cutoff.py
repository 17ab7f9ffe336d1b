"""What a server that stops has left open when its time is up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from asgiws.server.cutoff import cut_off
from tests.support.loops import on_each_loop


@on_each_loop
async def test_all_are_cut_off_though_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    aborted: list[int] = []

    class Connection:
        def __init__(self, number: int) -> None:
            self.number = number

        def abort(self) -> None:
            aborted.append(self.number)
            raise ValueError("stubborn")

    runtime: Any = SimpleNamespace(
        connections={Connection(1), Connection(2)},
        tasks={asyncio.ensure_future(asyncio.sleep(60))},
        cutting_off=False,
    )
    pending = {asyncio.ensure_future(asyncio.sleep(60))}
    cut_off(runtime, pending)
    await asyncio.wait([*runtime.tasks, *pending], timeout=30)
    assert sorted(aborted) == [1, 2]
    assert caplog.text.count("ValueError: stubborn") == 2
    assert runtime.cutting_off
    assert all(task.cancelled() for task in (*runtime.tasks, *pending))
