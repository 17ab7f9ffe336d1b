"""One worker as its supervisor sees it: real processes, of interpreters that end as told."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from asgiws.processes import worker_process as module
from asgiws.processes.worker_process import READY, STARTING, STOPPING, WorkerProcess
from tests.support.worker_bench import bench

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are not for Windows")


async def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        worker = here.start()
        assert worker.state == STARTING
        assert str(worker) == f"Worker 1 ({worker.pid})"
        assert not worker.has_ended()
        assert await here.next() == (worker, "ready")
        assert await here.is_served()
        worker.stop(False, 5.0)
        assert worker.state == STOPPING
        assert worker.kill_at == pytest.approx(time.monotonic() + 5.0, abs=2.0)
        assert await here.next() == (worker, "stopping")
        assert await here.ended(worker) == 0
        assert worker.how_ended() == "ended with exit code 0"


async def test_to_be_forced_is_to_end_at_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        worker = here.start()
        await here.next()
        worker.stop(False, 3600.0)
        worker.force(1.0)
        assert worker.kill_at == pytest.approx(time.monotonic() + 1.0, abs=1.0)
        assert await here.ended(worker) == 0


@pytest.mark.parametrize(
    ("number", "how"),
    [(signal.SIGKILL, "was killed by SIGKILL"), (signal.SIGABRT, "was killed by SIGABRT")],
)
async def test_its_end_by_a_signal_is_told_by_name(tmp_path: Path, number: int, how: str) -> None:
    async with bench(tmp_path) as here:
        worker = here.start()
        await here.next()
        worker.signal(number)
        assert await here.ended(worker) == -number
        assert worker.how_ended() == how


def test_a_signal_without_a_name() -> None:
    worker: Any = type("W", (), {"process": type("P", (), {"returncode": -99})})
    assert WorkerProcess.how_ended(worker) == "was killed by signal 99"


async def test_what_it_has_told_before_its_end_is_told(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        worker = here.start()
        await here.next()
        os.kill(worker.pid, signal.SIGTERM)
        worker.process.wait(40)  # the loop reads nothing meanwhile
        assert worker.has_ended()
        assert await here.next() == (worker, "stopping")
        assert here.silences == 0


async def test_ctrl_c_in_the_terminal_does_not_reach_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        worker = here.start()
        assert os.getsid(worker.pid) == worker.pid
        assert os.getpgid(worker.pid) != os.getpgid(0)


async def test_one_that_cannot_be_started_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as here:
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        monkeypatch.setattr(module.sys, "executable", "/nowhere/python")
        with pytest.raises(FileNotFoundError):
            here.start()
        if before:
            assert len(os.listdir("/proc/self/fd")) == before


def test_the_states_are_different() -> None:
    assert len({STARTING, READY, STOPPING}) == 3
