"""What clients do with topics: members of rooms, those who come back, those who are too slow.

Rules of this file:
- As in `behaviours`; what came by a topic is judged by a stream (`streams`), whose faults are the account's.
- Members of a room share what they know of each other as far as they are in one process (`Rooms`).
- A position is left behind only with the stream that goes with it: who comes back goes on with both.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.soak import messages, wire
from benchmarks.soak.client import Gone, Impatient
from benchmarks.soak.streams import Counted, Latest, Room, Stream
from benchmarks.soak.wire import Closed, Pong

if TYPE_CHECKING:
    from benchmarks.soak.actor import Actor

LOST, TRY_AGAIN_LATER = 1006, 1013
#: What rooms keep: most of them more than is missed by those who are away, some less.
KEEPS = (100, 100, 100, 5)
#: Positions that wait for somebody who comes back.
LEFT = 200


class Position(NamedTuple):
    """Where somebody left off: what comes next is the offset of the stream."""

    room: Room
    epoch: str
    stream: Stream


@dataclass
class Rooms:
    """The rooms of one process; `begun` is the number of its latest connection, and `process` how ids begin."""

    count: int
    process: str = ""
    begun: int = 0

    def __post_init__(self) -> None:
        self.open = [Room(f"room-{number}") for number in range(self.count)]
        self.kept = [
            Room(messages.kept_room(number), KEEPS[number % len(KEEPS)])
            for number in range(self.count)
        ]
        self.left: list[Position] = []

    def leave(self, position: Position) -> None:
        if len(self.left) < LEFT:
            self.left.append(position)

    def come_back(self, chance: random.Random) -> Position | None:
        if not self.left:
            return None
        return self.left.pop(chance.randrange(len(self.left)))

    def forget(self) -> None:
        """What was kept is not any more."""
        self.left.clear()


class Member:
    """One connection to a room. `since` is the position that it comes back to."""

    def __init__(self, actor: Actor, room: Room, since: Position | None = None) -> None:
        self.actor = actor
        self.room = room
        self.since = since
        self.by_app = actor.random.random() < 0.3
        self.by_hub = actor.random.random() < 0.3
        self.id = actor.account.id
        self.epoch = ""
        self.stream: Stream | None = None
        self.written = self.accepted = 0
        self.has_left = False
        #: What came before it was told that the subscription is in force.
        self._early: list[tuple[str, int]] = []

    async def enter(self) -> None:
        """Connect, and subscribe."""
        self.room.written[self.id] = 0
        query: dict[str, Any] = {"topic": self.room.name, "keep": self.room.keep}
        query["deliver"] = "app" if self.by_app else "wire"
        query["via"] = "hub" if self.by_hub else "websocket"
        if self.since is not None:
            query |= {"epoch": self.since.epoch, "offset": self.since.stream.offset - 1}
        deflate = self.actor.random.random() < 0.3
        await self.actor.websocket("/topics/room", deflate=deflate, **query)
        while self.stream is None:
            await self.hear()

    def leave(self) -> None:
        """It has ended, however."""
        self.room.leave(self.id)
        if self.stream is not None:
            self.room.streams.discard(self.stream)
            if self.room.keep:
                # Another one goes on with it, and what it tells is of this one until now.
                self.actor.rooms.leave(Position(self.room, self.epoch, self.stream.copy()))

    async def publish(self, count: int) -> None:
        client = self.actor.client
        assert client is not None
        for _ in range(count):
            message = self.actor.message(self.actor.random.choice([0, 20, 200, 2000]), text=True)
            self.written += 1
            self.room.written[self.id] = self.written
            self.actor.counts["topics: published"] += 1
            await client.send(message)

    async def until_accepted(self) -> None:
        while self.accepted < self.written:
            await self.hear()

    async def until_all(self) -> None:
        """Wait for all that was accepted by now."""
        assert self.stream is not None
        due = dict(self.room.accepted)
        try:
            while not self.stream.has_all(due):
                await self.hear()
        except Impatient:
            pass  # it is said which
        if not self.actor.route.cuts:
            self.stream.finish(due)

    async def ask_to_leave(self) -> None:
        """Unsubscribe; nothing may come after that."""
        client = self.actor.client
        assert client is not None
        message = messages.text(self.actor.account.sent, "leave")
        self.actor.sent(message)
        await client.send(message)
        while not self.has_left:
            await self.hear()

    async def close(self, code: int | None) -> None:
        """Close in order; what still comes is of the room."""
        client, actor = self.actor.client, self.actor
        assert client is not None
        actor.account.codes.append(wire.NO_CODE if code is None else code)
        client.write(wire.frame(wire.CLOSE, wire.close_payload(code)))
        while not isinstance(event := await client.receive(), Closed):
            self.take(event)
        if event.code != actor.account.codes[-1]:
            actor.problem(f"closed with {event.code} in place of {actor.account.codes[-1]}")
        for event in await client.until_ended():
            actor.problem(f"{event!r:.80} behind the close frame")
        client.close()

    async def hear(self) -> None:
        """Receive once."""
        assert self.actor.client is not None
        self.take(await self.actor.client.receive())

    def take(self, event: object) -> None:
        """An event, which may be a message of the room."""
        actor = self.actor
        if isinstance(event, Pong):
            actor.counts["pongs"] += 1
        elif not isinstance(event, str):
            raise Gone(f"an early end: {event!r}")
        elif not event.startswith("{"):
            self._message(event, 0)
        else:
            told = json.loads(event)
            if "topic" in told:
                if told["topic"] != self.room.name or (self.epoch and told["epoch"] != self.epoch):
                    actor.account.problems.append(f"a message of elsewhere: {event:.80}")
                self._message(told["text"], told["offset"])
            elif "ack" in told:
                self._accepted(told["ack"])
            elif "gap" in told:
                self._gap(told["gap"])
            elif "subscribed" in told:
                self._subscribed(told["subscribed"])
            else:
                self.has_left = bool(told["left"])

    def _message(self, text: str, offset: int) -> None:
        actor = self.actor
        actor.counts["received"] += 1
        actor.counts["topics: messages"] += 1
        actor.topic_messages += 1
        if self.has_left:
            actor.account.problems.append("a message came after it had unsubscribed")
        if self.stream is None:
            self._early.append((text, offset))
        else:
            self.stream.take(text, offset)

    def _gap(self, lost: int | None) -> None:
        count_gap(self.actor.counts, lost)
        if self.stream is None:
            self.actor.problem("a gap before the subscription")
        else:
            self.stream.gap(lost)

    def _accepted(self, number: int) -> None:
        self.accepted = number + 1
        self.room.accepted[self.id] = self.accepted
        stream = self.stream
        if self.by_app or self.by_hub or stream is None or stream.told.gaps or self.has_left:
            return
        if stream.next(self.id) < self.accepted:
            # What it publishes comes before what is sent to it later.
            self.actor.account.problems.append(f"{number} was acknowledged before it came")

    def _subscribed(self, told: dict[str, Any]) -> None:
        rooms, since = self.actor.rooms, self.since
        self.epoch = told["epoch"]
        if since is not None:
            self._recovered(since, told)
        elif told["recovered"] is not None:
            self.actor.problem(f"recovered is {told['recovered']} without since")
        if since is not None and told["recovered"]:
            stream = since.stream
        else:
            stream = Stream(rooms.process, rooms.begun, self.room.written)
            if self.room.keep:
                stream.offset = told["offset"] + 1
        stream.in_place = self.by_app
        self.stream = self.actor.stream = stream
        self.room.streams.add(stream)
        for text, offset in self._early:
            stream.take(text, offset)
        self._early.clear()

    def _recovered(self, since: Position, told: dict[str, Any]) -> None:
        """Whether it is told the truth about what it has missed."""
        recovered = told["recovered"]
        self.actor.counts["topics: recovered" if recovered else "topics: not recovered"] += 1
        missed = told["offset"] - (since.stream.offset - 1)
        is_kept = told["epoch"] == since.epoch and 0 <= missed <= self.room.keep
        if recovered is not is_kept:
            # There is more than room for what is kept, and nobody is away for longer than that.
            self.actor.account.problems.append(
                f"recovered is {recovered}, of {missed} missed messages, where {self.room.keep} are kept"
            )


def count_gap(counts: Counter[str], lost: int | None) -> None:
    counts["topics: gaps told"] += 1
    counts["topics: messages told to be lost"] += lost or 0


async def _live(actor: Actor, member: Member) -> None:
    """Publish now and then, and hear what comes, for a lifetime."""
    loop = asyncio.get_running_loop()
    until = loop.time() + actor.lifetime()
    while loop.time() < until and not actor.life.over:
        if actor.random.random() < 0.3:
            await member.publish(actor.random.randrange(1, 6))
            await member.until_accepted()
        await _listen(actor, member, max(0.05, actor.think()))


async def _listen(actor: Actor, member: Member, seconds: float) -> None:
    """Hear what comes for so long."""
    client, loop = actor.client, asyncio.get_running_loop()
    assert client is not None
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0 and not actor.life.over:
        await actor.life.nap(left, client)
        while client.events or client.ended:
            await member.hear()


async def _end(actor: Actor, member: Member) -> None:
    """Get all that is due, and close, often after it has unsubscribed."""
    await member.until_all()
    if actor.random.random() < 0.5:
        await member.ask_to_leave()
    await member.close(actor.random.choice([1000, 1001, None]))


async def member(actor: Actor) -> None:
    """Be in a room: publish, and get every message once, in the order of each publisher, until the end."""
    one = Member(actor, actor.random.choice(actor.rooms.open))
    try:
        await one.enter()
        await _live(actor, one)
        await _end(actor, one)
    finally:
        one.leave()


async def vanishing_member(actor: Actor) -> None:
    """Be in a room of either kind, and go without a close frame while messages are on their way."""
    rooms = actor.rooms
    one = Member(actor, actor.random.choice([*rooms.open, *rooms.kept]))
    actor.account.codes.append(LOST)
    actor.account.exact = False
    try:
        await one.enter()
        await _live(actor, one)
        await one.publish(actor.random.randrange(0, 10))
        assert actor.client is not None
        actor.random.choice([actor.client.reset, actor.client.close])()
    finally:
        one.leave()


async def returning_member(actor: Actor) -> None:
    """Be in a room that keeps messages; come back to where another one has left."""
    since = actor.rooms.come_back(actor.random) if actor.random.random() < 0.8 else None
    one = Member(actor, since.room if since else actor.random.choice(actor.rooms.kept), since)
    try:
        await one.enter()
        await _live(actor, one)
        await _end(actor, one)
    finally:
        one.leave()


# Topics of one subscriber.


async def _hear_all(actor: Actor, stream: Counted | Latest) -> Closed | None:
    """Receive until all has come or was told to be lost; the close frame if that comes before."""
    client = actor.client
    assert client is not None
    actor.stream = stream
    while not stream.is_complete:
        event = await client.receive()
        if isinstance(event, Closed):
            return event
        if isinstance(event, str) and event.startswith('{"gap"'):
            lost = json.loads(event)["gap"]
            count_gap(actor.counts, lost)
            stream.gap(lost)
        elif isinstance(event, (str, bytes)):
            stream.take(event)
            actor.counts["received"] += 1
            actor.counts["topics: messages"] += 1
            actor.topic_messages += 1
    stream.finish()
    return None


async def _begin(actor: Actor, path: str, receive_buffer: int, **query: Any) -> None:
    client = await actor.websocket(path, receive_buffer=receive_buffer, **query)
    actor.counts["topics: published"] += query["count"]
    await client.send(actor.message(0, text=True))


async def _all_came(actor: Actor, stream: Counted | Latest) -> None:
    end = await _hear_all(actor, stream)
    if end is not None:
        actor.problem(f"{end} before all had come")
    await actor.close(1000)


async def latest(actor: Actor) -> None:
    """Do not read for a while, with overflow="latest": the last message of each key comes."""
    count, keys = actor.random.randrange(50, 400), actor.random.randrange(1, 30)
    query = {"deliver": "wire", "overflow": "latest", "size": 20_000, "keys": keys}
    await _begin(actor, "/topics/burst", 8192, count=count, **query)
    assert actor.client is not None
    actor.client.pause()
    await actor.nap(2)
    actor.client.resume()
    await _all_came(actor, Latest(count, keys))


async def slow_application(actor: Actor) -> None:
    """deliver="app", and an application that does not receive: what was lost is told in its place."""
    count = actor.random.randrange(10, 200)
    query = {"deliver": "app", "overflow": "limit", "size": actor.random.randrange(10, 20_000)}
    await _begin(actor, "/topics/burst", 0, count=count, **query)
    await _all_came(actor, Counted(count))


async def slow_task(actor: Actor) -> None:
    """The same with a task that iterates over a subscription of the hub."""
    count = actor.random.randrange(10, 200)
    limit = actor.random.choice([10, 50, 1000])
    size = actor.random.randrange(0, 2000)
    await _begin(actor, "/topics/task", 0, count=count, limit=limit, size=size)
    await _all_came(actor, Counted(count))


async def unread_topic(actor: Actor) -> None:
    """Do not read what is more than may wait: told as a gap, or by the close code, as --ws-slow-consumer
    says."""
    count = actor.random.randrange(300, 400)
    actor.account.codes += [1000, TRY_AGAIN_LATER, LOST]
    query = {"deliver": "wire", "overflow": "limit", "size": 60_000}
    await _begin(actor, "/topics/burst", 8192, count=count, **query)
    client = actor.client
    assert client is not None
    client.pause()
    await actor.nap(4)
    client.resume()
    try:
        end = await _hear_all(actor, Counted(count, in_place=False))
    except Gone:
        return
    if end is None:
        await actor.close(1000)
    elif end.code != TRY_AGAIN_LATER:
        actor.problem(f"{end} in place of {TRY_AGAIN_LATER}")
    else:
        client.write(wire.frame(wire.CLOSE, wire.close_payload(TRY_AGAIN_LATER)))
        await client.until_ended()
        client.close()
