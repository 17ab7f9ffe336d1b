"""The servers of a run: started, asked, measured at rest, stopped.

Rules of this file:
- Two are under load, one over TCP and one over TLS, and two are their controls: the same command, and nobody
  there but the probe.
- Timeouts are short, so that each of them is met within a run.
- At rest means that no call is running and no connection is open. It is waited for; what does not come to rest
  is a finding.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak import watch
from conformance.process import free_port
from tests.chaos.wire import Late, Wire

HOST = "127.0.0.1"
PROJECT = Path(__file__).resolve().parents[2]
APP = "tests.chaos.apps:app"
START = 60.0
#: Seconds that a stop may take: more than the graceful timeout, less than for ever.
GRACEFUL, STOP = 5, 15.0

OPTIONS = {
    "--timeout-request-head": "3",
    "--timeout-request-body": "3",
    "--timeout-keep-alive": "2",
    "--timeout-send": "3",
    "--ws-handshake-timeout": "5",
    "--ws-send-timeout": "3",
    "--ws-ping-interval": "2",
    "--ws-ping-timeout": "4",
    "--ws-close-timeout": "2",
    "--ws-cancel-after": "2",
    "--timeout-graceful-shutdown": f"{GRACEFUL}",
    "--drain-window": "1",
}
#: Taken where the server has them.
LATER_OPTIONS = {"--http-cancel-after": "2"}
TLS_OPTIONS = {"--ssl-handshake-timeout": "3"}


class ServerError(Exception):
    """It cannot be run; one line for the user."""


@dataclass
class Held:
    """What a server holds at one moment."""

    pss: int = 0
    descriptors: int = 0
    sockets: int = 0
    books: dict[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> int:
        return sum(self.books.get("running", {}).values())

    def told(self) -> dict[str, Any]:
        return asdict(self)


def tell(environment: Mapping[str, str], *words: str) -> str:
    """What a command of asgiws says. Raises ServerError."""
    command = [sys.executable, "-m", "asgiws", *words]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=PROJECT)
    if found.returncode:
        raise ServerError(f"asgiws does not run: {found.stderr.strip().rpartition(chr(10))[2]}")
    return found.stdout.strip()


class Server:
    """One process of asgiws; `name` is also that of its log."""

    def __init__(
        self,
        name: str,
        folder: Path,
        options: list[str],
        environment: Mapping[str, str],
        certificate: list[str],
        roots: str,
    ) -> None:
        self.name = name
        self.port = free_port()
        self.log = folder / f"{name}.log"
        self.roots = roots
        self.fresh = Held()
        self.after = Held()
        self.peak = 0
        self.findings: list[str] = []
        self._context = ssl.create_default_context(cafile=roots) if roots else None
        self.command = ["asgiws", APP, "--port", f"{self.port}", "--no-access-log", *options]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self.command, *certificate],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=PROJECT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> bool:
        return self._process.poll() is not None

    async def ask(self, patience: float = 10, collect: bool = False) -> dict[str, Any]:
        """What the application has written down. Raises OSError, Late."""
        wire = await Wire.connect(HOST, self.port, self._context)
        try:
            await wire.secure(patience)
            path = "/books?collect" if collect else "/books"
            await wire.send(
                f"GET {path} HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n".encode()
            )
            data = b""
            while more := await wire.receive(patience):
                data += more
        finally:
            wire.close()
        try:
            found: dict[str, Any] = json.loads(data.partition(b"\r\n\r\n")[2])
        except ValueError:
            raise ConnectionResetError(f"no answer but {data[:60]!r}") from None
        return found

    async def begin(self) -> None:
        """Wait until it serves, and measure it."""
        until = time.monotonic() + START
        while True:
            if self.ended():
                raise ServerError(
                    f"the server ended with {self._process.returncode}: see {self.log}"
                )
            with contextlib.suppress(OSError, Late):
                await self.ask()
                break
            if time.monotonic() > until:
                raise ServerError(f"the server did not serve within {START:g} s: see {self.log}")
            await asyncio.sleep(0.1)
        self.fresh = await self.held()

    async def held(self) -> Held:
        """What it holds now, the question left out."""
        books = await self.ask(collect=True)
        books["tasks"] -= 1
        for _ in range(50):  # until the connection of the question is gone
            sockets = watch.sockets(self.pid)
            await asyncio.sleep(0.05)
            if watch.sockets(self.pid) == sockets:
                break
        return Held(watch.memory(self.pid)[0], watch.descriptors(self.pid), sockets, books)

    def sample(self) -> int:
        """Its memory now."""
        pss, _ = watch.memory(self.pid)
        self.peak = max(self.peak, pss)
        return pss

    async def come_to_rest(self, seconds: float) -> None:
        """Wait until all calls have ended and all is given back, or say what has not been."""
        until = time.monotonic() + seconds
        while True:
            try:
                self.after = await self.held()
            except (OSError, Late) as error:
                self.findings.append(f"{self.name}: no answer at the end: {error!r}")
                self.show_stacks()
                return
            if not self._left() or time.monotonic() > until:
                break
            await asyncio.sleep(0.3)
        self.findings += self._left()

    def _left(self) -> list[str]:
        fresh, after = self.fresh, self.after
        left = [
            f"{self.name}: {count} of {after.books['begun'][name]} calls of {name!r} have not ended"
            for name, count in after.books["running"].items()
        ]
        for what, before, now, more in (
            ("sockets", fresh.sockets, after.sockets, 0),
            ("descriptors", fresh.descriptors, after.descriptors, MORE_DESCRIPTORS),
            ("tasks", fresh.books["tasks"], after.books["tasks"], 0),
        ):
            if now > before + more:
                left.append(f"{self.name}: {now} {what} at the end, {before} at the start")
        return left

    def show_stacks(self) -> None:
        """Have it write to its log where it stands."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)
        time.sleep(0.5)

    async def stop(self, patience: float) -> float:
        """Stop it as an operator does; how long that took."""
        begun = time.monotonic()
        if self.ended():
            self.findings.append(f"{self.name}: it ended by itself with {self._process.returncode}")
            return 0.0
        os.kill(self.pid, signal.SIGTERM)
        while not self.ended():
            if time.monotonic() > begun + patience:
                self.findings.append(f"{self.name}: it did not stop within {patience:g} s")
                self.show_stacks()
                break
            await asyncio.sleep(0.05)
        else:
            if self._process.returncode:
                self.findings.append(f"{self.name}: exit code {self._process.returncode}")
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it and all that came of it, whatever happened."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


#: Descriptors that are no sockets and may stay: what watches for hang-ups, say, is made when it is needed.
MORE_DESCRIPTORS = 3
