"""One run: the servers, the load and the probe beside each other, for so many minutes.

Rules of this file:
- Processes are ended whatever happens.
- What came out is an `Outcome`, and whether that is good is for `report` to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.watch import memory
from tests.chaos import clients, log, probe
from tests.chaos.probe import Answer
from tests.chaos.servers import (
    HOST,
    LATER_OPTIONS,
    OPTIONS,
    PROJECT,
    STOP,
    TLS_OPTIONS,
    Server,
    ServerError,
    tell,
)
from tests.chaos.wire import Late, Wire
from tests.support.pki import Authority

__all__ = ["Outcome", "ServerError", "Settings", "chaos", "random_seed"]

PLAIN, TLS = "plain", "tls"
#: Seconds that the load has for the visits it has begun.
ENDING = 120.0
#: Seconds without any answer after which a server is taken for dead.
SILENT = 60.0
#: What the probe says before it has said anything: the longest answer, and how long ago the last one was.
NOTHING = [0.0, 0.0]


@dataclass(frozen=True)
class Settings:
    """What is asked for. `hurry` shortens what clients wait for by themselves; `rest` is how long all has to
    come to its end, and `stop` how long that of the server may take."""

    seconds: float
    seed: int
    folder: Path
    transports: tuple[str, ...]
    styles: tuple[str, ...]
    ways: tuple[str, ...]
    slots: int = 16
    pause: float = 0.1
    hurry: float = 1.0
    rest: float = 60.0
    stop: float = STOP
    options: tuple[str, ...] = ()
    pure: bool = False
    plant: str = ""


@dataclass
class Outcome:
    """All that came out."""

    settings: Settings
    #: `style|way|what the client saw`, `style|way|how the handler ended`, over all servers.
    seen: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    visits: int = 0
    answers: list[Answer] = field(default_factory=list)
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    unexpected: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    version: str = ""
    command: str = ""


class _Process:
    """A process that is told its plan on its input, and tells how it goes a line at a time."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.last: Any = {}
        self._process = process
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(cls, name: str, module: str, plan: object, folder: Path) -> _Process:
        with (folder / f"{name}.log").open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=PROJECT,
                limit=1 << 26,
            )
        assert process.stdin is not None
        process.stdin.write(json.dumps(plan).encode() + b"\n")
        return cls(name, process)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.last = json.loads(line)

    def over(self) -> None:
        """Say that it is time to come to an end."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def wait(self, seconds: float) -> str:
        """Wait for its end; what is wrong with it, if anything."""
        try:
            await asyncio.wait_for(self._reading, seconds)
            code = await asyncio.wait_for(self._process.wait(), 10)
        except asyncio.TimeoutError:
            return f"{self.name}: it did not come to an end"
        return f"{self.name}: exit code {code}, see its log" if code else ""

    @property
    def running(self) -> bool:
        return not self._reading.done()

    async def kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        self._reading.cancel()


async def chaos(settings: Settings, show: Callable[[str], None]) -> Outcome:
    """Carry it out. Raises ServerError, OSError."""
    folder = settings.folder
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    outcome = Outcome(settings)
    outcome.command = f"python -m asgiws ... {' '.join(_options(settings, False))}"
    outcome.version = await asyncio.to_thread(tell, _environment(settings), "--version")
    servers, controls = await asyncio.to_thread(_start, settings)
    processes: list[_Process] = []
    try:
        for server in (*servers, *controls):
            await server.begin()
        await _load(settings, servers, controls, processes, outcome, show)
        show("at rest?")
        await asyncio.gather(*(server.come_to_rest(settings.rest) for server in servers))
        await _stop(servers, controls, outcome)
    finally:
        for process in processes:
            await process.kill()
        for server in (*servers, *controls):
            server.kill()
    _read_logs(servers, controls, outcome)
    outcome.seconds = time.monotonic() - begun
    return outcome


def _start(settings: Settings) -> tuple[list[Server], list[Server]]:
    """The servers, and their controls."""
    folder = settings.folder
    authority = Authority(folder)
    certificate = ["--ssl-certfile", authority.certificate, "--ssl-keyfile", authority.key]
    environment = _environment(settings)
    help_text = tell(environment, "--help")
    later = [word for pair in LATER_OPTIONS.items() if f"{pair[0]} " in help_text for word in pair]
    servers: list[Server] = []
    controls: list[Server] = []
    for transport in settings.transports:
        over_tls = transport == TLS
        options = [*_options(settings, over_tls), *later]
        files = certificate if over_tls else []
        roots = authority.roots if over_tls else ""
        planted = {**environment, "CHAOS_PLANT": settings.plant}
        servers.append(Server(transport, folder, options, planted, files, roots))
        name = f"control-{transport}"
        controls.append(Server(name, folder, options, environment, files, roots))
    return servers, controls


def _options(settings: Settings, over_tls: bool) -> list[str]:
    own = {**OPTIONS, **(TLS_OPTIONS if over_tls else {})}
    return [word for pair in own.items() for word in pair] + [*settings.options]


def _environment(settings: Settings) -> dict[str, str]:
    """Ours, without options of asgiws: what the command line says is all that counts."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ASGIWS_") or name == "ASGIWS_EXTENSIONS"
    }
    if settings.pure:
        kept["ASGIWS_EXTENSIONS"] = "no"
    return {**kept, "PYTHONWARNINGS": "default", "PYTHONUNBUFFERED": "1"}


async def _load(
    settings: Settings,
    servers: list[Server],
    controls: list[Server],
    processes: list[_Process],
    outcome: Outcome,
    show: Callable[[str], None],
) -> None:
    """The load and the probe, for as long as it was asked for."""
    folder = settings.folder
    answers = folder / "answers.jsonl"
    loads = []
    for server in servers:
        plan = clients.Plan(
            HOST,
            server.port,
            server.roots,
            f"{settings.seed}.{server.name}",
            settings.slots,
            settings.pause,
            [*settings.styles],
            [*settings.ways],
            settings.hurry,
        )
        name = f"load-{server.name}"
        loads.append(await _Process.start(name, clients.__name__, asdict(plan), folder))
        processes.append(loads[-1])
    asked = [
        (server.name, server.port, server.pid, control.port, server.roots)
        for server, control in zip(servers, controls, strict=True)
    ]
    prober = await _Process.start(
        "probe", probe.__name__, asdict(probe.Plan(HOST, asked, str(answers))), folder
    )
    processes.append(prober)
    begun = time.monotonic()
    while (at := time.monotonic() - begun) < settings.seconds:
        await asyncio.sleep(min(1.0, settings.seconds - at))
        for server in servers:
            server.sample()
            if server.ended():
                outcome.findings.append(f"{server.name}: the server has ended")
            elif prober.last.get(server.name, NOTHING)[1] > SILENT:
                outcome.findings.append(f"{server.name}: no probe was answered for {SILENT:g} s")
                server.show_stacks()
        if outcome.findings or not all(one.running for one in processes):
            break  # it has failed already, and soon is better than late
        show(_line(time.monotonic() - begun, servers, loads, prober))
    for load in loads:
        load.over()
    for load in loads:
        outcome.findings += filter(None, [await load.wait(ENDING)])
        _count(load, outcome)
    prober.over()
    outcome.findings += filter(None, [await prober.wait(probe.GIVE_UP + 15)])
    outcome.answers = [Answer(*json.loads(line)) for line in answers.read_text().splitlines()]


def _line(at: float, servers: list[Server], loads: list[_Process], prober: _Process) -> str:
    parts = [f"{at:6.0f} s"]
    for server, load in zip(servers, loads, strict=True):
        told = load.last
        worst, _ = prober.last.get(server.name, NOTHING)
        parts.append(
            f"{server.name}: {told.get('visits', 0):,} visits, {told.get('open', 0)} open,"
            f" {told.get('stuck', 0)} stuck, worst answer +{1000 * worst:.0f} ms,"
            f" {memory(server.pid)[0] / (1 << 20):.0f} MiB"
        )
    return "  ".join(parts)


def _count(load: _Process, outcome: Outcome) -> None:
    tally = load.last.get("whole")
    if tally is None:
        outcome.findings.append(f"{load.name}: it did not tell what came of it")
        return
    outcome.visits += load.last["visits"]
    outcome.seen.update(tally["seen"])
    stuck: dict[str, Counter[str]] = {}
    for pair, what in tally["stuck"]:
        stuck.setdefault(what, Counter())[pair.replace("|", " / ")] += 1
    for what, pairs in stuck.items():
        named = ", ".join(f"{pair} ({count})" for pair, count in pairs.most_common())
        outcome.findings.append(f"{load.name}: {sum(pairs.values())} times: {what}: {named}")
    outcome.findings += [
        f"{load.name}: a fault of the test's own: {one}" for one in tally["faults"]
    ]


async def _stop(servers: list[Server], controls: list[Server], outcome: Outcome) -> None:
    """Stop all of them, with clients connected to those that were under load."""
    guests = [guest for server in servers for guest in await _guests(server)]
    took = await asyncio.gather(
        *(server.stop(outcome.settings.stop) for server in (*servers, *controls))
    )
    for guest in guests:
        guest.close()
    for server, seconds in zip((*servers, *controls), took, strict=True):
        outcome.findings += server.findings
        told = {"fresh": server.fresh.told(), "after": server.after.told(), "peak": server.peak}
        outcome.servers[server.name] = {**told, "stop": seconds}
    for server in servers:
        books = server.after.books
        outcome.ended.update(books.get("outcomes", {}))
        outcome.findings += [
            f"{server.name}: {count} times: {what}"
            for what, count in books.get("problems", {}).items()
        ]


async def _guests(server: Server) -> list[Wire]:
    """A few clients that are there when it stops: idle ones, and one that is in the middle of a response."""
    guests = []
    for request in (
        b"",
        b"GET /listens-and-is-silent HTTP/1.1\r\nHost: chaos\r\n\r\n",
        b"GET /sends-at-times HTTP/1.1\r\nHost: chaos\r\n\r\n",
        b"GET /probe HTTP/1.1\r\nHost: chaos\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ):
        with contextlib.suppress(OSError, Late):
            guest = await Wire.connect(HOST, server.port, server._context)
            guests.append(guest)
            await guest.secure()
            if request:
                await guest.send(request)
                await guest.receive(10)
    return guests


def _read_logs(servers: list[Server], controls: list[Server], outcome: Outcome) -> None:
    for server in (*servers, *controls):
        found = log.unexpected(server.log.read_text(errors="replace"))
        if found:
            outcome.unexpected[server.name] = found


def random_seed() -> int:
    return random.SystemRandom().randrange(10**6)
