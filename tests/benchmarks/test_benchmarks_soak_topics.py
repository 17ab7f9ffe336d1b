"""The soak's judge of topics: what a subscriber was given that it should not have been, and what it was not."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from benchmarks.soak import messages
from benchmarks.soak.actor import Actor, Life, Pace, Route
from benchmarks.soak.rooms import Member, Position, Rooms
from benchmarks.soak.streams import Counted, Latest, Room, Stream

#: Two publishers: one of the same process, one of another.
OWN, OTHER = "1.0.3", "1.1.3"


def said(number: int, publisher: str = OWN) -> str:
    return f"{publisher} {messages.text(number, 'body')}"


def stream(**written: int) -> Stream:
    """One that was subscribed when five connections had begun, and OWN had published so many."""
    return Stream("1.0.", 5, {OWN: written.get("own", 0)})


def given(one: Stream, *numbers: int, publisher: str = OWN) -> Stream:
    for number in numbers:
        one.take(said(number, publisher))
    return one


def test_all_of_several_publishers():
    one = given(given(stream(), 0, 1), 7, 8, publisher=OTHER)
    given(given(one, 2, 3), 9, publisher=OTHER)
    one.finish({OWN: 4})
    assert (one.count, one.faults, one.problems, one.details) == (7, {}, [], [])


@pytest.mark.parametrize("publisher", [OWN, OTHER])
@pytest.mark.parametrize(
    ("numbers", "faults"),
    [
        ([0, 1, 1, 2], {"doubled": 1}),
        ([0, 1, 3, 4], {"lost": 1}),
        ([0, 1, 3, 2, 4], {"reordered": 1}),
        ([0, 1, 2, 0], {"doubled": 1}),
    ],
)
def test_a_duplicate_a_hole_and_a_swap(publisher, numbers, faults):
    one = given(stream(), *numbers, publisher=publisher)
    assert one.faults == faults
    assert f"of {publisher} where " in one.details[0]


@pytest.mark.parametrize("changed", [f"{OWN} 0 0 body", "x", "", said(0) + " "])
def test_a_changed_message(changed):
    one = stream()
    one.take(changed)
    assert one.faults == {"changed": 1}


def test_what_gaps_told_is_not_lost():
    one = given(stream(), 0)
    one.gap(3)
    given(one, 4)
    assert one.faults == {}
    given(one, 6)
    assert one.faults == {"lost": 1}
    one.gap(None)
    assert one.faults == {}


@pytest.mark.parametrize("in_place", [True, False])
def test_where_a_gap_is_told(in_place):
    one = Stream("1.0.", 5, {OWN: 0}, in_place)
    given(one, 0, 2)
    one.gap(1)
    assert one.faults == {}
    assert bool(one.problems) is in_place


@pytest.mark.parametrize(
    ("publisher", "first", "lost"),
    [
        ("1.0.3", 2, {}),  # two had been written by then, and were not for this subscriber
        ("1.0.3", 3, {"lost": 1}),
        ("1.0.3", 1, {}),  # or still on their way
        ("1.0.6", 1, {"lost": 1}),  # it began later
        ("1.0.4", 9, {}),  # nothing is known of it
        ("1.1.6", 9, {}),
    ],
)
def test_what_must_come_first(publisher, first, lost):
    assert given(stream(own=2), first, publisher=publisher).faults == lost


def test_what_must_come_last():
    one = given(stream(), 0, 1)
    assert one.has_all({OWN: 2})
    assert not one.has_all({OWN: 3})
    one.finish({OWN: 4, "1.0.6": 1})
    assert one.faults == {"lost": 3}
    assert one.details == [f"the last 2 of {OWN}", "the last 1 of 1.0.6"]


def test_what_a_publisher_left_behind_must_come_too():
    room, one = Room("room-1"), stream()
    room.streams.add(one)
    room.written[OWN] = room.accepted[OWN] = 2
    room.leave(OWN)
    assert not one.has_all(room.accepted)
    given(one, 0, 1)
    assert one.has_all(room.accepted)


def test_a_gap_covers_the_end():
    one = given(stream(), 0, 1)
    one.gap(2)
    assert one.has_all({OWN: 4})
    assert not one.has_all({OWN: 5})


@pytest.mark.parametrize(
    ("offsets", "faults"), [([5, 7], {"lost": 1}), ([6], {"lost": 1}), ([5, 6, 6], {"doubled": 1})]
)
def test_offsets(offsets, faults):
    one = stream()
    one.offset = 5
    for number, offset in enumerate(offsets):
        one.take(said(number), offset)
    assert one.faults == faults


def test_who_goes_on_goes_on_where_it_was():
    one = given(stream(), 0, 1, 3)
    other = one.copy()
    assert given(other, 4).faults == {}
    assert given(one.copy(), 3).faults == {"doubled": 1}
    assert given(one.copy(), 5).faults == {"lost": 1}


# Topics of one subscriber.


def counted(*numbers: int, gap: int = 0, expected: int = 5) -> Counted:
    one = Counted(expected)
    if gap:
        one.gap(gap)
    for number in numbers:
        one.take(messages.binary(number, b"body"))
    one.finish()
    return one


def test_all_that_came_and_all_that_was_told_are_all():
    assert counted(0, 1, 2, 3, 4).faults == {}
    partly = counted(0, 3, 4, gap=2)
    assert (partly.is_complete, partly.faults, partly.problems) == (True, {}, [])


@pytest.mark.parametrize(
    ("one", "faults"),
    [
        (counted(0, 1, 3, 4), {"lost": 1}),
        (counted(0, 1, 2, 3), {"lost": 1}),
        (counted(0, 1, 4, gap=1), {"lost": 1}),
        (counted(0, 1, 2, 2, 3, 4), {"doubled": 1}),
        (counted(0, 2, 1, 3, 4), {"reordered": 1}),
    ],
)
def test_what_is_wrong_with_a_topic_of_ones_own(one, faults):
    assert one.faults == faults


def test_a_gap_of_nothing():
    assert counted(0, 1, 2, 3, 4, gap=1).problems == ["1 were told to be lost, where 0 lacked"]


def latest(*numbers: int) -> Latest:
    """Of 10 messages with 3 keys."""
    one = Latest(10, 3)
    for number in numbers:
        one.take(messages.binary(number, b"body"))
    one.finish()
    return one


def test_the_last_of_each_key_comes():
    one = latest(0, 1, 2, 7, 8, 9)
    assert (one.is_complete, one.faults, one.problems) == (True, {}, [])


@pytest.mark.parametrize(
    ("numbers", "faults"),
    [
        ([0, 7, 9], {"lost": 1}),
        ([7, 8, 8, 9], {"doubled": 1}),
        ([7, 9, 8], {"reordered": 1}),
    ],
)
def test_what_is_wrong_with_the_latest(numbers, faults):
    assert latest(*numbers).faults == faults


# What a client is told.


def member(since: int | None = None, **about: Any) -> Member:
    """One in a room that keeps five messages, back to that offset, and what it was told of its subscription."""
    rooms = Rooms(4, "1.0.", 5)
    actor = Actor("1.0.5", "m", Route("direct", "", 0), Life(), Pace(1, 1, 1, 1), Counter(), rooms)
    room = rooms.kept[3]
    position = None
    if since is not None:
        before = stream()
        before.offset = since + 1
        position = Position(room, "e", before)
    one = Member(actor, room, position)
    one.by_app = one.by_hub = False
    told = {"topic": room.name, "epoch": "e", "offset": 20, "recovered": None, **about}
    one.take(json.dumps({"subscribed": told}))
    return one


def problems(one: Member) -> list[str]:
    return one.actor.account.problems


@pytest.mark.parametrize(
    ("since", "about", "is_right"),
    [
        (15, {"recovered": True}, True),
        (15, {"recovered": False}, False),
        (20, {"recovered": True}, True),
        (20, {"recovered": False}, False),
        (14, {"recovered": False}, True),
        (14, {"recovered": True}, False),
        (20, {"recovered": False, "epoch": "f"}, True),
        (20, {"recovered": True, "epoch": "f"}, False),
        (None, {"recovered": True}, False),
    ],
)
def test_who_comes_back_is_told_the_truth(since, about, is_right):
    assert bool(problems(member(since, **about))) is not is_right


@pytest.mark.parametrize(("recovered", "lost"), [(True, {"lost": 2}), (False, {})])
def test_what_is_missed_must_come_if_it_is_recovered(recovered, lost):
    one = member(18 if recovered else 14, recovered=recovered)
    placed = {"topic": one.room.name, "epoch": "e", "offset": 21, "text": said(0, OTHER)}
    one.take(json.dumps(placed))
    assert one.stream is not None
    assert one.stream.faults == lost


def test_its_own_message_comes_before_the_acknowledgement():
    one = member()
    one.take(said(0, one.id))
    one.take('{"ack": 0}')
    assert problems(one) == []
    one.take('{"ack": 1}')
    assert problems(one) == ["1 was acknowledged before it came"]


def test_nothing_comes_after_it_has_unsubscribed():
    one = member()
    one.take('{"left": true}')
    assert problems(one) == []
    one.take(said(0))
    assert problems(one) == ["a message came after it had unsubscribed"]
