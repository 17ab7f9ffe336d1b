"""A channel layer in several processes (asgiws/channels/station.py): here, stations at one hub."""

from __future__ import annotations

import asyncio
import os

import pytest

from asgiws.channels import station as module
from asgiws.channels.station import Settings, Station
from asgiws.config import Config
from asgiws.services.present import Present
from asgiws.services.topics import Topics
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.local import LocalHub
from asgiws.topics.message import Keep, Message
from tests.support.loops import settle


class Host:
    """The processes of a host, as far as topics go."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.hub = LocalHub(self.loop.call_soon, 0)
        self.stations: list[Station] = []

    def process(self, *, expiry: float = 60.0, group_expiry: float = 60.0) -> Station:
        topics = Topics(Config(app="unused:app"), self.loop, lambda topics: self.hub)
        settings = Settings("asgi", expiry, group_expiry, lambda channel: 2)
        station = Station(settings, Present(os.getpid(), self.loop, topics))
        self.stations.append(station)
        return station


@pytest.fixture
async def host() -> Host:
    return Host()


def name(station: Station, channel: str = "a") -> str:
    return f"specific.{station.name}!{channel}"


async def test_a_message_reaches_the_channel_of_another_process(host: Host) -> None:
    one, other = host.process(), host.process()
    await other.start()
    assert await one.send(name(other), "hello\nworld")
    assert await other.receive(name(other)) == "hello\nworld"
    assert not one.queues.channels


async def test_a_full_channel_of_another_process_is_told_to_the_sender(host: Host) -> None:
    one, other = host.process(), host.process()
    await other.start()
    assert [await one.send(name(other), "x") for _ in range(3)] == [True, True, False]


async def test_a_group_has_members_in_several_processes(host: Host) -> None:
    one, other = host.process(), host.process()
    await one.add("room", name(one, "a"))
    await one.add("room", name(one, "b"))
    await other.add("room", name(other))
    await one.send_to("room", "hello")
    got = [
        await one.receive(name(one, "a")),
        await one.receive(name(one, "b")),
        await other.receive(name(other)),
    ]
    assert got == ["hello"] * 3


async def test_a_channel_of_another_process_enters_and_leaves_a_group(host: Host) -> None:
    one, other = host.process(), host.process()
    await other.start()
    await one.add("room", name(other))
    await one.send_to("room", "first")
    assert await other.receive(name(other)) == "first"
    await one.discard("room", name(other))
    await one.send_to("room", "second")
    await settle()
    assert not other.queues.channels
    assert host.hub.board.topics() == [
        f"channels:asgi:process:{other.name}",
        "channels:asgi:flush:all",
        f"channels:asgi:process:{one.name}",
    ]


async def test_what_one_sends_keeps_its_order_to_groups_and_channels(host: Host) -> None:
    one = host.process()
    await one.add("room", name(one))
    await one.send_to("room", "1")
    await one.send(name(one), "2")
    assert [await one.receive(name(one)) for _ in range(2)] == ["1", "2"]


async def test_a_full_channel_does_not_hold_up_its_group_and_is_counted(
    host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TELL_EVERY", 0.02)
    one = host.process()
    await one.add("room", name(one, "a"))
    await one.add("room", name(one, "b"))
    for number in range(5):
        await one.send_to("room", str(number))
        await settle()
        assert await one.receive(name(one, "a")) == str(number)
    assert one.dropped == 3
    await asyncio.sleep(0.05)
    assert caplog.messages == [
        "1 of 2 channels over capacity in group room",
        "Channels: 2 more messages to group room were dropped: channels over capacity",
    ]


async def test_a_process_that_does_not_answer_is_waited_for_once(
    host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    one, gone = host.process(), host.process()
    assert await one.send(name(gone), "x")
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    assert await one.send(name(gone), "y")
    (line,) = caplog.messages
    assert f"the process of channel {name(gone)} has not answered" in line


async def test_a_process_that_answers_again_is_waited_for(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    one, late = host.process(), host.process()
    await one.send(name(late), "lost")
    monkeypatch.setattr(module, "PATIENCE", 5.0)
    await late.start()
    await one.send(name(late), "1")
    await settle()
    assert [await one.send(name(late), "x") for _ in range(2)] == [True, False]


async def test_a_flush_forgets_everything_in_all_processes(host: Host) -> None:
    one, other = host.process(), host.process()
    await other.start()
    await other.add("room", name(other))
    await one.send(name(other), "x")
    await one.flush()
    await settle()
    assert not other.queues.channels
    assert not other.groups
    await one.send_to("room", "y")
    await settle()
    assert not other.queues.channels


async def test_a_group_that_is_entered_just_after_it_was_left_stays(host: Host) -> None:
    one = host.process()
    await one.add("room", name(one))
    await one.discard("room", name(one))
    await one.add("room", name(one))
    await settle()
    await one.send_to("room", "x")
    assert await one.receive(name(one)) == "x"


async def test_a_channel_that_nobody_receives_from_leaves_its_groups_in_the_end(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    one = host.process(expiry=0.03)
    await one.add("room", name(one))
    for _ in range(10):
        await one.send_to("room", "x")
        await asyncio.sleep(0.01)
    await settle()
    assert not one.groups
    assert one.dropped
    assert any("nobody receives from channel" in line for line in caplog.messages)


async def test_one_late_message_is_no_reason_to_leave(host: Host) -> None:
    one = host.process(expiry=0.03)
    await one.add("room", name(one))
    await one.send_to("room", "late")
    await asyncio.sleep(0.04)
    await one.send_to("room", "1")
    await settle()
    assert await one.receive(name(one)) == "1"
    await one.send_to("room", "late again")
    await asyncio.sleep(0.04)
    await one.send_to("room", "2")
    await settle()
    assert await one.receive(name(one)) == "2"


async def test_a_membership_ends_after_group_expiry(host: Host) -> None:
    one = host.process(group_expiry=0.02)
    await one.add("room", name(one))
    await asyncio.sleep(0.03)
    await one.send_to("room", "x")
    await settle()
    assert not one.queues.channels
    assert not one.groups


async def test_messages_that_were_lost_on_the_way_are_told(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    one = host.process()
    await one.add("room", name(one))
    for sink in host.hub.board.sinks("channels:asgi:group:room"):
        sink.lost(3)
    assert one.dropped == 3
    assert caplog.messages == ["Channels: 3 to group room were lost on the way"]


async def test_a_hub_that_takes_nothing_is_told(
    host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(message: Message, keep: Keep | None) -> None:
        raise TooMuchQueued("it is full")

    one = host.process()
    await one.start()
    monkeypatch.setattr(host.hub, "publish", refuse)
    await one.send_to("room", "x")
    assert caplog.messages == ["Channels: a message to group room was lost: it is full"]
    with pytest.raises(TooMuchQueued):
        await one.send(name(one), "x")


async def test_entering_a_group_takes_until_its_topic_is_subscribed_to(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = []
    monkeypatch.setattr(host.hub, "subscribe", lambda sink, since, done: answers.append(done))
    one = host.process()
    tasks = [asyncio.create_task(one.add("room", name(one, channel))) for channel in "ab"]
    await settle()
    assert not any(task.done() for task in tasks)
    (done,) = answers
    done(None)
    await asyncio.gather(*tasks)


async def test_rubbish_in_the_topic_of_a_process_harms_nothing(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    one = host.process()
    await one.start()
    for text in ("", "5", "[1]", '["send"]'):
        host.hub.publish(Message(f"channels:asgi:process:{one.name}", text), None)
    await settle()
    assert await one.send(name(one), "x")
    assert len(caplog.messages) == 4


async def test_a_closed_station_has_left_all_topics(host: Host) -> None:
    one = host.process()
    await one.start()
    await one.add("room", name(one))
    one.close()
    assert host.hub.board.topics() == []
