"""Consumers of Django Channels on several workers, over the server's channel layer."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.server import RunningServer, serve, wait_for_end

APP = "tests.integration.channel_layer_app:app"


@pytest.fixture(scope="module", params=[(), ("--workers", "3")], ids=["alone", "workers"])
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with serve(APP, *request.param) as server:
        yield server


class Member:
    def __init__(self, socket: ClientConnection, pid: int, channel: str) -> None:
        self.socket = socket
        self.pid = pid
        self.channel = channel
        self.told: list[str] = []

    async def do(self, *what: Any) -> Any:
        """Have the consumer do something; how it went."""
        await self.socket.send(json.dumps(what))
        while "told" in (answer := json.loads(await self.socket.recv())):
            self.told.append(answer["told"])
        return answer

    async def hear(self) -> str:
        if self.told:
            return self.told.pop(0)
        return str(json.loads(await self.socket.recv())["told"])


async def members(stack: AsyncExitStack, server: RunningServer, count: int) -> list[Member]:
    found = []
    for _ in range(count):
        opened = connect(server.ws_url("/"), proxy=None)
        socket = await stack.enter_async_context(opened)
        found.append(Member(socket, **json.loads(await socket.recv())))
    return found


@pytest.fixture
async def room(server: RunningServer) -> AsyncIterator[list[Member]]:
    """Six consumers, on several workers if there are some."""
    async with AsyncExitStack() as stack:
        yield await members(stack, server, 6)


async def test_a_group_reaches_the_consumers_of_all_workers_in_order(room: list[Member]) -> None:
    for member in room:
        assert await member.do("add", "room", None) == {"done": "add"}
    for number in range(5):
        await room[0].do("group", "room", f"{number}")
    for member in room:
        assert [await member.hear() for _ in range(5)] == ["0", "1", "2", "3", "4"]
    await room[1].do("discard", "room")
    await room[0].do("group", "room", "last")
    await room[0].do("send", room[1].channel, "after it")
    assert await room[1].hear() == "after it"
    for member in (room[0], *room[2:]):
        assert await member.hear() == "last"


async def test_a_channel_is_reached_from_every_worker(room: list[Member]) -> None:
    for number, member in enumerate(room):
        assert await member.do("send", room[0].channel, str(number)) == {"done": "send"}
        assert await room[0].hear() == str(number)


async def test_a_consumer_of_another_worker_enters_a_group(room: list[Member]) -> None:
    for member in room[1:]:
        assert await room[0].do("add", "guests", member.channel) == {"done": "add"}
    await room[0].do("group", "guests", "welcome")
    assert [await member.hear() for member in room[1:]] == ["welcome"] * 5


async def test_a_thread_reaches_all(room: list[Member]) -> None:
    for member in room:
        await member.do("add", "threads", None)
    await room[0].do("thread", "threads", "hello")
    assert [await member.hear() for member in room] == ["hello"] * 6


async def test_what_only_a_broker_could_do_is_refused(room: list[Member]) -> None:
    answer = await room[0].do("send", "thumbnails", "x")
    assert answer["error"].startswith(
        "Unreachable: nothing in this process receives from channel 'thumbnails'"
    )


async def test_a_channel_nobody_receives_from_is_full_for_every_worker(room: list[Member]) -> None:
    process = room[0].channel.partition("!")[0]
    answers = [await member.do("send", f"{process}!nobody", "x") for member in room]
    assert answers[:5] == [{"done": "send"}] * 5
    assert answers[5]["error"].startswith("ChannelFull")


async def test_a_worker_is_killed_and_the_others_go_on() -> None:
    with serve(APP, "--workers", "2") as server:
        async with AsyncExitStack() as stack:
            room = await members(stack, server, 6)
            for member in room:
                await member.do("add", "room", None)
            victims = [member for member in room if member.pid != room[0].pid]
            assert victims
            os.kill(victims[0].pid, signal.SIGKILL)
            wait_for_end(victims[0].pid)
            left = [member for member in room if member.pid == room[0].pid]
            await left[0].do("group", "room", "still here")
            assert [await member.hear() for member in left] == ["still here"] * len(left)
