"""Who gets what, in which order, and how much in one turn."""

from __future__ import annotations

import random

import pytest

from asgiws.topics.board import MESSAGE, OVERHEAD, RECEIVER, RUN, SLICE, Board
from asgiws.topics.message import Joined, Message, Position
from tests.support.topics import KeepingSink, Turns


def make() -> tuple[Board, Turns]:
    turns = Turns()
    return Board(turns.call_soon), turns


def publish(board: Board, topic: str, *all_data: str) -> None:
    for data in all_data:
        board.publish(Message(topic, data))


def test_a_message_reaches_those_who_subscribed_to_its_topic() -> None:
    board, turns = make()
    one, two, other = KeepingSink("a"), KeepingSink("a"), KeepingSink("b")
    assert [board.add(sink) for sink in (one, two, other)] == [True, False, True]
    publish(board, "a", "x")
    publish(board, "nobody", "y")
    assert one.got == []
    turns.take_all()
    assert (one.got, two.got, other.got) == (["x", "|"], ["x", "|"], [])
    assert sorted(board.topics()) == ["a", "b"]


def test_what_is_published_in_a_turn_is_sent_together() -> None:
    board, turns = make()
    sink = KeepingSink("a")
    board.add(sink)
    publish(board, "a", *"stuvwxyz")
    assert turns.take_all() == 1
    assert sink.got == [*"stuvwxyz", "|"]


def test_several_topics_of_a_receiver_in_a_turn_leave_together_and_in_order() -> None:
    board, turns = make()
    got: list[object] = []
    for topic in "ab":
        board.add(KeepingSink(topic, "owner", got))
    for topic, data in ("a1", "b2", "a3", "b4"):
        publish(board, topic, data)
    turns.take_all()
    assert got == [*"1234", "|"]


def test_a_sink_gets_nothing_from_before_it_was_added() -> None:
    board, turns = make()
    early, late = KeepingSink("a"), KeepingSink("a")
    board.add(early)
    publish(board, "a", "1")
    board.add(late)
    publish(board, "a", "2")
    turns.take_all()
    assert (early.messages(), late.messages()) == (["1", "2"], ["2"])


def test_a_sink_gets_nothing_once_it_was_removed() -> None:
    board, turns = make()
    stays, goes = KeepingSink("a"), KeepingSink("a")
    board.add(stays)
    board.add(goes)
    publish(board, "a", "1")
    assert board.remove(goes) is False
    assert board.remove(goes) is False
    publish(board, "a", "2")
    turns.take_all()
    assert (stays.messages(), goes.messages()) == (["1", "2"], [])
    assert board.remove(stays) is True
    assert board.topics() == []
    publish(board, "a", "3")
    assert turns.take_all() == 0


def test_a_sink_that_is_removed_while_it_takes_a_run_gets_no_more_of_it() -> None:
    board, turns = make()

    class Leaving(KeepingSink):
        def deliver(self, message: Message) -> None:
            super().deliver(message)
            board.remove(self)

    sink = Leaving("a")
    board.add(sink)
    publish(board, "a", "1", "2")
    turns.take_all()
    assert sink.messages() == ["1"]


def test_the_publisher_may_be_left_out() -> None:
    board, turns = make()
    one, two = KeepingSink("a", "one"), KeepingSink("a", "two")
    board.add(one)
    board.add(two)
    one.owner, two.owner = owners = object(), object()
    board.publish(Message("a", "x", sender=owners[0], excludes=True))
    board.publish(Message("a", "y", sender=owners[0]))
    turns.take_all()
    assert (one.messages(), two.messages()) == (["y"], ["x", "y"])


def test_a_large_topic_is_served_in_slices() -> None:
    board, turns = make()
    sinks = [KeepingSink("a") for _ in range(10_000)]
    for sink in sinks:
        board.add(sink)
    publish(board, "a", "x")
    most = SLICE // (RECEIVER + MESSAGE) + 1
    before = 0
    while turns.take():
        now = sum(bool(sink.got) for sink in sinks)
        assert 0 < now - before <= most
        before = now
    assert all(sink.got == ["x", "|"] for sink in sinks)


def test_many_messages_count_as_well() -> None:
    board, turns = make()
    sinks = [KeepingSink("a") for _ in range(1000)]
    for sink in sinks:
        board.add(sink)
    publish(board, "a", *map(str, range(RUN)))
    turns.take()
    assert sum(bool(sink.got) for sink in sinks) <= SLICE // (RECEIVER + RUN * MESSAGE) + 1
    turns.take_all()
    assert all(sink.messages() == list(map(str, range(RUN))) for sink in sinks)


def test_a_receiver_puts_no_more_than_a_run_together() -> None:
    board, turns = make()
    sink = KeepingSink("a")
    board.add(sink)
    publish(board, "a", *map(str, range(10 * RUN)))
    turns.take_all()
    assert sink.messages() == list(map(str, range(10 * RUN)))


def test_what_is_published_within_a_slice_comes_behind_what_is_queued() -> None:
    board, turns = make()
    sinks = [KeepingSink("a") for _ in range(1000)]
    for sink in sinks:
        board.add(sink)
    publish(board, "a", "1")
    turns.take()
    publish(board, "a", "2")
    turns.take_all()
    assert all(sink.messages() == ["1", "2"] for sink in sinks)


def test_subscribers_that_come_and_go_between_slices() -> None:
    chance = random.Random(1)
    board, turns = make()
    here = [KeepingSink("a") for _ in range(600)]
    for sink in here:
        board.add(sink)
    expected: dict[KeepingSink, list[str]] = {sink: [] for sink in here}
    for number in range(200):
        publish(board, "a", str(number))
        for sink in here:
            expected[sink].append(str(number))
        if number % 3 == 0:
            turns.take()
        gone = here.pop(chance.randrange(len(here)))
        board.remove(gone)
        expected[gone] = gone.messages()
        new = KeepingSink("a")
        board.add(new)
        here.append(new)
        expected[new] = []
    turns.take_all()
    for sink, messages in expected.items():
        assert sink.messages() == messages
    assert {id(sink) for sink in board.sinks("a")} == {id(sink) for sink in here}


def test_a_replay_goes_to_one_sink_behind_what_is_queued() -> None:
    board, turns = make()
    old, new = KeepingSink("a"), KeepingSink("a")
    board.add(old)
    publish(board, "a", "live")
    board.add(new)
    board.replay([Message("a", str(number)) for number in range(RUN + 5)], new)
    publish(board, "a", "next")
    turns.take_all()
    assert old.messages() == ["live", "next"]
    assert new.messages() == [*map(str, range(RUN + 5)), "next"]


def test_what_is_called_in_the_queues_order() -> None:
    board, turns = make()
    sink = KeepingSink("a")
    board.add(sink)
    board.then(lambda: sink.got.append("at once"))
    publish(board, "a", "1")
    board.then(lambda: sink.got.append("between"))
    publish(board, "a", "2")
    turns.take_all()
    assert sink.got == ["at once", "1", "|", "between", "2", "|"]


def test_an_exception_keeps_nothing_from_others(caplog: pytest.LogCaptureFixture) -> None:
    board, turns = make()

    class Broken(KeepingSink):
        def flush(self) -> None:
            raise RuntimeError("broken")

    broken, sound = Broken("a"), KeepingSink("a")
    board.add(broken)
    board.add(sound)
    publish(board, "a", "1")
    board.then(lambda: 1 / 0)
    publish(board, "a", "2")
    turns.take_all()
    assert sound.messages() == ["1", "2"]
    assert "broken" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_what_waits_is_counted() -> None:
    board, turns = make()
    board.add(KeepingSink("a"))
    publish(board, "a", "x" * 1000, "y")
    publish(board, "nobody", "z" * 1000)
    assert board.queued == 2 * OVERHEAD + ("x" * 1000).__sizeof__() + "y".__sizeof__()
    turns.take_all()
    assert board.queued == 0


def test_a_closed_board_delivers_nothing() -> None:
    board, turns = make()
    sink = KeepingSink("a")
    board.add(sink)
    publish(board, "a", "x")
    board.close()
    turns.take_all()
    assert sink.got == []
    assert not sink.is_subscribed
    assert board.remove(sink) is False


class Told(KeepingSink):
    def rejoined(self, joined: Joined) -> None:
        self.got.append(("rejoined", joined))


def test_what_was_lost_is_told_behind_what_is_queued_to_those_who_are_there() -> None:
    board, turns = make()
    one, gone, other = Told("a"), Told("a"), Told("b")
    for sink in (one, gone, other):
        board.add(sink)
    publish(board, "a", "1")
    board.tell_lost(["a", "nobody"], 3)
    joined = Joined(Position("e", 1), False)
    board.tell_rejoined("a", joined)
    late = Told("a")
    board.add(late)
    publish(board, "a", "2")
    board.remove(gone)
    assert one.got == []
    turns.take_all()
    assert one.messages() == ["1", ("lost", 3), ("rejoined", joined), "2"]
    assert (gone.got, other.got) == ([], [])
    assert late.messages() == ["2"]
    board.tell_lost(["a", "b"], None)
    assert [sink.messages()[-1] for sink in (one, late, other)] == [("lost", None)] * 3


def test_for_nobody_nothing_is_queued() -> None:
    board, turns = make()
    board.tell_lost(["a"], 1)
    board.tell_rejoined("a", Joined(Position("e", 1), False))
    assert turns.take_all() == 0
