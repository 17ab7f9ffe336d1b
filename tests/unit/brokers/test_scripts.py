"""The history of topics within a real Redis: what the scripts keep, give out, and say about what is missing."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import redis

from asgiws.brokers.scripts import LOOK, PUBLISH
from tests.support.brokers import Broker, broker

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")

DAY = 86_400

#: What is passed for the case that there is no epoch, by turns.
EPOCH, OTHER = "first", "second"


class Looked(NamedTuple):
    epoch: str
    offset: int
    keeps: bool
    recovered: bool | None
    missed: list[tuple[int, bytes]]


class Topic:
    """A topic of an application `prefix`."""

    def __init__(self, client: redis.Redis, name: str = "topic", prefix: str = "") -> None:
        self.client: Any = client
        prefix = prefix or secrets.token_hex(8)
        self.channel = f"{prefix}:{name}"
        self.state, self.stream = f"{{{prefix}}}:state", f"{{{prefix}}}:topic:{name}"
        self.other = lambda name: Topic(client, name, prefix)

    def publish(
        self, data: str, messages: object = "", seconds: object = "", epoch: str = EPOCH
    ) -> int:
        words = (self.channel, data, messages, seconds, epoch)
        return int(self.client.eval(PUBLISH, 2, self.state, self.stream, *words))

    def look(self, wants: str = "", offset: int = 0, most: int = 10**6) -> Looked:
        """`wants` is "" for no messages, "kept", or an epoch."""
        answer = self.client.eval(LOOK, 2, self.state, self.stream, OTHER, wants, offset, most)
        word, epoch, at, keeps, recovered, *missed = answer
        assert word == b"looked"
        found = [(int(missed[at]), missed[at + 1]) for at in range(0, len(missed), 2)]
        told = None if recovered == b"" else recovered == b"1"
        return Looked(epoch.decode(), int(at), bool(keeps), told, found)

    def since(self, offset: int, most: int = 10**6) -> tuple[bool | None, list[int]]:
        """Whether all since then follows, and the offsets of what does."""
        looked = self.look(self.look().epoch, offset, most)
        return looked.recovered, [offset for offset, _ in looked.missed]

    def kept(self, most: int = 10**6) -> list[int]:
        return [offset for offset, _ in self.look("kept", 0, most).missed]


@pytest.fixture(scope="module")
def server() -> Iterator[Broker]:
    with broker("redis") as running:
        yield running


@pytest.fixture
def topic(server: Broker) -> Iterator[Topic]:
    with redis.Redis(port=server.port) as client:
        yield Topic(client)


def grow_old() -> None:
    """Long enough for what is kept for a millisecond."""
    time.sleep(0.01)


def test_a_topic_that_keeps_nothing_has_an_epoch_and_no_messages(topic: Topic) -> None:
    assert topic.publish("a") == 0
    assert topic.look() == (OTHER, 0, False, None, [])
    assert topic.look("kept") == (OTHER, 0, False, None, [])
    assert topic.look(OTHER, 0) == (OTHER, 0, False, False, [])
    assert not topic.client.exists(topic.stream)


def test_offsets_count_from_one_and_the_history_is_in_their_order(topic: Topic) -> None:
    assert [topic.publish(data, 10, 60) for data in "abc"] == [1, 2, 3]
    expected = [(1, b"a"), (2, b"b"), (3, b"c")]
    assert topic.look() == (EPOCH, 3, True, None, [])
    assert topic.look("kept") == (EPOCH, 3, True, None, expected)
    assert topic.look(EPOCH, 1) == (EPOCH, 3, True, True, expected[1:])
    assert topic.look(EPOCH, 3) == (EPOCH, 3, True, True, [])


def test_a_publication_tells_its_channel_offset_and_epoch(topic: Topic) -> None:
    with topic.client.pubsub(ignore_subscribe_messages=True) as listening:
        listening.subscribe(topic.channel)
        listening.get_message(timeout=30)
        topic.publish("a:b")
        topic.publish("c:\0d", 5, 60)
        topic.publish("", 5, 60, "unused")
        expected = [b"0:-:a:b", b"1:first:c:\0d", b"2:first:"]
        found = [(listening.get_message(timeout=30) or {})["data"] for _ in expected]
    assert found == expected


def test_of_the_first_entry_no_predecessor_is_known(topic: Topic) -> None:
    """What was published while nothing was kept is nowhere."""
    epoch = topic.look().epoch
    topic.publish("lost")
    topic.publish("a", 10, 60)
    topic.publish("b", 10, 60)
    assert topic.look(epoch, 0).recovered is False
    assert topic.since(1) == (True, [2])


@pytest.mark.parametrize("offset", [4, 10**9, 2**62])
def test_a_place_that_was_not_reached_is_not_recovered(topic: Topic, offset: int) -> None:
    for data in "abc":
        topic.publish(data, 10, 60)
    assert topic.since(offset) == (False, [])


def test_another_epoch_is_not_recovered(topic: Topic) -> None:
    topic.publish("a", 10, 60)
    assert topic.look("another", 1) == (EPOCH, 1, True, False, [])
    assert topic.look("?", 0) == (EPOCH, 1, True, False, [])


def test_more_messages_than_asked_for_are_dropped_at_once(topic: Topic) -> None:
    for data in "abcde":
        topic.publish(data, 3, 60)
    assert topic.client.xlen(topic.stream) == 3
    assert topic.kept() == [3, 4, 5]
    assert topic.since(2) == (True, [3, 4, 5])
    assert topic.since(1) == (False, [])


def test_the_last_wish_counts(topic: Topic) -> None:
    for data in "abcde":
        topic.publish(data, 5, 60)
    topic.publish("f", 2, 60)
    assert topic.kept() == [5, 6]
    topic.publish("g", 3, 60)
    assert topic.kept() == [5, 6, 7]


def test_without_a_wish_the_one_before_counts(topic: Topic) -> None:
    topic.publish("a", 2, 60)
    assert [topic.publish(data) for data in "bcd"] == [2, 3, 4]
    assert topic.kept() == [3, 4]
    topic.publish("e", 10, 0.001)
    grow_old()
    assert topic.publish("f") == 6
    grow_old()
    assert (topic.look().keeps, topic.kept()) == (True, [])


def test_what_is_too_old_is_not_given_out(topic: Topic) -> None:
    for data in "abc":
        topic.publish(data, 10, 0.001)
    grow_old()
    assert topic.client.xlen(topic.stream) >= 1
    assert topic.look("kept") == (EPOCH, 3, True, None, [])
    assert topic.since(1) == (False, [])
    # Nothing was missed, however old that is.
    assert topic.since(3) == (True, [])


@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_what_is_too_old_is_dropped_with_the_next(topic: Topic, count: int) -> None:
    for number in range(count):
        topic.publish(str(number), 100, 0.001)
    grow_old()
    topic.publish("last", 100, 0.001)
    assert topic.client.xlen(topic.stream) == 1
    assert topic.look().offset == count + 1
    # Its predecessor is known, though it has gone.
    assert topic.client.xrange(topic.stream)[0][1][b"f"] == b"0"


def test_more_than_a_portion_is_given_out_in_order(topic: Topic) -> None:
    count = 250
    for number in range(count):
        topic.publish(str(number), 1000, 60)
    expected = [(at + 1, b"%d" % at) for at in range(count)]
    assert topic.look("kept").missed == expected
    for since in (1, 49, 50, 149, 150, 151, 249, 250):
        looked = topic.look(EPOCH, since)
        assert (looked.recovered, looked.missed) == (True, expected[since:])


def test_a_hole_is_not_recovered(topic: Topic) -> None:
    for data in "abcde":
        topic.publish(data, 10, 60)
    entry = topic.client.xrange(topic.stream)[2][0]
    topic.client.xdel(topic.stream, entry)
    assert topic.since(1) == (False, [])
    assert topic.since(3) == (True, [4, 5])
    assert topic.kept() == [1, 2, 4, 5]


def test_a_stream_expires_a_day_after_its_last_message(topic: Topic) -> None:
    topic.publish("a", 10, 60)
    left = topic.client.pttl(topic.stream) / 1000
    assert DAY < left <= DAY + 60
    topic.publish("b", 10, 3600)
    assert DAY + 3000 < topic.client.pttl(topic.stream) / 1000 <= DAY + 3600
    assert topic.client.pttl(topic.state) == -1


def test_after_a_stream_has_expired_offsets_go_on(topic: Topic) -> None:
    for data in "abc":
        topic.publish(data, 10, 60)
    topic.client.delete(topic.stream)
    assert topic.look() == (EPOCH, 3, False, None, [])
    assert topic.look(EPOCH, 3).recovered is False
    assert topic.publish("lost") == 0
    assert topic.publish("d", 10, 60) == 4
    # What was published between is not known.
    assert topic.since(3) == (False, [])
    assert topic.since(4) == (True, [])
    assert topic.kept() == [4]


def test_topics_that_expired_go_on_above_those_of_all(topic: Topic) -> None:
    other = topic.other("other")
    for data in "abc":
        topic.publish(data, 10, 60)
    other.publish("x", 10, 60)
    assert other.look().offset == 4
    topic.publish("d", 10, 60)
    topic.client.delete(topic.stream, other.stream)
    for _ in range(2):
        offset = other.publish("y", 10, 60)
    assert offset == 6
    assert topic.publish("e", 10, 60) == 7


def test_the_most_octets_that_are_given_out(topic: Topic) -> None:
    for _ in range(5):
        topic.publish("x" * 100, 10, 60)
    assert topic.since(1, 400) == (True, [2, 3, 4, 5])
    assert topic.since(1, 399) == (False, [])
    assert topic.kept(500) == [1, 2, 3, 4, 5]
    # The newest: never what has a hole, and never more than that.
    for most in (499, 350, 200, 100):
        found = topic.kept(most)
        assert found
        assert len(found) * 100 <= most
        assert found == list(range(6 - len(found), 6))


@pytest.mark.parametrize("offset", [10**9, 2**32, 10**14])
def test_large_offsets(topic: Topic, offset: int) -> None:
    topic.client.hset(topic.state, mapping={"epoch": "e", "top": offset})
    assert [topic.publish(data, 2, 60) for data in "abc"] == [offset + 1, offset + 2, offset + 3]
    assert topic.look("e", offset + 1) == (
        "e",
        offset + 3,
        True,
        True,
        [(offset + 2, b"b"), (offset + 3, b"c")],
    )
    assert topic.since(offset) == (False, [])
    assert topic.other("other").publish("a", 2, 60) == offset + 4


@pytest.mark.parametrize("seconds", [0.001, 0.5, 31_536_000.0, 1e9])
@pytest.mark.parametrize("messages", [1, 1_000_000])
def test_any_wish_can_be_kept(topic: Topic, messages: int, seconds: float) -> None:
    assert topic.publish("a", messages, repr(seconds)) == 1
    assert topic.publish("b") == 2
    assert topic.client.pttl(topic.stream) > DAY * 900


def test_envelopes_are_octets(topic: Topic) -> None:
    data = bytes(range(256)) + b"\r\n"
    topic.client.eval(PUBLISH, 2, topic.state, topic.stream, topic.channel, data, 3, 60, EPOCH)
    assert topic.look("kept").missed == [(1, data)]
