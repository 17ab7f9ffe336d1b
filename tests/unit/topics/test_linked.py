"""A worker's hub, against records that a hub process would send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asgiws.topics import link
from asgiws.topics.board import BACKLOG
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.link import ALL, Deliveries, Outgoing, Requests
from asgiws.topics.linked import MOST_RETRY, LinkedHub
from asgiws.topics.message import Joined, Keep, Message, Position
from asgiws.topics.sink import Sink

LIMIT = 1 << 20
LARGEST = 200_000


class Line:
    """One link: what was sent on it, and a way to answer."""

    def __init__(
        self, outgoing: Outgoing, received: Callable[[bytes], object], ended: Callable[[], object]
    ) -> None:
        self.outgoing = outgoing
        self.received = received
        self.ended = ended
        self.reader = Requests(LIMIT)
        self.answers = Outgoing(1 << 30)
        self.deliveries = Deliveries(self.answers)
        self.answers.add(link.hello())
        self.is_paused = False
        self.is_closed = False
        self.patience = 0.0

    def flush_soon(self) -> None: ...

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def close(self, patience: float = 0.0) -> None:
        self.is_closed = True
        self.patience = patience

    def requests(self) -> list[Any]:
        """What came since the last time."""
        octets = b""
        while head := self.outgoing.head():
            octets += head
            self.outgoing.sent(len(head))
        return self.reader.read(octets)

    def answer(self, *records: bytes) -> None:
        """Send what was put together, and `records`."""
        self.answers.add(*records)
        octets = b""
        while head := self.answers.head():
            octets += head
            self.answers.sent(len(head))
        self.received(octets)

    def deliver(self, number: int, data: str, publication: int = 0, offset: int = 0) -> None:
        self.deliveries.deliver(number, offset, publication, link.content(data, None))


class Timer:
    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self.when = when
        self.call = call

    def cancel(self) -> None:
        self.call = bool


class World:
    """An event loop whose time is the test's, and a hub in it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[Callable[[], object]] = []
        self.timers: list[Timer] = []
        self.lines: list[Line] = []
        self.refuses = False
        self.hub = LinkedHub(self.soon.append, self, self.dial, LIMIT, LARGEST)

    def dial(self, *arguments: Any) -> Line:
        if self.refuses:
            raise ConnectionRefusedError("nobody listens")
        self.lines.append(Line(*arguments))
        return self.lines[-1]

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        self.timers.append(Timer(self.now + delay, callback))
        return self.timers[-1]

    def wait(self) -> float:
        """Until the next timer; returns how long that was."""
        timer = min(self.timers, key=lambda timer: timer.when)
        self.timers.remove(timer)
        passed = timer.when - self.now
        self.now = timer.when
        timer.call()
        return passed

    def turn(self) -> None:
        while self.soon:
            self.soon.pop(0)()


class Reader(Sink):
    def __init__(self, topic: str, owner: object = None) -> None:
        Sink.__init__(self, topic, owner)
        self.heard: list[Any] = []
        self.senders: list[object] = []

    def deliver(self, message: Message) -> None:
        self.heard.append(message.data)
        self.senders.append(message.sender)

    def lost(self, count: int | None) -> None:
        self.heard.append(("lost", count))

    def rejoined(self, joined: Joined) -> None:
        self.heard.append(("rejoined", joined))

    def joins(self, joined: Joined) -> None:
        self.heard.append(("joined", joined))


NOW = Position("e", 3)


def subscribed(world: World, topic: str = "a", owner: object = None) -> tuple[Reader, int]:
    """A subscription in force, and the number of its topic."""
    reader = Reader(topic, owner)
    world.hub.subscribe(reader, None, reader.joins)
    line = world.lines[-1]
    request = line.requests()[-1]
    assert isinstance(request, link.Subscribe)
    line.answer(link.joined(request.request, NOW, None))
    assert reader.heard.pop() == ("joined", Joined(NOW, None))
    return reader, request.number


def test_it_asks_once_for_each_subscription_and_one_number_for_each_topic() -> None:
    world = World()
    first, number = subscribed(world)
    second, again = subscribed(world)
    third, other = subscribed(world, "b")
    assert number == again != other
    world.hub.unsubscribe(first)
    world.hub.unsubscribe(first)
    assert world.lines[0].requests() == []
    world.hub.unsubscribe(second)
    assert world.lines[0].requests() == [link.Unsubscribe(number)]
    # A later one of the same topic is not taken for the one that is over.
    later = Reader("a")
    world.hub.subscribe(later, None, later.joins)
    (request,) = world.lines[0].requests()
    assert request.number not in (number, other)
    world.lines[0].deliver(number, "too late")
    world.lines[0].answer()
    world.turn()
    assert first.heard == second.heard == third.heard == later.heard == []


def test_one_that_was_unsubscribed_before_the_answer_is_not_told() -> None:
    world = World()
    reader = Reader("a")
    world.hub.subscribe(reader, Position("e", 1), reader.joins)
    request = world.lines[0].requests()[-1]
    world.hub.unsubscribe(reader)
    assert world.lines[0].requests() == [link.Unsubscribe(request.number)]
    content = link.content("missed", None)
    world.lines[0].answer(link.joined(1, NOW, True), link.replay(1, 2, content))
    world.turn()
    assert reader.heard == []


def test_what_was_missed_comes_after_the_answer_and_to_that_subscription_alone() -> None:
    world = World()
    other, number = subscribed(world)
    reader = Reader("a")
    world.hub.subscribe(reader, Position("e", 1), reader.joins)
    (request,) = world.lines[0].requests()
    assert request.since == Position("e", 1)
    line = world.lines[0]
    line.deliver(number, "before")
    line.answers.add(link.joined(request.request, NOW, True))
    for offset in (2, 3):
        line.answers.add(
            link.replay(request.request, offset, link.content(f"missed {offset}", None))
        )
    line.deliver(number, "live")
    line.answer()
    world.turn()
    assert reader.heard == [("joined", Joined(NOW, True)), "missed 2", "missed 3", "live"]
    assert other.heard == ["before", "live"]


def test_a_publication_comes_back_with_who_made_it() -> None:
    world = World()
    me, you = object(), object()
    mine, number = subscribed(world, owner=me)
    yours, _ = subscribed(world, owner=you)
    hub, line = world.hub, world.lines[0]
    hub.publish(Message("a", "1", None, me, True), None)
    hub.publish(Message("b", "2", None, me), Keep(1, 2.0))
    hub.publish(Message("a", "3", None, you), None)
    hub.publish(Message("a", "4", None, None), None)
    requests = line.requests()
    assert [request.returns for request in requests] == [True, False, True, False]
    assert requests[1].keep == Keep(1, 2.0)
    line.deliver(number, "elsewhere")
    line.deliver(number, "1", 1)
    line.deliver(number, "3", 3)
    line.deliver(number, "4")
    line.answer()
    world.turn()
    assert mine.heard == ["elsewhere", "3", "4"]  # and not 1, which excludes it
    assert yours.heard == ["elsewhere", "1", "3", "4"]
    assert yours.senders == [None, me, you, None]


def test_publishers_whose_messages_do_not_come_back_are_let_go() -> None:
    world = World()
    me = object()
    subscribed(world, owner=me)
    for _ in range(3):
        world.hub.publish(Message("a", "1", None, me), None)
    world.lines[0].answer(link.acknowledged(2))
    assert [one[0] for one in world.hub._publishers] == [3]


def test_too_much() -> None:
    world = World()
    for _ in range(11):
        world.hub.publish(Message("a", "x" * 100_000), None)
    with pytest.raises(TooMuchQueued, match="pubsub_queue"):
        world.hub.publish(Message("a", "x"), None)
    assert len(world.lines[0].requests()) == 12
    world.hub.publish(Message("a", "x"), None)
    with pytest.raises(ValueError, match="200000"):
        world.hub.publish(Message("a", "x" * (LARGEST + link.OVERHEAD)), None)
    assert len(world.lines[0].requests()) == 1


def test_text_that_is_none_is_refused_and_harms_nothing() -> None:
    world = World()
    world.hub.publish(Message("a", "1"), None)
    with pytest.raises(ValueError, match="surrogates"):
        world.hub.publish(Message("a", "\ud800"), None)
    world.hub.publish(Message("a", "2"), None)
    assert len(world.lines[0].requests()) == 3


def test_gaps_are_told_in_their_place() -> None:
    world = World()
    one, number = subscribed(world)
    other, second = subscribed(world, "b")
    line = world.lines[0]
    line.deliver(number, "1")
    line.deliveries.gap(number, 5)
    line.deliver(second, "2")
    line.deliver(number, "3")
    line.deliveries.gap(ALL, None)
    line.deliver(second, "4")
    line.answer()
    world.turn()
    assert one.heard == ["1", ("lost", 5), "3", ("lost", None)]
    assert other.heard == ["2", ("lost", None), "4"]


def test_it_reads_no_faster_than_it_delivers() -> None:
    world = World()
    reader, number = subscribed(world)
    line = world.lines[0]
    for _ in range(8):
        line.deliver(number, "x" * (BACKLOG // 8))
    line.answer()
    assert line.is_paused
    world.turn()
    assert not line.is_paused
    assert len(reader.heard) == 8


# Links that are lost.


def test_all_hear_of_a_lost_link_and_are_subscribed_on_the_next() -> None:
    world = World()
    reader, number = subscribed(world)
    waiting = Reader("b")
    world.hub.subscribe(waiting, Position("e", 1), waiting.joins)
    world.hub.publish(Message("a", "lost with it"), None)
    world.lines[0].deliver(number, "before")
    world.lines[0].answer()
    world.lines[0].ended()
    world.turn()
    assert reader.heard == ["before", ("lost", None)]
    assert waiting.heard == []
    # Without a link, it goes on.
    late = Reader("a")
    world.hub.subscribe(late, None, late.joins)
    world.hub.publish(Message("a", "meanwhile"), None)
    world.wait()
    line = world.lines[1]
    hello, again, asked, new, published = line.requests()
    assert hello == link.Hello(link.VERSION)
    assert (again.number, again.topic, again.since) == (number, "a", None)
    assert (asked.topic, asked.since) == ("b", Position("e", 1))
    assert (new.number, new.topic) == (number, "a")
    assert link.Publish("a", link.content("meanwhile", None), None, False) == published
    line.answers.add(
        link.joined(again.request, Position("f", 0), None),
        link.joined(asked.request, Position("f", 0), False),
        link.joined(new.request, Position("f", 0), None),
    )
    line.deliver(number, "meanwhile")
    line.answer()
    world.turn()
    assert reader.heard[2:] == [("rejoined", Joined(Position("f", 0), False)), "meanwhile"]
    assert waiting.heard == [("joined", Joined(Position("f", 0), False))]
    assert late.heard == [("joined", Joined(Position("f", 0), None)), "meanwhile"]


def test_it_connects_again_ever_more_slowly_until_a_link_was_sound() -> None:
    world = World()
    waits = []
    for _ in range(12):
        world.lines[-1].ended()
        waits.append(round(world.wait(), 6))
    assert waits == sorted(waits)
    assert waits[-1] == MOST_RETRY
    world.now += 10 * MOST_RETRY
    world.lines[-1].ended()
    assert world.wait() < MOST_RETRY / 10


def test_nobody_listens() -> None:
    world = World()
    world.lines[-1].ended()
    world.refuses = True
    for _ in range(10):
        world.wait()
    world.hub.publish(Message("a", "1"), None)
    world.refuses = False
    world.wait()
    assert len(world.lines[-1].requests()) == 2


@pytest.mark.parametrize("octets", [b"\0\0\0\0", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_malformed_record_ends_the_link(octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    reader, _ = subscribed(world)
    world.lines[0].received(octets)
    world.turn()
    assert world.lines[0].is_closed
    assert reader.heard == [("lost", None)]
    assert len(caplog.records) == 1
    world.wait()
    assert len(world.lines) == 2


def test_another_version(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.lines[0].received(link.hello().replace(bytes((link.VERSION,)) + b"asgiws", b"\x63asgiws"))
    assert world.lines[0].is_closed
    assert "restart the server" in caplog.text


def test_an_answer_that_raises_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    def fail(joined: Joined) -> None:
        raise LookupError("a mistake")

    reader, number = subscribed(world)
    bad = Reader("a")
    world.hub.subscribe(bad, None, fail)
    (request,) = world.lines[0].requests()
    world.lines[0].answers.add(link.joined(request.request, NOW, None))
    world.lines[0].deliver(number, "next")
    world.lines[0].answer()
    world.turn()
    assert reader.heard == ["next"]
    assert "a mistake" in caplog.text


def test_the_end() -> None:
    world = World()
    reader, number = subscribed(world)

    def close(joined: Joined) -> None:
        world.hub.close()

    last = Reader("b")
    world.hub.subscribe(last, None, close)
    request = world.lines[0].requests()[-1]
    world.lines[0].answers.add(link.joined(request.request, NOW, None))
    world.lines[0].deliver(number, "too late")
    world.lines[0].answer()
    world.turn()
    assert world.lines[0].is_closed
    assert world.lines[0].patience > 0
    assert reader.heard == []
    with pytest.raises(TooMuchQueued):
        world.hub.publish(Message("a", "1"), None)
    world.hub.close()
    world.hub.unsubscribe(reader)
    world.lines[0].ended()
    assert not world.timers


# Topics that reach other hosts.


def test_a_state_says_whether_other_hosts_are_reached() -> None:
    world = World()
    line = world.lines[0]
    assert not world.hub.is_up
    line.answer(link.state(False, LARGEST, ""))
    assert not world.hub.is_up
    line.answer(link.state(True, LARGEST, ""))
    assert world.hub.is_up
    line.ended()
    assert not world.hub.is_up
    world.wait()
    assert not world.hub.is_up  # until the hub process says so
    world.lines[1].answer(link.state(True, LARGEST, ""))
    assert world.hub.is_up


def test_a_broker_without_history_refuses_keep() -> None:
    world = World()
    line = world.lines[0]
    world.hub.publish(Message("a", "held"), Keep(1, 2.0))
    line.answer(link.state(True, LARGEST, "there is no history"))
    line.requests()
    with pytest.raises(ValueError, match="there is no history"):
        world.hub.publish(Message("a", "1"), Keep(1, 2.0))
    world.hub.publish(Message("a", "2"), None)
    assert len(line.requests()) == 1
    line.answer(link.state(True, LARGEST, ""))
    world.hub.publish(Message("a", "3"), Keep(1, 2.0))
    assert len(line.requests()) == 1


@pytest.mark.parametrize(("largest", "most"), [(1000, 1000), (1 << 40, LARGEST)])
def test_a_broker_may_take_less(largest: int, most: int) -> None:
    world = World()
    line = world.lines[0]
    line.answer(link.state(True, largest, ""))
    line.requests()
    world.hub.publish(Message("a", "x" * most, "\U0001f600" * 255), None)
    with pytest.raises(ValueError, match=f"at most {most} bytes"):
        world.hub.publish(Message("a", "x" * (most + link.MOST_KEY)), None)
    assert len(line.requests()) == 1


def test_a_topic_that_is_restored_behind_the_hub_process_is_told() -> None:
    world = World()
    reader, number = subscribed(world)
    other, _ = subscribed(world, "b")
    line = world.lines[0]
    line.deliver(number, "1")
    line.deliveries.gap(number, None)
    line.answers.add(link.rejoined(number, Position("f", 9)), link.rejoined(99, Position("f", 9)))
    line.deliver(number, "2")
    line.answer()
    world.turn()
    assert reader.heard == [
        "1",
        ("lost", None),
        ("rejoined", Joined(Position("f", 9), False)),
        "2",
    ]
    assert other.heard == []


async def test_finish_waits_for_nothing() -> None:
    world = World()
    world.hub.publish(Message("a", "1"), None)
    await world.hub.finish()
    assert len(world.lines[0].requests()) == 2
