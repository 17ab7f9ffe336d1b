"""Channels and their receivers (asgiws/channels/queues.py)."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asgiws.channels.queues import Queues
from tests.support.loops import settle


def make(expiry: float = 60.0, capacity: int = 3) -> tuple[Queues, list[tuple[str, int]]]:
    expired: list[tuple[str, int]] = []
    lock = threading.RLock()
    queues = Queues(lock, lambda name: capacity, expiry, lambda *what: expired.append(what))
    return queues, expired


async def test_messages_come_in_order_and_a_channel_ends_when_it_is_empty() -> None:
    queues, _ = make()
    assert queues.put("a", "1")
    assert queues.put("a", "2")
    assert [await queues.get("a"), await queues.get("a")] == ["1", "2"]
    assert queues.channels == {}


async def test_a_full_channel_takes_nothing() -> None:
    queues, _ = make(capacity=1)
    assert queues.put("a", "1")
    assert not queues.put("a", "2")
    assert queues.put("b", "1")
    assert await queues.get("a") == "1"
    assert queues.put("a", "3")


async def test_each_message_goes_to_one_receiver() -> None:
    queues, _ = make()
    tasks = [asyncio.create_task(queues.get("a")) for _ in range(3)]
    await settle()
    for number in range(3):
        queues.put("a", str(number))
    assert sorted(await asyncio.gather(*tasks)) == ["0", "1", "2"]


async def test_a_receiver_that_is_cancelled_takes_nothing_with_it() -> None:
    queues, _ = make()
    first = asyncio.create_task(queues.get("a"))
    second = asyncio.create_task(queues.get("a"))
    await settle()
    queues.put("a", "1")
    first.cancel()  # it has been woken already
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == "1"
    third = asyncio.create_task(queues.get("a"))
    await settle()
    third.cancel()
    await asyncio.wait([third])
    assert queues.channels == {}


async def test_what_has_expired_is_told_and_makes_room() -> None:
    queues, expired = make(expiry=0.02, capacity=1)
    queues.put("a", "old")
    await asyncio.sleep(0.03)
    assert queues.put("a", "new")
    assert expired == [("a", 1)]
    assert await queues.get("a") == "new"


async def test_channels_that_nobody_reads_are_swept() -> None:
    queues, expired = make(expiry=0.02)
    queues.put("a", "1")
    queues.put("a", "2")
    await asyncio.sleep(0.03)
    queues.sweep()
    assert expired == [("a", 2)]
    assert queues.channels == {}


async def test_a_receiver_outlives_what_has_expired() -> None:
    queues, _ = make(expiry=0.01)
    queues.put("a", "old")
    await asyncio.sleep(0.02)
    task = asyncio.create_task(queues.get("a"))
    await settle()
    queues.put("a", "new")
    assert await task == "new"


async def test_a_message_of_another_thread_wakes_the_receiver() -> None:
    queues, _ = make()
    task = asyncio.create_task(queues.get("a"))
    await settle()
    assert await asyncio.to_thread(queues.put, "a", "1")
    assert await asyncio.wait_for(task, 5) == "1"


async def test_a_receiver_whose_event_loop_has_closed_takes_nothing() -> None:
    queues, _ = make()

    def leave_one_waiting() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(queues.get("a"))
        loop.run_until_complete(asyncio.sleep(0))
        waiting.append(task)
        loop.close()

    waiting: list[asyncio.Task[str]] = []
    await asyncio.to_thread(leave_one_waiting)
    assert queues.put("a", "1")
    assert await asyncio.wait_for(queues.get("a"), 5) == "1"
    waiting[0]._log_destroy_pending = False  # type: ignore[attr-defined]


async def test_clear_forgets_messages_and_not_receivers() -> None:
    queues, _ = make()
    queues.put("a", "1")
    task = asyncio.create_task(queues.get("b"))
    await settle()
    queues.clear()
    assert list(queues.channels) == ["b"]
    queues.put("b", "2")
    assert await task == "2"
