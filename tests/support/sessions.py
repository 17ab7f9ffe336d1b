"""Sessions with brokers, for tests: a Receiver that remembers, and a session at work with one.

Rules of this file: nothing here looks into a session.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from asgiws.topics import broker
from asgiws.topics.broker import MESSAGE, Kept, Session
from asgiws.topics.message import Joined, Keep, Position

#: No verdict hangs on it.
PATIENCE = 30.0

HOST = b"testhost"


class Arrived(NamedTuple):
    topic: str
    content: bytes
    offset: int = 0
    epoch: str = ""


class Looked(NamedTuple):
    request: int
    position: Position
    recovered: bool | None
    missed: list[tuple[int, bytes]]
    keeps: bool


class Settled(NamedTuple):
    number: int


class Refused(NamedTuple):
    topic: str
    why: str


def content(envelope: bytes) -> bytes:
    """What is in an envelope; the octets as they are if it is none."""
    try:
        return broker.unwrap(envelope).content
    except broker.BadEnvelope:
        return envelope


class Recorder:
    """A Receiver that keeps what it gets, in `events`."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._changed = asyncio.Event()

    def arrived(self, topic: str, envelope: bytes, offset: int, epoch: str) -> None:
        self._add(Arrived(topic, content(envelope), offset, epoch))

    def looked(self, request: int, joined: Joined, missed: list[Kept], keeps: bool) -> None:
        contents = [(kept.offset, content(kept.envelope)) for kept in missed]
        self._add(Looked(request, joined.position, joined.recovered, contents, keeps))

    def settled(self, number: int) -> None:
        self._add(Settled(number))

    def refused(self, topic: str, why: str) -> None:
        self._add(Refused(topic, why))

    async def until(self, holds: Callable[[list[Any]], object]) -> None:
        """Wait until something holds for the events."""

        async def wait() -> None:
            while not holds(self.events):
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), PATIENCE)

    def wake(self) -> None:
        self._changed.set()

    def _add(self, event: object) -> None:
        self.events.append(event)
        self._changed.set()


class Working:
    """A session that runs; `got` is what its receiver got."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.got = Recorder()
        self.run = asyncio.ensure_future(session.run(self.got))
        self.run.add_done_callback(lambda _: self.got.wake())
        self._number = 0

    def publish(self, topic: str, data: bytes, keep: Keep | None = None) -> int:
        """Returns the publication's number."""
        self._number += 1
        envelope = broker.wrap(MESSAGE, HOST, self._number, data)
        self.session.publish(topic, envelope, keep)
        return self._number

    async def events(self) -> list[Any]:
        """What was got since the last call, once the broker has dealt with all that was asked."""
        self._number += 1
        number = self._number
        self.session.settle(number)
        await self.got.until(lambda events: Settled(number) in events or self.run.done())
        if self.run.done():
            await self.run
        events = self.got.events
        at = events.index(Settled(number))
        found = events[:at]
        del events[: at + 1]
        return found

    async def arrived(self) -> list[tuple[str, bytes]]:
        """The messages among `events`: topics and contents."""
        return [event[:2] for event in await self.events() if isinstance(event, Arrived)]

    async def join(self, topic: str, since: Position | None = None) -> Looked:
        """Subscribe, and return the answer."""
        self.session.subscribe(topic)
        return await self.look(topic, since)

    async def look(self, topic: str, since: Position | None = None) -> Looked:
        self.session.look(topic, since, 7)
        (looked,) = [event for event in await self.events() if isinstance(event, Looked)]
        return looked

    async def end(self) -> str:
        """Wait until the session has ended with an error; returns the error's text."""
        await asyncio.wait([self.run], timeout=PATIENCE)
        assert self.run.done(), "it goes on"
        error = self.run.exception()
        assert isinstance(error, (broker.BrokerError, OSError)), repr(error)
        return str(error)


@contextlib.asynccontextmanager
async def working(connecting: Awaitable[Session]) -> AsyncIterator[Working]:
    one = Working(await connecting)
    try:
        yield one
    finally:
        one.run.cancel()
        await asyncio.wait([one.run])
        if not one.run.cancelled():
            one.run.exception()
        await one.session.close()
