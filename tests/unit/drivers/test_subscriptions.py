"""What a WebSocket does with topics, between clients in memory and a hub in their process."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.config import Config
from asgiws.drivers.subscriptions import ECHO, GAP_REASON, MAX_KEYS
from asgiws.services.topics import Topics
from asgiws.topics.hub import JOIN, TooMuchQueued
from asgiws.topics.message import Joined, Keep, Message, Position
from asgiws.topics.sink import Sink
from tests.support.loops import on_each_loop, settle
from tests.support.websocket_peer import (
    ACCEPT,
    BINARY_FRAME,
    TEXT_FRAME,
    Peer,
    Script,
    closed,
    scripted,
    send_text,
)
from tests.support.websocket_peer import (
    text as client_text,
)
from tests.support.wire import close_frame

RSV1 = 0x40
KEEP = {"messages": 10, "seconds": 60.0}


def service(make_hub: Any = None, **options: Any) -> Topics:
    return Topics(Config(app="unused:app", **options), asyncio.get_running_loop(), make_hub)


async def member(topics: Topics, **options: Any) -> tuple[Script, Peer]:
    return await scripted(topics=topics, **options)


def subscribe(topic: str = "room", **more: Any) -> dict[str, Any]:
    return {"type": "websocket.subscribe", "topic": topic, **more}


def publish(text: str, topic: str = "room", **more: Any) -> dict[str, Any]:
    return {"type": "websocket.publish", "topic": topic, "text": text, **more}


def unsubscribe(topic: str = "room", **more: Any) -> dict[str, Any]:
    return {"type": "websocket.unsubscribe", "topic": topic, **more}


def texts(peer: Peer) -> list[str]:
    frames = peer.take()
    assert all(opcode == TEXT_FRAME for opcode, _ in frames)
    return [payload.decode() for _, payload in frames]


class LinkedLike:
    """A hub that is elsewhere: nothing is answered or comes back before the test says so."""

    is_up = True

    def __init__(self) -> None:
        self.asked: list[tuple[Sink, Callable[[Joined], object]]] = []
        self.published: list[Message] = []
        self.unsubscribed: list[Sink] = []

    async def finish(self) -> None:
        pass

    def publish(self, message: Message, keep: Keep | None) -> None:
        self.published.append(message)

    def subscribe(
        self, sink: Sink, since: Position | None, done: Callable[[Joined], object]
    ) -> None:
        self.asked.append((sink, done))

    def unsubscribe(self, sink: Sink) -> None:
        sink.is_subscribed = False
        self.unsubscribed.append(sink)

    def close(self) -> None:
        pass

    def answer(self) -> None:
        for sink, done in self.asked:
            sink.is_subscribed = True
            done(Joined(Position("e", 0), None))

    def bring_back(self) -> None:
        for message in self.published:
            for sink, _ in self.asked:
                sink.deliver(message)
                sink.flush()
        self.published.clear()


# Messages to clients.


@on_each_loop
async def test_a_message_is_written_to_all_subscribers() -> None:
    topics = service()
    members = [await member(topics) for _ in range(3)]
    for app, _ in members:
        await app.do("send", subscribe())
    app, _ = members[0]
    await app.do("send", publish("hello"))
    await app.do("send", {**publish(""), "text": None, "bytes": b"\x00"})
    await settle()
    for _, peer in members:
        assert peer.take() == [(TEXT_FRAME, b"hello"), (BINARY_FRAME, b"\x00")]


@on_each_loop
async def test_the_publisher_may_leave_itself_out() -> None:
    topics = service()
    (one, first), (two, second) = [await member(topics) for _ in range(2)]
    await one.do("send", subscribe())
    await two.do("send", subscribe())
    await one.do("send", publish("hello", exclude_self=True))
    await settle()
    assert texts(first) == []
    assert texts(second) == ["hello"]


@on_each_loop
async def test_what_is_for_one_client_in_a_turn_leaves_in_one_write() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe("a"))
    await app.do("send", subscribe("b"))
    writes = peer.outlet.writes
    hub = topics.hub()
    for number in range(8):
        hub.publish(Message("ab"[number % 2], str(number)), None)
    await settle()
    assert texts(peer) == list("01234567")
    assert peer.outlet.writes == writes + 1


@on_each_loop
async def test_own_sends_stay_behind_own_publications() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe())
    orders = [
        app.order("send", one)
        for one in (publish("1"), send_text("2"), publish("3"), publish("4"), send_text("5"))
    ]
    await asyncio.gather(*orders)
    await settle()
    assert texts(peer) == list("12345")


async def test_own_sends_wait_for_what_comes_back_from_elsewhere() -> None:
    hub = LinkedLike()
    topics = service(lambda topics: hub)
    app, peer = await member(topics)
    order = app.order("send", subscribe())
    await settle()
    assert not order.done()
    hub.answer()
    await order
    await app.do("send", publish("1"))
    order = app.order("send", send_text("2"))
    await settle()
    assert not order.done()
    hub.bring_back()
    await order
    assert texts(peer) == ["1", "2"]


async def test_own_sends_wait_no_more_once_the_hub_was_lost() -> None:
    hub = LinkedLike()
    topics = service(lambda topics: hub)
    app, peer = await member(topics)
    order = app.order("send", subscribe(on_gap="ignore"))
    await settle()
    hub.answer()
    await order
    await app.do("send", publish("1"))
    order = app.order("send", send_text("2"))
    await settle()
    hub.asked[0][0].lost(None)
    await order
    assert texts(peer) == ["2"]


@on_each_loop
async def test_unsubscribe() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe("a"))
    await app.do("send", subscribe("b"))
    await app.do("send", unsubscribe("a", id=7))
    for topic in "ab":
        await app.do("send", publish(topic, topic))
    await settle()
    assert texts(peer) == ["b"]
    assert await app.do("receive") == {"type": "websocket.unsubscribed", "id": 7, "topic": "a"}
    await app.do("send", subscribe("a"))
    await app.do("send", publish("a", "a"))
    await settle()
    assert texts(peer) == ["a"]


@on_each_loop
async def test_a_client_that_has_gone_is_subscribed_to_nothing() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe("a"))
    await app.do("send", subscribe("b"))
    await peer.feed(close_frame(1000))
    await app.do("receive")
    assert topics.hub().board.topics() == []  # type: ignore[attr-defined]
    for message in (subscribe("c"), publish("x", "a"), unsubscribe("a")):
        with pytest.raises(ClientDisconnected):
            await app.do("send", message)


async def test_a_subscription_that_is_not_answered_ends_with_the_connection() -> None:
    hub = LinkedLike()
    app, peer = await member(service(lambda topics: hub))
    order = app.order("send", subscribe())
    await settle()
    await peer.outlet.lose()
    with pytest.raises(ClientDisconnected, match="before its subscription was in force"):
        await order
    assert [sink.topic for sink in hub.unsubscribed] == ["room"]


async def test_a_subscription_that_was_cancelled_is_none() -> None:
    hub = LinkedLike()
    topics = service(lambda topics: hub)
    outcomes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        task = asyncio.ensure_future(send(subscribe()))
        await settle()
        task.cancel()
        outcomes.extend(await asyncio.gather(task, return_exceptions=True))
        await send(subscribe())  # it is not subscribed already

    Peer(app, topics=topics)
    await settle(30)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError]
    first, second = (sink for sink, _ in hub.asked)
    assert hub.unsubscribed == [first]
    assert second is not first


async def test_a_subscription_that_another_task_gives_up_says_so() -> None:
    hub = LinkedLike()
    topics = service(lambda topics: hub)
    outcomes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        task = asyncio.ensure_future(send(subscribe()))
        await settle()
        await send(unsubscribe())
        outcomes.extend(await asyncio.gather(task, return_exceptions=True))
        await receive()

    peer = Peer(app, topics=topics)
    await settle(30)
    (error,) = outcomes
    assert isinstance(error, ApplicationError)  # and not that the client has gone
    assert str(error) == "websocket.subscribe: unsubscribed from 'room' before it was in force"
    assert peer.outlet.ended == ""


async def test_a_hub_that_refuses_a_subscription_leaves_none() -> None:
    class Broken(LinkedLike):
        is_broken = True

        def subscribe(
            self, sink: Sink, since: Position | None, done: Callable[[Joined], object]
        ) -> None:
            if self.is_broken:
                raise ApplicationError("broken")
            super().subscribe(sink, since, done)

    hub = Broken()
    app, _ = await member(service(lambda topics: hub))
    with pytest.raises(ApplicationError, match="broken"):
        await app.do("send", subscribe())
    hub.is_broken = False
    order = app.order("send", subscribe())
    await settle()
    hub.answer()
    await order


async def test_a_mistake_makes_no_hub() -> None:
    made: list[Topics] = []

    def make(topics: Topics) -> LinkedLike:
        made.append(topics)
        return LinkedLike()

    app, peer = await member(service(make))
    for message in (subscribe(""), publish("x", ""), unsubscribe("a")):
        with pytest.raises(ApplicationError):
            await app.do("send", message)
    await peer.outlet.lose()
    assert (await app.do("receive"))["code"] == 1006
    assert made == []


async def test_own_sends_wait_for_a_time_and_no_longer() -> None:
    delays: list[float] = []

    class Hasty(Topics):
        def call_later(self, delay: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
            delays.append(delay)
            return super().call_later(0.0, callback)

    hub = LinkedLike()
    topics = Hasty(Config(app="unused:app"), asyncio.get_running_loop(), lambda topics: hub)
    app, peer = await member(topics)
    order = app.order("send", subscribe())
    await settle()
    hub.answer()
    await order
    await app.do("send", publish("1"))
    await app.do("send", send_text("2"))
    assert texts(peer) == ["2"]
    assert delays == [JOIN, ECHO]
    await app.do("send", send_text("3"))  # which waits for nothing
    assert delays == [JOIN, ECHO]
    hub.bring_back()
    assert texts(peer) == ["3", "1"]


async def test_own_sends_wait_for_no_publication_that_is_not_theirs_to_get() -> None:
    hub = LinkedLike()
    app, peer = await member(service(lambda topics: hub))
    orders = [app.order("send", subscribe())]
    orders.append(app.order("send", subscribe("mine", deliver="app")))
    for _ in orders:
        await settle()
        hub.answer()
    await asyncio.gather(*orders)
    await app.do("send", publish("1", "elsewhere"))
    await app.do("send", publish("2", exclude_self=True))
    await app.do("send", publish("3", "mine"))
    await app.do("send", send_text("4"))
    assert texts(peer) == ["4"]


async def test_own_sends_wait_no_more_once_unsubscribed() -> None:
    hub = LinkedLike()
    app, peer = await member(service(lambda topics: hub))
    order = app.order("send", subscribe())
    await settle()
    hub.answer()
    await order
    await app.do("send", publish("1"))
    await app.do("send", unsubscribe())
    await app.do("send", send_text("2"))
    assert texts(peer) == ["2"]


async def test_a_close_stays_behind_own_publications() -> None:
    hub = LinkedLike()
    app, peer = await member(service(lambda topics: hub))
    order = app.order("send", subscribe(offsets=True))
    await settle()
    hub.answer()
    await order
    await app.do("send", publish("1"))
    order = app.order("send", {"type": "websocket.close"})
    await settle()
    assert peer.take() == []
    hub.bring_back()
    await order
    (_, message), close = peer.take()
    assert json.loads(message)["text"] == "1"
    assert close == closed(1000)


async def test_a_send_that_waits_for_own_publications_hears_of_the_end() -> None:
    hub = LinkedLike()
    app, peer = await member(service(lambda topics: hub))
    order = app.order("send", subscribe())
    await settle()
    hub.answer()
    await order
    await app.do("send", publish("1"))
    order = app.order("send", send_text("2"))
    await settle()
    await peer.outlet.lose()
    with pytest.raises(ClientDisconnected):
        await order


@on_each_loop
async def test_publications_do_not_wait_for_a_client_that_does_not_read() -> None:
    topics = service()
    (app, peer), (other, second) = [await member(topics) for _ in range(2)]
    await other.do("send", subscribe())
    peer.outlet.pause_writing()
    for text in "123":
        await app.do("send", publish(text))
    await app.do("send", subscribe("more"))
    await settle()
    assert texts(second) == ["1", "2", "3"]


@on_each_loop
async def test_much_for_one_client_is_written_piece_by_piece_and_in_order() -> None:
    topics = service()
    members = [await member(topics) for _ in range(2)]
    for app, _ in members:
        await app.do("send", subscribe())
    wanted = [str(number) * 30_000 for number in range(5)]
    for text in wanted:
        topics.hub().publish(Message("room", text), None)
    await settle()
    for _, peer in members:
        assert texts(peer) == wanted


@on_each_loop
async def test_clients_with_and_without_compression() -> None:
    topics = service()
    plain, first = await member(topics)
    packed = [
        await scripted("Sec-WebSocket-Extensions: permessage-deflate", topics=topics)
        for _ in range(2)
    ]
    for app, _ in [(plain, first), *packed]:
        await app.do("send", subscribe())
    wanted = ["x" * 1000, "y" * 1000]
    for text in wanted:
        topics.hub().publish(Message("room", text), None)
    await settle()
    assert texts(first) == wanted
    for _, peer in packed:
        inflate = zlib.decompressobj(-15)
        found = []
        for opcode, payload in peer.take():
            assert opcode == TEXT_FRAME | RSV1
            found.append(inflate.decompress(payload + b"\x00\x00\xff\xff").decode())
        assert found == wanted


async def test_a_client_that_gets_messages_is_not_idle() -> None:
    topics = service()
    app, peer = await member(topics, ws_idle_timeout=100, ws_ping_interval=0)
    await app.do("send", subscribe())
    due = peer.last_check()
    for _ in range(20):
        topics.hub().publish(Message("room", "x"), None)
        await settle()
        due = peer.session.check(due)
        assert texts(peer) == ["x"]
    while not (taken := peer.take()):
        due = peer.session.check(due)
    assert taken == [closed(1001, "idle timeout")]


# Acknowledgements, positions and histories.


@on_each_loop
async def test_acknowledgements() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(id="s"))
    await app.do("send", publish("x", id=None))
    subscribed, published = await app.do("receive"), await app.do("receive")
    epoch = subscribed.pop("epoch")
    assert isinstance(epoch, str)
    assert epoch
    assert subscribed == {
        "type": "websocket.subscribed",
        "id": "s",
        "topic": "room",
        "offset": 0,
        "recovered": None,
    }
    assert published == {"type": "websocket.published", "id": None, "topic": "room"}
    await settle()
    assert texts(peer) == ["x"]


@on_each_loop
async def test_who_comes_back_gets_what_it_missed() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(offsets=True))
    for text in ("1", "2"):
        await app.do("send", publish(text, keep=KEEP))
    await settle()
    last = json.loads(texts(peer)[0])
    assert last == {"topic": "room", "epoch": last["epoch"], "offset": 1, "text": "1"}
    since = {"epoch": last["epoch"], "offset": last["offset"]}
    back, again = await member(topics)
    await back.do("send", subscribe(id=0, since=since, offsets=True))
    await app.do("send", publish("3", keep=KEEP))
    await settle()
    assert (await back.do("receive"))["recovered"] is True
    assert [json.loads(one)["text"] for one in texts(again)] == ["2", "3"]
    late, nothing = await member(topics)
    await late.do("send", subscribe(id=0, since={"epoch": "another", "offset": 1}))
    await settle()
    event = await late.do("receive")
    assert (event["recovered"], event["offset"]) == (False, 3)
    assert texts(nothing) == []


@on_each_loop
async def test_binary_messages_with_offsets_are_in_base64() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(offsets=True))
    topics.hub().publish(Message("room", b"\x00\xff"), Keep(1, 60.0))
    await settle()
    assert json.loads(texts(peer)[0])["base64"] == "AP8="


@on_each_loop
async def test_everything_that_is_kept() -> None:
    topics = service()
    app, peer = await member(topics)
    for text in "123":
        await app.do("send", publish(text, keep={"messages": 2, "seconds": 60}))
    await app.do("send", subscribe(id=0, since="kept"))
    await app.do("send", publish("4"))
    await settle()
    event = await app.do("receive")
    assert (event["offset"], event["recovered"]) == (3, None)
    assert texts(peer) == ["2", "3", "4"]


@on_each_loop
async def test_who_missed_more_than_is_kept_hears_so_and_gets_only_what_is_new() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(id=0))
    epoch = (await app.do("receive"))["epoch"]
    for text in "1234":
        await app.do("send", publish(text, keep={"messages": 2, "seconds": 60}))
    late, second = await member(topics)
    await late.do("send", subscribe(id=0, since={"epoch": epoch, "offset": 1}))
    await app.do("send", publish("5"))
    await settle()
    event = await late.do("receive")
    assert (event["offset"], event["recovered"]) == (4, False)
    assert texts(second) == ["5"]
    assert texts(peer) == list("12345")


@on_each_loop
async def test_the_answer_comes_before_what_was_missed() -> None:
    topics = service()
    app, _ = await member(topics)
    await app.do("send", publish("1", keep=KEEP))
    await app.do("send", subscribe(deliver="app", id="s", since="kept"))
    kinds = [(await app.do("receive"))["type"] for _ in range(2)]
    assert kinds == ["websocket.subscribed", "websocket.message"]


@on_each_loop
async def test_without_a_history_offsets_are_0() -> None:
    topics = service(pubsub_history=0)
    app, peer = await member(topics)
    await app.do("send", subscribe(offsets=True))
    await app.do("send", publish("x", keep=KEEP))
    await settle()
    assert json.loads(texts(peer)[0])["offset"] == 0


@pytest.mark.parametrize("deliver", ["wire", "app"])
async def test_another_hub_is_another_epoch(deliver: str) -> None:
    hub = LinkedLike()
    app, peer = await member(service(lambda topics: hub))
    order = app.order("send", subscribe(deliver=deliver, offsets=True))
    await settle()
    hub.answer()
    await order
    (sink, _) = hub.asked[0]
    found = []
    for epoch in ("e", "f"):
        if epoch == "f":
            sink.lost(None)
            assert (await app.do("receive"))["type"] == "websocket.gap"
            sink.rejoined(Joined(Position("f", 0), False))
        sink.deliver(Message("room", "x", offset=3))
        sink.flush()
        if deliver == "app":
            event = await app.do("receive")
        else:
            event = json.loads(texts(peer)[0])
        found.append((event["epoch"], event["offset"], event["text"]))
    assert found == [("e", 3, "x"), ("f", 3, "x")]


# Messages to the application.


@on_each_loop
async def test_messages_to_the_application() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(deliver="app"))
    await app.do("send", subscribe("placed", deliver="app", offsets=True))
    await app.do("send", publish("x"))
    topics.hub().publish(Message("placed", b"y"), Keep(1, 60.0))
    assert await app.do("receive") == {
        "type": "websocket.message",
        "topic": "room",
        "text": "x",
    }
    event = await app.do("receive")
    assert event.pop("epoch")
    assert event == {
        "type": "websocket.message",
        "topic": "placed",
        "bytes": b"y",
        "offset": 1,
    }
    assert texts(peer) == []


@on_each_loop
async def test_an_application_that_does_not_receive_is_told_of_a_gap() -> None:
    topics = service()
    app, _ = await member(topics, ws_queue_high=4096, ws_queue_low=1024)
    await app.do("send", subscribe(deliver="app"))
    for number in range(100):
        topics.hub().publish(Message("room", f"{number} " + "x" * 200), None)
    await settle()
    found = []
    while not found or found[-1]["type"] != "websocket.gap":
        found.append(await app.do("receive"))
    assert 5 < len(found) < 30
    assert found[-1] == {"type": "websocket.gap", "topic": "room", "lost": 101 - len(found)}
    assert topics.lost == 101 - len(found)
    topics.hub().publish(Message("room", "after"), None)
    assert (await app.do("receive"))["text"] == "after"


@on_each_loop
async def test_an_application_gets_no_messages_of_its_own_if_it_says_so() -> None:
    topics = service()
    app, _ = await member(topics)
    await app.do("send", subscribe(deliver="app"))
    await app.do("send", publish("1", exclude_self=True))
    await app.do("send", publish("2"))
    assert (await app.do("receive"))["text"] == "2"


@on_each_loop
async def test_messages_of_topics_and_of_the_client_keep_their_order() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(deliver="app"))
    for number in range(3):
        topics.hub().publish(Message("room", f"topic {number}"), None)
        await settle()
        await peer.feed(client_text(f"client {number}"))
    found = [(await app.do("receive"))["text"] for _ in range(6)]
    assert found == [f"{who} {number}" for number in range(3) for who in ("topic", "client")]


@on_each_loop
async def test_a_client_is_read_again_once_the_application_took_the_topics_messages() -> None:
    topics = service()
    app, peer = await member(topics, ws_queue_high=4096, ws_queue_low=1024)
    await app.do("send", subscribe(deliver="app"))
    for _ in range(20):
        topics.hub().publish(Message("room", "x" * 200), None)
    await settle()
    for number in range(100):
        await peer.feed(client_text(f"{number} " + "x" * 1000))
    assert not peer.outlet.reading
    found = []
    while len(found) < 100:
        event = await app.do("receive")
        if event["type"] == "websocket.receive":
            found.append(event["text"].split()[0])
    assert found == [str(number) for number in range(100)]
    assert peer.outlet.reading


async def test_what_waits_for_the_application_counts_in_the_workers_budget() -> None:
    topics = service()
    app, peer = await member(
        topics, limit_incoming=100_000, ws_max_size=50_000, ws_queue_high=10**6
    )
    await app.do("send", subscribe(deliver="app"))
    for _ in range(12):
        topics.hub().publish(Message("room", "x" * 10_000), None)
    await settle()
    assert peer.take() == [closed(1013, "too much unfinished")]
    assert (await app.do("receive"))["type"] == "websocket.disconnect"


@on_each_loop
async def test_an_application_that_has_returned_gets_nothing_more() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe("a", deliver="app"))
    await app.do("send", subscribe("b"))
    app.order("return")
    await settle()
    for topic in "ab":
        topics.hub().publish(Message(topic, "x"), None)
    await settle()
    assert peer.take() == [closed(1000)]
    await peer.feed(close_frame(1000))
    await settle()
    assert topics.hub().board.topics() == []  # type: ignore[attr-defined]


@on_each_loop
async def test_an_application_that_has_closed_gets_the_end_next() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(deliver="app"))
    await app.do("send", {"type": "websocket.close"})
    topics.hub().publish(Message("room", "x"), None)
    await settle()
    await peer.feed(close_frame(1000))
    assert (await app.do("receive"))["type"] == "websocket.disconnect"


# Clients that do not read.


@pytest.mark.parametrize("policy", ["close", "abort", "wait"])
async def test_a_client_that_does_not_read(policy: str) -> None:
    topics = service()
    app, peer = await member(topics, ws_max_outbound=1000, ws_slow_consumer=policy)
    await app.do("send", subscribe())
    other, second = await member(topics)
    await other.do("send", subscribe())
    peer.outlet.pause_writing()
    peer.outlet.waiting = 2000
    await other.do("send", publish("x"))
    await settle()
    assert texts(second) == ["x"]
    if policy == "close":
        assert peer.take() == [closed(1013, "slow consumer")]
    elif policy == "abort":
        assert peer.outlet.ended == "abort"
    else:
        assert peer.take() == []
        assert await app.do("receive") == {"type": "websocket.gap", "topic": "room", "lost": 1}


@pytest.mark.parametrize("on_gap", ["event", "close", "ignore"])
async def test_how_a_gap_is_told(on_gap: str) -> None:
    hub = LinkedLike()
    topics = service(lambda topics: hub)
    app, peer = await member(topics)
    order = app.order("send", subscribe(on_gap=on_gap))
    await settle()
    hub.answer()
    await order
    (sink, _) = hub.asked[0]
    sink.lost(3)
    sink.lost(4)
    await settle()
    if on_gap == "event":
        assert await app.do("receive") == {"type": "websocket.gap", "topic": "room", "lost": 7}
        sink.lost(None)
        assert (await app.do("receive"))["lost"] is None
    elif on_gap == "close":
        assert peer.take() == [closed(1013, GAP_REASON)]
    else:
        await app.do("send", send_text("on"))
        assert texts(peer) == ["on"]
    assert topics.lost >= 3


@on_each_loop
async def test_only_the_latest_of_each_key_waits_for_a_client_that_is_behind() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(overflow="latest"))
    hub = topics.hub()
    hub.publish(Message("room", "a0", "a"), None)
    await settle()
    assert texts(peer) == ["a0"]
    peer.outlet.pause_writing()
    for number in range(1, 50):
        for key in "ab":
            hub.publish(Message("room", f"{key}{number}", key), None)
    await settle()
    assert texts(peer) == []
    peer.resume_writing_now()
    assert texts(peer) == ["a49", "b49"]
    hub.publish(Message("room", "a50", "a"), None)
    await settle()
    assert texts(peer) == ["a50"]


async def test_so_many_keys_are_kept_and_no_more() -> None:
    topics = service(pubsub_queue=2**20)
    app, peer = await member(topics)
    await app.do("send", subscribe(overflow="latest"))
    peer.outlet.pause_writing()
    for number in range(MAX_KEYS + 2):
        topics.hub().publish(Message("room", str(number), str(number)), None)
    await settle(400)
    assert (await app.do("receive"))["lost"] == 2
    peer.resume_writing_now()
    assert texts(peer) == [str(number) for number in range(2, MAX_KEYS + 2)]


async def test_what_a_turn_has_for_a_client_counts_before_it_was_written() -> None:
    topics = service()
    app, peer = await member(topics, ws_max_outbound=1000, ws_slow_consumer="wait")
    await app.do("send", subscribe())
    peer.outlet.pause_writing()
    peer.outlet.waiting = (
        990  # there is room for two frames of six octets, as the first leaves some
    )
    for number in range(4):
        topics.hub().publish(Message("room", f"{number}" * 4), None)
    await settle()
    assert texts(peer) == ["0000", "1111"]
    assert (await app.do("receive"))["lost"] == 2


async def test_a_client_that_waits_is_sent_messages_again_once_it_reads() -> None:
    topics = service()
    app, peer = await member(topics, ws_max_outbound=1000, ws_slow_consumer="wait")
    await app.do("send", subscribe())
    peer.outlet.pause_writing()
    peer.outlet.waiting = 2000
    for number in range(3):
        topics.hub().publish(Message("room", str(number)), None)
    await settle()
    peer.outlet.waiting = 0
    peer.resume_writing_now()
    topics.hub().publish(Message("room", "again"), None)
    await settle()
    assert await app.do("receive") == {"type": "websocket.gap", "topic": "room", "lost": 3}
    assert texts(peer) == ["again"]
    # The next gap is another one.
    peer.outlet.pause_writing()
    peer.outlet.waiting = 2000
    topics.hub().publish(Message("room", "lost"), None)
    await settle()
    assert (await app.do("receive"))["lost"] == 1


async def test_own_sends_do_not_wait_for_an_own_publication_that_was_dropped() -> None:
    topics = service()
    app, peer = await member(topics, ws_max_outbound=1000, ws_slow_consumer="wait")
    await app.do("send", subscribe(on_gap="ignore"))
    peer.outlet.pause_writing()
    peer.outlet.waiting = 2000
    await app.do("send", publish("1"))
    order = app.order("send", send_text("2"))
    await settle()
    peer.outlet.waiting = 0
    peer.resume_writing_now()
    await order
    assert texts(peer) == ["2"]


@pytest.mark.parametrize("deliver", ["wire", "app"])
async def test_a_gap_may_end_the_connection(deliver: str) -> None:
    topics = service()
    app, peer = await member(
        topics, ws_max_outbound=1000, ws_slow_consumer="wait", ws_queue_high=4096, ws_queue_low=1024
    )
    await app.do("send", subscribe(deliver=deliver, on_gap="close"))
    if deliver == "wire":
        peer.outlet.pause_writing()
        peer.outlet.waiting = 2000
    for _ in range(30):
        topics.hub().publish(Message("room", "x" * 500), None)
    await settle()
    assert peer.take() == [closed(1013, "messages were lost")]
    await peer.feed(close_frame(1013))
    event = {}
    while event.get("type") != "websocket.disconnect":
        event = await app.do("receive")
    assert event["code"] == 1013
    assert topics.hub().board.topics() == []  # type: ignore[attr-defined]


async def test_one_slow_client_costs_the_others_nothing() -> None:
    topics = service()
    (slow, peer), (fast, second) = [
        await member(topics, ws_max_outbound=1000, ws_slow_consumer="abort") for _ in range(2)
    ]
    for app in (slow, fast):
        await app.do("send", subscribe())
        await app.do("send", subscribe("other"))
    peer.outlet.pause_writing()
    peer.outlet.waiting = 2000
    for number in range(3):
        topics.hub().publish(Message("room", str(number)), None)
        topics.hub().publish(Message("other", str(number)), None)
    await settle()
    assert peer.outlet.ended == "abort"
    assert texts(second) == ["0", "0", "1", "1", "2", "2"]
    with pytest.raises(ClientDisconnected):
        await slow.do("send", publish("x"))


@on_each_loop
async def test_messages_without_a_key_replace_each_other() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(overflow="latest", offsets=True))
    peer.outlet.pause_writing()
    for number, key in ((1, None), (2, "k"), (3, None), (4, "k"), (5, None)):
        topics.hub().publish(Message("room", str(number), key), Keep(10, 60.0))
    await settle()
    peer.resume_writing_now()
    found = [json.loads(one) for one in texts(peer)]
    assert [(one["text"], one["offset"]) for one in found] == [("4", 4), ("5", 5)]
    assert topics.lost == 0  # they were replaced


@on_each_loop
async def test_what_is_latest_waits_while_the_client_reads_only_a_little() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(overflow="latest"))
    peer.outlet.pause_writing()
    hub = topics.hub()
    for key in "abcd":
        hub.publish(Message("room", f"{key}1", key), None)
    await settle()
    peer.outlet.room = 2
    peer.resume_writing_now()
    assert texts(peer) == ["a1", "b1"]
    # One comes for a key that still waits, and one for another; both go behind the rest.
    hub.publish(Message("room", "c2", "c"), None)
    hub.publish(Message("room", "a2", "a"), None)
    await settle()
    peer.outlet.room = None
    peer.resume_writing_now()
    assert texts(peer) == ["d1", "c2", "a2"]


async def test_a_client_that_is_behind_with_the_latest_ends_like_any_other() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(overflow="latest"))
    peer.outlet.pause_writing()
    topics.hub().publish(Message("room", "x"), None)
    await settle()
    await app.do("send", unsubscribe())
    peer.resume_writing_now()
    assert texts(peer) == []
    await peer.outlet.lose()
    assert topics.hub().board.topics() == []  # type: ignore[attr-defined]


async def test_own_sends_stay_behind_what_only_the_latest_was_kept_of() -> None:
    topics = service()
    app, peer = await member(topics)
    await app.do("send", subscribe(overflow="latest"))
    peer.outlet.pause_writing()
    await app.do("send", publish("1"))
    order = app.order("send", send_text("2"))
    await settle()
    peer.resume_writing_now()
    await order
    assert texts(peer) == ["1", "2"]


# What is refused.


async def test_what_is_refused() -> None:
    topics = service(pubsub_max_subscriptions=2, pubsub_max_message=10)
    app, peer = await member(topics)
    await app.do("send", subscribe("a"))
    with pytest.raises(ApplicationError, match="already subscribed to 'a'"):
        await app.do("send", subscribe("a"))
    await app.do("send", subscribe("b"))
    with pytest.raises(ApplicationError, match=r"at most 2 subscriptions \(max_subscriptions\)"):
        await app.do("send", subscribe("c"))
    with pytest.raises(ApplicationError, match="not subscribed to 'c'"):
        await app.do("send", unsubscribe("c"))
    with pytest.raises(ApplicationError, match=r"at most 10 bytes \(max_message\)"):
        await app.do("send", publish("x" * 11))
    # The connection goes on.
    await app.do("send", publish("x", "b"))
    await settle()
    assert texts(peer) == ["x"]


async def test_too_much_is_refused_and_the_connection_goes_on() -> None:
    class Full(LinkedLike):
        def publish(self, message: Message, keep: Keep | None) -> None:
            raise TooMuchQueued("full")

    topics = service(lambda topics: Full())
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        try:
            await send(publish("x"))
        except TooMuchQueued as error:
            told.append(str(error))
        await send(send_text("on"))

    peer = Peer(app, topics=topics)
    await settle()
    assert told == ["full"]
    assert b"on" in bytes(peer.outlet.written)


@pytest.mark.parametrize("message", [subscribe(), publish("x"), unsubscribe()])
async def test_nothing_before_the_accept(message: dict[str, Any]) -> None:
    app, _ = await scripted(accept=False, topics=service())
    with pytest.raises(ApplicationError, match="websocket"):
        await app.do("send", message)


async def test_a_server_without_topics_knows_none_of_it() -> None:
    app, _ = await scripted()
    with pytest.raises(ApplicationError, match=r"unexpected message 'websocket\.subscribe'"):
        await app.do("send", subscribe())


async def test_a_type_that_is_none_is_refused_like_any_other() -> None:
    app, peer = await member(service())
    for paused in (False, True):
        peer.outlet.write_paused = paused
        order = app.order("send", {"type": ["websocket.subscribe"]})
        await settle()
        peer.resume_writing_now()
        with pytest.raises(ApplicationError, match="unexpected message"):
            await order


async def test_what_a_hub_cannot_carry_is_refused() -> None:
    topics = service()
    app, _ = await member(topics)
    with pytest.raises(
        ApplicationError, match=r"^websocket\.publish: 'key' cannot be sent as UTF-8"
    ):
        await app.do("send", publish("x", key="\ud800"))


async def test_nothing_after_an_own_close() -> None:
    app, _ = await member(service())
    await app.do("send", {"type": "websocket.close"})
    for message in (subscribe(), publish("x"), unsubscribe()):
        with pytest.raises(ApplicationError, match=r"after websocket\.close"):
            await app.do("send", message)
