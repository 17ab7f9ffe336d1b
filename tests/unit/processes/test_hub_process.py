"""When there is a hub process, and when there is none; its start, its restart, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from asgiws.config import StartError
from asgiws.processes import hub_process as module
from asgiws.processes.backoff import SOUND
from tests.support.hub_bench import Bench, Reader, bench, join, publish
from tests.support.loops import on_each_loop
from tests.support.server import is_alive

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are not for Windows")


@on_each_loop
async def test_it_starts_with_the_first_link_and_leaves_nothing() -> None:
    async with bench() as here:
        directory = Path(here.process.path).parent
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        await asyncio.sleep(0.1)
        assert here.pid() == 0
        await join(here.hub(), Reader("a"))
        pid = here.pid()
        assert is_alive(pid)
        await join(here.hub(), Reader("a"))
        assert here.pid() == pid
    assert not is_alive(pid)
    assert not directory.exists()


async def test_signals_that_all_processes_get_do_not_end_it() -> None:
    async with bench() as here:
        hub = here.hub()
        reader = await join(hub, Reader("a"))
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            here.signal(getattr(signal, name))
        publish(hub, "a", "still here")
        assert await reader.hears(1) == ["joined", "still here"]


async def test_one_that_dies_again_and_again_is_started_ever_more_slowly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bench() as here:
        reader = await join(here.hub(), Reader("a"))

        async def kill() -> str:
            count = len(reader.joined)
            here.signal(signal.SIGKILL)
            await here.until(lambda: len(reader.joined) > count)
            return caplog.messages[-1].rpartition("another")[2]

        assert [await kill() for _ in range(3)] == ["", " in 0.25 s", " in 0.5 s"]
        here.process._started -= SOUND
        assert await kill() == ""


async def test_the_system_refuses_to_start_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench() as here:
        launch = module.launch

        def refuse(*arguments: object) -> None:
            monkeypatch.setattr(module, "launch", launch)
            raise OSError("no room")

        monkeypatch.setattr(module, "launch", refuse)
        await join(here.hub(), Reader("a"))
        assert (
            "Cannot start the hub process of topics: no room; trying again in 0.25 s" in caplog.text
        )


async def test_its_end_does_not_wait_for_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOMENT", 0.1)
    async with bench() as here:
        await join(here.hub(), Reader("a"))
        pid = here.pid()
        here.signal(signal.SIGSTOP)
    assert not is_alive(pid)


async def test_it_outlives_its_supervisor_until_the_workers_have_left() -> None:
    async with bench() as here:
        one, other = here.hub(), here.hub()
        reader = await join(one, Reader("a"))
        directory = Path(here.process.path).parent
        process = here.process._process
        assert process is not None
        assert here.process._channel is not None
        here.process._channel.close()  # as if the supervisor was killed
        publish(other, "a", "still here")
        assert await reader.hears(1) == ["joined", "still here"]
        other.close()
        publish(one, "a", "still here")
        assert await reader.hears(2) == ["joined", "still here", "still here"]
        one.close()
        await here.until(lambda: process.poll() is not None)
        assert process.returncode == 0
        assert not directory.exists()


async def test_without_its_supervisor_it_does_not_stay_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(timeout_graceful_shutdown=0.1) as here:
        await join(here.hub(), Reader("a"))
        process = here.process._process
        assert process is not None
        assert here.process._channel is not None
        here.process._channel.close()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(process.wait, 1.0), 0.5)
        await here.until(lambda: process.poll() is not None)


async def test_a_long_name_of_the_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    async with bench() as here:
        assert len(os.fsencode(here.process.path)) < module.MOST_PATH
        await join(here.hub(), Reader("a"))
    assert list(long.iterdir()) == []


async def test_no_socket_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(module.tempfile, "mkdtemp", refuse)
    with pytest.raises(StartError, match="no socket for the topics of workers: no room"):
        Bench(asyncio.get_running_loop())
