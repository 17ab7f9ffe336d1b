"""What topics keep, for whom it is replayed, and how much memory it may take."""

from __future__ import annotations

from asgiws.topics.history import OVERHEAD, SWEEP, TOPIC, History
from asgiws.topics.message import KEPT, Joined, Keep, Message, Position


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


MANY = Keep(100, 60.0)


def make(limit: int = 2**20) -> tuple[History, Clock]:
    clock = Clock()
    return History(limit, clock, "epoch"), clock


def add(history: History, topic: str, data: str, keep: Keep | None = MANY) -> int:
    message = Message(topic, data)
    history.add(message, keep)
    return message.offset


def missed(history: History, topic: str, offset: int, epoch: str = "epoch") -> list[object] | None:
    """What is replayed from there on; None if that is not known any more."""
    joined, messages = history.replay(topic, Position(epoch, offset))
    assert joined.position == history.position(topic)
    if not joined.recovered:
        assert joined.recovered is False
        assert messages == []
        return None
    return [message.data for message in messages]


def kept(history: History, topic: str) -> list[object]:
    joined, messages = history.replay(topic, KEPT)
    assert joined.recovered is None
    return [message.data for message in messages]


def test_offsets_count_from_1_in_each_topic() -> None:
    history, _ = make()
    assert [add(history, "a", "x"), add(history, "a", "y"), add(history, "b", "z")] == [1, 2, 1]
    assert history.position("a") == Position("epoch", 2)
    assert history.position("none") == Position("epoch", 0)


def test_what_was_missed_is_replayed() -> None:
    history, _ = make()
    for data in "vwxyz":
        add(history, "a", data)
    assert missed(history, "a", 5) == []
    assert missed(history, "a", 3) == ["y", "z"]
    assert missed(history, "a", 1) == ["w", "x", "y", "z"]
    joined, messages = history.replay("a", Position("epoch", 3))
    assert joined == Joined(Position("epoch", 5), True)
    assert [message.offset for message in messages] == [4, 5]


def test_without_a_position_nothing_is_replayed() -> None:
    history, _ = make()
    add(history, "a", "x")
    assert history.replay("a", None) == (Joined(Position("epoch", 1), None), [])


def test_a_position_of_another_epoch_or_of_the_future_is_not_covered() -> None:
    history, _ = make()
    add(history, "a", "x")
    add(history, "a", "y")
    assert missed(history, "a", 1, "other") is None
    assert missed(history, "a", 3) is None
    assert missed(history, "a", -1) is None
    assert missed(history, "none", 1) is None


def test_a_position_from_before_there_was_a_history_is_not_covered() -> None:
    history, _ = make()
    before = history.position("a")
    assert add(history, "a", "unkept", None) == 0
    add(history, "a", "x")
    assert missed(history, "a", before.offset) is None


def test_a_topic_keeps_messages_from_the_first_request_on() -> None:
    history, _ = make()
    assert add(history, "a", "u", None) == 0
    assert add(history, "a", "v") == 1
    assert add(history, "a", "w", None) == 2
    assert kept(history, "a") == ["v", "w"]


def test_the_last_messages_and_the_last_value() -> None:
    history, _ = make()
    for data in "vwxyz":
        add(history, "a", data, Keep(2, 60.0))
    assert kept(history, "a") == ["y", "z"]
    assert missed(history, "a", 3) == ["y", "z"]
    assert missed(history, "a", 2) is None
    add(history, "a", "last", Keep(1, 60.0))
    assert kept(history, "a") == ["last"]


def test_messages_are_kept_for_their_time() -> None:
    history, clock = make()
    add(history, "a", "x", Keep(9, 10.0))
    clock.now += 6
    add(history, "a", "y", Keep(9, 10.0))
    clock.now += 4
    assert kept(history, "a") == ["y"]
    assert missed(history, "a", 1) == ["y"]
    clock.now += 6
    assert missed(history, "a", 1) is None
    assert missed(history, "a", 2) == []


def test_the_oldest_goes_first_whichever_its_topic() -> None:
    size = OVERHEAD + "x".__sizeof__()
    history, _ = make(2 * (TOPIC + 1) + 3 * size)
    add(history, "a", "1")
    add(history, "b", "2")
    add(history, "a", "3")
    assert history.held == history.limit
    add(history, "b", "4")
    assert (kept(history, "a"), kept(history, "b")) == (["3"], ["2", "4"])
    add(history, "b", "5")
    assert (kept(history, "a"), kept(history, "b")) == (["3"], ["4", "5"])
    add(history, "b", "6")
    assert (kept(history, "a"), kept(history, "b")) == ([], ["4", "5", "6"])
    assert missed(history, "a", 1) is None


def test_memory_is_bounded_by_many_topics_too() -> None:
    history, _ = make(50_000)
    for number in range(10_000):
        add(history, f"topic {number}", "x")
        assert history.held <= 50_000
    assert len(history) <= 50_000 // TOPIC
    assert kept(history, "topic 9999") == ["x"]
    assert kept(history, "topic 0") == []


def test_offsets_never_mean_two_messages() -> None:
    history, _ = make(TOPIC + 1 + 3 * (OVERHEAD + 50))
    for _ in range(3):
        add(history, "a", "x")
    offset = history.position("a").offset
    for number in range(10):
        add(history, f"{number}", "y")  # "a" is forgotten
    assert history.position("a").offset >= offset
    assert add(history, "a", "z") > offset
    assert missed(history, "a", offset) is None


def test_what_is_larger_than_everything_leaves_others_alone() -> None:
    history, _ = make(10_000)
    add(history, "a", "x")
    add(history, "b", "y")
    assert add(history, "a", "z" * 10_000) == 2
    assert add(history, "a", "w") == 3
    assert (kept(history, "a"), kept(history, "b")) == (["w"], ["y"])
    assert missed(history, "a", 1) is None
    assert missed(history, "a", 2) == ["w"]


def test_old_messages_of_other_topics_go_too() -> None:
    history, clock = make()
    for number in range(50):
        add(history, f"topic {number}", "x" * 1000, Keep(1, 1.0))
    held = history.held
    clock.now += 2
    for _ in range(50 // SWEEP + 1):
        add(history, "busy", "x", Keep(1, 1.0))
    assert history.held < held - 49 * 1000


def test_no_history_at_all() -> None:
    history, _ = make(0)
    assert add(history, "a", "x") == 0
    assert kept(history, "a") == []
    assert missed(history, "a", 0) is None
    assert history.held == 0


def test_a_history_holds_neither_publishers_nor_frames() -> None:
    history, _ = make()
    message = Message("a", "x", "key", object(), True)
    message.shared = object()
    history.add(message, MANY)
    (copy,) = history.replay("a", KEPT)[1]
    assert (copy.sender, copy.excludes, copy.shared) == (None, False, None)
    assert (copy.data, copy.key, copy.offset) == ("x", "key", 1)


def test_each_history_has_an_epoch_of_its_own() -> None:
    assert History(1, Clock()).epoch != History(1, Clock()).epoch
