"""What keeps a hub connected, against connections that do as the test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from asgiws.brokers import uplink
from asgiws.brokers.uplink import FIRST_WAIT, HEARTBEAT, MOST_WAIT, SILENCE, Uplink
from asgiws.topics.broker import BrokerError, Receiver
from asgiws.topics.message import Keep, Message, Position
from asgiws.topics.relayed import RelayedHub


class Session:
    """A connection that lasts until the test ends it."""

    name = "the broker"
    largest = 1 << 20
    why_no_history = ""

    def __init__(self) -> None:
        self.heard = 0
        self.published = 0
        self.settles: list[int] = []
        self.probes = 0
        self.closes = 0
        #: What `run` ends with: an exception, None for nothing.
        self.end: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.answers = False
        self.receiver: Receiver | None = None

    def publish(self, topic: str, envelope: bytes, keep: Keep | None) -> None:
        self.published += 1

    def subscribe(self, topic: str) -> None: ...

    def unsubscribe(self, topic: str) -> None: ...

    def look(self, topic: str, since: Position | None, request: int) -> None: ...

    def settle(self, number: int) -> None:
        self.settles.append(number)
        if self.answers and self.receiver is not None:
            self.receiver.settled(number)

    def probe(self) -> None:
        self.probes += 1
        if self.answers:
            self.heard += 1

    async def run(self, receiver: Receiver) -> None:
        self.receiver = receiver
        error = await self.end
        if error is not None:
            raise error

    async def close(self) -> None:
        self.closes += 1


class World:
    """An uplink whose time is the test's: what it sleeps is noted, and takes no time. `script` has what each
    attempt gives: a session, or what it raises; at the end of it, attempts take forever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *script: Any) -> None:
        self.script = list(script)
        self.attempts = 0
        self.waits: list[float] = []
        self.beats = 0
        self.most_beats = 0
        self.on_beat: Callable[[], object] = bool
        self.hub = RelayedHub(asyncio.get_running_loop().call_soon, 10_000, 10_000)
        sleep, wait = asyncio.sleep, asyncio.wait

        async def noted(delay: float, *more: Any) -> None:
            if delay:
                self.waits.append(delay)
            await sleep(0)

        async def beat(tasks: Any, *, timeout: float | None = None, **more: Any) -> Any:
            if timeout != HEARTBEAT:
                return await wait(tasks, timeout=timeout, **more)
            if self.beats >= self.most_beats:
                return await wait(tasks, **more)
            self.beats += 1
            self.on_beat()
            await sleep(0)
            return {task for task in tasks if task.done()}, set()

        monkeypatch.setattr(uplink.asyncio, "sleep", noted)
        monkeypatch.setattr(uplink.asyncio, "wait", beat)
        monkeypatch.setattr(uplink.random, "random", lambda: 0.5)
        self.turn = lambda: sleep(0)
        self.uplink = Uplink(self.hub, self.connect, "redis at a")

    async def connect(self) -> Any:
        self.attempts += 1
        if not self.script:
            await asyncio.get_running_loop().create_future()
        one = self.script.pop(0)
        if isinstance(one, BaseException):
            raise one
        return one

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(10_000):
            if condition():
                return
            await self.turn()
        raise AssertionError("that does not happen")

    async def turns(self) -> None:
        for _ in range(50):
            await self.turn()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "asgiws.error")
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [(record.levelname, record.getMessage()) for record in log.records]
    log.clear()
    return found


async def test_it_tries_again_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, *[OSError("refused")] * 12)
    await world.until(lambda: len(world.waits) == 12)
    doubled = [FIRST_WAIT * 2**count for count in range(12)]
    assert world.waits == pytest.approx([min(wait, MOST_WAIT) for wait in doubled])
    await world.uplink.close()


async def test_hosts_do_not_try_at_the_same_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, *[OSError("refused")] * 3)
    shares = iter([0.0, 1.0, 0.5])
    monkeypatch.setattr(uplink.random, "random", lambda: next(shares))
    await world.until(lambda: len(world.waits) == 3)
    assert world.waits == pytest.approx([0.5 * FIRST_WAIT, 3 * FIRST_WAIT, 4 * FIRST_WAIT])
    await world.uplink.close()


async def test_a_connection_that_lasted_makes_the_next_attempt_quick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    short, long = Session(), Session()
    world = World(monkeypatch, *[OSError("refused")] * 3, short, OSError("refused"), long)
    await world.until(lambda: world.hub.is_up)
    short.end.set_result(BrokerError("gone"))
    await world.until(lambda: world.hub.is_up and not world.script)
    assert world.waits[-1] == pytest.approx(FIRST_WAIT * 16)
    now += MOST_WAIT + 1
    long.end.set_result(BrokerError("gone"))
    await world.until(lambda: len(world.waits) == 6)
    assert world.waits[-1] == pytest.approx(FIRST_WAIT)
    await world.uplink.close()


async def test_the_log_has_one_line_for_each_reason(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    session, again = Session(), Session()
    refused, bad = OSError("refused"), BrokerError("bad password")
    script = [refused, refused, bad, refused, bad, OSError()]
    world = World(monkeypatch, *script, session, OSError("refused"), again)
    await world.until(lambda: world.hub.is_up)
    start = "Topics do not reach other hosts: redis at a: "
    assert lines(log) == [
        ("ERROR", f"{start}refused; trying again"),
        ("ERROR", f"{start}bad password; trying again"),
        ("ERROR", f"{start}OSError; trying again"),
        ("WARNING", "Topics reach other hosts again: connected to the broker"),
    ]
    session.end.set_result(BrokerError("reset"))
    await world.until(lambda: world.hub.is_up and not world.script)
    assert [one[1] for one in lines(log)] == [
        "Topics do not reach other hosts: the broker: reset; trying again",
        "Topics do not reach other hosts: the broker: refused; trying again",
        "Topics reach other hosts again: connected to the broker",
    ]
    await world.uplink.close()
    assert lines(log) == []


async def test_the_first_connection_is_no_warning(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    world = World(monkeypatch, Session())
    await world.until(lambda: world.hub.is_up)
    assert lines(log) == [("INFO", "Topics reach other hosts: connected to the broker")]
    await world.uplink.close()


async def test_an_attempt_does_not_last_forever(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(uplink, "PATIENCE", 0.001)
    world = World(monkeypatch)
    while world.attempts < 3:
        await asyncio.get_running_loop().run_in_executor(None, bool)
    assert len(lines(log)) == 1
    await world.uplink.close()


@pytest.mark.parametrize("answers", [False, True])
async def test_a_broker_that_is_silent_is_lost(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture, answers: bool
) -> None:
    session = Session()
    session.answers = answers
    world = World(monkeypatch, session)
    world.most_beats = 20
    await world.until(lambda: world.beats == 20 or session.closes)
    if answers:
        await world.turns()
        assert session.probes == 20
        assert world.hub.is_up
    else:
        assert world.beats == SILENCE // HEARTBEAT
        assert session.probes > 0
        assert not world.hub.is_up
        assert "it has sent nothing for 15 s" in log.text
    await world.uplink.close()


async def test_what_it_sends_in_between_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    world = World(monkeypatch, session)
    world.most_beats = 30

    def hear() -> None:
        if world.beats % 2:
            session.heard += 1

    world.on_beat = hear
    await world.until(lambda: world.beats == 30)
    assert world.hub.is_up
    await world.uplink.close()


async def test_one_that_falls_silent_later_is_lost_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    world = World(monkeypatch, session)
    world.most_beats = 30

    def hear() -> None:
        session.answers = world.beats < 10

    world.on_beat = hear
    await world.until(lambda: session.closes or world.beats == 30)
    assert 10 < world.beats <= 10 + SILENCE // HEARTBEAT
    await world.uplink.close()


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (BrokerError("no more"), "no more"),
        (ConnectionResetError("reset"), "reset"),
        (EOFError(), "EOFError"),
        (None, "the connection has ended"),
    ],
)
async def test_a_connection_that_ends_is_closed_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
    end: BaseException | None,
    why: str,
) -> None:
    first, second = Session(), Session()
    world = World(monkeypatch, first, second)
    told: list[bool] = []
    world.hub.changed = lambda: told.append(world.hub.is_up)
    await world.until(lambda: world.hub.is_up)
    first.end.set_result(end)
    await world.until(lambda: second.receiver is not None)
    assert told == [True, False, True]
    assert first.closes == 1
    assert second.closes == 0
    assert f"{why}" in log.text
    assert len([one for one in lines(log) if one[0] == "ERROR"]) == 1
    await world.uplink.close()


async def test_a_fault_is_logged_once_and_tried_again_no_faster(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    """Not at once, and forever: a library may raise what it should not."""
    bad = Session()
    bad.end.set_result(LookupError("a fault"))
    world = World(monkeypatch, *[ValueError("a fault")] * 8, bad, Session())
    await world.until(lambda: world.hub.is_up and not world.script)
    assert world.attempts == 10
    assert len(world.waits) == 9
    errors = [record for record in log.records if record.levelname == "ERROR"]
    assert [record.exc_info[0] for record in errors if record.exc_info] == [
        ValueError,
        LookupError,
    ]
    await world.uplink.close()


async def test_a_hub_that_raises_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    first, second = Session(), Session()
    world = World(monkeypatch, first, second)
    calls: list[bool] = []

    def fail() -> None:
        calls.append(world.hub.is_up)
        if len(calls) == 1:
            raise LookupError("a mistake")

    world.hub.changed = fail
    await world.until(lambda: second.receiver is not None)
    assert first.closes == 1
    assert "a mistake" in log.text
    await world.uplink.close()


@pytest.mark.parametrize("at", ["connecting", "connected", "waiting"])
async def test_an_application_that_cancels_every_task_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    before = asyncio.all_tasks()
    first, second = Session(), Session()
    scripts: dict[str, list[Any]] = {"connected": [first], "waiting": [OSError("refused")]}
    world = World(monkeypatch, *scripts.get(at, []))
    if at == "connected":
        await world.until(lambda: first.receiver is not None)
    elif at == "waiting":
        await world.until(lambda: world.waits)
    else:
        await world.until(lambda: world.attempts)
    world.script = [second]
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await world.until(lambda: second.receiver is not None)
    assert world.hub.is_up
    assert first.closes == (at == "connected")
    await world.uplink.close()
    await world.turns()
    assert asyncio.all_tasks() == before


async def test_at_the_end_what_was_published_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    session.answers = True
    world = World(monkeypatch, session)
    await world.until(lambda: session.receiver is not None)
    world.hub.publish(Message("a", "1"), None)
    await world.uplink.close()
    assert session.published == 1
    assert session.settles
    assert session.closes == 1
    assert not world.hub.is_up
    await world.uplink.close()
    assert session.closes == 1


async def test_a_broker_that_does_not_take_it_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uplink, "LAST_MOMENT", 0.001)
    session = Session()
    world = World(monkeypatch, session)
    await world.until(lambda: session.receiver is not None)
    world.hub.publish(Message("a", "1"), None)
    await world.uplink.close()
    assert session.closes == 1


async def test_a_connection_that_is_lost_at_the_end_does_not_hold_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uplink, "LAST_MOMENT", 3600.0)
    session = Session()
    world = World(monkeypatch, session)
    await world.until(lambda: session.receiver is not None)
    world.hub.publish(Message("a", "1"), None)
    closing = asyncio.ensure_future(world.uplink.close())
    await world.turns()
    assert not closing.done()
    session.end.set_result(BrokerError("gone"))
    await closing
    attempts = world.attempts
    await world.turns()
    assert world.attempts == attempts


@pytest.mark.parametrize("script", [[], [OSError("refused")] * 1000])
async def test_without_a_connection_the_end_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, script: list[Any]
) -> None:
    before = asyncio.all_tasks()
    world = World(monkeypatch, *script)
    world.hub.publish(Message("a", "1"), None)
    await world.turns()
    await world.uplink.close()
    assert asyncio.all_tasks() == before


async def test_abandoned_it_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    before = asyncio.all_tasks()
    session = Session()
    world = World(monkeypatch, session)
    await world.until(lambda: session.receiver is not None)
    world.uplink.abandon()
    world.uplink.abandon()
    await world.turns()
    assert session.closes == 1
    assert asyncio.all_tasks() == before
    await world.uplink.close()
