"""A hub whose topics go through a broker, against sessions of the test's own."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.topics import broker, link
from asgiws.topics.board import BACKLOG
from asgiws.topics.broker import GAP, HOST, MESSAGE, Kept
from asgiws.topics.hub import HostHub, TooMuchQueued
from asgiws.topics.message import KEPT, Joined, Keep, Message, Position
from asgiws.topics.relayed import OPAQUE, RelayedHub
from asgiws.topics.sink import Sink
from tests.support.memory_broker import MemoryBroker, MemorySession
from tests.support.properties import THOROUGH, examples
from tests.support.topics import Turns

LIMIT = 10_000
LARGEST = 4000
MANY = Keep(100, 60.0)
ELSEWHERE = b"elsewher"
assert len(ELSEWHERE) == HOST


class Reader(Sink):
    """Remembers the data of messages, and what it is told, as pairs."""

    def __init__(self, topic: str, owner: object = None) -> None:
        Sink.__init__(self, topic, self if owner is None else owner)
        self.heard: list[Any] = []
        self.got: list[Message] = []

    def deliver(self, message: Message) -> None:
        self.heard.append(message.data)
        self.got.append(message)

    def lost(self, count: int | None) -> None:
        self.heard.append(("lost", count))

    def rejoined(self, joined: Joined) -> None:
        self.heard.append(("rejoined", joined))

    def joins(self, joined: Joined) -> None:
        self.heard.append(("joined", joined))

    def new(self) -> list[Any]:
        """What it heard since the last time."""
        heard, self.heard = self.heard, []
        return heard


class Session:
    """Keeps what it was asked."""

    name = "broker"

    def __init__(self, largest: int = 1 << 20, why_no_history: str = "") -> None:
        self.largest = largest
        self.why_no_history = why_no_history
        self.asked: list[tuple[Any, ...]] = []
        self.heard = 0

    def publish(self, topic: str, envelope: bytes, keep: Keep | None) -> None:
        self.asked.append(("publish", topic, envelope, keep))

    def subscribe(self, topic: str) -> None:
        self.asked.append(("subscribe", topic))

    def unsubscribe(self, topic: str) -> None:
        self.asked.append(("unsubscribe", topic))

    def look(self, topic: str, since: Position | None, request: int) -> None:
        self.asked.append(("look", topic, since, request))

    def settle(self, number: int) -> None:
        self.asked.append(("settle", number))

    def probe(self) -> None: ...

    async def run(self, receiver: broker.Receiver) -> None: ...

    async def close(self) -> None: ...

    def new(self, *kinds: str) -> list[tuple[Any, ...]]:
        """What it was asked since the last time, of those kinds."""
        asked, self.asked = self.asked, []
        return [one for one in asked if not kinds or one[0] in kinds]

    def published(self) -> list[tuple[str, str, Any]]:
        """Topics, data and keeps of the messages, ("topic", "GAP", None) for what may have been lost."""
        found = []
        for _, topic, octets, keep in self.new("publish"):
            envelope = broker.unwrap(octets)
            is_gap = envelope.kind == GAP
            found.append((topic, "GAP" if is_gap else data_of(envelope.content), keep))
        return found


def data_of(content: bytes) -> Any:
    return link.uncontent(content)[0]


class World:
    """A hub in an event loop whose turns are the test's."""

    def __init__(self, *, is_up: bool = True, **options: Any) -> None:
        self.turns = Turns()
        self.hub = RelayedHub(self.turns.call_soon, LIMIT, LARGEST, **options)
        self.session = Session()
        self.number = 0
        self.epoch = "e"
        if is_up:
            self.hub.connected(self.session)

    def lose(self) -> None:
        self.hub.disconnected()
        self.turn()

    def connect(self, session: Session | None = None) -> Session:
        self.session = Session() if session is None else session
        self.hub.connected(self.session)
        return self.session

    def turn(self) -> None:
        self.turns.take_all()

    def publish(self, topic: str, *all_data: str, **more: Any) -> None:
        keep = more.pop("keep", None)
        for data in all_data:
            self.hub.publish(Message(topic, data, **more), keep)

    def subscribe(
        self, topic: str = "a", owner: object = None, since: Position | None = None
    ) -> Reader:
        """A subscription in force."""
        reader = Reader(topic, owner)
        self.hub.subscribe(reader, since, reader.joins)
        self.look(position=Position("e", 0))
        reader.new()
        return reader

    def look(
        self,
        *missed: tuple[int, str],
        position: Position,
        recovered: bool | None = None,
        keeps: bool = False,
    ) -> None:
        """Answer the last request."""
        request = self.session.new("look")[-1][3]
        kept = [Kept(offset, envelope(data)) for offset, data in missed]
        self.hub.looked(request, Joined(position, recovered), kept, keeps)

    def arrive(self, topic: str, *all_data: str, offset: int = 0) -> None:
        """Messages of another host; those with an offset have one after the other."""
        for place, data in enumerate(all_data):
            self.hub.arrived(topic, envelope(data), offset and offset + place, self.epoch)

    def echo(self) -> None:
        """The broker sends what was published, and has dealt with it."""
        self.turn()
        for one in self.session.new("publish", "settle"):
            if one[0] == "publish":
                self.hub.arrived(one[1], one[2], 0, "-")
            else:
                self.hub.settled(one[1])
        self.turn()


def envelope(data: str, kind: int = MESSAGE, host: bytes = ELSEWHERE) -> bytes:
    return broker.wrap(kind, host, 1, link.content(data, None))


def publish_too_much(world: World) -> int:
    """Publish until that is refused; returns the number of messages."""
    count = 0
    while True:
        try:
            world.publish("a", str(count))
        except TooMuchQueued:
            return count
        count += 1


# Publications.


def test_it_is_a_hub_that_can_serve_others() -> None:
    hub: HostHub = World(is_up=False).hub
    assert not hub.is_up
    hub.close()
    hub.close()


def test_what_is_published_before_there_is_a_connection_leaves_later_in_order() -> None:
    world = World(is_up=False)
    world.publish("a", "1", keep=MANY)
    world.publish("b", "2", key="k")
    world.publish("a", "3")
    session = world.connect()
    world.publish("a", "4")
    asked = session.new("publish")
    envelopes = [broker.unwrap(one[2]) for one in asked]
    assert [(one[1], one[3]) for one in asked] == [
        ("a", MANY),
        ("b", None),
        ("a", None),
        ("a", None),
    ]
    assert [data_of(one.content) for one in envelopes] == ["1", "2", "3", "4"]
    assert link.uncontent(envelopes[1].content) == ("2", "k")
    numbers = [one.number for one in envelopes]
    assert numbers == sorted(set(numbers))
    assert len({one.host for one in envelopes}) == 1


def test_two_hubs_have_different_names_of_their_hosts() -> None:
    hosts = set()
    for _ in range(2):
        world = World()
        world.publish("a", "1")
        hosts.add(broker.unwrap(world.session.new("publish")[0][2]).host)
    assert len(hosts) == 2


@pytest.mark.parametrize("is_up", [False, True])
def test_too_much_is_refused_until_there_is_room_again(is_up: bool) -> None:
    world = World(is_up=is_up)
    count = publish_too_much(world)
    assert 10 < count < LIMIT // 256 + 2
    with pytest.raises(TooMuchQueued, match=f"{LIMIT} bytes .*pubsub_queue"):
        world.publish("a", "too much")
    if not is_up:
        world.connect()
        with pytest.raises(TooMuchQueued):
            world.publish("a", "too much")
    assert [one[1] for one in world.session.published()] == [*map(str, range(count))]
    world.turn()
    ((_, number),) = world.session.new("settle")
    world.hub.settled(number)
    world.publish("a", "room")
    assert [one[1] for one in world.session.published()] == ["room"]


def test_it_is_asked_once_a_turn_how_far_the_broker_is() -> None:
    world = World()
    world.publish("a", "1", "2")
    world.publish("b", "3")
    world.turn()
    assert [one[0] for one in world.session.new()] == ["publish"] * 3 + ["settle"]
    world.turn()
    assert world.session.new() == []


def test_what_may_not_be_published() -> None:
    world = World()
    with pytest.raises(ValueError, match=f"more than {LARGEST} bytes"):
        world.publish("a", "x" * (LARGEST + link.MOST_KEY))
    with pytest.raises(ValueError, match="surrogates"):
        world.publish("a", "\ud800")
    assert world.session.new() == []
    world.publish("a", "x" * LARGEST, key="k" * 255)


def test_a_broker_may_take_less() -> None:
    world = World(is_up=False)
    told: list[int] = []
    world.hub.changed = lambda: told.append(world.hub.largest)
    assert world.hub.largest == LARGEST
    most = broker.OVERHEAD + link.MOST_KEY + 1000
    session = world.connect(Session(most))
    assert world.hub.largest == 1000
    world.publish("a", "x" * 1000, key="\U0001f600" * 255)
    assert len(session.new("publish")[0][2]) <= most
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        world.publish("a", "x" * 3000)
    world.lose()
    world.connect(Session(10))
    assert world.hub.largest == 1
    world.lose()
    assert told == [1000, LARGEST, 1, LARGEST]


def test_without_a_connection_a_large_one_waits_and_is_told_when_it_cannot_be_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(is_up=False)
    reader = Reader("a")
    world.hub.subscribe(reader, None, reader.joins)
    session = world.connect(Session(2000))
    world.look(position=Position("e", 0))
    world.lose()
    world.publish("a", "x" * 3000)
    reader.new()
    session = world.connect(session)
    assert reader.new() == [("lost", 1)]
    assert session.published() == []
    assert "is larger than the 2000 bytes" in caplog.text
    world.lose()  # it is known that it was not published
    assert world.connect().published() == []


def test_a_broker_without_history() -> None:
    world = World(is_up=False)
    assert world.hub.why_no_history == ""
    world.publish("a", "held", keep=MANY)
    session = world.connect(Session(why_no_history="there is no history"))
    assert session.published() == []
    with pytest.raises(ValueError, match="there is no history"):
        world.publish("a", "1", keep=MANY)
    world.publish("a", "2")
    assert session.published() == [("a", "2", None)]


def test_a_refused_publication_is_told(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    reader, other = world.subscribe(), world.subscribe("b")
    world.hub.refused("a", "out of memory")
    world.turn()
    assert reader.heard == [("lost", 1)]
    assert other.heard == []
    assert "'a' was not published: out of memory" in caplog.text


# Messages.


def test_own_messages_come_back_with_their_sender() -> None:
    world = World()
    me, you = object(), object()
    mine, yours = world.subscribe(owner=me), world.subscribe(owner=you)
    world.publish("a", "1", sender=me, excludes=True)
    world.publish("elsewhere", "2", sender=me)
    world.publish("a", "3", sender=you)
    world.publish("a", "4")
    assert mine.heard == yours.heard == []  # it is the broker that has them now
    world.echo()
    world.arrive("a", "5")
    world.turn()
    assert mine.heard == ["3", "4", "5"]
    assert yours.heard == ["1", "3", "4", "5"]
    assert [one.sender for one in yours.got] == [me, you, None, None]


def test_a_message_of_another_host_has_no_sender_here() -> None:
    world = World()
    me = object()
    mine = world.subscribe(owner=me)
    world.publish("a", "1", sender=me, excludes=True)
    ((_, _, octets, _),) = world.session.new("publish")
    ours = broker.unwrap(octets)
    # The same number, of another host.
    content = link.content("theirs", "key")
    world.hub.arrived("a", broker.wrap(MESSAGE, ELSEWHERE, ours.number, content), 7, "e")
    world.turn()
    assert mine.heard == ["theirs"]
    (message,) = mine.got
    assert (message.key, message.sender, message.offset) == ("key", None, 7)


def test_publishers_are_let_go_once_the_broker_has_answered() -> None:
    world = World()
    world.subscribe()
    world.publish("a", "1", "2", sender=object())
    assert len(world.hub._publishers) == 2
    world.echo()
    assert not world.hub._publishers
    for _ in range(10):
        world.publish("a", "3", sender=object())
        world.lose()
        world.connect()
    assert len(world.hub._publishers) == 1


def test_nothing_comes_for_topics_that_are_not_subscribed() -> None:
    world = World()
    reader = world.subscribe()
    world.arrive("b", "1")
    world.hub.unsubscribe(reader)
    world.arrive("a", "2")
    world.turn()
    assert reader.heard == []
    assert world.hub.dropped == 0


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"hello",
        b"\x09" + envelope("kind")[1:],
        broker.wrap(MESSAGE, ELSEWHERE, 1, b""),
        broker.wrap(MESSAGE, ELSEWHERE, 1, b"\x01\xff"),
        broker.wrap(MESSAGE, ELSEWHERE, 1, b"\x02\x09\0key"),
    ],
)
@pytest.mark.parametrize("wire", [{}, {"wire": OPAQUE}])
def test_what_is_not_ours_is_passed_over_with_a_line(
    octets: bytes, wire: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    world = World(**wire)
    reader = world.subscribe()
    world.hub.arrived("a", octets, 0, "-")
    world.turn()
    assert reader.heard == []
    assert len(caplog.records) == 1
    assert "not a message of asgiws" in caplog.text


def test_a_message_above_the_limit_here_is_lost_and_told() -> None:
    world = World()
    reader = world.subscribe()
    world.arrive("a", "x" * (LARGEST + link.MOST_KEY), "2")
    world.turn()
    assert reader.heard == [("lost", 1), "2"]
    assert world.hub.dropped == 1


def test_a_hub_process_passes_on_what_it_does_not_look_into() -> None:
    world = World(wire=OPAQUE)
    reader = world.subscribe()
    content = link.content("text", "key")
    world.hub.publish(Message("a", content, None, 5), None)
    world.echo()
    (message,) = reader.got
    assert (message.data, message.key, message.sender) == (content, None, 5)


def test_what_others_may_have_lost_is_told() -> None:
    world = World()
    reader = world.subscribe()
    world.arrive("a", "1")
    world.hub.arrived("a", broker.wrap(GAP, ELSEWHERE, 1, b""), 0, "-")
    world.arrive("a", "2")
    world.turn()
    assert reader.heard == ["1", ("lost", None), "2"]


# Subscriptions.


def test_a_subscription_is_in_force_with_its_answer() -> None:
    world = World()
    reader = Reader("a")
    world.hub.subscribe(reader, None, reader.joins)
    asked = world.session.asked
    assert asked[0] == ("subscribe", "a")
    assert asked[1][:3] == ("look", "a", None)
    world.arrive("a", "before")
    world.look(position=Position("e", 5))
    world.arrive("a", "after")
    world.turn()
    assert reader.heard == [("joined", Joined(Position("e", 5), None)), "after"]


def test_a_topic_is_subscribed_once_at_the_broker() -> None:
    world = World()
    readers = [world.subscribe(), world.subscribe(), world.subscribe("b")]
    assert world.session.new("subscribe") == []  # all before were looked at
    world.hub.unsubscribe(readers[0])
    world.hub.unsubscribe(readers[0])
    assert world.session.new() == []
    world.hub.unsubscribe(readers[1])
    assert world.session.new() == [("unsubscribe", "a")]
    late = Reader("a")
    world.hub.subscribe(late, None, late.joins)
    assert [one[0] for one in world.session.asked] == ["subscribe", "look"]


def test_one_that_was_unsubscribed_before_the_answer_is_not_told() -> None:
    world = World()
    reader = Reader("a")
    world.hub.subscribe(reader, Position("e", 1), reader.joins)
    request = world.session.new("look")[0][3]
    world.hub.unsubscribe(reader)
    assert world.session.new() == [("unsubscribe", "a")]
    world.hub.looked(request, Joined(Position("e", 2), True), [Kept(2, envelope("missed"))], True)
    world.arrive("a", "later")
    world.turn()
    assert reader.heard == []


def test_what_was_missed_comes_first_in_order_and_to_that_one_alone() -> None:
    world = World()
    there = world.subscribe()
    world.arrive("a", "2", "3", offset=2)
    back = Reader("a")
    world.hub.subscribe(back, Position("e", 1), back.joins)
    assert world.session.asked[-1][:3] == ("look", "a", Position("e", 1))
    world.look((2, "2"), (3, "3"), position=Position("e", 3), recovered=True, keeps=True)
    world.arrive("a", "4", offset=4)
    world.turn()
    assert there.heard == ["2", "3", "4"]
    assert back.heard == [("joined", Joined(Position("e", 3), True)), "2", "3", "4"]
    assert [one.offset for one in back.got] == [2, 3, 4]


def test_one_that_comes_back_gets_its_own_as_well() -> None:
    world = World()
    me = object()
    world.subscribe(owner=me)
    world.publish("a", "mine", sender=me, excludes=True)
    ((_, _, octets, _),) = world.session.new("publish")
    back = Reader("a", me)
    world.hub.subscribe(back, Position("e", 1), back.joins)
    request = world.session.new("look")[0][3]
    world.hub.looked(request, Joined(Position("e", 2), True), [Kept(2, octets)], True)
    world.turn()
    assert back.heard[1:] == ["mine"]


@pytest.mark.parametrize(
    "bad", [b"none of ours", broker.wrap(GAP, ELSEWHERE, 2, b""), envelope("x" * LARGEST * 2)]
)
def test_what_cannot_be_given_out_of_a_history(bad: bytes) -> None:
    """Then not all that was missed follows, and that is said. Who wants what there is gets that."""
    world = World()
    kept = [Kept(1, envelope("1")), Kept(2, bad), Kept(3, envelope("3"))]
    for since, recovered, expected in (
        (Position("e", 0), True, [("joined", Joined(Position("e", 3), False))]),
        (KEPT, None, [("joined", Joined(Position("e", 3), None)), "1", "3"]),
    ):
        reader = Reader("a")
        world.hub.subscribe(reader, since, reader.joins)
        request = world.session.new("look")[0][3]
        world.hub.looked(request, Joined(Position("e", 3), recovered), kept, True)
        world.turn()
        assert reader.heard == expected


def test_several_subscriptions_of_one_link() -> None:
    world = World()
    sink = Reader("a")
    told: list[Any] = []

    def join(name: str, since: Position | None) -> None:
        world.hub.join(
            sink,
            since,
            lambda joined, missed: told.append(
                (name, joined.recovered, [one.data for one in missed], list(sink.heard))
            ),
        )

    join("first", None)
    join("second", Position("e", 1))
    asked = world.session.new()
    assert [one[0] for one in asked] == ["subscribe", "look", "look"]
    world.arrive("a", "before")
    world.hub.looked(asked[1][3], Joined(Position("e", 1), None), [], True)
    world.arrive("a", "2", offset=2)
    world.hub.looked(asked[2][3], Joined(Position("e", 2), True), [Kept(2, envelope("2"))], True)
    world.arrive("a", "3", offset=3)
    world.turn()
    # Each behind what came before, and in front of what came later; the messages themselves come once.
    assert told == [("first", None, [], []), ("second", True, ["2"], ["2"])]
    assert sink.heard == ["2", "3"]
    world.hub.unsubscribe(sink)
    assert world.session.new() == [("unsubscribe", "a")]


def test_a_link_that_goes_while_one_of_its_subscriptions_waits() -> None:
    world = World()
    sink = Reader("a")
    told: list[Any] = []
    world.hub.join(sink, None, lambda *answer: told.append(answer))
    world.look(position=Position("e", 0))
    world.hub.join(sink, KEPT, lambda *answer: told.append(answer))
    request = world.session.new("look")[0][3]
    world.hub.unsubscribe(sink)
    world.hub.looked(request, Joined(Position("e", 0), None), [], False)
    world.arrive("a", "1")
    world.turn()
    assert len(told) == 1
    assert sink.heard == []


def test_an_answer_that_raises_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    reader = world.subscribe()

    def fail(joined: Joined) -> None:
        raise LookupError("a mistake")

    world.hub.subscribe(Reader("a"), None, fail)
    world.look(position=Position("e", 0))
    world.arrive("a", "next")
    world.turn()
    assert reader.heard == ["next"]
    assert "a mistake" in caplog.text


def test_an_answer_may_unsubscribe() -> None:
    world = World()
    reader = Reader("a")
    world.hub.subscribe(reader, KEPT, lambda joined: world.hub.unsubscribe(reader))
    world.look((1, "1"), position=Position("e", 1), keeps=True)
    world.turn()
    assert reader.heard == []


# Connections that are lost.


def test_a_subscription_waits_for_a_connection() -> None:
    world = World(is_up=False)
    reader, gone = Reader("a"), Reader("b")
    world.hub.subscribe(reader, Position("e", 1), reader.joins)
    world.hub.subscribe(gone, None, gone.joins)
    world.hub.unsubscribe(gone)
    session = world.connect()
    assert [one[:3] for one in session.asked] == [
        ("subscribe", "a"),
        ("look", "a", Position("e", 1)),
    ]
    world.lose()
    world.connect()
    world.look(position=Position("e", 4), recovered=False)
    world.turn()
    assert reader.heard == [("joined", Joined(Position("e", 4), False))]


def test_topics_without_history_are_told_once_and_again_when_they_are_in_force() -> None:
    world = World()
    reader = world.subscribe()
    world.arrive("a", "1")
    world.lose()
    assert reader.new() == ["1", ("lost", None)]
    for _ in range(3):  # connections that are lost before they were of any use
        world.connect()
        world.lose()
    assert reader.new() == []
    session = world.connect()
    assert session.asked[0] == ("subscribe", "a")
    assert session.asked[1][:3] == ("look", "a", None)
    world.look(position=Position("f", 0))
    world.arrive("a", "2")
    world.turn()
    assert reader.new() == [("rejoined", Joined(Position("f", 0), False)), "2"]
    world.lose()
    assert reader.new() == [("lost", None)]


def test_topics_with_history_get_what_they_have_missed_and_hear_nothing() -> None:
    world = World()
    reader = world.subscribe()
    world.arrive("a", "1", "2", offset=1)
    world.lose()
    session = world.connect()
    assert session.asked[1][:3] == ("look", "a", Position("e", 2))
    # What it has, and the broker gives all the same, comes once.
    kept = ((2, "2"), (3, "3"), (4, "4"))
    world.look(*kept, position=Position("e", 4), recovered=True, keeps=True)
    world.arrive("a", "5", offset=5)
    world.turn()
    assert reader.heard == ["1", "2", "3", "4", "5"]
    assert [one.offset for one in reader.got] == [1, 2, 3, 4, 5]


def test_topics_with_history_are_told_if_it_is_not_there_any_more() -> None:
    world = World()
    reader = world.subscribe()
    world.arrive("a", "1", offset=1)
    world.lose()
    assert reader.new() == ["1"]
    world.connect()
    world.look(position=Position("e", 9), recovered=False, keeps=True)
    world.turn()
    assert reader.new() == [("lost", None), ("rejoined", Joined(Position("e", 9), False))]


def test_what_comes_before_the_answer_is_not_delivered_before_what_was_missed() -> None:
    """The broker may have taken a message between the subscription and the look at the history."""
    world = World()
    reader = world.subscribe()
    world.arrive("a", "1", offset=1)
    world.lose()
    world.connect()
    world.arrive("a", "3", offset=3)
    world.look((2, "2"), (3, "3"), position=Position("e", 3), recovered=True, keeps=True)
    world.arrive("a", "4", offset=4)
    world.turn()
    assert reader.heard == ["1", "2", "3", "4"]


def test_one_that_had_to_wait_for_a_second_connection_hears_of_the_next_loss() -> None:
    world = World()
    reader = Reader("a")
    world.hub.subscribe(reader, None, reader.joins)
    world.lose()  # before the answer
    world.connect()
    world.look(position=Position("e", 0))
    reader.new()
    world.lose()
    assert reader.new() == [("lost", None)]


def test_one_that_comes_while_the_others_know_hears_of_the_next_loss() -> None:
    world = World()
    old = world.subscribe()
    world.lose()
    new = Reader("a")
    world.hub.subscribe(new, None, new.joins)
    world.hub.unsubscribe(old)
    world.connect()
    world.look(position=Position("e", 0))
    new.new()
    world.lose()
    assert new.new() == [("lost", None)]


def test_a_new_subscription_beside_one_that_is_restored() -> None:
    world = World()
    old = world.subscribe()
    world.lose()
    new = Reader("a")
    world.hub.subscribe(new, None, new.joins)
    session = world.connect()
    again, asked = session.new("look")
    world.hub.looked(again[3], Joined(Position("f", 0), None), [], False)
    world.hub.looked(asked[3], Joined(Position("f", 0), None), [], False)
    world.arrive("a", "1")
    world.turn()
    joined = Position("f", 0)
    assert old.heard == [("lost", None), ("rejoined", Joined(joined, False)), "1"]
    assert new.heard == [("joined", Joined(joined, None)), "1"]


def test_one_that_was_excluded_stays_so_when_the_history_brings_its_message_back() -> None:
    world = World()
    me = object()
    mine, other = world.subscribe(owner=me), world.subscribe()
    world.arrive("a", "1", offset=1)
    world.publish("a", "2", sender=me, excludes=True, keep=MANY)
    ((_, _, octets, _),) = world.session.new("publish")
    world.lose()
    world.connect()
    request = world.session.new("look")[0][3]
    world.hub.looked(request, Joined(Position("e", 2), True), [Kept(2, octets)], True)
    world.turn()
    assert mine.heard == ["1"]
    assert other.heard == ["1", "2"]
    ((_, number),) = world.session.new("settle")  # though nothing else was published
    world.hub.settled(number)
    assert not world.hub._publishers


def test_unanswered_publications_are_not_repeated_but_told() -> None:
    world = World()
    world.publish("a", "answered")
    world.echo()
    world.publish("b", "1")
    world.publish("c", "2", keep=MANY)
    world.publish("b", "3")
    world.turn()
    world.session.new()
    world.lose()
    world.publish("a", "4")
    session = world.connect()
    # Before anything newer of this host.
    assert session.published() == [("b", "GAP", None), ("c", "GAP", None), ("a", "4", None)]
    # And again, if that was not answered either.
    world.lose()
    session = world.connect()
    assert session.published() == [(topic, "GAP", None) for topic in "bca"]
    world.echo()
    world.turn()
    world.hub.settled(world.hub._number)
    world.lose()
    assert world.connect().published() == []


def test_the_host_that_may_have_lost_something_is_told_by_the_broker_as_well() -> None:
    world = World()
    reader = world.subscribe()
    world.publish("a", "1")
    world.lose()
    world.connect()
    world.look(position=Position("e", 0))
    world.session.asked = []
    reader.new()
    world.lose()
    world.connect()
    world.echo()
    assert ("lost", None) in reader.new()


def test_a_history_that_was_lost_while_connected_is_told() -> None:
    world = World()
    reader = world.subscribe()
    world.arrive("a", "1", offset=7)
    world.epoch = "f"
    world.arrive("a", "2", "3", offset=1)
    world.turn()
    assert reader.heard == [
        "1",
        ("lost", None),
        ("rejoined", Joined(Position("f", 0), False)),
        "2",
        "3",
    ]


def test_an_answer_tells_of_a_lost_history_as_well() -> None:
    world = World()
    reader = world.subscribe()
    world.arrive("a", "1", offset=7)
    late = Reader("a")
    world.hub.subscribe(late, None, late.joins)
    world.look(position=Position("f", 3))
    world.turn()
    joined = Joined(Position("f", 3), False)
    assert reader.heard == ["1", ("lost", None), ("rejoined", joined)]
    assert late.heard == [("joined", Joined(Position("f", 3), None))]


# What waits.


def test_a_board_that_is_full_drops_and_tells() -> None:
    world = World()
    reader, other = world.subscribe(), world.subscribe("b")
    count = 0
    while world.hub.board.queued <= LIMIT:
        world.arrive("a", str(count))
        count += 1
    world.arrive("a", "lost", "lost")
    world.arrive("b", "lost")
    late = Reader("a")
    world.hub.subscribe(late, None, late.joins)
    world.look(position=Position("e", 0))
    world.arrive("a", "lost")
    world.turn()
    world.arrive("a", "next")
    world.turn()
    data = [*map(str, range(count))]
    assert reader.heard == [*data, ("lost", 2), ("lost", 1), "next"]
    assert other.heard == [("lost", 1)]
    assert late.new()[1:] == [("lost", 1), "next"]
    assert world.hub.dropped == 4


def test_what_is_dropped_takes_no_room() -> None:
    world = World()
    readers = [world.subscribe() for _ in range(3)]
    readers += [world.subscribe("b"), world.subscribe("b")]
    while world.hub.board.queued <= LIMIT:
        world.arrive("a", "x")
    for _ in range(1000):  # in turn, and each topic is told once all the same
        world.arrive("a", "lost")
        world.arrive("b", "lost")
    world.turn()
    for reader in readers:
        assert [one for one in reader.heard if one != "x"] == [("lost", 1000)]


def test_it_takes_messages_again_once_half_of_the_board_is_free() -> None:
    world = World()
    readers = [world.subscribe() for _ in range(1000)]
    while world.hub.board.queued <= LIMIT:
        # Each a run of its own, so that the board is emptied little by little.
        world.arrive("a", "x")
        world.hub.board.then(bool)
    world.arrive("a", "lost")
    while world.hub.board.queued > LIMIT // 2:
        world.arrive("a", "lost")
        world.turns.take()
    world.arrive("a", "next")
    while world.hub.board.queued <= LIMIT:
        world.arrive("a", "x")
    world.arrive("a", "lost")
    world.turn()
    heard = readers[0].heard
    told = [one for one in heard if one not in ("x", "next")]
    assert told[0][1] > 1
    assert told[1:] == [("lost", 1)]
    assert heard.index(told[0]) == heard.index("next") - 1
    assert heard[-1] == ("lost", 1)
    assert all(reader.heard == heard for reader in readers)


def test_a_gap_of_unknown_size_stays_so_if_the_board_is_full() -> None:
    world = World()
    reader = world.subscribe()
    while world.hub.board.queued <= LIMIT:
        world.arrive("a", "x")
    world.hub.arrived("a", broker.wrap(GAP, ELSEWHERE, 1, b""), 0, "-")
    world.turn()
    assert reader.heard[-1] == ("lost", None)


def test_when_everything_before_has_been_delivered() -> None:
    world = World()
    reader = world.subscribe()
    call = lambda name: lambda: reader.heard.append(name)  # noqa: E731
    world.hub.when_settled(call("at once"))
    world.arrive("a", "0")
    world.hub.when_settled(call("behind what came"))
    world.publish("a", "1")
    world.hub.when_settled(call("first"))
    world.publish("a", "2")
    world.hub.when_settled(call("second"))
    world.turn()
    published = world.session.new("publish")
    assert reader.new() == ["at once", "0", "behind what came"]
    world.hub.arrived("a", published[0][2], 0, "-")
    world.hub.settled(broker.unwrap(published[0][2]).number)
    world.turn()
    assert reader.new() == ["1", "first"]
    world.hub.arrived("a", published[1][2], 0, "-")
    world.lose()
    assert reader.new() == ["2", ("lost", None), "second"]


def test_what_was_held_is_not_settled_by_a_loss() -> None:
    world = World(is_up=False)
    told: list[str] = []
    world.publish("a", "1")
    world.hub.when_settled(lambda: told.append("settled"))
    world.lose()
    world.connect()
    world.turn()
    assert told == []
    world.echo()
    world.session.asked.append(("settle", world.hub._number))
    world.echo()
    assert told == ["settled"]


def test_publishers_wait_while_too_much_waits_for_the_broker() -> None:
    world = World()
    told: list[str] = []
    assert not world.hub.is_behind()
    publish_too_much(world)
    assert world.hub.is_behind()
    world.hub.when_relieved(lambda: told.append("relieved"))
    numbers = [broker.unwrap(one[2]).number for one in world.session.new("publish")]
    world.hub.settled(numbers[0])
    assert not world.hub.is_behind()
    assert told == []  # a little room is not enough
    world.hub.settled(numbers[len(numbers) // 2 + 1])
    assert told == ["relieved"]


def test_a_lost_connection_makes_room() -> None:
    world = World()
    told: list[str] = []
    publish_too_much(world)
    world.hub.when_relieved(lambda: told.append("relieved"))
    world.lose()
    assert told == ["relieved"]
    world.publish("a", "y")


def test_publishers_wait_while_the_board_is_behind() -> None:
    turns = Turns()
    hub = RelayedHub(turns.call_soon, 1 << 30, 1 << 30)
    hub.connected(session := Session())
    reader = Reader("a")
    hub.subscribe(reader, None, reader.joins)
    hub.looked(session.new("look")[0][3], Joined(Position("e", 0), None), [], False)
    hub.arrived("a", envelope("x" * BACKLOG), 0, "-")
    assert hub.is_behind()
    hub.when_relieved(lambda: reader.heard.append("relieved"))
    turns.take_all()
    assert reader.heard[-1] == "relieved"
    assert not hub.is_behind()


# The end.


def test_the_end() -> None:
    world = World()
    reader, waiting = world.subscribe(), Reader("b")
    world.hub.subscribe(waiting, None, waiting.joins)
    request = world.session.new("look")[0][3]
    world.publish("a", "1")
    world.arrive("a", "2")
    world.hub.close()
    world.hub.close()
    assert not world.hub.is_up
    with pytest.raises(TooMuchQueued):
        world.publish("a", "3")
    # What still comes, and what still leaves, harms nothing.
    world.arrive("a", "4")
    world.hub.looked(request, Joined(Position("e", 0), None), [], False)
    world.hub.settled(1)
    world.hub.refused("a", "why not")
    world.hub.unsubscribe(reader)
    world.hub.unsubscribe(waiting)
    world.hub.disconnected()
    world.hub.connected(Session())
    assert not world.hub.is_up
    world.turn()
    assert reader.heard == waiting.heard == []


def test_a_connection_is_lost_once() -> None:
    world = World()
    told: list[bool] = []
    world.hub.changed = lambda: told.append(world.hub.is_up)
    world.lose()
    world.lose()
    world.connect()
    assert told == [False, True]


# Several hosts, and connections that are lost at any time.


class Subscriber(Reader):
    """`places` are those of the messages that it heard, at the broker. It is owed all from `start` on."""

    def __init__(self, topic: str, host: Host) -> None:
        Reader.__init__(self, topic)
        self.host = host
        self.start: int | None = None
        self.since: Position | None = None
        self.answer: Joined | None = None
        #: How many publications each host had made of the topic at the answer.
        self.made: dict[int, int] = {}

    def joins(self, joined: Joined) -> None:
        assert self.start is None, "answered twice"
        assert self.heard == [], "something came before the answer"
        assert self.host.session is not None
        self.start = self.host.session.place
        self.answer = joined
        self.made = {host.number: host.made[self.topic] for host in self.host.cluster.hosts}


class Host:
    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster = cluster
        self.number = number
        self.turns = Turns()
        self.hub = RelayedHub(self.turns.call_soon, 1500 * (number + 1), LARGEST)
        self.session: MemorySession | None = None
        self.subscribers: list[Subscriber] = []
        #: How many messages were published, for each topic.
        self.made: dict[str, int] = defaultdict(int)

    def connect(self) -> None:
        if self.session is None:
            self.session = MemorySession(self.cluster.broker, self.hub)
            self.hub.connected(self.session)

    def lose(self) -> None:
        if self.session is not None:
            self.session.lose()
            self.session = None
            self.hub.disconnected()

    def publish(self, topic: str) -> None:
        data = f"{self.number} {self.made[topic]}"
        try:
            self.hub.publish(Message(topic, data), KEEPS[topic])
        except TooMuchQueued:
            return
        self.made[topic] += 1

    def subscribe(self, topic: str, since: Position | None = None) -> None:
        subscriber = Subscriber(topic, self)
        subscriber.since = since
        self.subscribers.append(subscriber)
        self.hub.subscribe(subscriber, since, subscriber.joins)

    def come_back(self, topic: str, back: int) -> None:
        """As one that was there, and has not got the last messages."""
        for old in reversed(self.subscribers):
            if old.topic == topic and old.answer is not None:
                offset = old.got[-1].offset if old.got else old.answer.position.offset
                epoch = old.answer.position.epoch
                self.subscribe(topic, Position(epoch, max(offset - back, 0)))
                return

    def leave(self, which: int) -> None:
        here = [one for one in self.subscribers if one.is_subscribed]
        if here:
            self.hub.unsubscribe(here[which % len(here)])


KEEPS = {"none": None, "three": Keep(3, 60.0), "many": MANY}
TOPICS = list(KEEPS)


class Cluster:
    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.hosts = [Host(self, number) for number in range(2)]

    def settle(self) -> None:
        """Until nothing more happens."""
        is_busy = True
        while is_busy:
            is_busy = False
            for host in self.hosts:
                host.connect()
                assert host.session is not None
                is_busy |= host.turns.take_all() > 0
                is_busy |= host.session.work(1)
                is_busy |= host.session.read(1)

    def do(self, what: str, which: int, count: int) -> None:
        host = self.hosts[which % 2]
        topic = TOPICS[count % 3]
        if what == "publish":
            for _ in range(8 if count % 4 == 3 else 1):
                host.publish(topic)
        elif what == "subscribe":
            host.subscribe(topic, KEPT if count % 5 == 4 else None)
        elif what == "come back":
            host.come_back(topic, count // 3)
        elif what == "leave":
            host.leave(count)
        elif what == "connect":
            host.connect()
        elif what == "lose":
            host.lose()
        elif what == "turn":
            host.turns.take()
        elif what == "forget":
            self.broker.forget()
        elif host.session is not None:
            most = (1, 2, 3, 50)[count % 4]
            if what == "work":
                host.session.work(most)
            else:
                host.session.read(most)

    def check(self) -> None:
        places: dict[tuple[str, str], int] = {}
        for place, (topic, octets) in enumerate(self.broker.published):
            envelope = broker.unwrap(octets)
            if envelope.kind == MESSAGE:
                key = (topic, str(data_of(envelope.content)))
                assert key not in places, "it was published twice"
                places[key] = place
        for host in self.hosts:
            for one in host.subscribers:
                check(one, places, self.hosts)


def check(one: Subscriber, places: dict[tuple[str, str], int], hosts: list[Host]) -> None:
    """That a subscriber got every message at most once, in order, and was told of each that is missing where it
    is missing."""
    data = [message.data for message in one.got]
    assert len(data) == len(set(data)), "a message came twice"
    at = [places[one.topic, str(text)] for text in data]
    assert at == sorted(at), "the order is not that of the broker"
    for host in hosts:
        numbers = [number_of(text) for text in data if maker_of(text) == host.number]
        assert numbers == sorted(numbers), "the order is not that of the publisher"
    if one.start is None:
        assert not one.heard
        return
    assert one.answer is not None
    if one.since is None:
        assert all(place >= one.start for place in at), "something from before"
    if not one.is_subscribed:
        return
    # Where, among its messages, it was told of a loss.
    gaps, passed = set(), 0
    for heard in one.heard:
        if isinstance(heard, str):
            passed += 1
        elif heard[0] == "lost":
            gaps.add(passed)
    got = set(data)
    for host in hosts:
        for number in range(host.made[one.topic]):
            text = f"{host.number} {number}"
            if text in got:
                continue
            place = places.get((one.topic, text))
            if place is None:
                # Never published: its place is among the others of its publisher.
                if number < one.made[host.number]:
                    continue
                low = max(
                    (
                        index + 1
                        for index, other in enumerate(data)
                        if maker_of(other) == host.number and number_of(other) < number
                    ),
                    default=0,
                )
                high = min(
                    (
                        index
                        for index, other in enumerate(data)
                        if maker_of(other) == host.number and number_of(other) > number
                    ),
                    default=len(data),
                )
            elif place < one.start:
                continue
            else:
                low = high = sum(other < place for other in at)
            assert any(low <= gap <= high for gap in gaps), f"{text} of {one.topic} is missing"


def maker_of(data: Any) -> int:
    return int(data.split()[0])


def number_of(data: Any) -> int:
    return int(data.split()[1])


ACTIONS = (
    *("publish", "publish", "publish", "work", "work", "read", "read", "turn", "turn"),
    *("subscribe", "come back", "leave", "connect", "connect", "lose", "forget"),
)


@examples(2000)
@given(
    st.lists(
        st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1), st.integers(0, 14)),
        min_size=10,
        max_size=150,
    )
)
def test_two_hosts_whose_connections_are_lost_at_any_time(
    actions: list[tuple[str, int, int]],
) -> None:
    run(actions)


def test_much_happens_to_two_hosts() -> None:
    """Longer than what is found by trying small cases first: there is more in the way then."""
    counted = 0
    for seed in range(4000 if THOROUGH else 1000):
        chance = random.Random(seed)
        weights = [chance.choice((1, 2, 5, 20)) for _ in ACTIONS]
        counted += run(
            (what, chance.randrange(2), chance.randrange(15))
            for what in chance.choices(ACTIONS, weights, k=200)
        )
    assert counted > 0  # on a board that was full: that happens too


def run(actions: Iterable[tuple[str, int, int]]) -> int:
    """Do so, and check what came of it; returns how many losses of a known size were told."""
    cluster = Cluster()
    for host in cluster.hosts:
        host.connect()
        for topic in TOPICS:
            host.subscribe(topic)
    for action in actions:
        cluster.do(*action)
    cluster.settle()
    for host in cluster.hosts:
        for topic in TOPICS:
            host.publish(topic)
    cluster.settle()
    cluster.check()
    for host in cluster.hosts:
        assert not host.hub._publishers
        assert host.hub._size == 0
        for one in host.subscribers:
            if one.is_subscribed:  # it is in force again, whatever happened
                last = {maker_of(text): number_of(text) for text in one.heard if is_data(text)}
                assert last == {at.number: at.made[one.topic] - 1 for at in cluster.hosts}
    heard = [told for host in cluster.hosts for one in host.subscribers for told in one.heard]
    return sum(not is_data(told) and type(told[1]) is int for told in heard)


def is_data(heard: Any) -> bool:
    return isinstance(heard, str)
