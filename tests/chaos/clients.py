"""`python -m tests.chaos.clients`: the load of one server, in a process of its own.

Rules of this file:
- Its plan comes as JSON on the first line of its input; the end of the input is the end of new visits.
- It tells its tallies in a line of JSON each second, and in the last one what went wrong. A visit ends
  whatever it does: a guard of LONGEST seconds is above it.
- The pair of style and way, and all that is random within it, come from the seed and the visit's number.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import ssl
import sys
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.styles import STYLES
from tests.chaos.ways import Stuck, Visit, fitting
from tests.chaos.wire import Late

LONGEST = 90.0


@dataclass
class Plan:
    """What this process does. `pause` is the longest that a slot waits between two visits, in seconds."""

    host: str
    port: int
    roots: str
    seed: str
    slots: int
    pause: float
    styles: list[str]
    ways: list[str]
    hurry: float = 1.0


@dataclass
class Tally:
    """What came of it so far; keys of `seen` are `style|way|what the client saw`."""

    visits: int = 0
    open: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    #: (style|way, what did not happen).
    stuck: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def told(self, whole: bool) -> dict[str, Any]:
        told: dict[str, Any] = {"visits": self.visits, "open": self.open, "stuck": len(self.stuck)}
        if whole:
            told["whole"] = {"seen": dict(self.seen), "stuck": self.stuck, "faults": self.faults}
        return told


class Load:
    """The slots, each of which makes one visit after the other."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.over = asyncio.Event()
        self.tally = Tally()
        self._context: ssl.SSLContext | None = None
        if plan.roots:
            self._context = ssl.create_default_context(cafile=plan.roots)
        self._number = 0
        ways = tuple(plan.ways)
        styles = [STYLES[name] for name in plan.styles]
        self._pairs = [
            (style, way) for style in styles for way in fitting(style, bool(plan.roots), ways)
        ]
        self._weights = [way.weight for _, way in self._pairs]

    async def slot(self) -> None:
        while not self.over.is_set():
            number = self._number = self._number + 1
            dice = random.Random(f"{self.plan.seed}.{number}")
            style, way = dice.choices(self._pairs, self._weights)[0]
            visit = Visit(
                self.plan.host,
                self.plan.port,
                self._context,
                style,
                way.name,
                dice,
                self.plan.hurry,
            )
            self.tally.open += 1
            name = f"{style.name}|{way.name}"
            try:
                saw = await asyncio.wait_for(way.go(visit), LONGEST)
            except Stuck as error:
                saw = "stuck"
                self.tally.stuck.append((name, f"{error}"))
            except (OSError, Late, asyncio.TimeoutError) as error:
                saw = "no connection"
                self.tally.stuck.append((name, f"{error!r}"))
            except Exception:
                saw = "fault"
                self.tally.faults.append(f"{name}: {traceback.format_exc()}")
            self.tally.open -= 1
            self.tally.visits += 1
            self.tally.seen[f"{name}|{saw}"] += 1
            try:
                await asyncio.wait_for(self.over.wait(), dice.uniform(0, self.plan.pause))
            except asyncio.TimeoutError:
                pass

    def tell(self, whole: bool = False) -> None:
        print(json.dumps(self.tally.told(whole)), flush=True)

    async def run(self) -> None:
        slots = [asyncio.ensure_future(self.slot()) for _ in range(self.plan.slots)]
        ending = asyncio.gather(*slots)
        while not ending.done():
            await asyncio.wait([ending], timeout=1)
            self.tell()
        ending.result()
        self.tell(True)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    load = Load(Plan(**json.loads(await commands.readline())))

    async def until_told() -> None:
        await commands.read()
        load.over.set()

    waiting = asyncio.ensure_future(until_told())
    await load.run()
    waiting.cancel()


if __name__ == "__main__":
    gc.set_threshold(50_000, 20, 20)
    asyncio.run(_main())
