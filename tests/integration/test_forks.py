"""Processes that the application forks: they have nothing of the server, and never serve."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from websockets.sync.client import connect

from tests.support.client import get, read_all
from tests.support.gunicorn import gunicorn
from tests.support.server import RunningServer, free_port, is_alive, serve, wait_for_end

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")

APP = "tests.integration.forks_app:app"
ROOT = Path(__file__).resolve().parents[2]
SETTINGS = [["--loop", "asyncio"], ["--loop", "uvloop"], ["--workers", "1"]]
LOOPS = SETTINGS[:2]


def skip_missing(options: list[str]) -> None:
    if "uvloop" in options:
        pytest.importorskip("uvloop")


@contextmanager
def forking(options: list[str], **env: str) -> Iterator[RunningServer]:
    skip_missing(options)
    with serve(APP, *options, cwd=ROOT, env=env, expect_errors=True) as server:
        yield server
        assert server.process.poll() is None or server.process.returncode == 0
        text = server.stderr()
        assert text.count("running on") == 1
    assert server.stderr().count("app: stopping") == 1


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("exit", 7),
        ("exit-none", 0),
        ("exit-text", 1),
        ("exit/task", 7),
        ("exit/thread", 7),
        ("raise", 1),
        ("return", 1),
        ("await", 1),
        ("signals", 0),
        ("signals/thread", 0),
    ],
)
def test_one_that_comes_back_to_the_server_ends(options: list[str], path: str, code: int) -> None:
    with forking(options) as server:
        pid = get(server.url("/pid"))
        assert get(server.url(f"/{path}")) == code
        for _ in range(5):
            assert get(server.url("/pid")) == pid
        assert server.stop() == 0
    text = server.stderr()
    assert ("LookupError: of a fork" in text) == (path == "raise")
    assert ("came back to the server" in text) == (path in ("return", "await"))
    assert ("a text\n" in text) == (path == "exit-text")


@pytest.mark.parametrize("options", LOOPS)
def test_so_does_one_of_a_websocket_and_of_the_lifespan(options: list[str]) -> None:
    with forking(options, FORKS="/exit") as server:
        assert "app: fork ended with 7\n" in server.stderr()
        with connect(server.ws_url("/exit"), proxy=None) as client:
            assert client.recv(30) == "7"
        assert server.stop() == 0


@pytest.mark.parametrize("options", SETTINGS)
def test_a_daemon_is_terminated_and_does_not_hold_the_end(options: list[str]) -> None:
    with forking(options) as server:
        assert get(server.url("/terminate")) == -signal.SIGTERM
        pid = get(server.url("/daemon"))
        assert server.stop() == 0  # Python terminates its daemons, and waits for them
        wait_for_end(pid)


@pytest.mark.parametrize("options", LOOPS)
@pytest.mark.parametrize("tls", [False, True])
def test_one_that_lives_on_holds_no_socket_of_the_servers(
    tmp_path: Path, options: list[str], tls: bool
) -> None:
    skip_missing(options)
    port = free_port()
    where = ["--port", str(port)]
    if tls:
        ca = trustme.CA()
        pem = tmp_path / "pem"
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        where += ["--ssl-certfile", str(pem)]
    with serve(APP, *options, *where, cwd=ROOT, expect_errors=True) as server:
        raw = socket.create_connection((server.host, server.port), timeout=30)
        if tls:
            trust = ssl.create_default_context()
            ca.configure_trust(trust)
            raw = trust.wrap_socket(raw, server_hostname="127.0.0.1")
        with raw as peer:
            peer.sendall(b"GET /keep HTTP/1.1\r\nHost: a\r\n\r\n")
            data = b""
            while not data.partition(b"\r\n\r\n")[2]:
                data += peer.recv(65536)
            pid = int(data.partition(b"\r\n\r\n")[2])
            try:
                # Not stop(), which waits for the end of the log: the fork holds it open.
                server.process.kill()
                server.process.wait()
                assert is_alive(pid)
                assert read_all(peer) == b""
                with socket.socket() as other:
                    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    other.bind(("127.0.0.1", port))
                    other.listen()
            finally:
                os.kill(pid, signal.SIGKILL)


def test_under_gunicorn_too(tmp_path: Path) -> None:
    (tmp_path / "dev_app.py").write_text("from tests.integration.forks_app import app\n")
    with gunicorn(tmp_path, PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path])) as server:
        pid = get(server.url("/pid"))
        assert get(server.url("/terminate")) == -signal.SIGTERM
        assert get(server.url("/exit")) == 7
        assert get(server.url("/pid")) == pid
        daemon = get(server.url("/daemon"))
        assert server.stop() == 0
        wait_for_end(daemon)
