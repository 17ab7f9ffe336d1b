"""`python -m benchmarks.soak.load`: one process of the load, with a proxy of its own.

Rules of this file:
- It is told what to do in lines on its input: first its plan as JSON, then `run`, `drain` and `quit`; it
  answers on its output with a line of JSON each second, the last one of a drain with `"drained": true`.
- Each of its slots plays one connection after the other, so that as many are open as there are slots.
- An account is written down when its connection has ended, and not kept.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TextIO

from benchmarks.soak.actor import Actor, Life, Pace, Route
from benchmarks.soak.cast import Role, roles
from benchmarks.soak.client import Gone, Impatient
from benchmarks.soak.proxy import PROFILES, Proxy
from benchmarks.soak.rooms import Rooms

HOST = "127.0.0.1"

#: Of the connections that can, so many go through the proxy.
PROXIED = 0.25

#: Codes with which a connection that is cut on its way may end, beside its own.
CUT = (1006, 1011, 1013, "gone")


@dataclass(frozen=True)
class Plan:
    """What one process does. `number` tells it from the others; `only` names behaviours, none for all; `rooms`
    are topics of the server, 0 for none of that; `workers` are those of the server."""

    number: int
    port: int
    slots: int
    seed: int
    lifetime: float
    think: float
    patience: float
    topics: int
    ramp: float
    accounts: str
    only: list[str]
    rooms: int
    workers: int


class Load:
    """The slots and what they share."""

    def __init__(self, plan: Plan, accounts: TextIO) -> None:
        self.plan = plan
        self.life = Life()
        self.pace = Pace(plan.lifetime, plan.think, plan.patience, plan.topics)
        self.counts: Counter[str] = Counter()
        self.random = random.Random(plan.seed * 1000 + plan.number)
        self.direct = Route("direct", HOST, plan.port)
        self.routes: list[Route] = []
        self.proxy = Proxy(HOST, plan.port, self.random.randrange(2**32))
        self.open = 0
        self._accounts = accounts
        self._begun = 0
        self.rooms = Rooms(plan.rooms, f"{plan.seed}.{plan.number}.")
        known = roles(plan.rooms > 0, plan.workers)
        self._roles = [role for role in known if not plan.only or role.name in plan.only]
        self._weights = [role.weight for role in self._roles]

    async def prepare(self) -> None:
        for profile in PROFILES.values():
            port = await self.proxy.listen(profile)
            self.routes.append(Route(profile.name, HOST, port, profile.cuts, True))

    async def slot(self) -> None:
        await self.life.nap(self.random.uniform(0, self.plan.ramp))
        while not self.life.over:
            await self.life.turn()
            role = self.random.choices(self._roles, self._weights)[0]
            await self._play(role)

    async def _play(self, role: Role) -> None:
        self._begun += 1
        route = self.direct
        if role.proxied and self.random.random() < PROXIED:
            route = self.random.choice(self.routes)
        number = f"{self.plan.seed}.{self.plan.number}.{self._begun}"
        self.rooms.begun = self._begun
        counts, rooms = self.counts, self.rooms
        actor = Actor(number, role.name, route, self.life, self.pace, counts, rooms)
        account = actor.account
        self.open += 1
        self.counts["begun"] += 1
        try:
            await role.play(actor)
        except (Gone, Impatient) as error:
            account.cut = True
            actor.problem(f"{type(error).__name__}: {error}")
        except Exception as error:  # a fault of ours, or an answer that nobody thought of
            logging.exception("in %s", role.name)
            account.problems.append(f"{error!r}")
        finally:
            self.open -= 1
            client = actor.client
            if client is not None:
                if client.broken and not any(client.broken in one for one in account.problems):
                    account.problems.append(f"the server broke the protocol: {client.broken}")
                client.reset()
        account.received = actor.replies.count + actor.topic_messages
        stream = actor.stream
        account.faults = dict(stream.faults if stream else actor.replies.faults)
        if stream is not None:
            account.problems += stream.problems
            account.details = stream.details
        if route.cuts:
            self._soften(actor)
        self.counts["problems"] += bool(account.problems or account.faults)
        self.counts["cut"] += account.cut
        self._accounts.write(json.dumps(asdict(account)) + "\n")

    def _soften(self, actor: Actor) -> None:
        """What is not to be asked of a connection that the proxy may have cut."""
        account = actor.account
        account.exact = False
        account.reason = None
        account.disconnects = sorted({*account.disconnects, 1})
        account.codes = [*account.codes, *CUT]

    def report(self, **more: bool) -> None:
        done = {f"proxy: {name}": count for name, count in self.proxy.done.items()}
        counts = {**self.counts, **done}
        line = {"open": self.open, "slowness": self.life.slowness, "counts": counts, **more}
        print(json.dumps(line), flush=True)

    async def run(self, commands: asyncio.Queue[str]) -> None:
        """Carry out commands until `quit`, or the end of the input."""
        await self.prepare()
        self.report()
        pacing = asyncio.ensure_future(self.life.keep_pace())
        async with self.proxy:
            slots: list[asyncio.Task[None]] = []
            while True:
                try:
                    command = await asyncio.wait_for(commands.get(), 1)
                except asyncio.TimeoutError:
                    self.report()
                    continue
                if command == "run":
                    self.life.begin()
                    self.rooms.forget()
                    slots = [asyncio.ensure_future(self.slot()) for _ in range(self.plan.slots)]
                elif command == "drain":
                    ending = asyncio.ensure_future(self.life.end())
                    draining = asyncio.ensure_future(asyncio.wait(slots))
                    while not draining.done():
                        await asyncio.wait([draining], timeout=1)
                        self.report()
                    await ending
                    self._accounts.flush()
                    self.report(drained=True)
                else:
                    pacing.cancel()
                    return


async def _main(plan: Plan, accounts: TextIO, commands: asyncio.StreamReader) -> None:
    lines: asyncio.Queue[str] = asyncio.Queue()

    async def read() -> None:
        while line := await commands.readline():
            lines.put_nowait(line.decode().strip())
        lines.put_nowait("quit")

    reading = asyncio.ensure_future(read())
    try:
        await Load(plan, accounts).run(lines)
    finally:
        reading.cancel()


async def _from_input() -> None:
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    plan = Plan(**json.loads(await commands.readline()))
    with open(plan.accounts, "a", encoding="utf-8") as accounts:  # noqa: ASYNC230 - nobody waits yet
        await _main(plan, accounts, commands)


def main() -> None:
    """The process."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    gc.set_threshold(50_000, 20, 20)  # thousands of connections are no garbage
    try:
        import uvloop
    except ImportError:
        asyncio.run(_from_input())
    else:
        uvloop.run(_from_input())


if __name__ == "__main__":
    main()
