"""The records of a link: what goes in comes out, however it is cut, and nothing else does."""

from __future__ import annotations

import struct
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.topics import link
from asgiws.topics.link import ALL, Deliveries, Events, LinkError, Outgoing, Requests
from asgiws.topics.message import Keep, Position

LIMIT = 1 << 20

numbers = st.integers(1, 2**32 - 1)
offsets = st.integers(0, 2**64 - 1)
topics = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)
keys = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
payloads = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.binary(max_size=80)
epochs = st.text(st.characters(exclude_categories=["Cs"]), max_size=16)
keeps = st.none() | st.builds(
    Keep, st.integers(1, 2**32 - 1), st.floats(1e-6, 1e9, allow_nan=False)
)

subscriptions = st.builds(
    link.Subscribe, numbers, numbers, topics, st.none() | st.builds(Position, epochs, offsets)
)
joinings = st.builds(
    link.Joined,
    numbers,
    st.builds(Position, epochs, offsets),
    st.sampled_from([None, True, False]),
)
publications = st.tuples(topics, payloads, keys, keeps, st.booleans())


def octets_of(request: Any) -> bytes:
    """A request as a worker sends it."""
    if isinstance(request, link.Subscribe):
        return link.subscribe(*request)
    if isinstance(request, link.Unsubscribe):
        return link.unsubscribe(*request)
    topic, data, key, keep, returns = request
    return link.publish(topic, link.content(data, key), keep, returns)


def cut(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(octets) + 1) for place in cuts), len(octets)]
    return [octets[start:end] for start, end in pairwise(places)]


@given(
    st.lists(subscriptions | st.builds(link.Unsubscribe, numbers) | publications, max_size=20),
    st.lists(st.integers(0), max_size=40),
)
def test_requests_arrive_as_they_were_made_however_they_are_cut(
    requests: list[Any], cuts: list[int]
) -> None:
    octets = link.hello() + b"".join(map(octets_of, requests))
    reader = Requests(LIMIT)
    found = [request for part in cut(octets, cuts) for request in reader.read(part)]
    assert found.pop(0) == link.Hello(link.VERSION)
    expected = []
    for request in requests:
        if not isinstance(request, (link.Subscribe, link.Unsubscribe)):
            topic, data, key, keep, returns = request
            expected.append(link.Publish(topic, link.content(data, key), keep, returns))
        elif isinstance(request, link.Subscribe) and request.since is not None:
            # An epoch that is longer than any of ours is sent as one that is unknown.
            since = request.since
            if len(since.epoch.encode()) > link.MOST_EPOCH:
                since = Position("?", 0)
            expected.append(request._replace(since=since))
        else:
            expected.append(request)
    assert found == expected


@given(
    st.lists(
        joinings
        | st.builds(link.Replay, numbers, offsets, payloads, keys)
        | st.builds(link.Delivery, numbers, offsets, offsets, payloads, keys)
        | st.builds(link.Gap, numbers, st.none() | st.integers(1, 2**40))
        | st.builds(link.Acknowledged, offsets)
        | st.builds(link.Rejoined, numbers, st.builds(Position, epochs, offsets))
        | st.builds(link.State, st.booleans(), offsets, epochs),
        max_size=20,
    ),
    st.lists(st.integers(0), max_size=40),
)  # fmt: skip
def test_events_arrive_as_they_were_made_however_they_are_cut(
    events: list[Any], cuts: list[int]
) -> None:
    outgoing = Outgoing(LIMIT)
    deliveries = Deliveries(outgoing)
    outgoing.add(link.hello())
    for event in events:
        if isinstance(event, link.Delivery):
            content = link.content(event.data, event.key)
            deliveries.deliver(event.number, event.offset, event.publication, content)
        elif isinstance(event, link.Gap):
            deliveries.gap(*event)
        elif isinstance(event, link.Replay):
            content = link.content(event.data, event.key)
            outgoing.add(link.replay(event.request, event.offset, content))
        elif isinstance(event, link.Joined):
            outgoing.add(link.joined(*event))
        elif isinstance(event, link.Rejoined):
            outgoing.add(link.rejoined(*event))
        elif isinstance(event, link.State):
            outgoing.add(link.state(*event))
        else:
            outgoing.add(link.acknowledged(*event))
    reader = Events(LIMIT)
    octets = taken(outgoing)
    found = [event for part in cut(octets, cuts) for event in reader.read(part)]
    assert found == [link.Hello(link.VERSION), *events]
    assert outgoing.size == 0


def taken(outgoing: Outgoing, most: int = 1 << 40) -> bytes:
    """What a socket takes, at most so many octets."""
    octets = b""
    while len(octets) < most and (head := outgoing.head()):
        part = bytes(head[: most - len(octets)])
        outgoing.sent(len(part))
        octets += part
    return octets


def test_one_octet_at_a_time() -> None:
    octets = link.hello() + link.subscribe(7, 3, "räume", Position("e", 5)) + link.unsubscribe(3)
    reader = Requests(LIMIT)
    found = [request for octet in octets for request in reader.read(bytes((octet,)))]
    assert found == [
        link.Hello(link.VERSION),
        link.Subscribe(7, 3, "räume", Position("e", 5)),
        link.Unsubscribe(3),
    ]


# Malformed.


def framed(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        framed(b""),
        struct.pack("<I", LIMIT + 1),
        framed(b"\x01\x01asgiws"),
        framed(b"\x04"),  # a publication before the version
        link.hello() + link.hello(),
        link.hello() + framed(b""),
        link.hello() + framed(b"\x63"),
        link.hello() + framed(b"\x02short"),
        link.hello() + framed(b"\x03abc"),
        link.hello() + framed(b"\x03abcde"),
        link.hello() + link.subscribe(1, ALL, "a", None),
        link.hello() + link.subscribe(1, 1, "", None),
        link.hello() + framed(b"\x04\x00\x05\x00abc"),  # its topic is cut off
        link.hello() + framed(b"\x04\x00\x01\x00a"),  # it has no content
        link.hello() + link.publish("", b"\x00", None, False),
        link.hello() + link.publish("a", b"\x01\xff", None, False),  # no text
        link.hello() + link.publish("a", b"\x02\x09\x00key", None, False),  # its key is cut off
        link.hello() + link.publish("a", b"\x00", Keep(0, 1.0), False),
        link.hello() + link.publish("a", b"\x00", Keep(1, float("nan")), False),
        link.hello() + framed(b"\x04\x00\x01\x00\xff\x00"),  # its topic is no text
    ],
)  # fmt: skip
def test_what_does_not_fit_ends_the_link(octets: bytes) -> None:
    with pytest.raises(LinkError):
        Requests(LIMIT).read(octets)


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_octets_raise_nothing_else(octets: bytes, is_event: bool) -> None:
    reader = Events(LIMIT) if is_event else Requests(LIMIT)
    reader.read(link.hello())
    for data in (octets, framed(octets), framed(b"\x04" + octets), framed(b"\x12" + octets)):
        try:
            reader.read(data)
        except LinkError:  # noqa: PERF203
            return


@given(st.lists(subscriptions | publications, min_size=1, max_size=5), st.data())
def test_a_changed_octet_raises_nothing_else(requests: list[Any], data: st.DataObject) -> None:
    octets = bytearray(link.hello() + b"".join(map(octets_of, requests)))
    place = data.draw(st.integers(0, len(octets) - 1))
    octets[place] ^= data.draw(st.integers(1, 255))
    try:
        Requests(LIMIT).read(bytes(octets))
    except LinkError:
        pass


@pytest.mark.parametrize("octets", [b"", b"\x02", b"\x01\xff", b"\x02\x09\0key", b"\x02\x01\0\xff"])
def test_octets_that_are_no_content(octets: bytes) -> None:
    with pytest.raises(LinkError):
        link.uncontent(octets)


@given(payloads, keys)
def test_a_content_is_taken_apart_as_it_was_made(data: str | bytes, key: str | None) -> None:
    octets = link.content(data, key)
    assert link.uncontent(octets) == (data, key)
    size = len(data.encode()) if isinstance(data, str) else len(data)
    assert len(octets) - size <= link.MOST_KEY


def test_the_longest_key_has_room() -> None:
    assert len(link.content(b"", "\U0001f600" * 255)) <= link.MOST_KEY


@given(st.binary(max_size=60))
def test_arbitrary_octets_are_a_content_or_a_link_error(octets: bytes) -> None:
    try:
        data, key = link.uncontent(octets)
    except LinkError:
        return
    assert isinstance(data, (str, bytes))
    assert key is None or isinstance(key, str)


def test_a_record_above_the_limit_is_refused_before_it_has_arrived() -> None:
    reader = Requests(100)
    reader.read(link.hello() + link.publish("a", b"\x00" + b"x" * 90, None, False)[:50])
    reader = Requests(100)
    with pytest.raises(LinkError):
        reader.read(link.hello() + link.publish("a", b"\x00" + b"x" * 101, None, False)[:50])


@pytest.mark.parametrize(
    "since", [Position("e" * 65, 1), Position("e", -1), Position("e", 2**64), Position("\ud800", 1)]
)
def test_a_position_that_nobody_gave_arrives_as_unknown(since: Position) -> None:
    octets = link.hello() + link.subscribe(1, 1, "a", since)
    request = Requests(LIMIT).read(octets)[1]
    assert isinstance(request, link.Subscribe)
    assert request.since is not None
    assert request.since.epoch == "?"


def test_text_that_cannot_be_sent_is_refused_before_anything_is() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        link.content("\ud800", None)
    with pytest.raises(ValueError, match="65,535"):
        link.content("a", "k" * 65536)


# What waits.


@given(st.lists(st.binary(max_size=50), max_size=20), st.lists(st.integers(1, 70), max_size=60))
def test_what_waits_leaves_once_and_in_order(parts: list[bytes], takes: list[int]) -> None:
    outgoing = Outgoing(LIMIT)
    left = [part for part in parts if part]
    octets = b""
    for most in takes:
        if left:
            outgoing.add(left.pop(0))
        octets += taken(outgoing, most)
    outgoing.add(*left)
    assert octets + taken(outgoing) == b"".join(parts)
    assert outgoing.size == 0


def test_a_write_is_of_a_bounded_size() -> None:
    outgoing = Outgoing(LIMIT)
    outgoing.add(*[b"x" * 1000] * 1000)
    assert len(outgoing.head()) <= link.CHUNK
    outgoing.clear()
    assert not outgoing.head()
    assert outgoing.size == 0


def told(events: list[Any]) -> list[tuple[int, int | None] | int]:
    """Deliveries by the number that they carry as data, gaps as pairs."""
    return [
        int(event.data) if isinstance(event, link.Delivery) else tuple(event) for event in events
    ]


def test_what_does_not_fit_is_counted_and_told_once_there_is_room() -> None:
    outgoing = Outgoing(100_000)
    deliveries = Deliveries(outgoing)
    reader = Events(LIMIT)
    outgoing.add(link.hello())
    number = 0
    while not outgoing.is_full:
        deliveries.deliver(1 + number % 2, 0, 0, b"\x00%-1000d" % number)
        number += 1
    size = outgoing.size
    for _ in range(1000):
        deliveries.deliver(1, 0, 0, b"\x00lost")
    deliveries.deliver(2, 0, 0, b"\x00lost")
    assert outgoing.size == size  # it holds no more than that
    # A little room is not enough: else each message would come with a gap of its own.
    events = reader.read(taken(outgoing, size - 60_000))
    assert deliveries.relieve() == 0
    deliveries.deliver(1, 0, 0, b"\x00lost")
    assert outgoing.size == 60_000
    events += reader.read(taken(outgoing, 20_000))
    assert deliveries.relieve() == 1002
    deliveries.deliver(1, 0, 0, b"\x00%-1000d" % number)
    events += reader.read(taken(outgoing))
    assert told(events[1:]) == [*range(number), (1, 1001), (2, 1), number]


def test_small_messages_count_as_what_they_take_in_memory() -> None:
    outgoing = Outgoing(100_000)
    deliveries = Deliveries(outgoing)
    tracemalloc.start()
    try:
        number = 0
        while not outgoing.is_full:
            deliveries.deliver(1, 0, 0, b"\x00%d" % number)
            number += 1
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number > 100
    assert held < outgoing.limit
    taken(outgoing)
    assert not outgoing.is_full
    assert outgoing.held == 0


def test_a_gap_that_came_from_elsewhere() -> None:
    outgoing = Outgoing(1000)
    deliveries = Deliveries(outgoing)
    outgoing.add(link.hello())
    deliveries.deliver(1, 0, 0, b"\x001")
    deliveries.gap(1, None)
    deliveries.gap(ALL, 3)
    deliveries.deliver(1, 0, 0, b"\x002")
    assert told(Events(LIMIT).read(taken(outgoing))[1:]) == [1, (1, None), (ALL, 3), 2]


def test_a_loss_that_nobody_has_told_is_seen() -> None:
    outgoing = Outgoing(1000)
    deliveries = Deliveries(outgoing)
    outgoing.add(link.hello())
    octets = taken(outgoing)
    parts = []
    for number in range(4):
        deliveries.deliver(1, 0, 0, b"\x00%d" % number)
        parts.append(taken(outgoing))
    octets += parts[0] + parts[2] + parts[3]
    assert told(Events(LIMIT).read(octets)[1:]) == [0, (ALL, None), 2, 3]
