"""Hubs for all threads and event loops of a process (asgiws/topics/shared.py)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from asgiws.topics.board import OVERHEAD
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.message import KEPT, Keep, Message
from asgiws.topics.shared import SLICE, LoopHub, SharedHub
from tests.support.topics import KeepingSink, Turns


def two() -> tuple[SharedHub, LoopHub, Turns, LoopHub, Turns]:
    """A shared hub, and two event loops with theirs."""
    shared = SharedHub()
    first, second = Turns(), Turns()
    return (
        shared,
        LoopHub(shared, first.call_soon),
        first,
        LoopHub(shared, second.call_soon),
        second,
    )


def test_a_shared_hub_has_delivered_when_publish_returns() -> None:
    hub = SharedHub()
    sink = KeepingSink("room")
    hub.subscribe(sink, None, sink.joined.append)
    hub.publish(Message("room", "one"), None)
    hub.publish(Message("other", "two"), None)
    assert sink.messages() == ["one"]
    hub.unsubscribe(sink)
    hub.publish(Message("room", "three"), None)
    assert sink.messages() == ["one"]


def test_what_a_sink_has_done_later_is_done_once_the_others_have_got_theirs() -> None:
    hub = SharedHub()
    order: list[str] = []

    class Later(KeepingSink):
        def deliver(self, message: Message) -> None:
            order.append("first")
            hub.later(lambda: order.append("later"))

    class Second(KeepingSink):
        def deliver(self, message: Message) -> None:
            order.append("second")

    for sink in (Later("room"), Second("room")):
        hub.subscribe(sink, None, bool)
    hub.publish(Message("room", "x"), None)
    assert order == ["first", "second", "later"]


def test_event_loops_reach_each_other_in_one_order() -> None:
    _, first, turns, second, other_turns = two()
    here, there = KeepingSink("room"), KeepingSink("room")
    first.subscribe(here, None, here.joined.append)
    second.subscribe(there, None, there.joined.append)
    first.publish(Message("room", "one"), None)
    second.publish(Message("room", "two"), None)
    assert here.got == there.got == []  # each in its own loop's turn
    assert turns.take() == other_turns.take() == 1
    assert here.got == there.got == ["one", "two", "|"]


def test_who_published_it_may_be_left_out() -> None:
    _, first, turns, second, other_turns = two()
    here, there = KeepingSink("room"), KeepingSink("room")
    first.subscribe(here, None, bool)
    second.subscribe(there, None, bool)
    first.publish(Message("room", "one", None, here, True), None)
    turns.take()
    other_turns.take()
    assert (here.messages(), there.messages()) == ([], ["one"])


def test_history_is_shared() -> None:
    shared = SharedHub(2**20)
    turns = Turns()
    LoopHub(shared, Turns().call_soon).publish(Message("room", "kept"), Keep(5, 60))
    hub, sink = LoopHub(shared, turns.call_soon), KeepingSink("room")
    hub.subscribe(sink, KEPT, sink.joined.append)
    assert len(sink.joined) == 1
    turns.take()
    assert (sink.messages(), sink.offsets) == (["kept"], [1])


def test_nothing_comes_after_unsubscribe_even_if_it_was_on_its_way() -> None:
    _, first, turns, *_ = two()
    sink = KeepingSink("room")
    first.subscribe(sink, None, bool)
    first.publish(Message("room", "one"), None)
    first.unsubscribe(sink)
    first.unsubscribe(sink)
    turns.take_all()
    assert sink.got == []


def test_a_loop_that_does_not_get_to_its_messages_loses_some_and_is_told_where() -> None:
    shared = SharedHub()
    slow, fast = Turns(), Turns()
    sink = KeepingSink("room")
    hub = LoopHub(shared, slow.call_soon, limit=1000)
    hub.subscribe(sink, None, bool)
    other = LoopHub(shared, fast.call_soon)
    for number in range(10):
        other.publish(Message("room", str(number)), None)
    with pytest.raises(TooMuchQueued, match="1000 bytes"):
        hub.publish(Message("room", "x"), None)
    slow.take_all()
    other.publish(Message("room", "again"), None)
    slow.take_all()
    kept = [one for one in sink.messages() if isinstance(one, str)]
    lost = [one for one in sink.messages() if not isinstance(one, str)]
    assert kept == [*map(str, range(len(kept) - 1)), "again"]
    assert lost == [("lost", 11 - len(kept))]
    assert sink.messages()[-2:] == [lost[0], "again"]


def test_messages_between_two_losses_stay_between_them() -> None:
    shared = SharedHub()
    turns = Turns()
    sink = KeepingSink("room")
    size = Message("room", "0000").data.__sizeof__() + OVERHEAD
    LoopHub(shared, turns.call_soon, limit=(SLICE + 100) * size).subscribe(sink, None, bool)
    publisher = LoopHub(shared, Turns().call_soon)
    for number in range(2000):
        if number == 1000:
            turns.take()
        publisher.publish(Message("room", f"{number:04}"), None)
    turns.take_all()
    got = sink.messages()
    after = got.index("1000")
    assert [type(one) for one in got].count(tuple) == 2
    assert got[after - 1] == ("lost", 1000 - (after - 1))
    assert got[-1] == ("lost", 2000 - (len(got) - 2) - (1000 - (after - 1)))


def test_a_loop_that_has_closed_is_forgotten() -> None:
    shared = SharedHub()

    def closed(callback: Callable[[], object]) -> None:
        raise RuntimeError("Event loop is closed")

    gone, turns = KeepingSink("room"), Turns()
    LoopHub(shared, closed).subscribe(gone, None, bool)
    hub, sink = LoopHub(shared, turns.call_soon), KeepingSink("room")
    hub.subscribe(sink, None, bool)
    hub.publish(Message("room", "one"), None)
    hub.publish(Message("room", "two"), None)
    turns.take_all()
    assert sink.messages() == ["one", "two"]
    assert not gone.is_subscribed


def test_many_messages_leave_turns_for_others() -> None:
    _, first, turns, *_ = two()
    sink = KeepingSink("room")
    first.subscribe(sink, None, bool)
    for number in range(SLICE + 1):
        first.publish(Message("room", str(number)), None)
    assert turns.take_all() == 2
    assert len(sink.messages()) == SLICE + 1


def test_one_sink_that_fails_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(KeepingSink):
        def deliver(self, message: Message) -> None:
            raise ValueError("broken")

    _, first, turns, *_ = two()
    sink = KeepingSink("room")
    first.subscribe(Failing("room"), None, bool)
    first.subscribe(sink, None, bool)
    first.publish(Message("room", "one"), None)
    turns.take()
    assert sink.messages() == ["one"]
    assert "Exception while messages of a topic were delivered" in caplog.text


async def test_threads_with_event_loops_of_their_own() -> None:
    shared = SharedHub()
    loop = asyncio.get_running_loop()
    sink = KeepingSink("room")
    LoopHub(shared, loop.call_soon_threadsafe).subscribe(sink, None, bool)

    def publish(name: str) -> None:
        async def run() -> None:
            hub = LoopHub(shared, asyncio.get_running_loop().call_soon_threadsafe)
            for number in range(100):
                hub.publish(Message("room", f"{name}{number}"), None)

        asyncio.run(run())

    threads = [threading.Thread(target=publish, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    while len(sink.messages()) < 200:
        await asyncio.sleep(0.001)
    for thread in threads:
        thread.join()
    for name in "ab":
        mine = [one for one in sink.messages() if one.startswith(name)]
        assert mine == [f"{name}{number}" for number in range(100)]


def test_a_closed_hub_delivers_nothing() -> None:
    shared, first, turns, *_ = two()
    sink = KeepingSink("room")
    first.subscribe(sink, None, bool)
    first.publish(Message("room", "one"), None)
    first.close()
    turns.take_all()
    shared.close()
    shared.publish(Message("room", "two"), None)
    assert sink.got == []
