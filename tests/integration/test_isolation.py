"""Nothing of one call in another's, and nothing of it left behind: contexts, and memory without a collector."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.pki import Certificate
from tests.support.raw import CLOSE, TEXT, TIMEOUT, Raw
from tests.support.server import RunningServer, serve

APP = "isolation_app:app"
CALLS = 10

Connect = Callable[[], Raw]
Visit = Callable[[Raw], None]


def ask(path: str) -> Visit:
    def visit(raw: Raw) -> None:
        with raw:
            raw.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            raw.response()

    return visit


def leave(path: str, reset: bool) -> Visit:
    """Ask, and go before the response is complete."""

    def visit(raw: Raw) -> None:
        with raw:
            raw.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            if path == "/streams":
                raw.head()
            if reset:
                raw.reset()

    return visit


def close_websocket(path: str) -> Visit:
    def visit(raw: Raw) -> None:
        with raw:
            raw.upgrade(path)
            raw.send_frame(CLOSE, b"\x03\xe8")
            raw.read_all()

    return visit


def leave_websocket(path: str) -> Visit:
    def visit(raw: Raw) -> None:
        with raw:
            raw.upgrade(path)
            raw.reset()

    return visit


def send_a_message(path: str) -> Visit:
    def visit(raw: Raw) -> None:
        with raw:
            raw.upgrade(path)
            raw.send_frame(TEXT, b"x")
            raw.close_frame()
            raw.send_frame(CLOSE, b"\x03\xf3")
            raw.read_all()

    return visit


VISITS = {
    "it answers at once": ask("/at_once"),
    "it waits": ask("/waits"),
    "it raises": ask("/raises"),
    "it raises later": ask("/raises_later"),
    "it is cancelled": leave("/is_cancelled", False),
    "the client has gone": leave("/listens", True),
    "the client has left a stream": leave("/streams", True),
    "a WebSocket is closed": close_websocket("/listens"),
    "a WebSocket is reset": leave_websocket("/listens"),
    "a WebSocket is pushed to": leave_websocket("/pushes"),
    "a WebSocket's application raises": send_a_message("/raises_on_a_message"),
    "a WebSocket's application is cancelled": leave_websocket("/goes_on"),
    "a WebSocket's application ends at once": send_a_message("/raises"),
}


def alive(raw: Raw) -> tuple[int, dict[str, int]]:
    """How many payloads of its calls the application has, and how many objects of some kinds there are."""
    with raw:
        response = raw.request(b"GET /alive HTTP/1.1\r\nHost: localhost\r\n\r\n")
    payloads, counts = response.json()
    return payloads, counts


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest) -> Any:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    options = ("--loop", request.param, "--ws-cancel-after", "0.1")
    with serve(APP, *options, expect_errors=True) as server:
        yield server


@pytest.mark.parametrize("how", VISITS)
def test_a_call_leaves_nothing_behind_without_a_garbage_collector(
    server: RunningServer, how: str
) -> None:
    assert_nothing_stays(lambda: Raw.connect(server), VISITS[how])


def assert_nothing_stays(connect: Connect, visit: Visit) -> None:
    visit(connect())
    _, before = alive(connect())
    for _ in range(CALLS):
        visit(connect())
    end = time.monotonic() + TIMEOUT
    while True:
        payloads, after = alive(connect())
        left = {kind: after[kind] - before[kind] for kind in after}
        if payloads == 0 and all(count < CALLS / 2 for count in left.values()):
            return
        assert time.monotonic() < end, f"{payloads} payloads are alive, and {left} more than before"
        time.sleep(0.05)


@pytest.mark.parametrize("limit", [[], ["--limit-per-ip", "100"]])
@pytest.mark.parametrize(
    "how", ["it waits", "the client has gone", "a WebSocket is closed", "a WebSocket is reset"]
)
def test_a_connection_leaves_nothing_behind_under_tls(
    certificate: Certificate, how: str, limit: list[str]
) -> None:
    with serve(APP, *certificate.options, *limit) as server:

        def connect() -> Raw:
            raw = Raw.connect(server)
            raw.sock = certificate.trust.wrap_socket(raw.sock, server_hostname="localhost")
            return raw

        assert_nothing_stays(connect, VISITS[how])


def test_a_deadline_of_another_is_logged_in_no_request() -> None:
    """The timer for all deadlines was armed last while the application of the first client ran."""
    options = ("--timeout-keep-alive", "1", "--timeout-request-head", "3", "--no-access-log")
    with serve(APP, *options) as server, Raw.connect(server) as first:
        first.request(b"GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with Raw.connect(server) as second:
            second.send(b"GET / HTTP/1.1\r\n")
            assert first.read_all() == b""
            assert second.response().status == 408
            line = server.wait_for_log(r".*timeout_request_head.*")[0]
    assert "[request none]" in line
    assert "/waits" not in line


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_loop_that_stood_still_is_told_of(loop: str) -> None:
    """And nobody is judged by a deadline that passed meanwhile."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    options = ("--loop", loop, "--timeout-keep-alive", "1", "--timeout-request-head", "1")
    with serve(APP, *options) as server:
        with Raw.connect(server) as raw:
            raw.send(b"GET /at_once HTTP/1.1\r\n")
            with Raw.connect(server) as other:
                other.request(b"GET /blocks HTTP/1.1\r\nHost: localhost\r\n\r\n")
            server.wait_for_log(r"The event loop stood still for \d\.\d seconds")
            raw.send(b"Host: localhost\r\n\r\n")
            assert raw.response().status == 200
        text = server.stderr()
    assert text.count("stood still") == 1
