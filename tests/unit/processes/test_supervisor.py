"""What the supervisor decides, with workers that do what the test says, on a clock of its own.

The same with real processes is in `tests/integration/test_workers.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.net import systemd
from asgiws.net.sockets import Listener
from asgiws.processes import supervisor as module
from asgiws.processes.backoff import MOST, SOUND
from asgiws.processes.supervisor import Supervisor, supervise
from asgiws.processes.worker_process import READY, STARTING, STOPPING


class Process:
    """In place of a WorkerProcess: it does nothing but what it is told."""

    made: list[Process]
    refuses = False

    def __init__(
        self,
        loop: Any,
        config: Config,
        number: int,
        row: int,
        board: int,
        listeners: list[socket.socket],
        shares: bool,
        told: Any,
        silent: Any,
        secret: bytes = b"",
        hub: str = "",
    ) -> None:
        if Process.refuses:
            raise OSError("no room")
        self.number = number
        self.row = row
        self.listeners = listeners
        self.shares = shares
        self.state = STARTING
        self.outdated: str | None = None
        self.ready_at: float | None = None
        self.kill_at: float | None = None
        self.was_aborted = False
        self.process = self
        self.returncode: int | None = None
        self.signals: list[int] = []
        self.told = told
        Process.made.append(self)

    def __str__(self) -> str:
        return f"Worker {self.number}"

    def ready(self) -> None:
        self.told(self, {"what": "ready"})

    def stop(self, in_hurry: bool, patience: float) -> None:
        self.state = STOPPING
        self.in_hurry = in_hurry
        self.kill_at = module.time.monotonic() + patience

    force = stop

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def wait(self) -> int:
        return 0

    def has_ended(self) -> bool:
        return self.returncode is not None

    def how_ended(self) -> str:
        return f"ended with {self.returncode}"


class Bench:
    """A supervisor that is looked at from within."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.now = 1000.0
        Process.made = []
        Process.refuses = False
        monkeypatch.setattr(module, "WorkerProcess", Process)
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        self.sock = socket.socket()
        if options.get("reuse_port"):
            module.siblings.allow(self.sock)
        self.sock.bind(("127.0.0.1", 0))
        notifier = systemd.Notifier(None)
        self.supervisor = Supervisor(Config("a:b", **options), [Listener(self.sock)], notifier)
        self.supervisor._loop = asyncio.get_running_loop()
        self.supervisor._adjust()
        (self.first,) = Process.made

    def live(self) -> list[int]:
        """The numbers of the workers that are starting or ready."""
        return sorted(
            worker.number for worker in self.supervisor._workers if worker.state != STOPPING
        )

    def all_ready(self) -> list[Process]:
        """Have all start well, those too that are started then."""
        workers: list[Process] = self.supervisor._workers  # type: ignore[assignment]
        while starting := [worker for worker in workers if worker.state == STARTING]:
            for worker in starting:
                worker.ready()
        return [worker for worker in workers if worker.state == READY]

    def end(self, worker: Process, code: int) -> None:
        worker.returncode = code
        self.supervisor._look()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.supervisor._look()


@pytest.fixture
async def benches(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(monkeypatch, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.supervisor._end()
        bench.sock.close()


async def test_as_many_as_wanted_each_with_a_number_of_its_own(benches: Any) -> None:
    bench = benches(workers=3)
    bench.first.ready()
    assert bench.live() == [1, 2, 3]
    assert all(worker.shares for worker in Process.made)
    assert len({worker.row for worker in Process.made}) == 3


async def test_one_alone_shares_with_nobody_until_there_are_more(benches: Any) -> None:
    bench = benches(workers=1)
    (first,) = bench.all_ready()
    assert not first.shares
    bench.supervisor.resize(1)
    assert first.outdated
    for _ in range(3):
        bench.all_ready()
    assert first.state == STOPPING
    assert bench.live() == [1, 2]
    assert all(worker.shares for worker in Process.made[1:])


async def test_a_successor_is_ready_before_the_old_one_goes(benches: Any) -> None:
    bench = benches(workers=2)
    first, second = bench.all_ready()
    bench.supervisor.replace_all()
    assert bench.live() == [1, 1, 2]
    assert (first.state, second.state) == (READY, READY)
    Process.made[2].ready()
    assert (first.state, second.state) == (STOPPING, READY)
    assert Process.made[2].number == first.number
    assert bench.live() == [1, 2, 2]
    Process.made[3].ready()
    assert second.state == STOPPING
    assert bench.live() == [1, 2]


async def test_one_that_dies_while_all_are_replaced_is_replaced_too(benches: Any) -> None:
    bench = benches(workers=2)
    first, _ = bench.all_ready()
    bench.supervisor.replace_all()
    bench.end(first, -9)
    bench.wait(60.0)
    for _ in range(4):
        bench.all_ready()
        bench.wait(0.0)
    assert bench.live() == [1, 2]
    assert all(
        worker.outdated is None for worker in bench.supervisor._workers if worker.state == READY
    )


async def test_the_wait_grows_with_each_death_up_to_a_limit(benches: Any) -> None:
    bench = benches(workers=1)
    waits = []
    for _ in range(10):
        (worker,) = bench.all_ready()
        begin = bench.now
        bench.end(worker, -11)
        while not bench.live():
            bench.wait(0.25)
        waits.append(bench.now - begin)
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, *[MOST] * 3]
    (worker,) = bench.all_ready()
    bench.wait(SOUND)
    bench.end(worker, -11)
    assert bench.live() == [1]


async def test_the_first_start_is_one_alone_and_stops_all_when_it_fails(benches: Any) -> None:
    bench = benches(workers=3)
    bench.wait(60.0)
    assert bench.live() == [1]
    bench.end(bench.first, 3)
    bench.wait(60.0)
    assert bench.supervisor.code == 3
    assert len(Process.made) == 1


async def test_a_start_that_fails_while_nobody_serves_stops_those_who_start(benches: Any) -> None:
    bench = benches(workers=3)
    bench.all_ready()
    for worker in bench.all_ready():
        bench.end(worker, -9)
    bench.wait(60.0)
    assert bench.live() == [1, 2, 3]
    _, second, third = bench.supervisor._workers
    bench.end(bench.supervisor._workers[0], 3)
    assert (second.state, third.state) == (STOPPING, STOPPING)
    bench.end(second, 1)
    bench.end(third, 0)
    assert bench.supervisor.code == 3


@pytest.mark.parametrize(("status", "code"), [(1, 1), (3, 3), (-9, 1), (0, 1)])
async def test_the_code_of_a_failed_start(benches: Any, status: int, code: int) -> None:
    bench = benches(workers=1)
    bench.end(Process.made[0], status)
    assert bench.supervisor.code == code


async def test_one_whose_start_fails_while_another_serves_is_tried_again(benches: Any) -> None:
    bench = benches(workers=2)
    first, _ = bench.all_ready()
    bench.end(first, -9)
    bench.end(Process.made[2], 3)
    assert bench.supervisor.code == 0
    assert bench.live() == [2]
    bench.wait(0.5)
    assert bench.live() == [1, 2]


async def test_a_worn_out_one_serves_on_until_its_successor_starts(benches: Any) -> None:
    bench = benches(workers=1)
    (old,) = bench.all_ready()
    old.told(old, {"what": "worn out", "why": "it is old"})
    old.told(old, {"what": "worn out", "why": "it is large"})
    assert old.outdated == "it is old"
    bench.end(Process.made[1], 3)
    assert old.state == READY
    assert old.outdated == "it is old"
    bench.wait(1.0)
    Process.made[2].ready()
    assert old.state == STOPPING


async def test_fewer_are_those_of_the_highest_numbers_and_one_stays(benches: Any) -> None:
    bench = benches(workers=3)
    bench.all_ready()
    bench.supervisor.resize(-1)
    assert bench.live() == [1, 2]
    for _ in range(5):
        bench.supervisor.resize(-1)
    assert bench.live() == [1]


async def test_one_that_is_silent_is_aborted_then_killed(benches: Any) -> None:
    bench = benches(workers=1, timeout_worker_healthcheck=2.0)
    (worker,) = bench.all_ready()
    supervisor = bench.supervisor
    supervisor._board.beat(worker.row)
    supervisor._board.silence = lambda row: 1.9
    supervisor._tick()
    assert worker.signals == []
    supervisor._board.silence = lambda row: 2.1
    for _ in range(3):
        bench.now += module.TICK
        supervisor._tick()
    assert worker.signals == [signal.SIGABRT]
    bench.wait(module.ABORT_MOMENT)
    assert worker.signals == [signal.SIGABRT, signal.SIGKILL]
    bench.end(worker, -9)
    assert bench.live() == [1]


async def test_after_a_suspension_of_the_machine_nobody_is_taken_for_hanging(benches: Any) -> None:
    bench = benches(workers=1, timeout_worker_healthcheck=2.0)
    (worker,) = bench.all_ready()
    bench.supervisor._board.silence = lambda row: 3600.0
    bench.supervisor._last_tick = bench.now
    bench.now += 3600.0
    bench.supervisor._tick()
    assert worker.signals == []


async def test_what_the_system_refuses_to_start_is_tried_again(
    benches: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench = benches(workers=1)
    (worker,) = bench.all_ready()
    Process.refuses = True
    bench.end(worker, -9)
    assert "Cannot start a worker: no room; trying again in 0.5 s" in caplog.text
    Process.refuses = False
    bench.wait(0.5)
    assert bench.live() == [1]


async def test_a_stop_is_for_those_who_start_too_and_starts_nobody(benches: Any) -> None:
    bench = benches(workers=2)
    bench.first.ready()
    bench.supervisor.stop()
    assert [worker.state for worker in Process.made] == [STOPPING, STOPPING]
    assert not Process.made[0].in_hurry
    assert bench.sock.fileno() == -1
    Process.made[1].ready()
    assert Process.made[1].state == STOPPING
    bench.supervisor.replace_all()
    bench.supervisor.resize(1)
    bench.wait(3600.0)
    assert [worker.signals for worker in Process.made] == [[signal.SIGKILL], [signal.SIGKILL]]
    bench.end(Process.made[0], 0)
    bench.end(Process.made[1], -9)
    assert len(Process.made) == 2


@pytest.mark.skipif(not module.siblings.are_possible(), reason="this system has none")
async def test_a_successor_has_the_socket_of_its_number(benches: Any) -> None:
    bench = benches(workers=2, reuse_port=True)
    bench.all_ready()
    bench.supervisor.replace_all()
    Process.made[2].ready()
    Process.made[3].ready()
    assert Process.made[2].listeners == Process.made[0].listeners
    assert Process.made[3].listeners == Process.made[1].listeners
    assert Process.made[2].listeners != Process.made[3].listeners
    bench.supervisor.resize(-1)
    bench.wait(0.0)
    assert Process.made[3].listeners[0].fileno() == -1
    assert Process.made[2].listeners[0].fileno() != -1


def test_what_cannot_be_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module.logs, "configure", lambda config: None)
    monkeypatch.delattr(socket, "SO_REUSEPORT", raising=False)
    assert supervise(Config("a:b", workers=2, reuse_port=True, port=8123)) == 1
    monkeypatch.undo()
    monkeypatch.setattr(module.logs, "configure", lambda config: None)
    monkeypatch.setattr(module.sys, "platform", "win32")
    assert supervise(Config("a:b", workers=2)) == 1
    assert capsys.readouterr().err == (
        "Error: cannot listen on 127.0.0.1:8123: this system has no SO_REUSEPORT\n"
        "Error: workers need a system on which processes inherit sockets, so not Windows\n"
    )


@pytest.mark.skipif(not module.siblings.are_possible(), reason="this system has none")
def test_a_socket_that_cannot_have_siblings_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one that was inherited."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        monkeypatch.setattr(module.sockets, "bind", lambda config: [Listener(sock)])
        monkeypatch.setattr(module.logs, "configure", lambda config: None)
        assert supervise(Config("a:b", workers=2, reuse_port=True)) == 1
    line = "Error: cannot listen on a socket for each worker: address already in use\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("missing", ["SIGHUP", "SIGTTIN", "SIGTTOU", "SIGCHLD"])
async def test_a_system_without_a_signal(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delattr(signal, missing)
    called: list[int] = []
    names = ("SIGHUP", "SIGTTIN", "SIGTTOU", "SIGCHLD", "SIGUSR1")
    handlers: Any = dict.fromkeys(names, called.append)
    with module._Signals(asyncio.get_running_loop(), handlers):
        os.kill(os.getpid(), signal.SIGUSR1)
        while not called:
            await asyncio.sleep(0.01)
    assert called == [signal.SIGUSR1]
