"""asgiws/net/outbox.py: who sends what it holds when the loop has turned."""

from __future__ import annotations

from collections.abc import Callable

from asgiws.net.outbox import BATCH, Outbox


class Holder:
    def __init__(self) -> None:
        self.sent = 0

    def send_held(self) -> None:
        self.sent += 1


def test_all_that_hold_something_send_it_once_when_the_turn_is_over() -> None:
    scheduled: list[Callable[[], object]] = []
    outbox = Outbox(scheduled.append)
    holders = [Holder() for _ in range(3)]
    first = outbox.number
    outbox.wrote()
    outbox.wrote()
    assert len(scheduled) == 1, "one callback serves the whole turn"
    for holder in holders:
        outbox.hold(holder)
    assert [holder.sent for holder in holders] == [0, 0, 0]
    scheduled.pop()()
    assert [holder.sent for holder in holders] == [1, 1, 1]
    assert outbox.number != first
    assert not scheduled
    outbox.wrote()
    scheduled.pop()()
    assert [holder.sent for holder in holders] == [1, 1, 1]


def test_many_holders_are_served_in_several_turns_in_their_order() -> None:
    scheduled: list[Callable[[], object]] = []
    outbox = Outbox(scheduled.append)
    holders = [Holder() for _ in range(BATCH + 2)]
    outbox.wrote()
    for holder in holders:
        outbox.hold(holder)
    scheduled.pop()()
    assert sum(holder.sent for holder in holders[:BATCH]) == BATCH
    assert [holder.sent for holder in holders[BATCH:]] == [0, 0]
    late = Holder()
    outbox.hold(late)
    scheduled.pop()()
    assert [holder.sent for holder in [*holders[BATCH:], late]] == [1, 1, 1]
    assert not scheduled
