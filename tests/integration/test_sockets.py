"""Several sockets to listen on, those that systemd passes, and what a service manager is told."""

from __future__ import annotations

import fcntl
import re
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.client import connect_unix, exchange, get
from tests.support.server import RunningServer, fail, has_ipv6, launch, serve, start
from tests.support.service_manager import Manager, notifying

APP = "lifecycle_app:app"
needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")


@needs_ipv6
def test_several_are_served_and_named(tmp_path: Path) -> None:
    path = tmp_path / "s"
    binds = ["127.0.0.1:0", "[::1]:0", f"unix:{path}?mode=600"]
    with serve(APP, *(word for bind in binds for word in ("--bind", bind))) as server:
        server.wait_for_log(f"asgiws running on unix:{path} ")
        urls = re.findall(r"asgiws running on (http\S+)", server.stderr())
        assert len(urls) == 2
        for url in urls:
            assert get(f"{url}/x") == "/x"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert exchange(connect_unix(path))["client"] is None
    assert not path.exists()


@needs_ipv6
@pytest.mark.parametrize(
    ("bind", "hosts"),
    [("*:0", {"0.0.0.0", "[::]"}), ("[::]:0", {"[::]"}), ("0.0.0.0:0", {"0.0.0.0"})],
)
def test_both_stacks_are_told_apart(bind: str, hosts: set[str]) -> None:
    with serve(APP, "--bind", bind) as server:
        for host in hosts:
            server.wait_for_log(f"running on http://{re.escape(host)}:")
        found = re.findall(r"asgiws running on http://(\S+):(\d+) ", server.stderr())
        assert {host for host, _ in found} == hosts
        [port] = {port for _, port in found}
        for host, own in (("127.0.0.1", "0.0.0.0"), ("[::1]", "[::]")):
            if own in hosts:
                assert get(f"http://{host}:{port}/x") == "/x"
            else:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((host.strip("[]"), int(port)), timeout=30)


def test_an_inherited_socket_beside_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        fd = given.fileno()
        options = ("--bind", f"fd://{fd}", "--bind", "127.0.0.1:0")
        with serve(APP, *options, pass_fds=(fd,)) as server:
            assert server.port == given.getsockname()[1]
            assert get(server.url("/x")) == "/x"


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (
            ["--bind", "nowhere"],
            2,
            "Invalid value for '--bind': 'nowhere' is not allowed; expected",
        ),
        (["--bind", "a:1", "--port", "1"], 2, "bind and port exclude each other"),
        (["--bind", "unix:none/s"], 1, "cannot listen on unix:none/s: no such file"),
        (
            ["--bind", "systemd:"],
            1,
            "cannot listen on systemd:, a socket of systemd: it has passed",
        ),
        (["--bind", "fd://99"], 1, "cannot listen on file descriptor 99: bad file descriptor"),
    ],
)
def test_a_mistake_is_one_line(options: list[str], code: int, text: str) -> None:
    got, stderr = fail(APP, *options)
    assert (got, stderr.count("\n")) == (code, 1), stderr
    assert stderr.startswith(f"Error: {text}")


# systemd


#: What systemd does between its fork and the service's exec: descriptors from 3 on, and who they are for.
ACTIVATE = """\
import os, sys
fds, command = sys.argv[1].split(","), sys.argv[2:]
for number, fd in enumerate(fds, 3):
    os.dup2(int(fd), number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(command[0], command)
"""


def start_activated(
    sockets: list[socket.socket], names: str, *options: str, **env: str
) -> RunningServer:
    """A server to which `sockets` are passed as systemd does."""
    fds = [sock.fileno() for sock in sockets]
    service = [sys.executable, "-m", "asgiws", APP, *options]
    return launch(
        [sys.executable, "-c", ACTIVATE, ",".join(map(str, fds)), *service],
        env={"LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": names, **env},
        pass_fds=fds,
    )


@pytest.fixture
def given() -> Iterator[list[socket.socket]]:
    """Sockets to pass, with descriptors above those that they become."""
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    result = []
    for sock in made:
        with sock:
            number = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
            result.append(socket.socket(fileno=number))
    yield result
    for sock in result:
        sock.close()


@pytest.mark.parametrize(
    ("options", "served"),
    [((), [0, 1]), (("--bind", "systemd:"), [0, 1]), (("--bind", "systemd:admin"), [1])],
)
def test_sockets_of_systemd_are_served(
    given: list[socket.socket], options: tuple[str, ...], served: list[int]
) -> None:
    with closing(start_activated(given, "web:admin", *options)) as server:
        server.wait_until_running()
        ports = [given[index].getsockname()[1] for index in served]
        for port in ports:
            assert get(f"http://127.0.0.1:{port}/x") == "/x"
        found = re.findall(r"asgiws running on http://127.0.0.1:(\d+) ", server.stderr())
        assert [int(port) for port in found] == ports
        assert server.stop() == 0
        server.assert_no_fault()


def test_an_explicit_place_wins_over_the_sockets_of_systemd(given: list[socket.socket]) -> None:
    with closing(start_activated(given, "web:admin", "--port", "0")) as server:
        server.wait_until_running()
        assert server.port not in {sock.getsockname()[1] for sock in given}
        assert server.stop() == 0


def test_children_of_the_application_see_nothing_of_systemd(
    given: list[socket.socket], tmp_path: Path
) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "none"), "WATCHDOG_USEC": "60000000"}
    with closing(start_activated(given, "web:admin", **environ)) as server:
        server.wait_until_running()
        port = given[0].getsockname()[1]
        variables = get(f"http://127.0.0.1:{port}/environ")
        assert "PATH" in variables
        unwanted = ("LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_")
        assert [name for name in variables if name.startswith(unwanted)] == []
        assert server.stop() == 0


def test_the_service_manager_is_told_of_start_and_stop(manager: Manager) -> None:
    with serve(APP, env=notifying(manager)) as server:
        assert manager.next() == {"READY": "1", "STATUS": f"Running on {server.url('')}"}
        # Whoever is told may connect.
        assert get(server.url("/x")) == "/x"
        assert server.stop() == 0
    assert manager.next() == {"STOPPING": "1", "STATUS": "Stopping"}


def test_a_service_manager_is_not_told_of_a_start_that_failed(manager: Manager) -> None:
    with closing(start(APP, env=notifying(manager, LIFESPAN="start-fails"))) as server:
        assert server.wait() == 3
    manager.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.next()


def test_the_watchdog_is_told_while_the_loop_turns_and_no_longer(manager: Manager) -> None:
    env = notifying(manager, WATCHDOG_USEC="200000")
    with serve(APP, env=env, expect_errors=True) as server:
        seen: list[dict[str, str]] = []
        while seen.count({"WATCHDOG": "1"}) < 3:
            seen.append(manager.next())
        peer = socket.create_connection((server.host, server.port), timeout=30)
        peer.sendall(b"GET /block HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_for_log("app: blocking")
        manager.sock.settimeout(2)
        with pytest.raises(TimeoutError):
            list(iter(manager.next, {}))
        peer.close()
        server.stop(signal.SIGKILL)
