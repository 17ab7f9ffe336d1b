"""`python -m tests.chaos.probe`: asks the servers, again and again, whether they are alive.

Rules of this file:
- A question is an HTTP request on a connection of its own, or a ping on a WebSocket that stays open. Each
  server is asked both ways every EVERY seconds.
- Beside each server that is under load there is another that is not, its control: what is asked of the one is
  asked of the other at the same moment. What this process and the network add is in both.
- A server under load has used its share of the processors, which its clients want as well, and waits for one
  longer than its control does. The kernel tells for how long, and that is not the server's doing either,
  nor are the pauses of this process itself, which `Pauses` notices.
- Answers are written to a file, a line for each; a line a second tells how it goes.
- An answer that does not come within GIVE_UP seconds is written down as `inf`, and so is a connection that
  fails.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import glob
import json
import math
import os
import ssl
import sys
import time
from dataclasses import dataclass
from typing import NamedTuple, TextIO

from benchmarks.soak import wire as frames
from benchmarks.soak.client import handshake
from tests.chaos.wire import Late, Wire

EVERY = 0.1
GIVE_UP = 30.0
HTTP, PING = "http", "ping"
REQUEST = b"GET /alive HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n"


@dataclass
class Plan:
    """`servers` are (name, port of the one under load, its process, port of its control, roots of its TLS
    or "")."""

    host: str
    servers: list[tuple[str, int, int, int, str]]
    answers: str


class Answer(NamedTuple):
    """One pair of questions: when they were asked, by the monotonic clock, the seconds that each took, and for
    how many of them the server under load waited for a processor, or the probe itself was paused."""

    server: str
    kind: str
    at: float
    seconds: float
    control: float
    waited: float

    @property
    def excess(self) -> float:
        """What the server itself has added, in seconds."""
        if math.isinf(self.seconds):
            return math.inf
        return self.seconds - max(self.control, self.waited)


class Target:
    """One server, with a WebSocket that is kept open on it."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self.host = host
        self.port = port
        self.context = context
        self._wire: Wire | None = None
        self._reader = frames.Reader(False)

    async def http(self) -> None:
        wire = await Wire.connect(self.host, self.port, self.context)
        try:
            await wire.secure(GIVE_UP)
            await wire.send(REQUEST)
            data = b""
            while not data.endswith(b"alive"):
                more = await wire.receive(GIVE_UP)
                if not more:
                    raise ConnectionResetError("no answer")
                data += more
        finally:
            wire.close()

    async def open(self) -> None:
        """Have the WebSocket open. Raises OSError, Late."""
        if self._wire is not None:
            return
        wire = await Wire.connect(self.host, self.port, self.context)
        try:
            await wire.secure()
            await wire.send(handshake("/probe", base64.b64encode(os.urandom(16)), False))
            data = b""
            while b"\r\n\r\n" not in data:
                more = await wire.receive(GIVE_UP)
                if not more:
                    raise ConnectionResetError("no answer to the handshake")
                data += more
        except BaseException:
            wire.close()
            raise
        self._wire = wire
        self._reader = frames.Reader(False)
        self._reader.feed(data.partition(b"\r\n\r\n")[2])

    async def pinged(self) -> None:
        """A ping, and another on a new connection if the server has ended the one that was open."""
        try:
            await self.ping()
        except OSError:
            await self.open()
            await self.ping()

    async def ping(self) -> None:
        wire = self._wire
        if wire is None:
            raise ConnectionResetError("the WebSocket is not open")
        try:
            await wire.send(frames.frame(frames.PING, b"alive?"))
            while True:
                while (event := self._reader.next()) is not None:
                    if isinstance(event, frames.Pong):
                        return
                    if isinstance(event, frames.Ping):
                        await wire.send(frames.frame(frames.PONG, event.payload))
                    elif isinstance(event, frames.Closed):
                        raise ConnectionResetError(f"closed with {event.code}")
                more = await wire.receive(GIVE_UP)
                if not more:
                    raise ConnectionResetError("the WebSocket has ended")
                self._reader.feed(more)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


class Pauses:
    """The pauses of this process: the machine, or others on it, took its time."""

    STEP = 0.005

    def __init__(self) -> None:
        self._total = 0.0

    async def notice(self) -> None:
        """Notice pauses, until cancelled."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(self.STEP)
            now = time.monotonic()
            self._total += max(now - last - 2 * self.STEP, 0.0)
            last = now

    def total(self) -> float:
        """The seconds of all pauses so far."""
        return self._total


class Probe:
    """All questions of one pair of servers."""

    def __init__(
        self,
        name: str,
        loaded: Target,
        process: int,
        control: Target,
        pauses: Pauses,
        answers: TextIO,
    ) -> None:
        self.name = name
        self._process = process
        self._pauses = pauses
        self.loaded = loaded
        self.control = control
        self.count = 0
        self.worst = 0.0
        #: When the server under load has answered last.
        self.heard = time.monotonic()
        self._answers = answers

    async def run(self, kind: str, over: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not over.is_set():
            due = max(loop.time(), due + EVERY)
            await asyncio.sleep(due - loop.time())
            at = time.monotonic()
            waits, paused = waits_for_processor(self._process), self._pauses.total()
            seconds, control = await asyncio.gather(
                _took(self.loaded, kind), _took(self.control, kind)
            )
            await asyncio.sleep(0)  # a pause that has just ended is noticed first
            waited = longest_wait(waits, waits_for_processor(self._process))
            waited += self._pauses.total() - paused
            answer = Answer(self.name, kind, at, seconds, control, waited)
            self.count += 1
            self.worst = max(self.worst, answer.excess)
            if not math.isinf(seconds):
                self.heard = time.monotonic()
            self._answers.write(json.dumps(answer) + "\n")
        self.loaded.close()
        self.control.close()


def waits_for_processor(process: int) -> dict[str, float]:
    """For how many seconds each thread of a process has been ready and waited for a processor, so far; empty if
    the kernel does not tell, or the process has ended."""
    waits = {}
    for path in glob.glob(f"/proc/{process}/task/*/schedstat"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            waits[path] = int(file.read().split()[1]) / 1e9
    return waits


def longest_wait(before: dict[str, float], after: dict[str, float]) -> float:
    """The longest of the waits between two such looks: a thread that waits may hold what others need, such as
    the interpreter's lock."""
    return max((wait - before.get(path, 0.0) for path, wait in after.items()), default=0.0)


async def _took(target: Target, kind: str) -> float:
    """How long an answer takes."""
    if kind == PING:
        with contextlib.suppress(OSError, Late):
            await target.open()
    begun = time.perf_counter()
    try:
        await asyncio.wait_for(target.http() if kind == HTTP else target.pinged(), GIVE_UP)
    except (OSError, Late, asyncio.TimeoutError):
        return math.inf
    return time.perf_counter() - begun


async def _main() -> None:
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    plan = Plan(**json.loads(await commands.readline()))
    over = asyncio.Event()
    with open(plan.answers, "w", encoding="utf-8", buffering=1) as answers:
        probes = []
        pauses = Pauses()
        noticing = asyncio.ensure_future(pauses.notice())
        for name, port, process, control, roots in plan.servers:
            context = ssl.create_default_context(cafile=roots) if roots else None
            loaded = Target(plan.host, port, context)
            beside = Target(plan.host, control, context)
            probes.append(Probe(name, loaded, process, beside, pauses, answers))
        asking = asyncio.gather(
            *(probe.run(kind, over) for probe in probes for kind in (HTTP, PING))
        )
        waiting = asyncio.ensure_future(commands.read())
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=1)
            if asking.done():
                asking.result()
            now = time.monotonic()
            told = {probe.name: [probe.worst, now - probe.heard] for probe in probes}
            print(json.dumps(told), flush=True)
        over.set()
        await asking
        noticing.cancel()


if __name__ == "__main__":
    gc.disable()  # it holds nothing that grows in cycles, and a collection would be a delay of its own
    asyncio.run(_main())
