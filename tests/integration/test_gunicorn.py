"""The worker class under a real gunicorn: serving, reload, stop, max_requests and the heartbeat."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import connect

from tests.support.client import connect_unix, get, read_all, send
from tests.support.dev_app import APP, change, wait_for_starts
from tests.support.gunicorn import gunicorn, launch
from tests.support.server import is_alive, wait_for_end

pytest.importorskip("gunicorn")

SLOW = """
    if scope["path"] == "/slow":
        print("app: slow", flush=True, file=__import__("sys").stderr)
        await asyncio.sleep(1)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    text = APP.replace(
        '    if scope["path"] == "/stream":', SLOW + '    if scope["path"] == "/stream":'
    )
    (tmp_path / "dev_app.py").write_text(text)
    return tmp_path


async def in_thread(function: Any, *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


async def test_http_websockets_and_the_lifespan_are_served(project: Path) -> None:
    with gunicorn(project, "--access-logfile", "-") as server:
        assert await in_thread(get, server.url("/")) == "first"
        async with connect(server.ws_url("/")) as peer:
            await peer.close(4000)
    assert "Worker exiting" in server.stderr()


def test_the_access_log_is_that_of_gunicorn(project: Path) -> None:
    path = project / "access"
    with gunicorn(project, "--access-logfile", str(path)) as server:
        get(server.url("/seen"))
    assert re.fullmatch(r'127\.0\.0\.1:\d+ - "GET /seen HTTP/1\.1" 200\n', path.read_text())
    with gunicorn(project) as server:
        get(server.url("/seen"))
    assert "/seen" not in server.stderr()


async def test_a_reload_serves_the_new_code_and_closes_websockets_with_1012(project: Path) -> None:
    with gunicorn(project) as server:
        first = await in_thread(get, server.url("/pid"))
        async with connect(server.ws_url("/")) as peer:
            change(project, '"first"', '"another"')
            server.send_signal(signal.SIGHUP)
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await asyncio.wait_for(peer.recv(), 30)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        await in_thread(wait_for_end, first)
        await in_thread(wait_for_starts, server, 2)
        assert await in_thread(get, server.url("/")) == "another"


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
def test_a_stop_finishes_a_request(project: Path, loop: str) -> None:
    with gunicorn(project, ASGIWS_LOOP=loop) as server:
        with send(server, "GET /slow HTTP/1.1\nHost: a\nConnection: close\n\n") as peer:
            server.wait_for_log("app: slow")
            server.send_signal(signal.SIGTERM)
            answer = read_all(peer)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"first"' in answer
        assert server.wait() == 0


@pytest.mark.parametrize(
    ("number", "loop"),
    [(signal.SIGINT, "auto"), (signal.SIGQUIT, "auto"), (signal.SIGQUIT, "asyncio")],
)
def test_a_quick_stop_waits_for_nobody(project: Path, number: int, loop: str) -> None:
    with gunicorn(project, "--graceful-timeout", "1000", ASGIWS_LOOP=loop) as server:
        worker = get(server.url("/pid"))
        with send(server, "GET /stream HTTP/1.1\nHost: a\n\n") as peer:
            peer.recv(4096)
            server.send_signal(number)
            assert server.wait() == 0
        assert not is_alive(worker)


def test_a_worker_is_replaced_after_its_requests(project: Path) -> None:
    with gunicorn(project, "--max-requests", "3") as server:
        first = get(server.url("/pid"))
        assert get(server.url("/pid")) == first
        assert get(server.url("/pid")) == first  # the last one is answered
        server.wait_for_log("the worker has served 3 requests")
        wait_for_starts(server, 2)
        assert get(server.url("/pid")) != first
        assert not is_alive(first)


def test_a_worker_is_alive_as_long_as_its_loop_turns(project: Path) -> None:
    with gunicorn(project, "--timeout", "1") as server:
        worker = get(server.url("/pid"))
        with send(server, "GET /stream HTTP/1.1\nHost: a\n\n") as peer:
            begin = time.monotonic()
            while time.monotonic() - begin < 3:
                assert peer.recv(4096)
        assert get(server.url("/pid")) == worker
        with send(server, "GET /block HTTP/1.1\nHost: a\n\n"):
            server.wait_for_log(f"WORKER TIMEOUT \\(pid:{worker}\\)")
            wait_for_starts(server, 2)
        assert get(server.url("/pid")) != worker
        assert not is_alive(worker)


def test_a_start_that_fails_is_the_end_of_gunicorn(project: Path) -> None:
    change(
        project,
        '        await send({"type": "lifespan.startup.complete"})\n',
        '        await send({"type": "lifespan.startup.failed", "message": "no database"})\n',
    )
    with closing(launch(project)) as server:
        assert server.wait() == 3
        assert "The application failed to start: no database" in server.stderr()
        assert "Traceback" not in server.stderr().partition("Worker exiting")[0]


def test_a_bad_option_is_one_line_and_the_end_of_gunicorn(project: Path) -> None:
    with closing(launch(project, ASGIWS_WS_MAX_SIZE="x")) as server:
        assert server.wait() == 3
        assert "ASGIWS_WS_MAX_SIZE: 'x' is not allowed; expected bytes" in server.stderr()


def test_a_worker_does_not_outlive_a_gunicorn_that_was_killed(project: Path) -> None:
    with closing(launch(project)) as server:
        address = server.wait_for_log(r"Listening at: http://127\.0\.0\.1:(\d+)")
        server.port = int(address[1])
        server.wait_for_log("asgiws running on")
        worker = get(server.url("/pid"))
        server.process.kill()
        wait_for_end(worker)


def test_its_own_reloader_restarts_the_worker(project: Path) -> None:
    with gunicorn(project, "--reload", "--reload-engine", "poll") as server:
        first = get(server.url("/pid"))
        change(project, '"first"', '"another"')
        later = time.time()
        deadline = time.monotonic() + 30
        # A change that comes before gunicorn has looked for the first time is none to it.
        while server.stderr().count("asgiws running on") < 2:
            assert time.monotonic() < deadline, server.stderr()
            later += 5
            os.utime(project / "dev_app.py", (later, later))
            time.sleep(0.5)
        assert get(server.url("/")) == "another"
        assert get(server.url("/pid")) != first


def test_a_unix_socket(project: Path) -> None:
    path = project / "s"
    with closing(launch(project, "-b", f"unix:{path}")) as server:
        server.wait_for_log(f"asgiws running on unix:{path} ")
        with connect_unix(path) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert b'"first"' in read_all(peer)
        assert server.stop() == 0
        assert not path.exists()
