"""Clients that leave a response, and such as only end their side; responses without a body; zerocopysend."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw import TIMEOUT, Raw, request
from tests.support.server import RunningServer, serve

APP = "gone_app:app"
#: What `parts` sends of it.
FILE = Path(__file__).with_name("gone_app.py")


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: Any) -> Iterator[RunningServer]:
    # Applications that hear nothing, and are not cancelled, would hold the end for as long as they may.
    options = ("--loop", request.param, "--timeout-graceful-shutdown", "1")
    with serve(APP, *options) as server:
        yield server


@pytest.fixture(scope="module")
def cancelling() -> Iterator[RunningServer]:
    with serve(APP, "--http-cancel-after", "0.5") as server:
        yield server


def counts(server: RunningServer) -> dict[str, int]:
    with Raw.connect(server) as raw:
        result: dict[str, int] = raw.request(request("/counts")).json()
        return result


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(server: RunningServer, path: str, count: int = 1) -> None:
    """Wait until so many more have ended than there are now in all that began; all of them have then."""
    until(
        lambda: (
            (now := counts(server)).get(f"{path} ended", 0) == now.get(f"{path} began", 0)
            and now.get(f"{path} began", 0) >= count
        )
    )


def begun(server: RunningServer, path: str, method: str = "GET", body: bytes = b"") -> Raw:
    """A client of a stream that has got its first event."""
    raw = Raw.connect(server)
    fields = (f"Content-Length: {len(body)}",) if body else ()
    raw.send(request(path, *fields, method=method, body=body))
    raw.read_until(b"data: ")
    return raw


# Who is told.


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("path", ["/idle", "/ticks", "/wrapped-idle", "/sends"])
def test_a_stream_ends_when_its_client_has_gone(
    server: RunningServer, path: str, leave: str
) -> None:
    raw = begun(server, path)
    getattr(raw, leave)()
    ended(server, path)


def test_many_that_came_and_left(server: RunningServer) -> None:
    """None of them is kept, nor holds up the stop."""
    for _ in range(200):
        begun(server, "/idle", "POST", b"abc").close()
    ended(server, "/idle", 200)


def test_streams_that_were_left_do_not_hold_the_stop() -> None:
    with serve(APP, "--timeout-graceful-shutdown", "1h") as server:
        raws = [begun(server, "/idle") for _ in range(20)]
        for raw in raws:
            raw.close()
        assert server.stop() == 0


@pytest.mark.parametrize("path", ["/three", "/wrapped-three", "/slow"])
def test_who_ends_its_side_gets_the_whole_stream(server: RunningServer, path: str) -> None:
    with Raw.connect(server) as raw:
        raw.send(request(path))
        raw.shut()
        body = raw.response().body
        assert body.count(b"piece" if "three" in path else b"tick") == (3 if "three" in path else 5)
        assert raw.read_all() == b""


def test_a_stream_that_waits_ends_when_its_client_has_ended_its_side(server: RunningServer) -> None:
    with begun(server, "/idle") as raw:
        raw.shut()
        ended(server, "/idle")
        raw.read_all()


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_departure_in_a_task_group_is_one_line(leave: str) -> None:
    with serve(APP) as server:  # no traceback is allowed
        raw = begun(server, "/group")
        getattr(raw, leave)()
        ended(server, "/group")
        server.wait_for_log(r"INFO .*ended with \w*ExceptionGroup: the client has gone: GET /group")


def test_a_departure_in_a_task_group_of_a_websocket_is_no_error() -> None:
    with serve(APP) as server:
        for _ in range(3):
            raw = Raw.connect(server)
            raw.upgrade("/")
            raw.message()
            raw.reset()
        until(lambda: "closed 1006" in server.stderr())
    assert "Traceback" not in server.stderr()


def test_an_error_beside_it_is_logged_in_full() -> None:
    with serve(APP, expect_errors=True) as server:
        begun(server, "/group-and-more").close()
        server.wait_for_log(r"ERROR .*Exception in ASGI application: GET /group-and-more")
        server.wait_for_log("ValueError: of its own")


# --http-cancel-after.


@pytest.mark.parametrize("leave", ["close", "reset", "shut"])
@pytest.mark.parametrize("path", ["/deaf", "/silent"])
def test_who_does_not_listen_is_cancelled(cancelling: RunningServer, path: str, leave: str) -> None:
    before = counts(cancelling).get(f"{path} cancelled", 0)
    raw = Raw.connect(cancelling)
    raw.send(request(path))
    until(lambda: counts(cancelling).get(f"{path} began", 0) == before + 1)
    getattr(raw, leave)()
    until(lambda: counts(cancelling).get(f"{path} cancelled", 0) == before + 1)
    cancelling.wait_for_log(r"application cancelled, 0.5 seconds .* \(http_cancel_after\)")
    raw.close()


@pytest.mark.parametrize("leave", ["close", "reset", "shut"])
def test_who_does_not_read_the_body_either(cancelling: RunningServer, leave: str) -> None:
    """Nothing more is read of that connection."""
    before = counts(cancelling).get("/deaf cancelled", 0)
    raw = Raw.connect(cancelling)
    raw.send(request("/deaf", "Content-Length: 1000000", method="POST", body=bytes(90_000)))
    until(lambda: counts(cancelling).get("/deaf began", 0) == before + 1)
    getattr(raw, leave)()
    until(lambda: counts(cancelling).get("/deaf cancelled", 0) == before + 1)
    raw.close()


def test_who_is_sent_something_is_not_gone(cancelling: RunningServer) -> None:
    """It has ended its side, and takes what comes: far longer than the time."""
    with Raw.connect(cancelling) as raw:
        raw.send(request("/slow"))
        raw.shut()
        assert raw.response().body.count(b"tick") == 5


def test_the_stop_does_not_wait_for_who_is_to_be_cancelled() -> None:
    options = ("--http-cancel-after", "0.5", "--timeout-graceful-shutdown", "1h")
    with serve(APP, *options) as server:
        raws = [begun(server, "/deaf") for _ in range(3)]
        raws[0].close()
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping")
        raws[1].reset()
        raws[2].shut()
        assert server.wait() == 0
        raws[2].close()
    assert "Cut off" not in server.stderr()


# No body.


@pytest.mark.parametrize("path", ["/idle", "/ticks", "/sends", "/deaf", "/wrapped-idle"])
def test_head_of_a_stream_is_a_whole_response(server: RunningServer, path: str) -> None:
    with Raw.connect(server) as raw:
        for _ in range(3):
            assert raw.request(request(path, method="HEAD")).status == 200
        assert raw.request(request("/three")).body.count(b"piece") == 3
    if path != "/deaf":  # which neither listens nor sends
        ended(server, path)


@pytest.mark.parametrize("leave", ["close", "reset", "shut"])
@pytest.mark.parametrize("path", ["/ticks", "/sends"])
def test_head_of_a_stream_whose_client_goes(server: RunningServer, path: str, leave: str) -> None:
    raw = Raw.connect(server)
    assert raw.request(request(path, method="HEAD")).status == 200
    getattr(raw, leave)()
    ended(server, path)
    raw.close()


def test_head_of_a_stream_that_does_not_listen(cancelling: RunningServer) -> None:
    before = counts(cancelling).get("/deaf cancelled", 0)
    with Raw.connect(cancelling) as raw:
        assert raw.request(request("/deaf", method="HEAD")).status == 200
        # The next request is enough: nobody waits for the first any more.
        assert raw.request(request("/three")).status == 200
        until(lambda: counts(cancelling).get("/deaf cancelled", 0) == before + 1)


# zerocopysend.


def test_zerocopysend(server: RunningServer) -> None:
    content = FILE.read_bytes()
    expected = content[:10] + b"<between>" + content[20:50] + content[:5] + content[10:]
    with Raw.connect(server) as raw:
        raw.send(request("/parts") * 3)  # the first is called within the read that brought it
        for _ in range(3):
            assert raw.response().body == expected
        assert raw.request(request("/parts", method="HEAD")).status == 200
        assert raw.request(request("/parts")).body == expected


def test_zerocopysend_to_a_slow_client(server: RunningServer) -> None:
    with Raw.connect(server, receive_buffer=4096) as raw:
        raw.send(request("/big"))
        _, _, headers = raw.head()
        assert ("content-length", str(64 << 20)) in headers
        body = bytearray()
        for _ in range(5):
            body += raw.read(10_000)
            time.sleep(0.05)
        body += raw.read((64 << 20) - len(body))
        assert body.startswith(b"begin\0")
        assert body.endswith(b"\0end")


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_zerocopysend_to_a_client_that_leaves(server: RunningServer, leave: str) -> None:
    before = counts(server).get("/big told by send", 0)
    raw = Raw.connect(server, receive_buffer=4096)
    raw.send(request("/big"))
    raw.head()
    getattr(raw, leave)()
    until(lambda: counts(server).get("/big told by send", 0) == before + 1)
    ended(server, "/big")
