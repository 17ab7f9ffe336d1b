"""One server under the suite: both processes driven, the results taken.

Rules of this file:
- The cases go in one run of the client, so that the suite's own report has them all; where a
  section begins is read from what the client prints.
- A client that says nothing for STALL_SECONDS is ended: no case may take that long.
- Everything of a pass lies in its folder: the suite's report, the specification, both logs. Only a
  folder that holds a pass is ever removed.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from conformance import process, results, servers, tls
from conformance.cases import section
from conformance.client import Client
from conformance.progress import Progress
from conformance.servers import Server

# The longest limit of a case is 480 s (the large messages of sections 12 and 13).
STALL_SECONDS = 600.0

_SPEC = "spec.json"
_CASE_BEGINS = re.compile(r"Running test case ID ([\d.]+) ")


class RunError(Exception):
    """A pass that could not be finished; one line for the user."""


class Meter:
    """Seconds of CPU and wall, by section, from what two clocks say where a section begins."""

    def __init__(
        self, cpu: Callable[[], float | None], wall: Callable[[], float] = time.monotonic
    ) -> None:
        self._cpu_clock = cpu
        self._wall_clock = wall
        self._section: str | None = None
        self._cpu_from: float | None = None
        self._wall_from = 0.0
        self.cpu: dict[str, float | None] = {}
        self.wall: dict[str, float] = {}

    def begin(self, name: str | None) -> None:
        """Section `name` begins, or with None the last one ends."""
        if name == self._section:
            return
        cpu, wall = self._cpu_clock(), self._wall_clock()
        if self._section is not None:
            self.cpu[self._section] = _difference(cpu, self._cpu_from)
            self.wall[self._section] = round(wall - self._wall_from, 1)
        self._section, self._cpu_from, self._wall_from = name, cpu, wall


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else round(now - before, 2)


def run(
    server: Server,
    client: Client,
    cases: list[str],
    folder: Path,
    progress: Progress,
    *,
    use_tls: bool,
) -> results.Run:
    """One pass over the cases, in order. An earlier pass in the folder is removed first.

    Raises RunError, servers.ServerError, tls.TlsError, results.ResultError or OSError.
    """
    folder = folder.resolve()
    _clear(folder)
    certificate = tls.make(folder) if use_tls else None
    port = process.free_port()
    spec = specification(server.name, client, cases, folder, port, use_tls=use_tls)
    (folder / _SPEC).write_text(json.dumps(spec, indent=1), encoding="utf-8")
    log = folder / "server.log"
    command = server.command(port, certificate)
    with process.started(command, port, servers.environment(server), log) as running:
        meter = Meter(running.cpu_seconds)
        try:
            _drive(client, folder, certificate, progress, meter)
        except RunError as error:
            raise RunError(running.ended() or str(error)) from error
        meter.begin(None)
        ended = running.ended()
    if ended:
        raise RunError(ended)
    return results.Run(
        results.read_report(folder, server.name),
        meter.cpu,
        meter.wall,
        log.read_text(errors="replace").count("Traceback (most recent call last)"),
    )


def _clear(folder: Path) -> None:
    """Make the folder, empty; what is not a pass of ours is never removed."""
    if folder.exists():
        if not (folder / _SPEC).exists():
            raise RunError(f"{folder} is there and holds no pass of the suite; it is left alone")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def specification(
    agent: str, client: Client, cases: list[str], folder: Path, port: int, *, use_tls: bool
) -> dict[str, object]:
    """The suite's specification of a run."""
    target = {"agent": agent, "url": f"ws://127.0.0.1:{port}"}
    if use_tls:
        target["url"] = f"wss://{tls.NAME}:{port}"
        if client.checks_certificates:
            target["hostname"] = tls.NAME
    return {
        "outdir": client.view(folder),
        "servers": [target],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }


def _drive(
    client: Client,
    folder: Path,
    certificate: tls.Certificate | None,
    progress: Progress,
    meter: Meter,
) -> None:
    """Run the client to its end, telling the progress and the meter which case begins."""
    environment = {**os.environ, **client.environment}
    if certificate is not None:
        environment["SSL_CERT_FILE"] = str(certificate.issuer)
    fuzzing = subprocess.Popen(
        client.command(folder),
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(fuzzing, lines), daemon=True)
    reader.start()
    last = "no output"
    try:
        with (folder / "suite.log").open("w", 1, encoding="utf-8") as log:
            while (line := lines.get(timeout=STALL_SECONDS)) is not None:
                log.write(line)
                last = line.strip() or last
                begins = _CASE_BEGINS.match(line)
                if begins:
                    meter.begin(section(begins[1]))
                    progress.case(begins[1])
    except queue.Empty:
        raise RunError(f"the suite stood still for {STALL_SECONDS:.0f} s ({last})") from None
    finally:
        progress.finish()
        if fuzzing.poll() is None:
            fuzzing.kill()
        fuzzing.wait()
        reader.join()
    if fuzzing.returncode:
        raise RunError(f"the suite ended with exit code {fuzzing.returncode} ({last})")


def _read(fuzzing: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    assert fuzzing.stdout is not None
    with fuzzing.stdout as output:
        for line in output:
            lines.put(line)
    lines.put(None)
