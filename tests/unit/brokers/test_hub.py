"""The hub of a host whose topics go through a broker: what connects it, and its end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgiws.brokers import libraries
from asgiws.brokers.hub import BrokerHub
from asgiws.config import Config, StartError
from asgiws.topics import broker
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.message import Message
from tests.support.memory_broker import MemoryBroker, MemorySession


class Session(MemorySession):
    """Does what it is asked, as long as it runs."""

    is_closed = False

    async def run(self, receiver: broker.Receiver) -> None:
        self._receiver = receiver
        while True:
            self.work(100)
            self.read(100)
            await asyncio.sleep(0)

    async def close(self) -> None:
        self.is_closed = True


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.broker = MemoryBroker()
        self.sessions: list[Session] = []
        monkeypatch.setattr(libraries, "choose", lambda config: (self.connect, "the broker"))
        config = Config("main:app", pubsub="nats://a", pubsub_queue=2**20, pubsub_max_message=100)
        self.hub = BrokerHub(config, asyncio.get_running_loop().call_soon)

    async def connect(self) -> Session:
        self.sessions.append(Session(self.broker, None))  # type: ignore[arg-type]
        return self.sessions[-1]


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_connects_by_itself_and_what_was_published_leaves_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asgiws.error")
    world = World(monkeypatch)
    hub = world.hub
    assert not hub.is_up
    assert hub.largest == 100
    hub.publish(Message("a", "1"), None)
    await turns()
    assert hub.is_up
    assert "connected to memory" in caplog.text
    hub.publish(Message("a", "2"), None)
    await hub.finish()
    hub.close()
    hub.close()
    assert len(world.broker.published) == 2
    assert world.sessions[0].is_closed
    with pytest.raises(TooMuchQueued, match="the server has ended"):
        hub.publish(Message("a", "3"), None)


async def test_without_a_connection_its_end_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    await world.hub.finish()
    await world.hub.finish()
    world.hub.close()
    assert not any(not session.is_closed for session in world.sessions)


@pytest.mark.parametrize("is_up", [True, False])
async def test_what_the_broker_did_not_confirm_is_told_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_up: bool
) -> None:
    world = World(monkeypatch)
    if is_up:
        await turns()
        # A broker that takes everything and answers nothing.
        world.sessions[0].settle = lambda number: None  # type: ignore[method-assign]
    for number in range(3):
        world.hub.publish(Message("a", f"{number}"), None)
    await world.hub.finish()
    assert caplog.messages == [
        "Messages of topics that the broker has not confirmed, and may be lost: 3"
    ]
    await world.hub.finish()
    assert len(caplog.messages) == 1
    world.hub.close()


async def test_closed_at_once_it_leaves_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    before = asyncio.all_tasks()
    world = World(monkeypatch)
    await turns()
    world.hub.close()
    await turns()
    assert asyncio.all_tasks() == before
    assert world.sessions[0].is_closed


async def test_what_fits_no_broker_is_told_at_once() -> None:
    before = asyncio.all_tasks()
    options: Any = {"pubsub": "nats://a?means=nothing"}
    with pytest.raises(StartError, match="pubsub"):
        BrokerHub(Config("main:app", **options), asyncio.get_running_loop().call_soon)
    assert asyncio.all_tasks() == before
