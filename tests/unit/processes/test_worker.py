"""The process of a worker, run for real; what it says, and what it writes on the board."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asgiws.processes import worker as module
from tests.support.worker_bench import bench

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are not for Windows")


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_it_is_on_the_board_while_it_accepts(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        worker = here.start(timeout_worker_healthcheck=0.1)
        other = here.board.give_out()
        assert here.board.least(other) is None
        assert await here.next() == (worker, "ready")
        await until(lambda: here.board.least(other) == 0)
        _, writer = await asyncio.open_connection(*here.sock.getsockname())
        await until(lambda: here.board.connections(worker.row) == 1)
        writer.close()
        await until(lambda: here.board.connections(worker.row) == 0)
        _, writer = await asyncio.open_connection(*here.sock.getsockname())
        writer.write(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: here.board.connections(worker.row) == 1)
        worker.stop(False, 60.0)
        assert await here.next() == (worker, "stopping")
        assert here.board.least(other) is None
        assert here.board.silence(worker.row) < 30.0
        writer.close()


async def test_its_last_moments_are_not_taken_for_hanging(tmp_path: Path) -> None:
    """The end of the interpreter may take time, and nothing beats any more."""
    async with bench(tmp_path) as here:
        worker = here.start(timeout_worker_healthcheck=0.1)
        await here.next()
        worker.stop(False, 60.0)
        silences = []
        while not worker.has_ended():
            silences.append(here.board.silence(worker.row))
            await asyncio.sleep(0.02)
        assert worker.process.returncode == 0
        assert silences[-1] == 0.0


async def test_it_gives_signs_of_life_until_it_hangs(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        worker = here.start(timeout_worker_healthcheck=0.5)
        await here.next()
        first = here.board.silence(worker.row)
        await asyncio.sleep(0.7)
        assert here.board.silence(worker.row) < first + 0.7
        worker.signal(signal.SIGSTOP)
        await until(lambda: here.board.silence(worker.row) > 1.0)
        worker.signal(signal.SIGCONT)
        await until(lambda: here.board.silence(worker.row) < 0.5)


async def test_it_says_once_that_it_is_worn_out(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        worker = here.start(timeout_worker_healthcheck=0.1, max_worker_rss=1 << 20)
        assert await here.next() == (worker, "ready")
        assert await here.next() == (worker, "worn out")
        await asyncio.sleep(0.3)
        assert here.told.empty()
        assert await here.is_served()


async def test_the_signals_of_the_supervisor_are_not_for_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        worker = here.start()
        await here.next()
        for name in module.NOT_OURS:
            worker.signal(getattr(signal, name))
        assert await here.is_served()
        assert not worker.has_ended()


async def test_the_end_of_the_supervisor_is_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with bench(tmp_path) as here:
        worker = here.start()
        await here.next()
        worker._channel.close()
        assert await asyncio.to_thread(worker.process.wait, 40) == 0
    assert f"worker 1 ({worker.pid}): The supervisor has gone: stopping" in capfd.readouterr().err


async def test_what_the_application_starts_inherits_nothing_of_it(tmp_path: Path) -> None:
    """Otherwise the ends of the channel and of the listening sockets would outlive the worker."""
    async with bench(tmp_path) as here:
        worker = here.start()
        await here.next()
        fds = Path(f"/proc/{worker.pid}/fd")
        if not fds.is_dir():
            pytest.skip("this system does not tell")
        inheritable = []
        for fd in os.listdir(fds):
            info = Path(f"/proc/{worker.pid}/fdinfo/{fd}").read_text()
            flags = int(info.partition("flags:")[2].split()[0], 8)
            if not flags & os.O_CLOEXEC:
                inheritable.append(int(fd))
        assert set(inheritable) <= {0, 1, 2}
