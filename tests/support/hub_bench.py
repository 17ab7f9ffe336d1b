"""A hub process, run for real, and hubs of workers that are linked to it.

Rules of this file: what a test waits for is what came, never an amount of time.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asgiws.config import Config
from asgiws.processes.hub_process import HubProcess
from asgiws.processes.line import Dialer
from asgiws.processes.scoreboard import Scoreboard, make_memory
from asgiws.topics.linked import LinkedHub
from asgiws.topics.message import Joined, Keep, Message, Position
from asgiws.topics.sink import Sink

#: No verdict hangs on it.
PATIENCE = 40.0


class Reader(Sink):
    """A subscription that writes down what it is told."""

    def __init__(self, topic: str, owner: object = None) -> None:
        Sink.__init__(self, topic, owner)
        self.heard: list[Any] = []
        self.offsets: list[int] = []
        self.senders: list[object] = []
        self.joined: list[Joined] = []
        self.changed = asyncio.Event()

    def deliver(self, message: Message) -> None:
        self.heard.append(message.data)
        self.offsets.append(message.offset)
        self.senders.append(message.sender)
        self.changed.set()

    def lost(self, count: int | None) -> None:
        self.heard.append(("lost", count))
        self.changed.set()

    def rejoined(self, joined: Joined) -> None:
        self.joins(joined)

    def joins(self, joined: Joined) -> None:
        self.joined.append(joined)
        self.heard.append("joined")
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async def wait() -> None:
            while not condition():
                self.changed.clear()
                await self.changed.wait()

        await asyncio.wait_for(wait(), PATIENCE)

    async def hears(self, count: int) -> list[Any]:
        """So many messages, and what else was told among them."""
        await self.until(lambda: len(self.messages()) >= count)
        return self.heard

    def messages(self) -> list[Any]:
        return [one for one in self.heard if one != "joined" and not isinstance(one, tuple)]


class Bench:
    """A hub process that starts when it is needed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        self.loop = loop
        self.config = Config("nowhere:app", **options)
        self.memory = make_memory()
        self.board = Scoreboard(self.memory)
        self.process = HubProcess(loop, self.config, self.board, self.memory)
        self.hubs: list[LinkedHub] = []

    def pid(self) -> int:
        """The number of the process, 0 if there is none."""
        process = self.process._process
        return 0 if process is None else process.pid

    def hub(self) -> LinkedHub:
        """That of another worker."""
        dial = Dialer(self.loop, self.process.path)
        config = self.config
        hub = LinkedHub(
            self.loop.call_soon, self.loop, dial, config.pubsub_queue, config.pubsub_max_message
        )
        self.hubs.append(hub)
        return hub

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid(), number)

    async def until(self, condition: Callable[[], object]) -> None:
        """Do what a supervisor does, until something has happened."""
        end = self.loop.time() + PATIENCE
        while not condition():
            assert self.loop.time() < end, "it did not come about"
            self.process.look()
            await asyncio.sleep(0.01)

    def close(self) -> None:
        for hub in self.hubs:
            hub.close()
        self.process.close()
        self.board.close()
        os.close(self.memory)


@asynccontextmanager
async def bench(**options: Any) -> AsyncIterator[Bench]:
    here = Bench(asyncio.get_running_loop(), **options)
    try:
        yield here
    finally:
        here.close()


async def join(hub: LinkedHub, reader: Reader, since: Position | None = None) -> Reader:
    """Subscribe, and wait until that is in force."""
    hub.subscribe(reader, since, reader.joins)
    await reader.until(lambda: reader.joined)
    return reader


def publish(
    hub: LinkedHub,
    topic: str,
    data: str | bytes,
    keep: Keep | None = None,
    sender: object = None,
    excludes: bool = False,
    key: str | None = None,
) -> None:
    hub.publish(Message(topic, data, key, sender, excludes), keep)
