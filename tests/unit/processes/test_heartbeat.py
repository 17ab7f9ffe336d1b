"""The regular sign of life."""

from __future__ import annotations

import asyncio

import pytest

from asgiws.processes.heartbeat import Heartbeat, interval


@pytest.mark.parametrize(("timeout", "seconds"), [(0.0, 1.0), (30.0, 1.0), (2.0, 0.4)])
def test_there_are_several_beats_in_the_time_that_is_allowed(
    timeout: float, seconds: float
) -> None:
    assert interval(timeout) == seconds


async def test_it_beats_at_once_and_on_until_it_is_closed() -> None:
    beats = 0
    third = asyncio.Event()

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == 3:
            heart.close()
            third.set()

    heart = Heartbeat(asyncio.get_running_loop(), 0.001, beat)
    assert beats == 1
    await asyncio.wait_for(third.wait(), 30)
    await asyncio.sleep(0.02)
    assert beats == 3
    heart.close()
