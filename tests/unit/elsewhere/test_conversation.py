"""One WebSocket of another server, and topics (asgiws/elsewhere/conversation.py)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.config import Config
from asgiws.elsewhere.conversation import Conversation
from asgiws.services.topics import Topics
from asgiws.topics.message import Message
from asgiws.topics.shared import LoopHub, SharedHub
from tests.support.loops import settle


class Server:
    """Another server's WebSocket: what was sent to the client, and what the client sends. `gate` is closed
    while the client does not read."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def send(self, message: Any) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        kind = message["type"].removeprefix("websocket.")
        if kind == "send":
            kind = message.get("text") if message.get("text") is not None else message["bytes"]
        elif kind == "close":
            kind = (kind, message.get("code"), message.get("reason"))
        self.sent.append(kind)

    async def receive(self) -> Any:
        return await self.incoming.get()


class Site:
    """The conversations of one event loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        shared = SharedHub(2**20)
        config = Config(app="unused:app", pubsub_max_subscriptions=2, pubsub_max_message="2KiB")
        make = lambda topics: LoopHub(shared, loop.call_soon_threadsafe)  # noqa: E731
        self.topics = Topics(config, loop, make)
        self.all: list[Conversation] = []

    async def open(self, limit: int = 2**20) -> tuple[Conversation, Server]:
        server = Server()
        conversation = Conversation(self.topics, server.receive, server.send, limit)
        self.all.append(conversation)
        await conversation.send({"type": "websocket.accept"})
        server.sent.clear()
        return conversation, server

    def publish(self, data: str | bytes, topic: str = "room", key: str | None = None) -> None:
        self.topics.hub().publish(Message(topic, data, key), None)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    yield site
    for conversation in site.all:
        await conversation.end()


def subscribe(topic: str = "room", **more: Any) -> dict[str, Any]:
    return {"type": "websocket.subscribe", "topic": topic, **more}


def publish(text: str, topic: str = "room", **more: Any) -> dict[str, Any]:
    return {"type": "websocket.publish", "topic": topic, "text": text, **more}


def text(text: str) -> dict[str, Any]:
    return {"type": "websocket.send", "text": text}


async def test_what_is_published_is_sent_to_the_clients(site: Site) -> None:
    one, client = await site.open()
    two, other = await site.open()
    await one.send(subscribe())
    await two.send(subscribe())
    await one.send(publish("hello"))
    site.publish(b"octets")
    await settle()
    assert client.sent == other.sent == ["hello", b"octets"]


async def test_exclude_self(site: Site) -> None:
    one, client = await site.open()
    two, other = await site.open()
    await one.send(subscribe())
    await two.send(subscribe())
    await one.send(publish("hello", exclude_self=True))
    await one.send(text("mine"))
    await settle()
    assert (client.sent, other.sent) == (["mine"], ["hello"])


async def test_a_client_sees_what_it_publishes_and_is_sent_in_order(site: Site) -> None:
    one, client = await site.open()
    await one.send(subscribe())
    for number in range(20):
        await one.send(publish(f"p{number}"))
        await one.send(text(f"s{number}"))
    assert client.sent == [f"{kind}{number}" for number in range(20) for kind in "ps"]


async def test_acknowledgements_come_to_receive(site: Site) -> None:
    one, _ = await site.open()
    await one.send(subscribe(id=1))
    await one.send(publish("x", id=2))
    await one.send({"type": "websocket.unsubscribe", "topic": "room", "id": 3})
    events = [await one.receive() for _ in range(3)]
    assert [(event["type"], event["id"]) for event in events] == [
        ("websocket.subscribed", 1),
        ("websocket.published", 2),
        ("websocket.unsubscribed", 3),
    ]
    assert events[0]["recovered"] is None


async def test_messages_for_the_application_come_to_receive_that_waits(site: Site) -> None:
    one, server = await site.open()
    task = asyncio.create_task(one.receive())
    await settle()
    await one.send(subscribe(deliver="app"))
    site.publish("hello")
    assert await task == {"type": "websocket.message", "topic": "room", "text": "hello"}
    server.incoming.put_nowait({"type": "websocket.receive", "text": "client"})
    assert (await one.receive())["text"] == "client"


async def test_receive_that_is_cancelled_loses_nothing(site: Site) -> None:
    one, server = await site.open()
    task = asyncio.create_task(one.receive())
    await settle()
    task.cancel()
    await asyncio.wait([task])
    server.incoming.put_nowait({"type": "websocket.receive", "text": "client"})
    await settle()
    assert (await one.receive())["text"] == "client"


async def test_history_and_offsets(site: Site) -> None:
    one, client = await site.open()
    keep = {"messages": 5, "seconds": 60}
    for number in range(3):
        await one.send(publish(str(number), keep=keep))
    await one.send(subscribe(offsets=True, id=1))
    event = await one.receive()
    two, other = await site.open()
    await two.send(subscribe(since={"epoch": event["epoch"], "offset": 1}, offsets=True, id=2))
    assert (await two.receive())["recovered"] is True
    await settle()
    got = [json.loads(one) for one in other.sent]
    assert [(one["text"], one["offset"]) for one in got] == [("1", 2), ("2", 3)]
    assert {one["epoch"] for one in got} == {event["epoch"]}
    assert client.sent == []


async def test_a_client_that_does_not_read_loses_messages_and_its_application_is_told(
    site: Site,
) -> None:
    one, client = await site.open(limit=2000)
    two, other = await site.open()
    await one.send(subscribe())
    await two.send(subscribe())
    client.gate.clear()
    for number in range(20):
        site.publish(str(number))
        await settle()
    assert other.sent == [str(number) for number in range(20)]
    gap = await one.receive()
    client.gate.set()
    await settle()
    assert gap == {"type": "websocket.gap", "topic": "room", "lost": 20 - len(client.sent)}
    assert client.sent == [str(number) for number in range(len(client.sent))]
    client.gate.clear()
    for number in range(20):
        site.publish(f"again{number}")
        await settle()
    second = await one.receive()
    client.gate.set()
    await settle()
    assert gap["lost"] + second["lost"] == 40 - len(client.sent)


async def test_a_gap_may_close(site: Site) -> None:
    one, client = await site.open(limit=2000)
    await one.send(subscribe(on_gap="close"))
    client.gate.clear()
    for number in range(20):
        site.publish(str(number))
    await settle()
    client.gate.set()
    await settle()
    assert client.sent[-1] == ("close", 1013, "messages were lost")
    assert await one.receive() == {
        "type": "websocket.disconnect",
        "code": 1013,
        "reason": "messages were lost",
    }
    with pytest.raises(ClientDisconnected, match="messages were lost"):
        await one.send(text("x"))


async def test_a_gap_may_be_ignored_and_is_counted(site: Site) -> None:
    one, client = await site.open(limit=2000)
    await one.send(subscribe(on_gap="ignore"))
    client.gate.clear()
    for number in range(20):
        site.publish(str(number))
    await settle()
    client.gate.set()
    await settle()
    assert site.topics.lost == 20 - len(client.sent)


async def test_only_the_latest_of_each_key_for_a_client_that_is_behind(site: Site) -> None:
    one, client = await site.open()
    await one.send(subscribe(overflow="latest"))
    client.gate.clear()
    site.publish("first", key="a")
    await settle()
    for number in range(20):
        site.publish(f"a{number}", key="a")
        site.publish(f"b{number}", key="b")
    await settle()
    client.gate.set()
    await settle()
    assert client.sent == ["first", "a19", "b19"]
    assert site.topics.lost == 0


async def test_an_application_that_does_not_receive_loses_messages_and_is_told(site: Site) -> None:
    one, _ = await site.open(limit=2000)
    await one.send(subscribe(deliver="app"))
    for number in range(20):
        site.publish(str(number))
    await settle()
    got = []
    while (event := await one.receive())["type"] == "websocket.message":
        got.append(event["text"])
    assert event["lost"] == 20 - len(got)
    assert got == [str(number) for number in range(len(got))]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (subscribe(""), r"1 to 255 characters \(max_topic\)"),
        (subscribe("room"), "already subscribed to 'room'"),
        (subscribe("third"), r"at most 2 subscriptions \(max_subscriptions\)"),
        (publish("x" * 3000), r"at most 2048 bytes \(max_message\)"),
        ({"type": "websocket.unsubscribe", "topic": "other"}, "not subscribed to 'other'"),
    ],
)
async def test_mistakes_are_named_and_harm_nothing(
    site: Site, message: dict[str, Any], told: str
) -> None:
    one, client = await site.open()
    await one.send(subscribe("room"))
    await one.send(subscribe("second"))
    with pytest.raises(ApplicationError, match=told):
        await one.send(message)
    await one.send(publish("still here"))
    await settle()
    assert client.sent == ["still here"]


async def test_topics_are_for_open_websockets(site: Site) -> None:
    server = Server()
    conversation = Conversation(site.topics, server.receive, server.send, 1000)
    with pytest.raises(ApplicationError, match=r"before websocket\.accept"):
        await conversation.send(subscribe())
    await conversation.send({"type": "websocket.accept"})
    await conversation.send(subscribe())
    await conversation.send({"type": "websocket.close", "code": 1000})
    site.publish("late")
    await settle()
    assert server.sent == ["accept", ("close", 1000, None)]
    with pytest.raises(ApplicationError, match="after the WebSocket has ended"):
        await conversation.send(publish("x"))
    await conversation.end()


async def test_all_subscriptions_end_with_the_connection(site: Site) -> None:
    one, client = await site.open()
    await one.send(subscribe())
    client.incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
    assert (await one.receive())["type"] == "websocket.disconnect"
    site.publish("late")
    await settle()
    assert client.sent == []


async def test_a_client_that_is_gone_is_not_written_to_again(site: Site) -> None:
    one, client = await site.open()
    await one.send(subscribe())
    client.error = OSError("gone")
    site.publish("1")
    await settle()
    client.error = None
    site.publish("2")
    await settle()
    assert client.sent == []


async def test_an_own_message_behind_others_raises_what_the_server_raises(site: Site) -> None:
    one, client = await site.open()
    await one.send(subscribe())
    client.gate.clear()
    site.publish("1")
    await settle()
    task = asyncio.create_task(one.send(text("own")))
    await settle()
    client.error = OSError("gone")
    client.gate.set()
    with pytest.raises(OSError, match="gone"):
        await task


async def test_an_own_message_that_is_given_up_is_not_sent(site: Site) -> None:
    one, client = await site.open()
    await one.send(subscribe())
    client.gate.clear()
    site.publish("1")
    await settle()
    task = asyncio.create_task(one.send(text("own")))
    await settle()
    task.cancel()
    await asyncio.wait([task])
    client.gate.set()
    await one.send(text("next"))
    assert client.sent == ["1", "next"]


async def test_what_was_published_before_the_end_still_leaves(site: Site) -> None:
    one, client = await site.open()
    await one.send(subscribe())
    client.gate.clear()
    site.publish("1")
    await settle()
    end = asyncio.create_task(one.end())
    await settle()
    client.gate.set()
    await end
    assert client.sent == ["1"]
