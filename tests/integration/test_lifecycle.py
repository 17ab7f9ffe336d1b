"""The server's life: where it listens, in which order it starts, and within other programs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

import asgiws
from asgiws.asgi.lifespan import StartupFailed
from asgiws.net.sockets import BindError
from tests.integration.lifecycle_app import app
from tests.support.client import connect_unix, exchange, get
from tests.support.server import environment, fail, free_port, serve, start

APP = "lifecycle_app:app"


def test_a_unix_socket_is_served_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with serve(APP, "--uds", str(path)) as server:
        assert server.where == f"unix:{path}"
        scope = exchange(connect_unix(path))
        assert scope["client"] is None
        assert scope["server"] == [str(path), None]
        code, stderr = fail(APP, "--uds", str(path))
        assert code == 1
        assert stderr == f"Error: cannot listen on unix:{path}: address already in use\n"
        assert path.exists()
    assert not path.exists()


def test_a_unix_socket_left_by_a_killed_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with serve(APP, "--uds", str(path)) as server:
        server.stop(signal.SIGKILL)
        assert path.exists()
    with serve(APP, "--uds", str(path)):
        exchange(connect_unix(path))


@pytest.mark.parametrize("listening", [True, False])
def test_an_inherited_socket_is_served(listening: bool) -> None:
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        if listening:
            given.listen()
        fd = given.fileno()
        with serve(APP, "--fd", str(fd), pass_fds=(fd,)) as server:
            assert server.port == given.getsockname()[1]
            assert get(server.url("/x")) == "/x"


def test_an_inherited_unix_socket_is_served(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(path)
        given.listen()
        fd = given.fileno()
        with serve(APP, "--fd", str(fd), pass_fds=(fd,)) as server:
            assert server.where == f"unix:{path}"
            exchange(connect_unix(path))
    assert os.path.exists(path)  # whoever made it removes it


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_tls(tmp_path: Path, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    ca = trustme.CA()
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem"))
    context = ssl.create_default_context()
    ca.configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with serve(APP, "--ssl-certfile", str(tmp_path / "pem"), "--loop", loop) as server:
        assert server.url("/").startswith("https://127.0.0.1:")
        raw = socket.create_connection((server.host, server.port), timeout=30)
        peer = context.wrap_socket(raw, server_hostname="localhost")
        assert peer.selected_alpn_protocol() == "http/1.1"
        assert exchange(peer)["scheme"] == "https"


def test_nobody_is_let_in_while_the_application_starts() -> None:
    port = free_port()
    with closing(start(APP, "--port", str(port), env={"LIFESPAN": "start-hangs"})) as server:
        server.wait_for_log("app: starting")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=30)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the limit is set from outside")
@pytest.mark.parametrize(
    ("loop", "tls"), [("asyncio", False), ("asyncio", True), ("uvloop", False), ("uvloop", True)]
)
def test_without_descriptors_it_says_so_once_and_goes_on_afterwards(
    tmp_path: Path, loop: str, tls: bool
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    options = ["--loop", loop]
    context = ssl.create_default_context()
    if tls:
        ca = trustme.CA()
        ca.configure_trust(context)
        pem = tmp_path / "pem"
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        options += ["--ssl-certfile", str(pem)]
    with serve(APP, *options) as server:
        pid = server.process.pid
        used = len(os.listdir(f"/proc/{pid}/fd"))
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 12, hard))
        with contextlib.ExitStack() as stack:
            for _ in range(30):
                peer = socket.create_connection((server.host, server.port), timeout=30)
                stack.enter_context(peer)
            server.wait_for_log(rf"ut of file descriptors: .*the limit is {used + 12} ")
        if loop == "asyncio" or tls:
            server.wait_for_log("Connections are accepted again")
        while True:
            try:
                with urllib.request.urlopen(
                    server.url("/x"), timeout=30, context=context if tls else None
                ) as answer:
                    assert answer.read() == b'"/x"'
                    break
            except (ConnectionError, urllib.error.URLError):
                time.sleep(0.05)  # those that were closed are not gone from the server yet
    assert len(re.findall("file descriptors", server.stderr())) == 1


# As a part of another program.


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    top = logging.getLogger("asgiws")
    before = top.handlers[:], top.level, top.propagate
    yield
    top.handlers[:], top.propagate = before[0], before[2]
    top.setLevel(before[1])


def config(application: Any = app, **options: Any) -> asgiws.Config:
    return asgiws.Config(application, **{"port": 0, "log_level": "debug", **options})


@contextlib.asynccontextmanager
async def serving(server: asgiws.Server, **arguments: Any) -> AsyncIterator[asyncio.Task[None]]:
    """The server, once it has started, as a task of the running loop."""
    task = asyncio.create_task(server.serve(**arguments))
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        if task.done():
            await task
        yield task
    finally:
        server.force_exit = server.should_exit = True
        await asyncio.wait([task], timeout=30)


async def ask(address: Any, path: str = "/x") -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_serve_in_a_running_loop() -> None:
    server = asgiws.Server(config())
    assert (server.started, server.should_exit, server.force_exit) == (False, False, False)
    async with serving(server) as task:
        [address] = server.addresses
        assert [sock.getsockname() for sock in server.sockets] == [address]
        assert (await ask(address)).endswith(b'"/x"')
        server.should_exit = True
        await asyncio.wait_for(task, 30)
    assert server.sockets == []
    with pytest.raises(ConnectionError):
        await ask(address)


async def test_the_handlers_of_the_program_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server = asgiws.Server(config())
    async with serving(server) as task:
        during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        assert all(one != two for one, two in zip(before, during, strict=True))
        server.should_exit = True
        await asyncio.wait_for(task, 30)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_the_handlers_of_the_program_may_stay() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with serving(asgiws.Server(config()), install_signal_handlers=False):
        assert signal.getsignal(signal.SIGTERM) is before


async def test_a_signal_is_passed_on_to_the_program() -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:
        server = asgiws.Server(config())
        async with serving(server) as task:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(task, 30)
        assert server.stopped_by == signal.SIGTERM
        assert got == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("first", [0, 1])
async def test_two_servers_in_one_loop_are_stopped_by_one_signal_in_any_order(first: int) -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:
        # One of them has more to do.
        applications = [Cleaning(turns=5 if first == number else 25) for number in (0, 1)]
        servers = [asgiws.Server(config(application)) for application in applications]
        async with serving(servers[0]) as one, serving(servers[1]) as other:
            tasks = [one, other]
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(asyncio.gather(*tasks), 30)
        assert [server.stopped_by for server in servers] == [signal.SIGTERM] * 2
        assert [server.forced_by for server in servers] == [None] * 2
        assert [application.events[1:] for application in applications] == [
            ["lifespan.shutdown", "clean"]
        ] * 2
        assert got == [signal.SIGTERM]  # once, and not to the other server
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("first", [0, 1])
async def test_a_server_that_stops_leaves_the_signals_to_the_other(first: int) -> None:
    got: list[int] = []
    original = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        servers = [asgiws.Server(config()), asgiws.Server(config())]
        async with serving(servers[0]) as one, serving(servers[1]) as other:
            tasks = [one, other]
            servers[first].should_exit = True
            await asyncio.wait_for(tasks[first], 30)
            assert (await ask(servers[1 - first].addresses[0])).endswith(b'"/x"')
            assert not got
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(tasks[1 - first], 30)
        assert [server.stopped_by for server in servers] == [
            None if number == first else signal.SIGTERM for number in (0, 1)
        ]
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
        assert got == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, original)


def test_in_a_thread_and_stopped_from_outside() -> None:
    server = asgiws.Server(config())
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started and thread.is_alive():
            pass
        exchange(socket.create_connection(server.addresses[0]))
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


async def test_stopped_before_it_has_started() -> None:
    server = asgiws.Server(config())
    server.should_exit = True
    await asyncio.wait_for(server.serve(), 30)
    assert not server.started


async def test_sockets_of_the_program() -> None:
    given = [socket.socket(), socket.socket()]
    for sock in given:
        sock.bind(("127.0.0.1", 0))
    server = asgiws.Server(config())
    async with serving(server, sockets=given):
        assert len(server.addresses) == 2
        for address in server.addresses:
            assert (await ask(address)).endswith(b'"/x"')
    assert [sock.fileno() for sock in given] == [-1, -1]


async def test_small_messages_are_not_held_back() -> None:
    """TCP_NODELAY is set on what is accepted, also where asyncio does not take it for TCP."""
    found: list[int] = []
    given = socket.socket()  # of protocol 0
    given.bind(("127.0.0.1", 0))
    server = asgiws.Server(config())
    async with serving(server, sockets=[given]):
        _, writer = await asyncio.open_connection(*server.addresses[0])
        local = writer.get_extra_info("sockname")
        writer.write(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        while not found:
            await asyncio.sleep(0.005)
            for descriptor in os.listdir("/proc/self/fd"):
                with contextlib.suppress(OSError):
                    sock = socket.socket(fileno=os.dup(int(descriptor)))
                    with sock:
                        if sock.getpeername() == local:
                            found.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    assert all(found)


async def test_a_cancelled_server_leaves_nothing_behind() -> None:
    server = asgiws.Server(config())
    async with serving(server) as task:
        address = server.addresses[0]
        peer = asyncio.create_task(ask(address, "/hang"))
        while len(asyncio.all_tasks()) < 5:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await peer == b""
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Cleaning:
    """An application whose end takes several turns of the loop, and that keeps what it was told."""

    def __init__(self, starts: bool = True, turns: int = 10) -> None:
        self.starts = starts
        self.turns = turns
        self.events: list[str] = []
        self.began = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.events.append((await receive())["type"])
        try:
            if self.starts:
                await send({"type": "lifespan.startup.complete"})
                self.began.set()
                self.events.append((await receive())["type"])
            else:
                self.began.set()
                await asyncio.Event().wait()
        finally:
            for _ in range(self.turns):
                await asyncio.sleep(0.01)
            self.events.append("clean")
        await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize("way", ["once", "often", "timeout", "anyio", "all"])
@pytest.mark.parametrize("starts", [True, False])
async def test_a_cancelled_server_lets_the_application_come_to_its_end(
    way: str, starts: bool
) -> None:
    if way == "all" and not starts and sys.version_info < (3, 11):
        pytest.skip("a task does not know that somebody else has cancelled it")
    application = Cleaning(starts)
    server = asgiws.Server(config(application))

    async def serve() -> None:
        if way == "timeout":
            await asyncio.wait_for(server.serve(), 0.2)
        elif way == "anyio":
            with anyio.move_on_after(0.2):
                await server.serve()
        else:
            await server.serve()

    task = asyncio.create_task(serve())
    await application.began.wait()
    if way == "all":
        for one in asyncio.all_tasks() - {asyncio.current_task()}:
            one.cancel()
    while not task.done() and way in ("once", "often"):
        task.cancel()
        await asyncio.sleep(0.001) if way == "often" else await asyncio.wait([task])
    with contextlib.suppress(asyncio.CancelledError, asyncio.TimeoutError):
        await task
    told = ["lifespan.shutdown"] if starts and way != "all" else []
    assert application.events == ["lifespan.startup", *told, "clean"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_end_of_a_cancelled_server_is_bounded() -> None:
    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.Event().wait()

    server = asgiws.Server(config(stubborn, timeout_graceful_shutdown=0.3))
    async with serving(server) as task:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)


async def test_a_cancelled_server_can_still_be_ended_at_once() -> None:
    application = Cleaning()
    server = asgiws.Server(config(application, timeout_graceful_shutdown=3600))
    async with serving(server) as task:
        task.cancel()
        await asyncio.sleep(0)
        server.force_exit = True
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)
    assert "clean" not in application.events


async def test_a_cancelled_start_leaves_nothing_behind() -> None:
    started = asyncio.Event()
    ended: list[bool] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    server = asgiws.Server(config(slow))
    task = asyncio.create_task(server.serve())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert ended == [True]
    assert server.sockets == []


async def test_a_port_that_is_taken_meanwhile_ends_the_application_well() -> None:
    """Two may bind before either listens; the second is told when it wants to."""
    events: list[str] = []
    rival = socket.socket()

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            message = await receive()
            events.append(message["type"])
            if not rival.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                rival.listen()
            await send({"type": message["type"] + ".complete"})

    with rival, socket.socket() as given:
        for sock in (rival, given):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", 0))
        given.bind(rival.getsockname())
        server = asgiws.Server(config(watched))
        with pytest.raises(BindError, match=r"cannot listen on http://.*: address already in use"):
            await server.serve([given])
    assert events == ["lifespan.startup", "lifespan.shutdown"]
    assert not server.started


async def test_a_start_that_fails_is_raised() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed"})

    server = asgiws.Server(config(broken))
    with pytest.raises(StartupFailed):
        await server.serve()
    assert server.sockets == []


PROGRAM = """
import asyncio, logging, os, signal, sys
import asgiws

class StopWhenRunning(logging.Handler):
    number = signal.SIGTERM
    def emit(self, record):
        print(record.getMessage(), file=sys.stderr)
        if "running on" in record.getMessage():
            os.kill(os.getpid(), self.number)

logging.getLogger("asgiws.error").addHandler(StopWhenRunning())
sys.path.insert(0, {directory!r})
from lifecycle_app import app
{code}
"""


def program(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    text = PROGRAM.format(directory=str(Path(__file__).parent), code=code)
    return subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        env=environment({"ASGIWS_PORT": "0", **env}),
        timeout=60,
    )


def test_run_returns_after_a_stop() -> None:
    result = program("asgiws.run(app); print('after')")
    assert (result.returncode, result.stdout) == (0, "after\n"), result.stderr
    assert "asgiws running on" in result.stderr


def test_run_takes_a_string_and_the_environment() -> None:
    code = "asgiws.run('lifecycle_app:create', factory=True); print('after')"
    result = program(code, ASGIWS_LIFESPAN="off")
    assert (result.returncode, result.stdout) == (0, "after\n"), result.stderr
    assert "app: created" in result.stderr
    assert "app: starting" not in result.stderr
    result = program(code, ASGIWS_LIFESPAN="x")
    assert result.returncode == 1
    assert "ConfigError: ASGIWS_LIFESPAN: 'x' is not allowed" in result.stderr


def test_run_ends_the_process_when_the_application_fails() -> None:
    result = program("asgiws.run(app); print('after')", LIFESPAN="start-fails")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.endswith("Error: the application failed to start\n")


def test_ctrl_c_ends_a_program_around_the_server() -> None:
    code = (
        "StopWhenRunning.number = signal.SIGINT\n"
        "async def main():\n"
        "    server = asgiws.Server(asgiws.Config(app, port=0))\n"
        "    await asyncio.gather(server.serve(), asyncio.sleep(999))\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    result = program(code)
    assert (result.returncode, result.stdout) == (0, "interrupted\n"), result.stderr
    assert "app: stopped" in result.stderr
