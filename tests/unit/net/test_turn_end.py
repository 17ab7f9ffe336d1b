"""asgiws/net/turn_end.py: who sends what it holds when the loop has turned."""

from __future__ import annotations

from collections.abc import Callable

from asgiws.net.turn_end import BATCH, TurnEnd


class Holder:
    def __init__(self) -> None:
        self.sent = 0

    def send_held(self) -> None:
        self.sent += 1


def test_all_that_hold_something_send_it_once_when_the_turn_is_over() -> None:
    scheduled: list[Callable[[], object]] = []
    turn_end = TurnEnd(scheduled.append)
    holders = [Holder() for _ in range(3)]
    first = turn_end.number
    turn_end.wrote()
    turn_end.wrote()
    assert len(scheduled) == 1, "one callback serves the whole turn"
    for holder in holders:
        turn_end.hold(holder)
    assert [holder.sent for holder in holders] == [0, 0, 0]
    scheduled.pop()()
    assert [holder.sent for holder in holders] == [1, 1, 1]
    assert turn_end.number != first
    assert not scheduled
    turn_end.wrote()
    scheduled.pop()()
    assert [holder.sent for holder in holders] == [1, 1, 1]


def test_many_holders_are_served_in_several_turns_in_their_order() -> None:
    scheduled: list[Callable[[], object]] = []
    turn_end = TurnEnd(scheduled.append)
    holders = [Holder() for _ in range(BATCH + 2)]
    turn_end.wrote()
    for holder in holders:
        turn_end.hold(holder)
    scheduled.pop()()
    assert sum(holder.sent for holder in holders[:BATCH]) == BATCH
    assert [holder.sent for holder in holders[BATCH:]] == [0, 0]
    late = Holder()
    turn_end.hold(late)
    scheduled.pop()()
    assert [holder.sent for holder in [*holders[BATCH:], late]] == [1, 1, 1]
    assert not scheduled
