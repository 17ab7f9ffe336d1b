"""Who plays one connection: its account, its way to the server, its time.

Rules of this file:
- An `Account` is what the ledger must say of a connection, filled in as things happen; `judge` compares.
- `exact` accounts are those of connections that come to an orderly end: every message must have arrived. The
  others lose their end, and what has arrived must be the beginning of what was sent.
- The random numbers of a connection come from its id, so that one can be looked at again.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from benchmarks.soak import messages, wire
from benchmarks.soak.client import Client, Gone
from benchmarks.soak.messages import Order
from benchmarks.soak.rooms import Rooms
from benchmarks.soak.streams import Counted, Latest, Stream
from benchmarks.soak.wire import Closed, Pong

YES, MAYBE, NO = "yes", "maybe", "no"

_TEXT = "The quick brown fox; 敏捷的棕色狐狸; быстрая лиса; الثعلب البني السريع; 🦊🐕 "
_TEXTS = _TEXT * (1100 * 1024 // len(_TEXT))
_OCTETS = random.Random(5).randbytes(1100 * 1024)


@dataclass
class Account:
    """What is to be found in the ledger of a connection."""

    id: str
    behaviour: str
    route: str
    #: Whether the application must have been called, may have been, must not have been.
    called: str = NO
    exact: bool = True
    sent: int = 0
    chain: int = 0
    received: int = 0
    #: The codes of which one must be reported, any if there are none; the reason that must come with the first.
    codes: list[Any] = field(default_factory=list)
    reason: str | None = None
    #: How many disconnects there may be: one, but where the application ends first.
    disconnects: list[int] = field(default_factory=lambda: [1])
    #: Whether what was sent are numbered messages.
    numbered: bool = True
    problems: list[str] = field(default_factory=list)
    #: Which messages the faults are about, as far as that is known.
    details: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    cut: bool = False


class Life:
    """The time of all connections of this process: `over` says that they are to come to their ends.

    `slowness` stretches it where the machine is too busy for this process: 1 while timers come in time, more
    when they come late. A client that cannot answer in time is no well-behaved one.
    """

    def __init__(self) -> None:
        self.over = False
        self.slowness = 1.0
        self._sleepers: set[asyncio.Future[None]] = set()

    async def keep_pace(self) -> None:
        """Adapt `slowness`, without end."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.1
            await asyncio.sleep(0.1)
            late = loop.time() - due
            self.slowness = max(1.0, min(100.0, self.slowness * (1.05 if late > 0.1 else 0.98)))

    async def turn(self) -> None:
        """Wait until one more connection can be afforded."""
        while self.slowness > 1.0 and not self.over:
            await self.nap(random.uniform(0, 0.2 * self.slowness))
            if random.random() < 1 / self.slowness:
                return

    async def nap(self, seconds: float, client: Client | None = None) -> None:
        """Sleep, but not beyond the end of time, nor beyond that of the client's connection."""
        if self.over:
            return
        if client is not None:
            await self._watch(seconds, client)
            return
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[None] = loop.create_future()
        self._sleepers.add(sleeper)
        timer = loop.call_later(seconds, _wake, sleeper)
        try:
            await sleeper
        finally:
            timer.cancel()
            self._sleepers.discard(sleeper)

    async def _watch(self, seconds: float, client: Client) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        before = len(client.events)
        while not (self.over or client.ended) and len(client.events) == before:
            left = until - loop.time()
            if left <= 0:
                return
            waiter: asyncio.Future[None] = loop.create_future()
            self._sleepers.add(waiter)
            timer = loop.call_later(left, _wake, waiter)
            client._waiter = waiter
            try:
                await waiter
            finally:
                client._waiter = None
                timer.cancel()
                self._sleepers.discard(waiter)

    async def end(self) -> None:
        """Time is over; who sleeps is woken, not all at once."""
        self.over = True
        while self._sleepers:
            for sleeper in list(self._sleepers)[:10]:
                _wake(sleeper)
            await asyncio.sleep(0.02 * self.slowness)

    def begin(self) -> None:
        self.over = False


@dataclass(frozen=True)
class Route:
    """A way to the server: directly, or through a profile of the proxy; `cuts` as there."""

    name: str
    host: str
    port: int
    cuts: bool = False
    slow: bool = False


@dataclass(frozen=True)
class Pace:
    """How long connections live on average, how long they think and how long they wait, in seconds; topics for
    those who listen."""

    lifetime: float
    think: float
    patience: float
    topics: int


class Actor:
    """One connection of a behaviour."""

    def __init__(
        self,
        number: str,
        behaviour: str,
        route: Route,
        life: Life,
        pace: Pace,
        counts: Counter[str],
        rooms: Rooms,
    ) -> None:
        self.account = Account(number, behaviour, route.name)
        self.random = random.Random(number)
        self.route = route
        self.life = life
        self.pace = pace
        self.counts = counts
        self.rooms = rooms
        self.client: Client | None = None
        self.replies = Order()
        #: What a topic gave it, and how much of that came here.
        self.stream: Stream | Counted | Latest | None = None
        self.topic_messages = 0
        self._made = 0

    def problem(self, what: str) -> None:
        """Something that must not be; where connections are cut it may, since anything can be missing."""
        if not self.route.cuts:
            self.account.problems.append(what)

    def lifetime(self) -> float:
        return self.random.uniform(0.2, 1.8) * self.pace.lifetime * min(5.0, self.life.slowness)

    def think(self) -> float:
        return self.random.uniform(0, 2 * self.pace.think) * self.life.slowness

    async def nap(self, most: float) -> None:
        """Sleep for `most` seconds at most, as long as the connection lives."""
        await self.life.nap(self.random.uniform(0, most), self.client)

    # Connecting.

    async def connect(self, receive_buffer: int = 0) -> Client:
        try:
            self.client = await Client.connect(self.route.host, self.route.port, receive_buffer)
        except OSError as error:
            raise Gone(f"cannot connect: {error}") from error
        # What a silent proxy swallowed never comes.
        patience = min(20.0, 2 + 3 * self.pace.lifetime) if self.route.cuts else self.pace.patience
        self.client.patience = patience
        return self.client

    def target(self, path: str, **query: object) -> str:
        return f"{path}?{urlencode({'id': self.account.id, **query})}"

    async def websocket(
        self, path: str, *, deflate: bool = False, receive_buffer: int = 0, **query: object
    ) -> Client:
        """An open WebSocket."""
        client = await self.connect(receive_buffer)
        self.account.called = MAYBE
        key = client.ask(self.target(path, **query), deflate)
        await client.answered(key)
        self.account.called = YES
        return client

    # Talking.

    def _body_size(self) -> int:
        number = self.random.random()
        if self.route.slow:
            return self.random.randrange(0, 1500)
        if number < 0.70:
            return self.random.randrange(0, 110)
        if number < 0.92:
            return self.random.randrange(110, 2000)
        if number < 0.99:
            return self.random.randrange(2000, 65600)
        return self.random.randrange(65600, 1024 * 1024)

    def message(self, size: int | None = None, text: bool | None = None) -> str | bytes:
        """The next message of this client, counted as sent."""
        size = self._body_size() if size is None else size
        made: str | bytes
        if self.random.random() < 0.5 if text is None else text:
            length = size // 2  # in characters, of which many take several octets
            at = self.random.randrange(len(_TEXTS) - length)
            made = messages.text(self._made, _TEXTS[at : at + length])
        else:
            at = self.random.randrange(len(_OCTETS) - size)
            made = messages.binary(self._made, _OCTETS[at : at + size])
        self._made += 1
        self.sent(made)
        return made

    def sent(self, message: str | bytes) -> None:
        self.account.sent += 1
        self.account.chain = messages.chained(message, self.account.chain)
        self.counts["sent"] += 1

    async def say(self, count: int) -> None:
        """Send so many messages: whole or in fragments, with pings among these."""
        assert self.client is not None
        for _ in range(count):
            message = self.message()
            between = None
            if self.random.random() < 0.2:
                ping = wire.frame(wire.PING, b"between")
                between = [
                    self.random.choice([b"", ping]) for _ in range(self.random.randrange(2, 9))
                ]
            await self.client.send(message, between)

    def take(self, event: object) -> None:
        """An event that is a reply, or a pong."""
        if isinstance(event, (str, bytes)):
            self.replies.take(event)
            self.counts["received"] += 1
        elif isinstance(event, Pong):
            self.counts["pongs"] += 1
        else:
            raise Gone(f"an early end: {event!r}")

    async def hear(self, until: int) -> None:
        """Receive until there were so many replies in all."""
        assert self.client is not None
        while self.replies.count < until:
            self.take(await self.client.receive())

    # The end.

    async def close(self, code: int | None, reason: str = "") -> None:
        """Close in order; all that was sent must have been answered before, or comes now."""
        assert self.client is not None
        self.account.codes.append(wire.NO_CODE if code is None else code)
        self.account.reason = reason
        self.client.write(wire.frame(wire.CLOSE, wire.close_payload(code, reason)))
        await self.expect_close(wire.NO_CODE if code is None else code, reason)

    async def expect_close(self, code: int, reason: str | None = None) -> None:
        """Take replies until the server's close frame, which must have that code, and the end of TCP."""
        assert self.client is not None
        while not isinstance(event := await self.client.receive(), Closed):
            self.take(event)
        if event.code != code or (reason is not None and event.reason != reason):
            self.problem(f"closed with {event.code} {event.reason!r} in place of {code} {reason!r}")
        for event in await self.client.until_ended():
            self.problem(f"{event!r:.80} behind the close frame")
        self.client.close()

    def echoed(self) -> None:
        """Every message must have come back."""
        if self.replies.count != self.account.sent or self.replies.chain != self.account.chain:
            self.problem(
                f"{self.replies.count} of {self.account.sent} messages came back as they were"
            )


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
