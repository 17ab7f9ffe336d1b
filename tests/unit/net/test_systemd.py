"""systemd's protocols: the sockets that it passes, and what it is told."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgiws.net import systemd
from asgiws.net.systemd import Notifier, Watchdog, take_sockets
from tests.support.server import environment


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end of its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as result:
        result.bind(str(tmp_path / "notify"))
        result.settimeout(30)
        yield result


def take_in_a_process(fds: str, names: str | None, pid: str = "own") -> list[str]:
    """What a process prints of the sockets that it takes: two pipes stand for them."""
    script = (
        "import os; from asgiws.net.systemd import take_sockets as take\n"
        "for item in take(): print(item.fd, item.name, os.get_inheritable(item.fd))\n"
        "print(take(), sorted(name for name in os.environ if name.startswith('LISTEN_')))"
    )
    env = environment({"LISTEN_FDS": fds, "LISTEN_PID": pid})
    if names is not None:
        env["LISTEN_FDNAMES"] = names
    own = "LISTEN_PID=$$ exec" if pid == "own" else "exec"
    result = subprocess.run(
        ["sh", "-c", f'exec 3</dev/null 4</dev/null; {own} "$@"', "", sys.executable, "-c", script],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


@pytest.mark.parametrize(
    ("names", "called"),
    [("web:admin", ["web", "admin"]), ("web", ["web", "unknown"]), (None, ["unknown", "unknown"])],
)
def test_what_was_passed_is_taken_once_and_not_inherited(
    names: str | None, called: list[str]
) -> None:
    assert take_in_a_process("2", names) == [
        f"3 {called[0]} False",
        f"4 {called[1]} False",
        "[] []",
    ]


@pytest.mark.parametrize(("fds", "pid"), [("2", "1"), ("x", "own"), ("-1", "own"), ("0", "own")])
def test_what_is_for_another_process_is_not_taken(fds: str, pid: str) -> None:
    assert take_in_a_process(fds, "web", pid) == ["[] []"]


def test_a_descriptor_that_is_not_there_is_an_error() -> None:
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systemd, "FIRST_FD", 60000)
        with pytest.raises(OSError, match="Bad file descriptor"):
            take_sockets(environ)


def test_the_manager_is_told(manager: socket.socket) -> None:
    with Notifier(manager.getsockname()) as notifier:
        for tell, expected in [
            (lambda: notifier.ready("Running on\nx"), r"READY=1\nSTATUS=Running on x"),
            (notifier.reloading, r"RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=Reloading"),
            (notifier.stopping, r"STOPPING=1\nSTATUS=Stopping"),
            (notifier.alive, "WATCHDOG=1"),
            (lambda: notifier.status("7 open"), "STATUS=7 open"),
        ]:
            tell()
            assert re.fullmatch(expected, manager.recv(4096).decode())


@pytest.mark.skipif(sys.platform != "linux", reason="the abstract namespace is Linux's")
def test_a_manager_in_the_abstract_namespace_is_told() -> None:
    name = f"asgiws-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.settimeout(30)
        with Notifier("@" + name) as notifier:
            notifier.alive()
        assert manager.recv(99) == b"WATCHDOG=1"


def test_the_environment_says_whom_to_tell_and_children_do_not_see_it() -> None:
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    with Notifier.take(environ) as notifier:
        assert notifier.watchdog == 3.0
    assert environ == {}
    for other in ({"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": ""}):
        with Notifier.take({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "5", **other}) as notifier:
            assert notifier.watchdog == 0.0
    with Notifier.take({"WATCHDOG_USEC": "5000000"}) as notifier:
        assert notifier.watchdog == 5.0


def test_nobody_is_told_where_nobody_asked() -> None:
    with Notifier.take({}) as notifier:
        notifier.ready("x")
    notifier.close()
    notifier.alive()


def test_a_manager_that_has_gone_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "asgiws"), Notifier(str(tmp_path / "none")) as notifier:
        notifier.ready("x")
    assert [record.getMessage() for record in caplog.records] == [
        f"Cannot notify the service manager at {tmp_path}/none: [Errno 2] No such file or directory"
    ]


async def test_the_watchdog_is_told_by_the_loop_until_it_is_closed(manager: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    manager.setblocking(False)
    with Notifier(manager.getsockname(), watchdog=0.02) as notifier:
        watchdog = Watchdog(loop, notifier)
        for _ in range(3):
            assert await asyncio.wait_for(loop.sock_recv(manager, 99), 30) == b"WATCHDOG=1"
        watchdog.close()
        watchdog.close()
        notifier.status("the last")
        while await asyncio.wait_for(loop.sock_recv(manager, 99), 30) != b"STATUS=the last":
            pass
        await asyncio.sleep(0.05)
        with pytest.raises(BlockingIOError):
            manager.recv(99)


async def test_without_a_watchdog_there_is_nothing_to_tell(manager: socket.socket) -> None:
    manager.setblocking(False)
    with Notifier(manager.getsockname()) as notifier:
        Watchdog(asyncio.get_running_loop(), notifier).close()
    with pytest.raises(BlockingIOError):
        manager.recv(99)
