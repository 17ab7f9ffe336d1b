"""Health probes of a real process."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request

import pytest

from tests.support.client import get, hang, read_all, send
from tests.support.server import serve

APP = "lifecycle_app:app"


def probe(url: str, method: str = "GET") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, method=method), timeout=30
        ) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_probes_are_answered_without_the_application_and_its_log() -> None:
    with serve(APP, "--health-path", "/healthz") as server:
        assert probe(server.url("/healthz")) == (200, b"alive")
        assert probe(server.url("/healthz/ready")) == (200, b"ready")
        assert probe(server.url("/healthz/ready"), "HEAD") == (200, b"")
        assert probe(server.url("/healthz"), "POST")[0] == 405
        assert get(server.url("/healthz/other")) == "/healthz/other"
    assert server.stderr().count("/healthz") == 1


def test_without_the_option_the_path_is_the_applications() -> None:
    with serve(APP) as server:
        assert get(server.url("/healthz")) == "/healthz"


def test_a_server_at_its_limit_is_healthy() -> None:
    with (
        serve(APP, "--health-path", "/h", "--limit-concurrency", "1") as server,
        hang(server),
    ):
        assert probe(server.url("/h/ready")) == (200, b"ready")
        assert probe(server.url("/"))[0] == 503
        server.stop(signal.SIGKILL)


def test_a_server_that_drains_is_not_ready() -> None:
    with serve(APP, "--health-path", "/h") as server:
        head = "POST /body HTTP/1.1\nHost: a\nContent-Length: 4\n\nab"
        with send(server, head) as peer:
            server.wait_for_log("app: reading")
            server.send_signal(signal.SIGTERM)
            server.wait_for_log("Stopping; 1 connections are open")
            with pytest.raises(urllib.error.URLError):  # which a probe counts as not ready
                probe(server.url("/h/ready"))
            peer.sendall(b"cd")
            assert read_all(peer).startswith(b"HTTP/1.1 200 ")
        assert server.wait() == 0
