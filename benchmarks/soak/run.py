"""One soak, from the start of the server to its end.

Rules of this file:
- Phases: the server is measured as it was started; a warm-up with the same load, as many connections and all;
  a drain, after which the server is at rest and is measured; the soak itself; a drain; the same measurement
  again. So like is compared with like: sockets and tasks with those of the start, what may be made when it is
  first needed with that behind the warm-up.
- At rest means that no call of the application is running and no more sockets are open than at the start. It is
  waited for, for at most REST seconds: what does not come to rest is a finding.
- Processes are ended whatever happens.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak import watch
from benchmarks.soak.behaviours import MAX_SIZE
from benchmarks.soak.client import Gone, Impatient
from benchmarks.soak.judge import Judgement, judge
from benchmarks.soak.load import HOST, Plan
from benchmarks.soak.watch import Rest, Sample
from conformance.process import RunningServer, free_port, started

PROJECT = Path(__file__).resolve().parents[2]
APP = "benchmarks.soak.application:app"
REST = 60.0
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\)", re.MULTILINE)

#: Signs of a fault in the server's log, whatever clients do.
SIGNS = (
    "Exception ignored in",
    "never retrieved",
    "was never awaited",
    "Task was destroyed",
    "ResourceWarning",
    "RuntimeWarning",
    "Fatal Python error",
)


class SoakError(Exception):
    """The soak cannot be run; one line for the user."""


@dataclass(frozen=True)
class Settings:
    """What is asked for. `minutes` are those of the soak itself; the warm-up and the drains come on top."""

    minutes: float
    connections: int
    processes: int
    seed: int
    warm_up: float
    folder: Path
    options: list[str]
    fault: str = ""
    only: list[str] = field(default_factory=list)
    topics: bool = True
    workers: int = 1

    @property
    def rooms(self) -> int:
        """Rooms of each kind: few enough for some company."""
        return max(2, self.connections // 80) if self.topics else 0

    @property
    def lifetime(self) -> float:
        """Seconds that a connection lives on average: many generations, also in a short soak."""
        return min(30.0, max(1.5, self.minutes * 60 / 15))

    @property
    def think(self) -> float:
        """Seconds between two bursts of one client: the load is bounded, however many there are."""
        return max(0.1, min(self.connections / 500, self.lifetime / 3))

    @property
    def patience(self) -> float:
        """Seconds that a client waits for what it must get; longer than any timeout of the server's."""
        return 60 + self.lifetime

    def command(self, port: int) -> list[str]:
        """The server's command line."""
        own = {
            "--port": f"{port}",
            "--ws-max-size": f"{MAX_SIZE}",
            "--ws-ping-interval": f"{3 + self.lifetime / 4:.1f}",
            "--ws-ping-timeout": f"{min(40.0, 8 + self.lifetime * 4):.1f}",
            "--timeout-keep-alive": f"{10 + self.lifetime:.1f}",
        }
        if self.workers > 1:
            own["--workers"] = f"{self.workers}"
        words = [word for pair in own.items() for word in pair]
        return [sys.executable, "-m", "asgiws", APP, *words, "--no-access-log", *self.options]


@dataclass
class Outcome:
    """All that came out of a soak."""

    settings: dict[str, Any]
    judgement: Judgement
    fresh: Rest
    before: Rest
    after: Rest
    samples: list[Sample]
    counts: dict[str, int]
    log: dict[str, int]
    seconds: float
    findings: list[str] = field(default_factory=list)


class _Process:
    """A process of the load."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.open = 0
        self.slowness = 1.0
        self.counts: Counter[str] = Counter()
        self.drained = asyncio.Event()
        self.ready = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(cls, plan: Plan, environment: dict[str, str], log: Path) -> _Process:
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.soak.load"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=PROJECT,
            )
        load = cls(process)
        load.tell(json.dumps(asdict(plan)))
        await load.happens(load.ready, 30)
        return load

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            found = json.loads(line)
            self.open = found["open"]
            self.slowness = found["slowness"]
            self.counts = Counter(found["counts"])
            self.ready.set()
            if found.get("drained"):
                self.drained.set()

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def happens(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an answer. Raises SoakError when the process ends before, or is silent for too long."""
        waiting = asyncio.ensure_future(event.wait())
        done, _ = await asyncio.wait(
            [waiting, self._reading], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if waiting not in done:
            waiting.cancel()
            how = "ended" if self._reading in done else f"was silent for {seconds:.0f} s"
            raise SoakError(f"a process of the load {how}: see its log")

    @property
    def ended(self) -> bool:
        return self._reading.done()

    async def stop(self) -> None:
        if self._process.returncode is None:
            self.tell("quit")
            try:
                await asyncio.wait_for(self._process.wait(), 10)
            except asyncio.TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._reading.cancel()


class _Soak:
    """The state of a soak that is running."""

    def __init__(
        self,
        settings: Settings,
        server: RunningServer,
        port: int,
        show: Callable[[Sample, Counter[str]], None],
    ) -> None:
        self.settings = settings
        self.server = server
        self.port = port
        self.show = show
        self.begun = time.monotonic()
        self.samples: list[Sample] = []
        self.loads: list[_Process] = []
        self.phase = "start"
        self.fresh = Rest()
        self.findings: list[str] = []

    def counts(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for load in self.loads:
            total.update(load.counts)
        return total

    async def sample(self) -> None:
        """Measure, show; once a second."""
        pid = self.server.pid
        tasks = running = 0
        several = [pid]
        while True:
            await asyncio.sleep(1)
            ended = self.server.ended()
            if ended:
                raise SoakError(ended)
            if any(load.ended for load in self.loads):
                raise SoakError("a process of the load ended: see its log")
            if len(self.samples) % 5 == 0:
                several = watch.processes(pid)
                try:
                    told = await watch.ask_all(HOST, self.port, self.settings.workers)
                    tasks = sum(one["tasks"] for one in told)
                    running = sum(one["running"] for one in told)
                except (OSError, Gone, Impatient) as error:
                    self.findings.append(f"the server did not tell of its tasks: {error!r}")
            counts = self.counts()
            measured = [watch.memory(one) for one in several]
            one = Sample(
                round(time.monotonic() - self.begun, 1),
                self.phase,
                sum(pss for pss, _ in measured),
                sum(rss for _, rss in measured),
                sum(map(watch.descriptors, several)),
                tasks,
                running,
                sum(load.open for load in self.loads),
                counts["sent"] + counts["received"] + counts["responses"],
                round(max(load.slowness for load in self.loads), 1),
            )
            self.samples.append(one)
            self.show(one, counts)

    async def load(self, phase: str, seconds: float) -> Rest:
        """Run the load for so long, let it drain, and measure the server at rest."""
        self.phase = phase
        for load in self.loads:
            load.drained.clear()
            load.tell("run")
        await asyncio.sleep(seconds)
        self.phase = "drain"
        for load in self.loads:
            load.tell("drain")
        for load in self.loads:
            # Everybody comes to an end, at the latest when the guard against hanging has its say.
            await load.happens(load.drained, 400)
        self.phase = "rest"
        await self._come_to_rest(phase)
        return await watch.at_rest(self.server.pid, HOST, self.port, self.settings.workers)

    async def _come_to_rest(self, phase: str) -> None:
        until = time.monotonic() + REST
        while time.monotonic() < until:
            answers = await watch.ask_all(HOST, self.port, self.settings.workers)
            running = sum(one["running"] - 1 for one in answers)  # but for the question
            await asyncio.sleep(0.5)
            held = sum(map(watch.sockets, watch.processes(self.server.pid)))
            if not running and held <= self.fresh.sockets:
                return
        self.findings.append(
            f"after the {phase} the server did not come to rest within {REST:.0f} s: {running} calls of the"
            f" application are running, {held} sockets are open, {self.fresh.sockets} at the start"
        )


async def soak(settings: Settings, show: Callable[[Sample, Counter[str]], None]) -> Outcome:
    """Carry it out. Raises SoakError, conformance's ServerError, OSError."""
    folder = settings.folder
    folder.mkdir(parents=True, exist_ok=True)
    ledger = folder / "ledger.jsonl"
    accounts = [folder / f"accounts-{number}.jsonl" for number in range(settings.processes)]
    for path in (ledger, *accounts):
        path.unlink(missing_ok=True)
    port = free_port()
    environment = _environment()
    told = {
        **environment,
        "PYTHONWARNINGS": "default",
        "SOAK_LEDGER": str(ledger.absolute()),
        "SOAK_FAULT": settings.fault,
        "SOAK_ROOMS": f"{settings.rooms}",
    }
    log = folder / "server.log"
    begun = time.monotonic()
    with started(settings.command(port), port, told, log, PROJECT) as server:
        soaked = _Soak(settings, server, port, show)
        try:
            for number, path in enumerate(accounts):
                plan = _plan(settings, number, port, path)
                log_of_load = folder / f"load-{number}.log"
                soaked.loads.append(await _Process.start(plan, environment, log_of_load))
            before, after = await _phases(soaked)
            counts = soaked.counts()
        finally:
            for load in soaked.loads:
                await load.stop()
        await _stop(server, soaked.findings)
    found = judge(ledger, accounts)
    lines = _read_log(log, counts["asked to raise"], soaked.findings)
    for number in range(settings.processes):
        said = (folder / f"load-{number}.log").read_text(errors="replace").strip()
        if said:
            soaked.findings.append(f"load-{number}.log: {said.splitlines()[-1]}")
    return Outcome(
        _told(settings, port),
        found,
        soaked.fresh,
        before,
        after,
        soaked.samples,
        dict(counts),
        lines,
        time.monotonic() - begun,
        soaked.findings,
    )


async def _phases(soaked: _Soak) -> tuple[Rest, Rest]:
    sampling = asyncio.ensure_future(soaked.sample())
    settings = soaked.settings

    async def phases() -> tuple[Rest, Rest]:
        soaked.fresh = await watch.at_rest(soaked.server.pid, HOST, soaked.port, settings.workers)
        before = await soaked.load("warm-up", settings.warm_up)
        if soaked.findings or soaked.counts()["problems"]:
            return before, before  # it has failed already, and soon is better than late
        return before, await soaked.load("soak", settings.minutes * 60)

    running = asyncio.ensure_future(phases())
    try:
        await asyncio.wait([sampling, running], return_when=asyncio.FIRST_COMPLETED)
        if sampling.done():
            sampling.result()  # it ends only by an error
        return running.result()
    finally:
        for task in (sampling, running):
            task.cancel()
        await asyncio.gather(sampling, running, return_exceptions=True)


def _plan(settings: Settings, number: int, port: int, accounts: Path) -> Plan:
    share = settings.connections // settings.processes
    more = number < settings.connections % settings.processes
    return Plan(
        number=number,
        port=port,
        slots=share + more,
        seed=settings.seed,
        lifetime=settings.lifetime,
        think=settings.think,
        patience=settings.patience,
        topics=max(2, settings.connections // 100),
        ramp=min(settings.warm_up / 2, max(1.0, settings.connections / 80)),
        accounts=str(accounts.absolute()),
        only=settings.only,
        rooms=settings.rooms,
        workers=settings.workers,
    )


def _environment() -> dict[str, str]:
    """Ours, without options of asgiws: what the command line says is all that counts."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ASGIWS_") or name == "ASGIWS_EXTENSIONS"
    }
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "NO_PROXY": "*"}


async def _stop(server: RunningServer, findings: list[str]) -> None:
    """End the server as an operator does; it must end well."""
    os.kill(server.pid, signal.SIGTERM)
    for _ in range(400):
        ended = server.ended()
        if ended:
            if "exit code 0 " not in ended:
                findings.append(ended)
            return
        await asyncio.sleep(0.1)
    findings.append("the server did not stop")


def _read_log(log: Path, raised: int, findings: list[str]) -> dict[str, int]:
    """Count what stands in the server's log; a traceback for each exception that was asked for, and no more."""
    text = log.read_text(errors="replace")
    tracebacks = len(_TRACEBACK.findall(text))
    found = {"lines": text.count("\n"), "tracebacks": tracebacks, "asked to raise": raised}
    found["failed WebSockets"] = text.count("WebSocket failed with")
    if text.count("benchmarks.soak.application.Asked") != tracebacks or tracebacks > raised:
        findings.append(
            f"{tracebacks} tracebacks in the server's log, for {raised} exceptions asked for"
        )
    signs = [sign for sign in SIGNS if sign in text]
    findings += [f"{one!r} stands {text.count(one)} times in the server's log" for one in signs]
    return found


def _told(settings: Settings, port: int) -> dict[str, Any]:
    shown = {name: value for name, value in asdict(settings).items() if name != "folder"}
    command = " ".join(["asgiws", *settings.command(port)[3:]])
    return {**shown, "lifetime": settings.lifetime, "think": settings.think, "command": command}


def random_seed() -> int:
    return random.SystemRandom().randrange(10**6)
