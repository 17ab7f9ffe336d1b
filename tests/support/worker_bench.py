"""Workers as their supervisor starts them, without a supervisor.

Rules of this file: they are real processes, and none outlives its test.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asgiws.config import Config
from asgiws.processes.scoreboard import Scoreboard, make_memory
from asgiws.processes.worker_process import WorkerProcess

APPLICATION = """
import asyncio, atexit, time
atexit.register(time.sleep, 1.0)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": message["type"] + ".complete"})
        return
    if scope["path"] == "/wait":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})
"""


class Bench:
    """A listening socket, a board, and what workers tell."""

    def __init__(self, directory: Path) -> None:
        (directory / "served_by_worker.py").write_text(APPLICATION)
        self.directory = directory
        self.memory = make_memory()
        self.board = Scoreboard(self.memory)
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.silences = 0
        self.workers: list[WorkerProcess] = []

    def start(self, **options: Any) -> WorkerProcess:
        options = {"workers": 1, "app_dir": str(self.directory), **options}
        worker = WorkerProcess(
            asyncio.get_running_loop(),
            Config("served_by_worker:app", **options),
            len(self.workers) + 1,
            self.board.give_out(),
            self.memory,
            [self.sock],
            True,
            lambda worker, message: self.told.put_nowait((worker, message["what"])),
            self._silent,
        )
        self.workers.append(worker)
        return worker

    def _silent(self) -> None:
        self.silences += 1

    async def next(self) -> Any:
        return await asyncio.wait_for(self.told.get(), 40)

    async def ended(self, worker: WorkerProcess) -> int:
        deadline = time.monotonic() + 40
        while not worker.has_ended():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        return worker.process.returncode

    async def is_served(self) -> bool:
        reader, writer = await asyncio.open_connection(*self.sock.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 40)
        writer.close()
        return answer.startswith(b"HTTP/1.1 204 ")


@asynccontextmanager
async def bench(directory: Path) -> AsyncIterator[Bench]:
    bench = Bench(directory)
    try:
        yield bench
    finally:
        for worker in bench.workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
            worker.has_ended()
        bench.sock.close()
        bench.board.close()
        os.close(bench.memory)
