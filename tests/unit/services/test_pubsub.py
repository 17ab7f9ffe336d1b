"""The object of the extension: publishing and subscribing without a WebSocket."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.services.pubsub import NAME, VERSION, Gap, MessagesLost, PubSub
from asgiws.services.topics import Topics
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.local import QUEUE
from asgiws.topics.message import Joined, Keep, Message, Position
from asgiws.topics.sink import Sink
from tests.support.loops import on_each_loop, settle

KEEP = {"messages": 10, "seconds": 60.0}


def make(**options: Any) -> PubSub:
    return PubSub(Topics(Config(app="unused:app", **options), asyncio.get_running_loop()))


class Elsewhere:
    """A hub that answers when the test says so, and refuses what `refuse` raises for."""

    is_up = True

    def __init__(self, refuse: Callable[[Message], object] = lambda message: None) -> None:
        self.refuse = refuse
        self.published: list[str | bytes] = []
        self.asked: list[tuple[Sink, Callable[[Joined], object]]] = []
        self.unsubscribed: list[Sink] = []

    async def finish(self) -> None:
        pass

    def publish(self, message: Message, keep: Keep | None) -> None:
        self.refuse(message)
        self.published.append(message.data)

    def subscribe(
        self, sink: Sink, since: Position | None, done: Callable[[Joined], object]
    ) -> None:
        self.asked.append((sink, done))

    def unsubscribe(self, sink: Sink) -> None:
        self.unsubscribed.append(sink)

    def close(self) -> None:
        pass

    def answer(self) -> Sink:
        sink, done = self.asked[-1]
        done(Joined(Position("first", 0), None))
        return sink


def make_with(hub: Elsewhere) -> tuple[PubSub, Topics]:
    topics = Topics(Config(app="unused:app"), asyncio.get_running_loop(), lambda topics: hub)
    return PubSub(topics), topics


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


async def test_what_a_thread_published_waits_until_the_hub_has_room() -> None:
    refusals = 3

    def refuse(message: Message) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise TooMuchQueued("full")

    hub = Elsewhere(refuse)
    pubsub, _ = make_with(hub)
    for text in "123":
        await asyncio.to_thread(pubsub.publish_threadsafe, "room", text)
    while len(hub.published) < 3:
        await asyncio.sleep(0.001)
    assert (hub.published, refusals) == (["1", "2", "3"], 0)


async def test_threads_that_publish_as_fast_as_it_takes_leave_others_their_turns() -> None:
    count = 5000

    def another(message: Message) -> None:
        number = int(message.data) + 1
        if number < count:  # as from a thread that is never late
            pubsub.publish_threadsafe("room", str(number))

    hub = Elsewhere(another)
    pubsub, _ = make_with(hub)
    pubsub.publish_threadsafe("room", "0")
    turns = 0
    while len(hub.published) < count:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    assert hub.published == [str(number) for number in range(count)]


async def test_nothing_waits_for_a_hub_that_was_closed() -> None:
    def refuse(message: Message) -> None:
        raise TooMuchQueued("closed")

    hub = Elsewhere(refuse)
    pubsub, topics = make_with(hub)
    pubsub.publish_threadsafe("room", "1")
    await settle()
    topics.close()
    await asyncio.sleep(0.05)
    hub.refuse = lambda message: None  # what were tried again would be taken
    await asyncio.sleep(0.05)
    assert hub.published == []


async def test_one_message_that_the_hub_cannot_take_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(message: Message) -> None:
        if message.data == "2":
            raise ValueError("not this one")

    hub = Elsewhere(refuse)
    pubsub, _ = make_with(hub)
    for text in "123":
        pubsub.publish_threadsafe("room", text)
    await settle()
    pubsub.publish_threadsafe("room", "4")
    await settle()
    assert hub.published == ["1", "3", "4"]
    assert "not this one" in caplog.text


@on_each_loop
async def test_keys_and_histories_of_other_threads() -> None:
    pubsub = make()
    await asyncio.to_thread(pubsub.publish_threadsafe, "room", "x", key="k", keep=KEEP)
    await settle()
    async with pubsub.subscribe("room", since="kept") as messages:
        assert [(item.data, item.offset) for item in await take(messages, 1)] == [("x", 1)]


@on_each_loop
async def test_a_thread_hears_at_once_what_is_wrong() -> None:
    pubsub = make(pubsub_max_message=10)
    for error, arguments in (
        ("max_message", ("room", "x" * 11)),
        ("topic", ("", "x")),
    ):
        with pytest.raises(ValueError, match=error):
            await asyncio.to_thread(pubsub.publish_threadsafe, *arguments)
    with pytest.raises(ValueError, match="'keep'"):
        await asyncio.to_thread(pubsub.publish_threadsafe, "room", "x", keep={})


async def test_it_is_entered_once_the_subscription_is_in_force() -> None:
    hub = Elsewhere()
    pubsub, _ = make_with(hub)
    subscription = pubsub.subscribe("room")
    entering = asyncio.ensure_future(subscription.__aenter__())
    await settle()
    assert not entering.done()
    hub.answer()
    assert await entering is subscription
    assert subscription.position == {"epoch": "first", "offset": 0}


async def test_entering_can_be_cancelled() -> None:
    hub = Elsewhere()
    pubsub, _ = make_with(hub)
    entering = asyncio.ensure_future(pubsub.subscribe("room").__aenter__())
    await settle()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert hub.unsubscribed == [hub.asked[0][0]]


async def test_the_server_ends_before_the_subscription_is_in_force() -> None:
    hub = Elsewhere()
    pubsub, _ = make_with(hub)

    async def listen() -> list[Any]:
        async with pubsub.subscribe("room") as messages:
            return [item async for item in messages]

    listening = asyncio.ensure_future(listen())
    await settle()
    pubsub.end()
    assert await asyncio.wait_for(listening, 10) == []
    assert hub.asked[0][0] in hub.unsubscribed


async def test_a_lost_hub_is_a_gap_and_another_epoch() -> None:
    hub = Elsewhere()
    pubsub, topics = make_with(hub)
    subscription = pubsub.subscribe("room")
    entering = asyncio.ensure_future(subscription.__aenter__())
    await settle()
    sink = hub.answer()
    await entering
    sink.deliver(Message("room", "1", offset=7))
    sink.lost(None)
    sink.lost(2)
    sink.rejoined(Joined(Position("second", 0), False))
    sink.deliver(Message("room", "2", offset=1))
    sink.flush()
    first, gap, second = await take(subscription, 3)
    assert (first.data, first.epoch, first.offset) == ("1", "first", 7)
    assert gap == Gap("room", None)  # how many is not known, whatever else was lost
    assert (second.data, second.epoch, second.offset) == ("2", "second", 1)
    assert topics.lost == 3


async def test_gaps_are_told_where_they_are() -> None:
    pubsub = make()
    async with pubsub.subscribe("room", limit=2) as messages:
        for text in "123":
            pubsub.publish("room", text)
        await settle()
        assert (await take(messages, 1))[0].data == "1"
        pubsub.publish("room", "4")  # the gap takes a place, too
        await settle()
        assert (await take(messages, 1))[0].data == "2"
        pubsub.publish("room", "5")
        await settle()
        found = await take(messages, 2)
        assert (found[0], found[1].data) == (Gap("room", 2), "5")


@on_each_loop
async def test_what_waits_is_not_kept_once_it_was_left() -> None:
    pubsub = make()
    async with pubsub.subscribe("room") as messages:
        pubsub.publish("room", "x")
        await settle()
    with pytest.raises(StopAsyncIteration):
        await messages.__anext__()


@on_each_loop
async def test_what_waits_at_the_end_can_still_be_taken() -> None:
    pubsub = make()
    async with pubsub.subscribe("room") as messages:
        for text in "12":
            pubsub.publish("room", text)
        await settle()
        pubsub.end()
        pubsub.publish("room", "3")
        await settle()
        assert [item[1] async for item in messages] == ["1", "2"]


@on_each_loop
async def test_a_loop_over_messages_can_be_cancelled() -> None:
    pubsub = make()
    heard: list[Any] = []

    async def listen() -> None:
        async with pubsub.subscribe("room") as messages:
            async for message in messages:
                heard.append(message[1])  # noqa: PERF401  # it is looked at meanwhile

    listening = asyncio.ensure_future(listen())
    await settle()
    pubsub.publish("room", "1")
    await settle()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    pubsub.publish("room", "2")
    await settle()
    assert heard == ["1"]


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
    }


async def test_a_copy_of_a_scope_has_the_same_hub() -> None:
    pubsub = make()
    assert (
        copy.deepcopy({"extensions": {NAME: pubsub.extension()}})["extensions"][NAME]["hub"]
        is pubsub
    )
