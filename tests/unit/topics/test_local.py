"""The hub of one process: positions, replays and what is sent fit together."""

from __future__ import annotations

import pytest

from asgiws.topics.board import BACKLOG
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.local import LocalHub
from asgiws.topics.message import KEPT, Joined, Keep, Message, Position
from tests.support.topics import KeepingSink, Turns

MANY = Keep(100, 60.0)


def make(history: int = 2**20, queue: int = 2**20) -> tuple[LocalHub, Turns]:
    turns = Turns()
    return LocalHub(turns.call_soon, history, queue, epoch="epoch"), turns


def publish(hub: LocalHub, topic: str, *all_data: str, keep: Keep | None = None) -> None:
    for data in all_data:
        hub.publish(Message(topic, data), keep)


def subscribe(hub: LocalHub, topic: str, since: Position | None = None) -> KeepingSink:
    sink = KeepingSink(topic)
    hub.subscribe(
        sink, since, lambda joined: (sink.got.append("joined"), sink.joined.append(joined))
    )
    return sink


def test_publish_and_subscribe() -> None:
    hub, turns = make()
    sink = subscribe(hub, "a")
    assert sink.got == ["joined"]
    assert (sink.joined[0].position, sink.joined[0].recovered) == (Position("epoch", 0), None)
    publish(hub, "a", "x")
    turns.take_all()
    assert sink.got == ["joined", "x", "|"]
    hub.unsubscribe(sink)
    hub.unsubscribe(sink)
    publish(hub, "a", "y")
    turns.take_all()
    assert sink.messages() == ["joined", "x"]


def test_what_is_queued_comes_once_to_a_subscriber_that_recovers() -> None:
    hub, turns = make()
    there = subscribe(hub, "a")
    publish(hub, "a", "1", "2", keep=MANY)
    turns.take_all()
    publish(hub, "a", "3")  # queued, and in the history
    back = subscribe(hub, "a", Position("epoch", 1))
    publish(hub, "a", "4")
    turns.take_all()
    assert there.messages() == ["joined", "1", "2", "3", "4"]
    assert back.messages() == ["joined", "2", "3", "4"]
    assert back.offsets == [2, 3, 4]
    assert back.joined[0].recovered is True
    assert back.joined[0].position == Position("epoch", 3)


def test_what_is_gone_is_said() -> None:
    hub, turns = make()
    publish(hub, "a", "1", "2", "3", keep=Keep(1, 60.0))
    sink = subscribe(hub, "a", Position("epoch", 1))
    publish(hub, "a", "4")
    turns.take_all()
    assert sink.joined[0].recovered is False
    assert sink.messages() == ["joined", "4"]


def test_the_last_value() -> None:
    hub, turns = make()
    publish(hub, "price", "1", "2", keep=Keep(1, 60.0))
    sink = subscribe(hub, "price", KEPT)
    turns.take_all()
    assert sink.messages() == ["joined", "2"]


def test_too_much_is_refused_and_nothing_of_it_is_kept() -> None:
    hub, turns = make(queue=10_000)
    sink = subscribe(hub, "a")
    count = 0
    while hub.board.queued <= 10_000:
        publish(hub, "a", str(count), keep=MANY)
        count += 1
    assert 10 < count < 1000
    with pytest.raises(TooMuchQueued, match="10000 bytes"):
        publish(hub, "a", "too much", keep=MANY)
    turns.take_all()
    assert sink.messages() == ["joined", *map(str, range(count))]
    assert hub.history.position("a").offset == count
    publish(hub, "a", "again")
    turns.take_all()
    assert sink.messages()[-1] == "again"


def test_what_is_encoded_for_a_subscriber_does_not_stay_in_the_history() -> None:
    class Encoding(KeepingSink):
        def deliver(self, message: Message) -> None:
            super().deliver(message)
            message.shared = "frames"

    hub, turns = make()
    publish(hub, "a", "1", "2", keep=MANY)
    sink = Encoding("a")
    hub.subscribe(sink, KEPT, lambda joined: None)
    turns.take_all()
    assert (sink.messages(), sink.offsets) == (["1", "2"], [1, 2])
    _, kept = hub.history.replay("a", KEPT)
    assert [(message.data, message.shared) for message in kept] == [("1", None), ("2", None)]


def test_without_subscribers_nothing_is_queued() -> None:
    hub, _ = make(queue=0)
    publish(hub, "a", "x", "y")
    assert hub.board.queued == 0


def test_what_a_subscription_would_be_told() -> None:
    hub, _ = make()
    publish(hub, "a", "1", "2", keep=MANY)
    joined, messages = hub.history.replay("a", Position("epoch", 1))
    assert joined.recovered is True
    assert [message.data for message in messages] == ["2"]
    assert joined.position == hub.history.position("a") == Position("epoch", 2)


def test_a_closed_hub() -> None:
    hub, turns = make()
    sink = subscribe(hub, "a")
    publish(hub, "a", "x")
    hub.close()
    turns.take_all()
    assert sink.messages() == ["joined"]


# As the hub process uses it.


def test_several_subscriptions_of_one_link() -> None:
    hub, turns = make()
    publish(hub, "a", "1", "2", keep=MANY)
    sink = KeepingSink("a")
    told: list[object] = []

    def join(name: str, since: Position | None) -> None:
        hub.join(
            sink,
            since,
            lambda joined, missed: told.append(
                (name, joined, [message.data for message in missed], sink.messages())
            ),
        )

    join("first", None)
    publish(hub, "a", "3", keep=MANY)
    join("second", Position("epoch", 1))
    publish(hub, "a", "4", keep=MANY)
    turns.take_all()
    # Behind what came before it, and in front of what came later, which comes once.
    assert told == [
        ("first", Joined(Position("epoch", 2), None), [], []),
        ("second", Joined(Position("epoch", 3), True), ["2", "3"], ["3"]),
    ]
    assert sink.messages() == ["3", "4"]
    hub.unsubscribe(sink)
    publish(hub, "a", "5")
    turns.take_all()
    assert sink.messages() == ["3", "4"]


def test_it_is_behind_while_much_waits_to_be_delivered() -> None:
    hub, turns = make(queue=1 << 30)
    sink = subscribe(hub, "a")
    hub.when_relieved(lambda: sink.got.append("at once"))
    publish(hub, "a", "x" * (BACKLOG // 2))
    assert not hub.is_behind()
    publish(hub, "a", "x" * (BACKLOG // 2))
    assert hub.is_behind()
    hub.when_relieved(lambda: sink.got.append("relieved"))
    assert sink.got == ["joined", "at once"]
    turns.take_all()
    assert not hub.is_behind()
    assert sink.got[-1] == "relieved"


def test_when_everything_before_has_been_delivered() -> None:
    hub, turns = make()
    sink = subscribe(hub, "a")
    publish(hub, "a", "1")
    hub.when_settled(lambda: sink.got.append("settled"))
    publish(hub, "a", "2")
    turns.take_all()
    assert sink.messages() == ["joined", "1", "settled", "2"]


async def test_it_reaches_all_that_it_should_and_need_not_finish() -> None:
    hub, _ = make()
    assert hub.is_up
    await hub.finish()
