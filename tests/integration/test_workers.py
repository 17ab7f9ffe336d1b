"""Workers under a supervisor, as an operator and a client see them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.server import APPLICATIONS, RunningServer, is_alive, launch, serve, start
from tests.support.service_manager import Manager, notifying

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are not for Windows")

APP = "workers_app:app"
#: No verdict hangs on it.
PATIENCE = 40.0
READY = re.compile(r"Worker (\d+) \((\d+)\) is ready")
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
#: With a window the ends of WebSockets come at their own time; the tests that are about it say which.
AT_ONCE = ("--drain-window", "0")


def ask(server: RunningServer, path: str = "/") -> int:
    """A request on a connection of its own; the number of the process that served it."""
    with urllib.request.urlopen(server.url(path), timeout=PATIENCE) as response:
        return int(json.load(response)[0])


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return value


def workers(server: RunningServer) -> dict[int, int]:
    """The latest process that was ready in each place."""
    return {int(number): int(pid) for number, pid in READY.findall(server.stderr())}


def count(server: RunningServer, text: str) -> int:
    return server.stderr().count(text)


@contextmanager
def run(number: int, *options: str, **more: Any) -> Iterator[RunningServer]:
    with serve(APP, "--workers", str(number), *options, **more) as server:
        yield server


# Starting.


def test_it_is_running_when_all_workers_are_ready() -> None:
    with run(3) as server:
        text = server.stderr()
        before = text[: text.index("asgiws running on")]
        assert {number for number, _ in READY.findall(before)} == {"1", "2", "3"}
        assert before.count("app: started") == 3
        pids = set(workers(server).values())
        assert len(pids) == 3
        assert server.process.pid not in pids
        assert {ask(server) for _ in range(30)} <= pids
        assert server.stop() == 0
        assert not any(map(is_alive, pids))
    text = server.stderr()
    assert text.count("app: stopping") == 3
    assert text.endswith("Stopped\n")
    assert text.count("asgiws running on") == 1


def test_a_start_that_fails_ends_it_with_exit_code_3() -> None:
    env = {"BEHAVIOUR": "start-fails"}
    with closing(start(APP, "--workers", "2", env=env)) as server:
        assert server.wait() == 3
    text = server.stderr()
    assert "The application failed to start: no database" in text
    assert "ended with exit code 3 before it was ready: stopping" in text
    assert "asgiws running on" not in text


def test_code_that_raises_ends_it_with_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with closing(start(APP, "--workers", "2", env={"APP_DIR": str(tmp_path)})) as server:
        assert server.wait() == 1
    assert server.stderr().count("LookupError: the new code is broken") == 1


@pytest.mark.parametrize(
    ("app", "options", "line"),
    [
        ("nowhere:app", (), "there is no module 'nowhere'"),
        (APP, ("--ssl-certfile", "/nowhere.pem"), "cannot read the certificate '/nowhere.pem'"),
    ],
)
def test_a_mistake_is_told_once(app: str, options: tuple[str, ...], line: str) -> None:
    with closing(start(app, "--workers", "3", *options)) as server:
        assert server.wait() == 1
    assert server.stderr().count(f"Error: {line}") == 1
    assert "Traceback" not in server.stderr()


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with closing(start(APP, "--workers", "2", "--port", port)) as server:
            assert server.wait() == 1
    assert server.stderr() == f"Error: cannot listen on 127.0.0.1:{port}: address already in use\n"


def test_a_worker_has_the_command_line_and_the_path_of_the_supervisor(tmp_path: Path) -> None:
    """Also one that a script has started, which needs no guard for it."""
    (tmp_path / "served").mkdir()
    module = tmp_path / "served" / "only_here.py"
    module.write_text("from workers_app import app\n")
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path += [{str(tmp_path / 'served')!r}, {os.getcwd()!r},"
        f" {str(APPLICATIONS)!r}]\n"
        "import asgiws\nasgiws.run('only_here:app', port=0, workers=1)\n"
    )
    words = [sys.executable, str(script), "one", "two"]
    with closing(launch(words, cwd=tmp_path)) as server:
        server.wait_until_running()
        with urllib.request.urlopen(server.url(), timeout=PATIENCE) as response:
            assert json.load(response)[1] == ["one", "two"]
        assert server.stop() == 0


def test_an_application_object_cannot_be_shared() -> None:
    import asgiws

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(ValueError, match="workers need the application as module:attribute"):
        asgiws.run(app, workers=2)
    with pytest.raises(ValueError, match=r"workers need asgiws\.run or the command"):
        asgiws.Server(asgiws.Config(APP, workers=2))


# Replacing.


@pytest.mark.parametrize(
    ("path", "how"), [("/kill", "was killed by SIGKILL"), ("/exit", "ended with exit code 7")]
)
def test_a_worker_that_dies_is_replaced(path: str, how: str) -> None:
    with run(2, expect_errors=True) as server:
        before = workers(server)
        with pytest.raises(OSError):
            ask(server, path)
        until(lambda: len(READY.findall(server.stderr())) == 3)
        after = workers(server)
        assert len(set(before.values()) & set(after.values())) == 1
        server.wait_for_log(rf"Worker \d \(\d+\) {how}; starting another")
        assert {ask(server) for _ in range(20)} <= set(after.values())
        assert server.stop() == 0


def test_one_that_dies_again_and_again_is_replaced_later_each_time() -> None:
    with run(1, expect_errors=True) as server:
        for times in range(3):
            pid = workers(server)[1]
            os.kill(pid, signal.SIGKILL)
            until(lambda times=times: len(READY.findall(server.stderr())) == times + 2)
        assert "; starting another\n" in server.stderr()
        assert "starting another in 0.5 s\n" in server.stderr()
        assert "starting another in 1 s\n" in server.stderr()
        assert ask(server) == workers(server)[1]
        assert server.stop() == 0


def test_who_connects_while_there_is_no_worker_waits() -> None:
    with run(1, expect_errors=True) as server:
        for times in range(2):
            until(lambda times=times: len(READY.findall(server.stderr())) == times + 1)
            os.kill(workers(server)[1], signal.SIGKILL)
            until(lambda times=times: server.stderr().count("was killed by SIGKILL") == times + 1)
            ask(server)
        assert server.stop() == 0


def test_a_worker_that_hangs_is_replaced_and_shows_where_it_hung() -> None:
    options = ("--timeout-worker-healthcheck", "1s")
    with run(1, *options, expect_errors=True) as server:
        pid = workers(server)[1]
        with pytest.raises(OSError):
            ask(server, "/hang")
        server.wait_for_log(rf"Worker 1 \({pid}\) has sent no heartbeat for [\d.]+ s: aborted")
        server.wait_for_log(rf"Worker 1 \({pid}\) was killed by SIGABRT; starting another")
        until(lambda: workers(server)[1] != pid)
        assert ask(server) == workers(server)[1]
        assert server.stop() == 0
    assert re.search(r'File ".*workers_app.py", line \d+ in app', server.stderr())


def test_a_worker_that_is_stopped_hangs_too() -> None:
    with run(1, "--timeout-worker-healthcheck", "1s", expect_errors=True) as server:
        pid = workers(server)[1]
        os.kill(pid, signal.SIGSTOP)
        until(lambda: workers(server)[1] != pid)
        assert not is_alive(pid)
        assert server.stop() == 0
    assert f"Worker 1 ({pid}) was killed by SIG" in server.stderr()


def test_a_worker_that_gets_sigterm_is_replaced() -> None:
    with run(2) as server:
        first = workers(server)[1]
        os.kill(first, signal.SIGTERM)
        until(lambda: workers(server)[1] != first)
        until(lambda: not is_alive(first))
        assert server.stop() == 0


def test_sighup_of_a_worker_does_nothing() -> None:
    with run(1) as server:
        pid = workers(server)[1]
        os.kill(pid, signal.SIGHUP)
        assert ask(server) == pid
        assert server.stop() == 0


def reload(server: RunningServer) -> None:
    """SIGHUP, and wait until it is done."""
    done = count(server, "Replaced ")
    server.send_signal(signal.SIGHUP)
    until(lambda: count(server, "Replaced ") == done + 1)


@pytest.mark.parametrize("number", [1, 3])
def test_sighup_replaces_one_after_the_other_and_never_has_fewer(number: int) -> None:
    with run(number) as server:
        before = workers(server)
        reload(server)
        after = workers(server)
        assert before.keys() == after.keys()
        assert not set(before.values()) & set(after.values())
        until(lambda: not any(map(is_alive, before.values())))
        assert {ask(server) for _ in range(20)} <= set(after.values())
        text = server.stderr()
        for place in before:
            ready = text.index(f"Worker {place} ({after[place]}) is ready")
            assert ready < text.index(f"Stopping Worker {place} ({before[place]})")
        assert server.stop() == 0


def test_sighup_loads_the_new_code(tmp_path: Path) -> None:
    def write(version: str) -> None:
        (tmp_path / "versioned.py").write_text(
            "import workers_app\n"
            "async def app(scope, receive, send):\n"
            "    if scope['type'] == 'http':\n"
            f"        workers_app.PID = {version}\n"
            "    await workers_app.app(scope, receive, send)\n"
        )

    write("1")
    options = ("--workers", "2", "--app-dir", str(tmp_path))
    with serve("versioned:app", *options, env={"PYTHONDONTWRITEBYTECODE": "1"}) as server:
        assert ask(server) == 1
        write("22")
        reload(server)
        assert {ask(server) for _ in range(10)} == {22}
        assert server.stop() == 0


@pytest.mark.parametrize("fault", ["broken", "fails"])
def test_new_code_that_does_not_start_leaves_the_old_workers(fault: str, tmp_path: Path) -> None:
    with run(2, env={"APP_DIR": str(tmp_path)}, expect_errors=True) as server:
        before = workers(server)
        (tmp_path / fault).touch()
        server.send_signal(signal.SIGHUP)
        server.wait_for_log(r"ended with exit code \d before it was ready: keeping the old workers")
        assert {ask(server) for _ in range(10)} <= set(before.values())
        (tmp_path / fault).unlink()
        reload(server)
        assert not set(before.values()) & set(workers(server).values())
        assert server.stop() == 0


def test_a_replacement_that_does_not_start_is_tried_again(tmp_path: Path) -> None:
    with run(2, env={"APP_DIR": str(tmp_path)}, expect_errors=True) as server:
        (tmp_path / "fails").touch()
        os.kill(workers(server)[1], signal.SIGKILL)
        server.wait_for_log(r"before it was ready; trying again in 0.5 s")
        ask(server)
        (tmp_path / "fails").unlink()
        until(lambda: len(READY.findall(server.stderr())) == 3)
        assert server.stop() == 0


def test_one_more_and_one_less() -> None:
    with run(1) as server:
        server.send_signal(signal.SIGTTIN)
        until(lambda: 2 in workers(server))
        server.wait_for_log("Changing from 1 to 2 workers")
        server.send_signal(signal.SIGTTOU)
        second = workers(server)[2]
        server.wait_for_log(rf"Stopping Worker 2 \({second}\): there is one worker too many")
        until(lambda: not is_alive(second))
        server.send_signal(signal.SIGTTOU)  # one stays
        assert ask(server) == workers(server)[1]
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("options", "path", "why"),
    [
        (("--limit-max-requests", "5"), "/", r"it has served 5 requests"),
        (("--max-worker-age", "1s"), "/", r"it is [\d.]+ s old"),
        (("--max-worker-rss", "150MiB"), "/grow", r"it holds \d+ MiB of memory"),
    ],
)
def test_a_worker_is_replaced_in_time(options: tuple[str, str], path: str, why: str) -> None:
    with run(1, *options, *AT_ONCE) as server:
        first = workers(server)[1]
        while workers(server)[1] == first:
            ask(server, path)
            time.sleep(0.02)
        server.wait_for_log(rf"Replacing Worker 1 \({first}\): {why}")
        until(lambda: not is_alive(first))
        ask(server, "/")
        assert server.stop() == 0


def test_without_workers_it_stops_after_its_requests() -> None:
    with serve(APP, "--limit-max-requests", "3") as server:
        for _ in range(3):
            ask(server)
        assert server.wait() == 0
    assert "Stopping: it has served 3 requests" in server.stderr()


def test_the_service_manager_is_told_by_the_supervisor_alone(
    manager: Manager,
    tmp_path: Path,
) -> None:
    with run(2, env={"APP_DIR": str(tmp_path), **notifying(manager)}, expect_errors=True) as server:
        ready = {"READY": "1", "STATUS": f"Running on {server.url('')} with 2 workers"}
        assert manager.next() == ready
        reload(server)
        told = manager.next()
        assert (told["RELOADING"], told["STATUS"]) == ("1", "Reloading")
        assert manager.next() == ready
        (tmp_path / "broken").touch()
        server.send_signal(signal.SIGHUP)
        assert manager.next()["RELOADING"] == "1"
        assert manager.next() == ready  # the old workers go on
        assert server.stop() == 0
    assert manager.next() == {"STOPPING": "1", "STATUS": "Stopping"}
    manager.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.next()


def test_probes_are_answered_by_the_workers() -> None:
    with run(2, "--health-path", "/healthz") as server:
        for path in ("/healthz", "/healthz/ready"):
            with urllib.request.urlopen(server.url(path), timeout=PATIENCE) as response:
                assert response.status == 200
        assert server.stop() == 0


# Stopping.


def test_a_request_is_finished() -> None:
    with run(2) as server, socket.create_connection((server.host, server.port)) as peer:
        peer.settimeout(PATIENCE)
        peer.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_for_log("app: slow")
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping; 0 connections are open")
        server.wait_for_log("Stopping; 1 connections are open")
        with pytest.raises(OSError):
            ask(server)
        assert peer.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.wait() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_all_at_once(second: int) -> None:
    options = ("--timeout-graceful-shutdown", "1h")
    with run(2, *options, expect_errors=True) as server:
        pids = workers(server).values()
        peers = []
        for path in ("wait", "hang"):
            peer = socket.create_connection((server.host, server.port))
            peer.sendall(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            peers.append(peer)
        server.wait_for_log("app: waiting")
        server.wait_for_log("app: hanging")
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping 2 workers")
        assert server.stop(second) == 128 + second
        assert not any(map(is_alive, pids))
        for peer in peers:
            peer.close()
    assert "app: stopping" not in server.stderr()


def test_what_is_left_at_the_end_is_cut_off_and_counted() -> None:
    with (
        run(1, "--timeout-graceful-shutdown", "1s") as server,
        socket.create_connection((server.host, server.port)) as peer,
    ):
        peer.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_for_log("app: waiting")
        assert server.stop() == 0
    assert "Cut off 1 connections and 1 application tasks" in server.stderr()


def test_a_worker_that_does_not_end_is_killed() -> None:
    with run(1, "--timeout-graceful-shutdown", "100ms", expect_errors=True) as server:
        ask(server, "/thread")
        pid = workers(server)[1]
        assert server.stop() == 0
        assert not is_alive(pid)
    assert f"Worker 1 ({pid}) did not exit in time: killed" in server.stderr()


def test_the_end_of_the_supervisor_ends_the_workers() -> None:
    with run(2, expect_errors=True) as server:
        pids = workers(server).values()
        server.send_signal(signal.SIGKILL)
        server.process.wait(PATIENCE)
        until(lambda: not any(map(is_alive, pids)))
        server.wait()
    assert count(server, "The supervisor has gone: stopping") == 2
    assert count(server, "app: stopping") == 2


def test_ctrl_c_during_a_start_that_takes_its_time() -> None:
    env = {"BEHAVIOUR": "slow"}
    with closing(start(APP, "--workers", "2", env=env)) as server:
        server.wait_for_log("app: imported")
        assert server.stop(signal.SIGINT) == 0
    assert "Traceback" not in server.stderr()


# The drain.


class Client:
    """A WebSocket, what it was told, and how and when it ended."""

    def __init__(self, server: RunningServer, path: str = "/") -> None:
        self.url = server.ws_url(path)
        self.texts: list[str] = []
        self.code = 0
        self.reason = ""
        self.ended_at = 0.0

    async def run(self, opened: Callable[[], object], leave: asyncio.Event | None = None) -> None:
        async with connect(self.url, proxy=None, ping_interval=None, compression=None) as socket:
            self.texts.append(str(await socket.recv()))
            opened()
            try:
                if leave is not None:
                    await leave.wait()
                    return
                while True:
                    self.texts.append(str(await socket.recv()))
            except ConnectionClosed:
                pass
        self.ended_at = asyncio.get_running_loop().time()
        self.code, self.reason = socket.close_code or 0, socket.close_reason or ""


async def open_all(clients: list[Client], leave: asyncio.Event | None = None) -> list[Any]:
    """Tasks of clients that are all open."""
    opened = asyncio.Semaphore(0)
    tasks = []
    for client in clients:
        tasks.append(asyncio.create_task(client.run(opened.release, leave)))
        if len(tasks) % 50 == 0:
            for _ in range(50):
                await asyncio.wait_for(opened.acquire(), PATIENCE)
    for _ in range(len(clients) % 50):
        await asyncio.wait_for(opened.acquire(), PATIENCE)
    return tasks


@pytest.mark.parametrize("workers", ["0", "2"])
async def test_websockets_are_closed_over_the_window(workers: str) -> None:
    options = ("--workers", workers, "--drain-window", "2s", "--drain-code", "4001")
    with serve(APP, *options, "--drain-reason", "moving house") as server:
        clients = [Client(server) for _ in range(40)]
        tasks = await open_all(clients)
        begin = asyncio.get_running_loop().time()
        server.send_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
        assert await asyncio.to_thread(server.wait) == 0
    assert {(client.code, client.reason) for client in clients} == {(4001, "moving house")}
    ends = sorted(client.ended_at - begin for client in clients)
    # They are spread: neither are all at the begin nor all at the end.
    assert ends[10] < ends[30] - 0.5
    assert server.stderr().count("WebSockets over 2 s") == (1 if workers == "0" else 2)


async def test_ctrl_c_closes_them_at_once() -> None:
    options = ("--drain-window", "1h", "--timeout-graceful-shutdown", "2h")
    with run(2, *options) as server:
        clients = [Client(server) for _ in range(4)]
        tasks = await open_all(clients)
        server.send_signal(signal.SIGINT)
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
        assert await asyncio.to_thread(server.wait) == 0
    assert {client.code for client in clients} == {1012}


async def test_a_client_that_leaves_meanwhile_is_left_to_it() -> None:
    options = ("--drain-window", "1h", "--timeout-graceful-shutdown", "2h")
    with run(1, *options) as server:
        leave = asyncio.Event()
        clients = [Client(server, "/closes") for _ in range(3)]
        tasks = await open_all(clients, leave)
        server.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.wait_for_log, "Closing 3 WebSockets over 3600 s")
        leave.set()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
        assert await asyncio.to_thread(server.wait) == 0
    assert server.stderr().count("app: closed 1000") == 3


async def test_the_application_is_told_first() -> None:
    options = ("--drain-window", "500ms", "--drain-code", "1001")
    with run(1, *options, env={"BEHAVIOUR": "drain"}) as server:
        clients = [Client(server) for _ in range(5)]
        tasks = await open_all(clients)
        server.send_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
        assert await asyncio.to_thread(server.wait) == 0
    assert all(client.texts[1:] == ["soon"] for client in clients)
    told = re.search(r"app: told (\{.*\})", server.stderr())
    assert told is not None
    expected = {"type": "lifespan.drain", "window": 0.5, "code": 1001, "reason": "service restart"}
    assert json.loads(told[1]) == expected


@pytest.mark.parametrize("window", ["0", "1s"])
async def test_the_scope_tells_of_it_too(window: str) -> None:
    with run(1, "--drain-window", window) as server:
        client = Client(server, "/draining")
        (task,) = await open_all([client])
        server.send_signal(signal.SIGTERM)
        await asyncio.wait_for(task, PATIENCE)
        assert await asyncio.to_thread(server.wait) == 0
    assert client.texts[1:] == ["draining"]


async def test_old_workers_keep_their_sockets_while_new_ones_take_new_ones() -> None:
    options = ("--drain-window", "1h", "--timeout-graceful-shutdown", "2h")
    with run(2, *options, expect_errors=True) as server:
        old = workers(server)
        leave = asyncio.Event()
        kept = [Client(server) for _ in range(4)]
        tasks = await open_all(kept, leave)
        await asyncio.to_thread(reload, server)
        fresh = [Client(server) for _ in range(4)]
        tasks += await open_all(fresh, leave)
        assert {int(client.texts[0]) for client in kept} <= set(old.values())
        assert {int(client.texts[0]) for client in fresh} <= set(workers(server).values())
        assert all(map(is_alive, old.values()))
        leave.set()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
        await asyncio.to_thread(until, lambda: not any(map(is_alive, old.values())))
        assert server.stop() == 0


async def test_who_was_let_in_just_before_the_drain_is_served() -> None:
    """No request has come yet on a connection that the worker has accepted."""
    with run(1) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        ask(server)  # it is accepted, as this one after it was
        server.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.wait_for_log, "connections are open")
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), PATIENCE)  # to the end of the connection
        writer.close()
        assert await asyncio.to_thread(server.wait) == 0
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("window", ["0", "1s"])
def test_a_handshake_that_ends_within_the_drain_has_its_moment_too(window: str) -> None:
    with serve(APP, "--drain-window", window) as server:
        with socket.create_connection((server.host, server.port), timeout=PATIENCE) as peer:
            peer.sendall(HANDSHAKE[:20])
            ask(server)  # it is accepted, as this one after it was
            server.send_signal(signal.SIGTERM)
            server.wait_for_log("connections are open")
            peer.sendall(HANDSHAKE[20:])
            received = b""
            while data := peer.recv(4096):
                received += data
                if received.endswith(b"\x88\x11\x03\xf4service restart"):
                    peer.sendall(b"\x88\x82\0\0\0\0\x03\xf4")
        assert server.wait() == 0
    assert received.startswith(b"HTTP/1.1 101 ")
    assert received.endswith(b"\x88\x11\x03\xf4service restart")
    assert "Cut off" not in server.stderr()


# The spread.


def hold(peers: ExitStack, server: RunningServer, number: int) -> Counter[str]:
    """Open so many WebSockets, which `peers` closes; how many each process has.

    By hand, since a library would take long.
    """
    counts: Counter[str] = Counter()
    for _ in range(0, number, 100):
        batch = [peer_of(peers, server) for _ in range(100)]
        for peer in batch:
            peer.sendall(HANDSHAKE)
        for peer in batch:
            received = b""
            while not (match := re.search(rb"\r\n\r\n\x81(.)([0-9]+)$", received, re.DOTALL)):
                data = peer.recv(4096)
                assert data, received
                received += data
            assert len(match[2]) == match[1][0]
            counts[match[2].decode()] += 1
    return counts


def peer_of(peers: ExitStack, server: RunningServer) -> socket.socket:
    """A connection, which `peers` closes."""
    where = (server.host, server.port)
    return peers.enter_context(socket.create_connection(where, timeout=PATIENCE))


#: 10,000 where there are the descriptors and somebody wants it.
CONNECTIONS = int(os.environ.get("ASGIWS_TEST_CONNECTIONS", "2000"))


@pytest.mark.timeout(300)
def test_connections_are_spread_by_how_many_each_worker_holds() -> None:
    with run(4, "--no-access-log", expect_errors=True) as server, ExitStack() as peers:
        counts = hold(peers, server, CONNECTIONS)
        mean = CONNECTIONS / 4
        assert len(counts) == 4
        assert all(abs(value - mean) <= 0.1 * mean for value in counts.values()), counts
        # One that has lost its own is given most of the next ones.
        first = workers(server)[1]
        os.kill(first, signal.SIGKILL)
        until(lambda: workers(server)[1] != first)
        later = hold(peers, server, CONNECTIONS // 4)
        assert later[str(workers(server)[1])] >= 0.5 * CONNECTIONS / 4, later
        peers.close()
        assert server.stop(signal.SIGINT) == 0


def test_a_few_connections_are_spread_too() -> None:
    with run(4) as server, ExitStack() as peers:
        counts: Counter[bytes] = Counter()
        for _ in range(8):
            peer = peer_of(peers, server)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            counts[peer.recv(4096).rpartition(b"\r\n\r\n")[2]] += 1
        assert max(counts.values()) <= 3, counts  # 2 each, but for a machine that is very busy


def test_a_worker_that_is_busy_holds_up_nobody() -> None:
    with run(2, expect_errors=True) as server, ExitStack() as peers:
        for path in ("hang", "x"):
            peer_of(peers, server).sendall(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        server.wait_for_log("app: hanging")
        assert len(hold(peers, server, 100)) == 1
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping 2 workers")  # two at once would be one
        server.stop()


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this system has none")
def test_a_socket_for_each_worker() -> None:
    with run(2, "--reuse-port") as server, ExitStack() as peers:
        counts = hold(peers, server, 200)
        assert {int(pid) for pid in counts} == set(workers(server).values())
        peers.close()
        reload(server)
        assert {ask(server) for _ in range(50)} == set(workers(server).values())
        server.send_signal(signal.SIGTTIN)
        until(lambda: 3 in workers(server))
        assert {ask(server) for _ in range(100)} == set(workers(server).values())
        assert server.stop() == 0


# A fleet through rolling restarts.


class Device:
    """Sends numbered messages, each until it is acknowledged, and comes back when it is sent away with 1012."""

    def __init__(self, server: RunningServer, name: int) -> None:
        self.url = server.ws_url("/journal")
        self.name = name
        self.acknowledged = 0
        self.codes: Counter[int] = Counter()
        self.faults: list[str] = []
        self.served_by: set[str] = set()

    async def run(self, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            try:
                socket = await connect(
                    self.url,
                    proxy=None,
                    ping_interval=None,
                    compression=None,
                    open_timeout=PATIENCE,
                )
            except Exception as error:
                self.faults.append(f"not let in: {error!r}")
                return
            async with socket:
                try:
                    self.served_by.add(str(await socket.recv()))
                    await self.talk(socket, is_over)
                except ConnectionClosed as closed:
                    code = 1006 if closed.rcvd is None else closed.rcvd.code
                    self.codes[code] += 1

    async def talk(self, socket: Any, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            number = f"{self.name} {self.acknowledged + 1}"
            await socket.send(number)
            answer = await socket.recv()
            if answer != number:
                self.faults.append(f"{answer!r} is no answer to {number!r}")
            self.acknowledged += 1
            await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
async def test_a_fleet_through_three_rolling_restarts(tmp_path: Path) -> None:
    env = {"APP_DIR": str(tmp_path)}
    with run(2, "--drain-window", "2s", "--no-access-log", env=env) as server:
        is_over = asyncio.Event()
        fleet = [Device(server, name) for name in range(500)]
        tasks = [asyncio.create_task(device.run(is_over)) for device in fleet]
        seen: set[int] = set()
        for _ in range(3):
            seen |= set(workers(server).values())
            before = [device.acknowledged for device in fleet]
            await asyncio.to_thread(reload, server)
            gone = [pid for pid in seen if pid not in workers(server).values()]
            await asyncio.to_thread(until, lambda gone=gone: not any(map(is_alive, gone)))
            deadline = time.monotonic() + PATIENCE
            while any(
                now.acknowledged < then + 3 and not now.faults
                for now, then in zip(fleet, before, strict=True)
            ):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
        is_over.set()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
        assert await asyncio.to_thread(server.stop) == 0
    assert [fault for device in fleet for fault in device.faults] == []
    # What was acknowledged stands in the journal of one of the workers.
    journal = {line for path in tmp_path.iterdir() for line in path.read_text().splitlines()}
    assert len(list(tmp_path.iterdir())) == 8
    for device in fleet:
        assert device.acknowledged > 9
        for number in range(1, device.acknowledged + 1):
            assert f"{device.name} {number}" in journal
    codes = sum((device.codes for device in fleet), Counter[int]())
    assert set(codes) == {1012}
    assert codes[1012] >= 2 * len(fleet)
    assert "Cut off" not in server.stderr()
