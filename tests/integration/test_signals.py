"""SIGINT and SIGTERM: what becomes of connections, of the application and of the process."""

from __future__ import annotations

import signal
import socket
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration import lifecycle_app
from tests.support.client import get, hang, read_all, send
from tests.support.server import serve, start

APP = "lifecycle_app:app"
PREFACE = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\n"
BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", BOTH)
def test_an_idle_server_ends_at_once_with_0(number: int) -> None:
    with serve(APP, env={"AT_EXIT": "1"}) as server:
        get(server.url("/x"))
        assert server.stop(number) == 0
    assert server.stderr().endswith("Stopped\napp: atexit\n")


@pytest.mark.parametrize("number", BOTH)
def test_a_request_is_finished_and_nobody_else_let_in(number: int) -> None:
    with serve(APP) as server:
        with send(server, "POST /body HTTP/1.1\nHost: a\nContent-Length: 4\n\nab") as peer:
            server.wait_for_log("app: reading")
            server.send_signal(number)
            server.wait_for_log("Stopping; 1 connections are open")
            with pytest.raises(urllib.error.URLError):
                get(server.url("/x"))
            assert "app: stopping" not in server.stderr()
            peer.sendall(b"cd")
            answer = read_all(peer)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\n4")
        assert server.wait() == 0
    assert "Cut off" not in server.stderr()
    assert "app: stopped" in server.stderr()


def test_an_idle_connection_does_not_hold_the_end() -> None:
    with serve(APP, "--timeout-keep-alive", "1h") as server:
        with send(server, "GET /x HTTP/1.1\nHost: a\n\n") as peer:
            assert peer.recv(65536).startswith(b"HTTP/1.1 200 ")
            server.send_signal(signal.SIGTERM)
            assert read_all(peer) in (b"", b'"/x"')
        assert server.wait() == 0
    assert "Cut off" not in server.stderr()


def test_what_hangs_is_cut_off_in_time_and_counted() -> None:
    with serve(APP, "--timeout-graceful-shutdown", "1s") as server, hang(server) as peer:
        begin = time.monotonic()
        assert server.stop() == 0
        took = time.monotonic() - begin
        assert read_all(peer) == b""
    text = server.stderr()
    assert "Cut off 1 connections and 1 application tasks" in text
    assert text.index("app: cancelled") < text.index("app: stopped")
    assert 0.8 < took < 20


def test_an_application_that_ignores_cancellation_cannot_hold_the_end() -> None:
    options = ("--timeout-graceful-shutdown", "500ms")
    with serve(APP, *options, expect_errors=True) as server, hang(server, "/ignore"):
        assert server.stop() == 0
    assert "An application task ignores its cancellation: " in server.stderr()
    assert "app: stopped" in server.stderr()


@pytest.mark.parametrize("number", BOTH)
def test_a_second_signal_ends_at_once(number: int) -> None:
    options = ("--timeout-graceful-shutdown", "1h")
    with serve(APP, *options, expect_errors=True) as server, hang(server) as peer:
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping; 1 connections are open")
        assert server.stop(number) == 128 + number
        assert read_all(peer) == b""
    assert "app: stopping" not in server.stderr()


@pytest.mark.parametrize("first", [b"", b"PROXY TCP4 192.0.2.7"])
def test_a_peer_that_has_not_sent_its_proxy_preface_does_not_hold_the_end(first: bytes) -> None:
    with serve(APP, "--proxy-protocol") as server:
        peer = socket.create_connection((server.host, server.port), timeout=30)
        with peer, send(server, f"{PREFACE}GET /x HTTP/1.1\nHost: a\n\n") as other:
            peer.sendall(first)
            assert other.recv(65536).startswith(b"HTTP/1.1 200 ")  # so the first is accepted, too
            assert server.stop() == 0
            assert read_all(peer) == b""
    assert "app: stopped" in server.stderr()
    assert "Cut off" not in server.stderr()


def test_a_proxy_preface_that_is_on_its_way_is_served_when_the_server_stops() -> None:
    with serve(APP, "--proxy-protocol") as server, send(server, PREFACE[:10]) as peer:
        with send(server, f"{PREFACE}GET /x HTTP/1.1\nHost: a\n\n") as other:
            assert other.recv(65536).startswith(b"HTTP/1.1 200 ")
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping; ")
        peer.sendall(f"{PREFACE[10:]}GET /y HTTP/1.1\nHost: a\n\n".replace("\n", "\r\n").encode())
        assert read_all(peer).endswith(b'"/y"')
        assert server.wait() == 0


def test_a_second_signal_ends_a_stop_of_the_application() -> None:
    options = ("--timeout-graceful-shutdown", "1h")
    with serve(APP, *options, env={"LIFESPAN": "stop-hangs"}, expect_errors=True) as server:
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("app: stopping")
        assert server.stop() == 128 + signal.SIGTERM


def test_a_hangup_is_a_line_in_the_log() -> None:
    with serve(APP) as server:
        for _ in range(2):
            server.send_signal(signal.SIGHUP)
            server.wait_for_log("SIGHUP: there are no certificates to reload")
            assert get(server.url("/x")) == "/x"


def test_a_hangup_before_it_serves_does_not_end_it() -> None:
    with closing(start(APP, env={"LIFESPAN": "start-hangs"})) as server:
        server.wait_for_log("app: starting")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("SIGHUP: there are no certificates to reload")
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping; the application is still starting")
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 128 + signal.SIGTERM


@pytest.mark.parametrize("options", [[], ["--workers", "1"]])
def test_a_hangup_that_was_ignored_stays_ignored(options: list[str]) -> None:
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = start(APP, *options)
    finally:
        signal.signal(signal.SIGHUP, before)
    with closing(server):
        server.wait_until_running()
        server.send_signal(signal.SIGHUP)
        assert get(server.url("/x")) == "/x"
        assert server.stop() == 0
        assert "SIGHUP" not in server.stderr()
        assert "Replacing" not in server.stderr()


def test_a_second_signal_ends_a_start_that_hangs() -> None:
    with closing(
        start(APP, "--timeout-graceful-shutdown", "1h", env={"LIFESPAN": "start-hangs"})
    ) as server:
        server.wait_for_log("app: starting")
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping; the application is still starting")
        assert server.stop() == 128 + signal.SIGTERM


@pytest.mark.parametrize("step", ["first", "later"])
def test_a_second_signal_ends_a_server_whose_loop_is_blocked(step: str) -> None:
    method = "GET" if step == "first" else "POST"
    head = f"{method} /block HTTP/1.1\nHost: a\nContent-Length: {4 * (step == 'later')}\n\n"
    with serve(APP, expect_errors=True) as server, send(server, head) as peer:
        if step == "later":  # the application is stepped within the read of its body
            server.wait_for_log("app: reading")
            peer.sendall(b"body")
        server.wait_for_log("app: blocking")
        deadline = time.monotonic() + 30
        while server.process.poll() is None and time.monotonic() < deadline:
            server.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        # One more may come when the process has given its signals back already.
        assert server.wait() in (128 + signal.SIGTERM, -signal.SIGTERM)
    assert "Traceback" not in server.stderr()


def test_a_thread_of_the_application_cannot_hold_the_end() -> None:
    with serve(APP, "--timeout-graceful-shutdown", "500ms") as server:
        assert get(server.url("/thread")) == "started"
        assert server.stop() == 0
    assert "Error: exited without waiting for threads: " in server.stderr()


def test_a_signal_while_the_application_is_imported_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "slow_app.py").write_text(
        "import time\nfrom lifecycle_app import say\nsay('importing')\ntime.sleep(1000)\n"
    )
    (tmp_path / "lifecycle_app.py").write_text(Path(lifecycle_app.__file__).read_text())
    with closing(start("slow_app:app", cwd=tmp_path)) as server:
        server.wait_for_log("app: importing")
        assert server.stop(signal.SIGINT) == 128 + signal.SIGINT
        assert "Traceback" not in server.stderr()
