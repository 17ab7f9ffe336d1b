"""The order of a batch is restored from what is known of it."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.brokers.merging import Arrival, merge
from tests.support.properties import quick


def arrival(queue: str, publisher: bytes, number: int) -> Arrival:
    return Arrival(queue, publisher, number, f"{queue}{number}".encode())


def in_queues(arrived: list[Arrival], chance: random.Random) -> list[Arrival]:
    """One queue after the other, or a few of one and then of another, as tasks give them out."""
    queues: dict[str, list[Arrival]] = defaultdict(list)
    for one in arrived:
        queues[one.queue].append(one)
    batch = []
    while queues:
        name = chance.choice(sorted(queues))
        count = chance.randint(1, len(queues[name]))
        batch += queues[name][:count]
        del queues[name][:count]
        if not queues[name]:
            del queues[name]
    return batch


#: For each arrival, the queue and the publisher; the numbers of a publisher ascend.
arrivals = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([b"x", b"y", b"z"]), st.integers(1, 3)),
    max_size=40,
)


@quick
@given(arrivals, st.randoms(use_true_random=False))
def test_an_order_that_fits_queues_and_publishers_is_found(
    made: list[tuple[str, bytes, int]], chance: random.Random
) -> None:
    last: dict[bytes, int] = defaultdict(int)
    arrived = []
    for queue, publisher, step in made:
        last[publisher] += step
        arrived.append(arrival(queue, publisher, last[publisher]))
    merged = list(merge(in_queues(arrived, chance)))
    assert sorted(merged) == sorted(arrived)
    for queue in "abcd":
        assert [one for one in merged if one.queue == queue] == [
            one for one in arrived if one.queue == queue
        ]
    for publisher in (b"x", b"y", b"z"):
        numbers = [one.number for one in merged if one.publisher == publisher]
        assert numbers == sorted(numbers)


@quick
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([b"x", b"y"]), st.integers(0, 5)),
        max_size=30,
    )
)
def test_numbers_that_contradict_the_queues_lose_nothing(
    made: list[tuple[str, bytes, int]],
) -> None:
    batch = [Arrival(*one, str(place).encode()) for place, one in enumerate(made)]
    merged = list(merge(batch))
    assert sorted(merged) == sorted(batch)
    for queue in "abc":
        assert [one for one in merged if one.queue == queue] == [
            one for one in batch if one.queue == queue
        ]


def test_one_queue_is_as_it_came() -> None:
    batch = [arrival("a", b"x", number) for number in (3, 1, 2)]
    assert list(merge(batch)) == batch
    assert list(merge([])) == []


@pytest.mark.parametrize("first", ["a", "b"])
def test_two_queues_of_one_publisher(first: str) -> None:
    second = "b" if first == "a" else "a"
    one, two, three = (
        arrival(first, b"x", 1),
        arrival(second, b"x", 2),
        arrival(first, b"x", 3),
    )
    assert list(merge([two, one, three])) == [one, two, three]
    assert list(merge([one, three, two])) == [one, two, three]
