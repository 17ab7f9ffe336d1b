"""The object of the extension: publishing and subscribing without a WebSocket."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.services.pubsub import NAME, VERSION, Gap, MessagesLost, PubSub
from asgiws.services.topics import Topics
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.local import QUEUE
from tests.support.loops import on_each_loop, settle

KEEP = {"messages": 10, "seconds": 60.0}


def make(**options: Any) -> PubSub:
    return PubSub(Topics(Config(app="unused:app", **options), asyncio.get_running_loop()))


async def take(subscription: Any, count: int) -> list[Any]:
    return [await asyncio.wait_for(subscription.__anext__(), 10) for _ in range(count)]


@on_each_loop
async def test_publish_and_subscribe() -> None:
    pubsub = make()
    async with pubsub.subscribe("room") as one, pubsub.subscribe("room") as two:
        assert one.position is not None
        assert one.position["offset"] == 0
        assert one.recovered is None
        pubsub.publish("room", "text")
        pubsub.publish("room", b"octets")
        pubsub.publish("elsewhere", "x")
        for subscription in (one, two):
            found = await take(subscription, 2)
            assert [(item.topic, item.data, item.offset) for item in found] == [
                ("room", "text", 0),
                ("room", b"octets", 0),
            ]
    pubsub.publish("room", "nobody hears it")


@on_each_loop
async def test_it_waits_for_the_next_message() -> None:
    pubsub = make()
    async with pubsub.subscribe("room") as messages:
        task = asyncio.ensure_future(take(messages, 1))
        await settle()
        assert not task.done()
        pubsub.publish("room", "x")
        assert (await task)[0].data == "x"


@on_each_loop
async def test_a_wait_that_was_cancelled_loses_nothing() -> None:
    pubsub = make()
    async with pubsub.subscribe("room") as messages:
        task = asyncio.ensure_future(take(messages, 1))
        await settle()
        pubsub.publish("room", "x")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await take(messages, 1))[0].data == "x"


@on_each_loop
async def test_history() -> None:
    pubsub = make()
    for text in "123":
        pubsub.publish("room", text, keep=KEEP)
    async with pubsub.subscribe("room", since="kept") as messages:
        found = await take(messages, 3)
    assert [(item.data, item.offset) for item in found] == [("1", 1), ("2", 2), ("3", 3)]
    since = {"epoch": found[0].epoch, "offset": 2}
    async with pubsub.subscribe("room", since=since) as messages:
        assert messages.recovered is True
        assert (await take(messages, 1))[0].data == "3"
    async with pubsub.subscribe("room", since={"epoch": "gone", "offset": 2}) as messages:
        assert messages.recovered is False


@pytest.mark.parametrize("on_gap", ["event", "raise", "ignore"])
async def test_more_than_may_wait(on_gap: str) -> None:
    pubsub = make()
    async with pubsub.subscribe("room", limit=2, on_gap=on_gap) as messages:
        for number in range(5):
            pubsub.publish("room", str(number))
        await settle()
        assert [item.data for item in await take(messages, 2)] == ["0", "1"]
        if on_gap == "event":
            assert await take(messages, 1) == [Gap("room", 3)]
        elif on_gap == "raise":
            with pytest.raises(MessagesLost, match="3 of topic 'room' were lost") as caught:
                await take(messages, 1)
            assert (caught.value.topic, caught.value.lost) == ("room", 3)
        pubsub.publish("room", "on")
        assert (await take(messages, 1))[0].data == "on"


@on_each_loop
async def test_the_server_ends() -> None:
    pubsub = make()
    async with pubsub.subscribe("room") as messages:
        waiting = asyncio.ensure_future(take(messages, 2))
        await settle()
        pubsub.publish("room", "last")
        await settle()
        pubsub.end()
        pubsub.end()
        with pytest.raises(StopAsyncIteration):
            await messages.__anext__()
        with pytest.raises((StopAsyncIteration, RuntimeError)):
            await waiting
    async with pubsub.subscribe("room") as messages:
        assert [item async for item in messages] == []
    with pytest.raises(RuntimeError, match="the server has ended"):
        pubsub.publish_threadsafe("room", "x")


@on_each_loop
async def test_other_threads_publish_in_their_order() -> None:
    pubsub = make()
    count = 200

    def run(name: str) -> None:
        for number in range(count):
            pubsub.publish_threadsafe("room", f"{name}{number}")

    async with pubsub.subscribe("room", limit=2 * count) as messages:
        threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        found = [item.data for item in await take(messages, 2 * count)]
        for thread in threads:
            thread.join()
    for name in "ab":
        own = [one for one in found if one.startswith(name)]
        assert own == [f"{name}{number}" for number in range(count)]


async def test_other_threads_are_refused_when_too_much_waits() -> None:
    pubsub = make(pubsub_max_message=2**20)
    for _ in range(QUEUE // 2**20):
        pubsub.publish_threadsafe("room", b"x" * (2**20 - 1000))
    with pytest.raises(TooMuchQueued, match="wait for the event loop"):
        pubsub.publish_threadsafe("room", b"x" * 2**20)
    await settle()
    pubsub.publish_threadsafe("room", "there is room again")


@on_each_loop
async def test_another_thread_must_say_so() -> None:
    pubsub = make()
    with pytest.raises(RuntimeError, match="not the event loop's thread: use publish_threadsafe"):
        await asyncio.to_thread(pubsub.publish, "room", "x")
    with pytest.raises(RuntimeError, match="not the event loop's thread"):
        await asyncio.to_thread(pubsub.subscribe, "room")


async def test_what_is_wrong_is_said() -> None:
    pubsub = make(pubsub_max_message=10)
    with pytest.raises(ValueError, match="max_message"):
        pubsub.publish("room", "x" * 11)
    with pytest.raises(ValueError, match="topic"):
        pubsub.publish("", "x")
    with pytest.raises(ValueError, match="'keep'"):
        pubsub.publish("room", "x", keep={})
    with pytest.raises(ValueError, match="on_gap is one of 'event', 'raise', 'ignore'"):
        pubsub.subscribe("room", on_gap="cry")
    for limit in (0, True, 10**6 + 1):
        with pytest.raises(ValueError, match="limit is a number"):
            pubsub.subscribe("room", limit=limit)
    subscription = pubsub.subscribe("room")
    with pytest.raises(RuntimeError, match="async with"):
        await subscription.__anext__()
    async with subscription:
        pass
    with pytest.raises(RuntimeError, match="entered once"):
        async with subscription:
            pass


async def test_one_task_at_a_time() -> None:
    pubsub = make()
    async with pubsub.subscribe("room") as messages:
        waiting = asyncio.ensure_future(take(messages, 1))
        await settle()
        with pytest.raises(RuntimeError, match="another task waits"):
            await take(messages, 1)
        pubsub.publish("room", "x")
        assert (await waiting)[0].data == "x"


async def test_the_extension() -> None:
    pubsub = make(pubsub_max_subscriptions=5, pubsub_max_message=7)
    assert NAME == "asgiws.pubsub"
    assert pubsub.extension() == {
        "version": VERSION,
        "hub": pubsub,
        "max_topic": 255,
        "max_subscriptions": 5,
        "max_message": 7,
        "max_queued": QUEUE,
    }
