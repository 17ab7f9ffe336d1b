"""`--reload`: what a change leads to, and that nothing holds it up."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import websockets
from websockets.asyncio.client import connect

from tests.support.client import get
from tests.support.dev_app import APP, change, wait_for_starts
from tests.support.server import RunningServer, is_alive, start, wait_for_end
from tests.support.server import launch as launch_command


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "dev_app.py").write_text(APP)
    return directory


def launch(project: Path, *options: str) -> RunningServer:
    options = ("--reload", "--reload-delay", "50ms", *options)
    # A session of its own, as a shell gives a job a process group of its own.
    server = start("dev_app:app", *options, cwd=project, start_new_session=True)
    server.wait_until_running()
    return server


@pytest.fixture
def server(project: Path) -> Iterator[RunningServer]:
    with closing(launch(project)) as server:
        yield server
        server.stop()


def answer_of(server: RunningServer) -> str:
    return str(get(server.url("/")))


def test_a_change_is_served(project: Path, server: RunningServer) -> None:
    assert answer_of(server) == "first"
    first = get(server.url("/pid"))
    change(project, '"first"', '"another"')
    # Whoever comes meanwhile waits for the new process, in the queue of the same socket.
    server.wait_for_log(r"Reloading: dev_app\.py has changed")
    wait_for_starts(server, 2)
    assert answer_of(server) == "another"
    assert not is_alive(first)


def test_nobody_is_refused_during_a_reload(project: Path, server: RunningServer) -> None:
    for number in range(3):
        change(project, "ANSWER = ", f"X{number} = {number}\nANSWER = ")
        seen = server.stderr().count("asgiws running on")
        while server.stderr().count("asgiws running on") == seen:
            socket.create_connection((server.host, server.port), timeout=30).close()
            time.sleep(0.01)


def test_other_files_start_nothing(project: Path) -> None:
    (project / "skipped").mkdir()
    options = ("--reload-include", "*.html", "--reload-exclude", "skipped")
    with closing(launch(project, *options)) as server:
        first = get(server.url("/pid"))
        for name in ("notes.txt", ".hidden.py", "skipped/x.py", "skipped/x.html"):
            (project / name).write_text("x")
        (project / "page.html").write_text("x")
        server.wait_for_log(r"Reloading: page\.html has changed\n")
        wait_for_starts(server, 2)
        assert get(server.url("/pid")) != first
        server.stop()


@pytest.mark.parametrize("name", ["server.log", "counted.py"])
def test_a_file_that_is_written_all_the_time_does_not_put_it_off(
    project: Path, server: RunningServer, name: str
) -> None:
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.wait(0.01):
            number += 1
            (project / name).write_text(f"# {number}\n")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        change(project, '"first"', '"another"')
        wait_for_starts(server, 2)
        assert answer_of(server) == "another"
    finally:
        done.set()
        thread.join()


def test_other_directories_can_be_watched(project: Path, tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    with closing(launch(project, "--reload-dir", str(tmp_path / "library"))) as server:
        (tmp_path / "library" / "x.py").write_text("x")
        server.wait_for_log(r"Reloading: \.\./library/x\.py has changed")
        wait_for_starts(server, 2)
        server.stop()


async def test_an_open_websocket_is_closed_with_1012_and_holds_up_nobody(
    project: Path, server: RunningServer
) -> None:
    async with connect(server.ws_url("/")) as peer:
        change(project, '"first"', '"another"')
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await asyncio.wait_for(peer.recv(), 30)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
    await asyncio.to_thread(wait_for_starts, server, 2)
    assert await asyncio.to_thread(answer_of, server) == "another"
    # It came to its proper end.
    assert "killed" not in server.stderr()
    assert "Cut off" not in server.stderr()


@pytest.mark.parametrize("path", ["/stream", "/block"])
def test_a_stream_and_a_blocked_loop_hold_up_nobody_for_long(
    project: Path, server: RunningServer, path: str
) -> None:
    first = get(server.url("/pid"))
    with socket.create_connection((server.host, server.port), timeout=30) as peer:
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert path == "/block" or peer.recv(4096)
        change(project, '"first"', '"another"')
        wait_for_starts(server, 2)
    assert answer_of(server) == "another"
    assert not is_alive(first)
    assert ("killing it" in server.stderr()) == (path == "/block")


def test_a_syntax_error_is_shown_and_the_next_save_recovers(
    project: Path, server: RunningServer
) -> None:
    change(project, 'ANSWER = "first"', "ANSWER = (")
    server.wait_for_log("SyntaxError: '\\(' was never closed")
    server.wait_for_log("The application has exited; the next change starts it again")
    change(project, "ANSWER = (", 'ANSWER = "recovered"')
    wait_for_starts(server, 2)
    assert answer_of(server) == "recovered"


def test_a_syntax_error_at_the_start_is_shown_and_the_next_save_recovers(project: Path) -> None:
    change(project, 'ANSWER = "first"', "ANSWER = (")
    server = start("dev_app:app", "--reload", "--reload-delay", "50ms", cwd=project)
    with closing(server):
        server.wait_for_log("the next change starts it again")
        change(project, "ANSWER = (", 'ANSWER = "recovered"')
        server.wait_until_running()
        assert answer_of(server) == "recovered"
        assert server.stop() == 0


@pytest.mark.parametrize("whom", ["group", "parent"])
@pytest.mark.parametrize("path", ["/pid", "/stream", "/block"])
def test_ctrl_c_ends_both_processes(
    project: Path, server: RunningServer, whom: str, path: str
) -> None:
    child = get(server.url("/pid"))
    with socket.create_connection((server.host, server.port), timeout=30) as peer:
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        if path != "/block":
            peer.recv(4096)
        if whom == "group":
            os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does
        else:
            server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    assert not is_alive(child)
    assert "Traceback" not in server.stderr()
    assert "KeyboardInterrupt" not in server.stderr()


def test_ctrl_c_during_a_start_ends_both_processes_without_a_traceback(project: Path) -> None:
    change(project, "ANSWER = ", "time.sleep(1000)\nANSWER = ")
    server = start("dev_app:app", "--reload", cwd=project, start_new_session=True)
    with closing(server):
        server.wait_for_log("Watching ")
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.wait() == 0
        assert "Traceback" not in server.stderr()


def test_a_child_does_not_outlive_a_parent_that_was_killed(server: RunningServer) -> None:
    child = get(server.url("/pid"))
    server.stop(signal.SIGKILL)
    wait_for_end(child)


def test_a_child_that_was_killed_is_started_by_the_next_change(
    project: Path, server: RunningServer
) -> None:
    os.kill(get(server.url("/pid")), signal.SIGKILL)
    server.wait_for_log("The application has exited; the next change starts it again")
    change(project, '"first"', '"another"')
    wait_for_starts(server, 2)
    assert answer_of(server) == "another"


def test_a_port_in_use_is_one_line_and_the_end(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with closing(start("dev_app:app", "--reload", "--port", str(port), cwd=project)) as server:
            assert server.wait() == 1
            expected = f"Error: cannot listen on 127.0.0.1:{port}: address already in use\n"
            assert server.stderr() == expected


def test_a_program_reloads_its_application(project: Path) -> None:
    (project / "main.py").write_text(
        "import asgiws\nasgiws.run('dev_app:app', port=0, reload=True, reload_delay=0.05)\n"
    )
    with closing(launch_command([sys.executable, "main.py"], cwd=project)) as server:
        server.wait_until_running()
        change(project, '"first"', '"another"')
        wait_for_starts(server, 2)
        assert answer_of(server) == "another"
        assert server.stop() == 0
