"""The channel layer as Channels calls it (asgiws/channels/layer.py).

The tests of Channels for its own layer, and of channels_redis, pass on this one too.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import types
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull

from asgiws.channels.layer import ChannelLayer, Unreachable
from asgiws.config import Config
from asgiws.elsewhere import workers
from asgiws.services import present
from asgiws.services.topics import Topics

MESSAGE = {"type": "test.message", "octets": b"\x00\xff", "numbers": [1, 2.5, None, True]}


@pytest.fixture(params=["alone", "served"])
async def layer(request: pytest.FixtureRequest) -> AsyncIterator[ChannelLayer]:
    """A layer in a process without a server, and with one."""
    loop = asyncio.get_running_loop()
    layer = ChannelLayer(capacity=3, channel_capacity={"tiny*": 1})
    if request.param == "alone":
        yield layer
        return
    topics = Topics(Config(app="unused:app", pubsub_max_message="4KiB"), loop)
    leave = present.enter(loop, topics)
    yield layer
    await layer.close()
    leave()
    topics.close()


async def test_it_has_what_the_specification_asks_for(layer: ChannelLayer) -> None:
    assert set(layer.extensions) == {"groups", "flush"}
    assert (layer.expiry, layer.group_expiry, layer.capacity) == (60, 86400, 3)


async def test_a_message_goes_to_a_channel_and_comes_as_a_copy(layer: ChannelLayer) -> None:
    channel = await layer.new_channel()
    message: dict[str, Any] = {**MESSAGE, "inner": {"list": [1]}}
    await layer.send(channel, message)
    message["inner"]["list"].append(2)
    assert await layer.receive(channel) == {**MESSAGE, "inner": {"list": [1]}}


async def test_channels_differ_and_are_valid(layer: ChannelLayer) -> None:
    names = [await layer.new_channel(), await layer.new_channel(), await layer.new_channel("my")]
    assert len(set(names)) == 3
    assert names[2].startswith("my.")
    assert all(layer.require_valid_channel_name(name) for name in names)


async def test_groups(layer: ChannelLayer) -> None:
    channels = [await layer.new_channel() for _ in range(3)]
    for channel in channels:
        await layer.group_add("room", channel)
    await layer.group_discard("room", channels[1])
    await layer.group_discard("never", channels[1])
    await layer.group_send("room", MESSAGE)
    assert [await layer.receive(channel) for channel in channels[::2]] == [MESSAGE] * 2
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(layer.receive(channels[1]), 0.05)


async def test_a_full_channel(layer: ChannelLayer) -> None:
    channel, tiny = await layer.new_channel(), await layer.new_channel("tiny.")
    for _ in range(3):
        await layer.send(channel, MESSAGE)
    await layer.send(tiny, MESSAGE)
    for full in (channel, tiny):
        with pytest.raises(ChannelFull, match=full):
            await layer.send(full, MESSAGE)
    await layer.group_add("room", channel)
    await layer.group_send("room", MESSAGE)
    await asyncio.sleep(0.01)
    assert layer.dropped == 1


async def test_a_flush(layer: ChannelLayer) -> None:
    channel = await layer.new_channel()
    await layer.group_add("room", channel)
    await layer.send(channel, MESSAGE)
    await layer.flush()
    await layer.group_send("room", MESSAGE)
    await layer.send(channel, {"type": "after"})
    assert await layer.receive(channel) == {"type": "after"}


async def test_a_message_that_cannot_be_sent_names_the_value(layer: ChannelLayer) -> None:
    channel = await layer.new_channel()
    for send in (lambda m: layer.send(channel, m), lambda m: layer.group_send("room", m)):
        with pytest.raises(TypeError, match=r"message\['x'\] cannot be sent"):
            await send({"type": "a", "x": object()})
        with pytest.raises(AssertionError):
            await send("text")


async def test_bad_names_are_refused(layer: ChannelLayer) -> None:
    for call in (
        layer.send("=+", MESSAGE),
        layer.receive("a b"),
        layer.group_add("a!b", "x"),
        layer.group_discard("room", "ä"),
        layer.group_send("x" * 101, MESSAGE),
    ):
        with pytest.raises(TypeError):
            await call


async def test_a_channel_without_a_mark_is_refused_unless_it_is_served_here(
    layer: ChannelLayer,
) -> None:
    with pytest.raises(Unreachable, match="nothing in this process receives from channel 'jobs'"):
        await layer.send("jobs", MESSAGE)
    task = asyncio.create_task(layer.receive("jobs"))
    await asyncio.sleep(0)
    await layer.send("jobs", MESSAGE)
    assert await task == MESSAGE
    await layer.group_add("room", "others")
    await layer.send("others", MESSAGE)
    assert await layer.receive("others") == MESSAGE


async def test_one_that_is_for_this_process_may_be_sent_to_first() -> None:
    layer = ChannelLayer(local_channels=True)
    await layer.send("jobs", MESSAGE)
    assert await layer.receive("jobs") == MESSAGE


async def test_only_channels_of_this_process_can_be_received_from(layer: ChannelLayer) -> None:
    with pytest.raises(AssertionError, match="not one of this process"):
        await layer.receive("specific.0123456789abcdef!x")
    with pytest.raises(AssertionError, match="not one of this process"):
        await layer.receive("other!x")


async def test_another_thread_uses_the_layer(layer: ChannelLayer) -> None:
    channel = await layer.new_channel()

    def use() -> Any:
        async_to_sync(layer.group_add)("room", channel)
        async_to_sync(layer.group_send)("room", MESSAGE)
        async_to_sync(layer.send)(channel, {"type": "second"})
        mine = async_to_sync(layer.new_channel)()
        async_to_sync(layer.send)(mine, MESSAGE)
        return async_to_sync(layer.receive)(mine)

    # A thread of its own, in which async_to_sync runs an event loop of its own.
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(use()))
    thread.start()
    assert await layer.receive(channel) == MESSAGE
    assert await layer.receive(channel) == {"type": "second"}
    await asyncio.to_thread(thread.join)
    assert got == [MESSAGE]


def test_event_loops_that_follow_each_other_share_a_layer() -> None:
    layer = ChannelLayer()
    channel = asyncio.run(layer.new_channel())
    asyncio.run(layer.group_add("room", channel))
    asyncio.run(layer.group_send("room", MESSAGE))
    assert asyncio.run(layer.receive(channel)) == MESSAGE


async def test_a_process_without_a_server_cannot_reach_another_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = ChannelLayer()
    channel = "specific.0123456789abcdef!x"
    for call in (layer.send(channel, MESSAGE), layer.group_add("room", channel)):
        with pytest.raises(Unreachable, match="no asgiws server runs in this one"):
            await call
    await layer.group_discard("room", channel)
    await layer.group_send("room", MESSAGE)
    (line,) = caplog.messages
    assert "group room reached nobody: no asgiws server runs in this process" in line


async def test_runworker_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "channels.management.commands.runworker"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    with pytest.raises(Unreachable, match="runworker cannot receive from channel 'thumbnails'"):
        await ChannelLayer().receive("thumbnails")


async def test_topics_that_are_off_are_told() -> None:
    leave = present.enter(asyncio.get_running_loop(), None)
    try:
        with pytest.raises(RuntimeError, match="they are off: --pubsub off"):
            await ChannelLayer().new_channel()
    finally:
        leave()


async def test_several_workers_of_another_server_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["uvicorn", "a:b", "--workers", "3"])
    with pytest.raises(workers.SeveralWorkers, match=r"ChannelLayer .* 3 workers"):
        await ChannelLayer().new_channel()


async def test_a_message_has_the_limit_of_topics() -> None:
    loop = asyncio.get_running_loop()
    topics = Topics(Config(app="unused:app", pubsub_max_message="1KiB"), loop)
    leave = present.enter(loop, topics)
    try:
        with pytest.raises(ValueError, match="max_message"):
            await ChannelLayer().group_send("room", {"text": "x" * 2000})
    finally:
        leave()
        topics.close()


async def test_it_moves_to_the_server_that_is_started_later() -> None:
    loop = asyncio.get_running_loop()
    layer = ChannelLayer()
    before = await layer.new_channel()
    for _ in range(2):
        topics = Topics(Config(app="unused:app"), loop)
        leave = present.enter(loop, topics)
        channel = await layer.new_channel()
        await layer.send(channel, MESSAGE)
        assert await layer.receive(channel) == MESSAGE
        leave()
        topics.close()
    await layer.send(before, MESSAGE)
    assert await layer.receive(before) == MESSAGE


async def test_a_fork_is_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = ChannelLayer()
    before = await layer.new_channel()
    monkeypatch.setattr("os.getpid", lambda: -1)
    after = await layer.new_channel()
    assert before.partition("!")[0] != after.partition("!")[0]


async def test_prefixes_keep_layers_of_a_server_apart() -> None:
    loop = asyncio.get_running_loop()
    topics = Topics(Config(app="unused:app"), loop)
    leave = present.enter(loop, topics)
    layers = [ChannelLayer(prefix=prefix) for prefix in ("a", "b", "a")]
    channels = [await layer.new_channel() for layer in layers]
    for layer, channel in zip(layers, channels, strict=True):
        await layer.group_add("room", channel)
    await layers[0].group_send("room", MESSAGE)
    assert await layers[0].receive(channels[0]) == MESSAGE
    assert await layers[2].receive(channels[2]) == MESSAGE
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(layers[1].receive(channels[1]), 0.05)
    leave()
    topics.close()
