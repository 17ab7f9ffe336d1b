"""Real brokers for tests: redis-server and nats-server, each in a process of its own.

Rules of this file:
- A broker keeps its port over a restart, so that clients come back to it. What it stores is in memory alone.
- A Link is a way to it that can be cut and restored, as a network can; it passes on what it gets, both ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from types import TracebackType

from tests.support.server import free_port, listens

#: No verdict hangs on it.
PATIENCE = 30.0

PROGRAMS = {"redis": "redis-server", "nats": "nats-server"}


class Broker:
    """A broker that runs, of the `kind` "redis" or "nats". `options` are for its command line."""

    def __init__(self, kind: str, *options: str) -> None:
        self.kind = kind
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, port: int = 0, user: str = "") -> str:
        """Its URL, or that of a link at `port`."""
        at = f"{user}@" if user else ""
        return f"{self.kind}://{at}127.0.0.1:{port or self.port}"

    def start(self) -> None:
        """Returns once it takes connections."""
        program = shutil.which(PROGRAMS[self.kind])
        assert program is not None
        if self.kind == "redis":
            options = [
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                "/tmp",
                "--dbfilename",
                f"asgiws-{self.port}.rdb",
            ]
        else:
            options = ["--addr", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [program, *options, *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + PATIENCE
        while not listens(self.port):
            assert self._process.poll() is None, "the broker has ended"
            assert time.monotonic() < end
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """It does nothing any more, though it is there."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def broker(kind: str, *options: str) -> Iterator[Broker]:
    running = Broker(kind, *options)
    try:
        yield running
    finally:
        running.stop()


class Link:
    """Passes connections at `port` on to a broker; use it with `async with`."""

    def __init__(self, target: Broker) -> None:
        self.port = free_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Link:
        await self.restore()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset all connections, and take none."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def restore(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._target.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, upstream[1]}
        for one in ((reader, upstream[1]), (upstream[0], writer)):
            task = asyncio.create_task(_pass_on(*one))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
