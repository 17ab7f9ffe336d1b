"""`asgiws/drivers/inbox.py`: what waits for `receive()`, and who."""

from __future__ import annotations

import asyncio

from asgiws.common import octets
from asgiws.drivers.inbox import COMPACT, Inbox
from tests.support.loops import on_each_loop, settle

CONNECT = {"type": "websocket.connect"}


def inbox(high: int = 1000, low: int = 100) -> Inbox:
    return Inbox(asyncio.get_running_loop(), high, low)


async def test_events_come_out_as_they_went_in() -> None:
    box = inbox()
    assert box.is_empty()
    box.put_event(CONNECT)
    assert not box.has_messages()
    box.put("one")
    box.put(b"two")
    assert box.has_messages()
    assert [box.take(), box.take(), box.take()] == [CONNECT, "one", b"two"]
    assert box.is_empty()
    assert not box.has_messages()


async def test_more_than_is_cut_off_at_once() -> None:
    box = inbox(1 << 20)
    for number in range(3 * COMPACT):
        box.put(str(number))
    for number in range(2 * COMPACT):
        assert box.take() == str(number)
    box.put("last")
    taken = [box.take() for _ in range(COMPACT + 1)]
    assert taken == [*map(str, range(2 * COMPACT, 3 * COMPACT)), "last"]


async def test_the_marks() -> None:
    box = inbox(high=1000, low=100)
    box.put_event({"type": "x" * 10_000})
    assert box.octets == 0
    box.put(b"x" * 600)
    assert box.octets <= box.high
    box.put(b"y" * 600)
    assert box.octets > box.high
    box.take()
    first = box.take()
    assert box.octets > box.high  # until the application has got it
    assert not box.received(octets.memory(first))
    assert box.octets <= box.high
    assert box.received(octets.memory(box.take()))
    assert box.octets == 0


async def test_a_text_counts_what_it_takes_in_memory() -> None:
    box = inbox()
    box.put("\N{GRINNING FACE}" * 100)
    assert box.octets >= 400


async def test_room_for_what_came_last() -> None:
    box = inbox(high=1000)
    box.put(b"x" * 5000)
    box.widen(4)
    assert box.octets <= box.high
    box.put(b"x" * 5000)
    assert box.octets > box.high


async def test_messages_are_dropped_and_events_stay() -> None:
    box = inbox()
    box.put_event(CONNECT)
    for _ in range(3):
        box.put("x")
    box.take()
    box.put_event({"type": "websocket.disconnect"})
    box.drop_messages()
    assert box.octets == 0
    assert box.take() == {"type": "websocket.disconnect"}
    assert box.is_empty()
    box.put("x")
    box.clear()
    assert (box.is_empty(), box.octets) == (True, 0)


@on_each_loop
async def test_who_waits_first_is_woken_first() -> None:
    box = inbox()
    woken: list[str] = []

    async def wait(name: str) -> None:
        await box.wait()
        woken.append(name)

    tasks = [asyncio.ensure_future(wait(name)) for name in "abcd"]
    await settle()
    box.wake_if_any(False)
    await settle()
    assert woken == []  # there is nothing to receive
    box.put("x")
    box.wake_if_any(False)
    await settle()
    assert woken == ["a"]
    box.wake(False)
    await settle()
    assert woken == ["a", "b"]
    box.wake_all()
    await asyncio.gather(*tasks)
    assert woken == list("abcd")
    box.wake(False)  # nobody waits any more


@on_each_loop
async def test_one_that_gives_up_leaves_the_line() -> None:
    box = inbox()
    first, second, third = box.wait(), box.wait(), box.wait()
    box.give_up(second)
    box.put("x")
    box.give_up(first)
    box.wake(False)
    await third
    assert not second.done()


@on_each_loop
async def test_one_that_was_woken_and_gives_up_hands_it_on() -> None:
    box = inbox()
    first, second = box.wait(), box.wait()
    box.put("x")
    box.wake(False)
    box.give_up(first)
    await second
    box.give_up(second)  # nobody else waits
    box.wake(False)  # nobody waits any more
