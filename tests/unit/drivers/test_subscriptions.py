"""What a WebSocket does with topics, between clients in memory and a hub in their process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.config import Config
from asgiws.drivers.subscriptions import GAP_REASON, MAX_KEYS
from asgiws.services.topics import Topics
from asgiws.topics.hub import TooMuchQueued
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
from tests.support.wire import close_frame

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

    def __init__(self) -> None:
        self.asked: list[tuple[Sink, Callable[[Joined], object]]] = []
        self.published: list[Message] = []
        self.unsubscribed: list[Sink] = []

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
