"""An application that awaits nothing but calls that need not wait holds up nobody.

Other clients are served, the application hears that its own has gone, and the server stops.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from asgiws.server import loops
from tests.support.raw import TIMEOUT, Raw, frame
from tests.support.server import RunningServer, serve

LOOPS = ["asyncio", *(["uvloop"] if loops.uvloop_version() else [])]
PROBES = 20

#: Each way to never wait: what is asked, and what the client sends behind it, again and again.
REQUEST = "{} /{} HTTP/1.1\r\nHost: a\r\n\r\n"
MANY = frame(1, b"x") * 5000
STYLES: dict[str, tuple[str, str, bytes]] = {
    "a WebSocket that only sends": ("", "sends", b""),
    "a WebSocket that only receives": ("", "receives", MANY),
    "a WebSocket that does both": ("", "echoes", MANY),
    "a response without an end": ("GET", "sends", b""),
    "a response to HEAD": ("HEAD", "sends", b""),
    "a response of 204": ("GET", "204", b""),
    "a response of 304": ("GET", "304", b""),
    "Starlette's response": ("GET", "starlette", b""),
    "Starlette's response to HEAD": ("HEAD", "starlette", b""),
}

#: Those that are told of the end and go on. They are cancelled when the server stops.
DEAF = {
    "a WebSocket that sends whatever it is told": ("", "sends_whatever_it_is_told", b""),
    "a WebSocket that receives whatever it is told": ("", "receives_whatever_it_is_told", b""),
    "a request whose end is asked for for ever": ("GET", "asks", b""),
    "a response that goes on behind its end": ("GET", "answers", b""),
}


@pytest.fixture(scope="module", params=LOOPS)
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with serve("endless_app:app", "--loop", request.param, "--no-access-log") as server:
        yield server


def get(server: RunningServer, path: str) -> bytes:
    with Raw.connect(server) as raw:
        return raw.request(REQUEST.format("GET", path).encode()).body


@contextmanager
def begun(server: RunningServer, method: str, style: str, data: bytes) -> Iterator[Raw]:
    """A client that is served in that style, and reads what it is sent."""

    def receive() -> None:
        with suppress(OSError):
            while raw.sock.recv(1 << 20):
                pass

    def send() -> None:
        with suppress(OSError):
            while data:
                raw.sock.sendall(data)

    with Raw.connect(server) as raw:
        if method:
            raw.send(REQUEST.format(method, style).encode())
        else:
            raw.upgrade("/" + style)
        threads = [threading.Thread(target=target) for target in (receive, send)]
        for thread in threads:
            thread.start()
        try:
            yield raw
        finally:
            with suppress(OSError):  # it has gone already
                raw.sock.shutdown(socket.SHUT_RD)
                raw.reset()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("name", STYLES)
def test_others_are_served_and_its_client_may_go(server: RunningServer, name: str) -> None:
    before = int(get(server, "ended"))
    with begun(server, *STYLES[name]):
        for _ in range(PROBES):
            # Starlette ends by itself what is complete for its client.
            assert int(get(server, "probe")) - before <= ("HEAD" in name)
    deadline = time.monotonic() + TIMEOUT
    while int(get(server, "ended")) == before:
        assert time.monotonic() < deadline, "the application has not heard that its client has gone"


@pytest.mark.parametrize(
    ("loop", "names"),
    # Each by itself on one loop, and all at once on the others.
    [
        *((LOOPS[-1], [name]) for name in STYLES | DEAF),
        *((loop, list(STYLES | DEAF)) for loop in LOOPS[:-1]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0] if len(value) == 1 else "all",
)
def test_the_server_stops(loop: str, names: list[str]) -> None:
    options = ("--loop", loop, "--no-access-log", "--timeout-graceful-shutdown", "1")
    with (
        serve("endless_app:app", *options, expect_errors=True) as server,
        ExitStack() as clients,
    ):
        raws = [clients.enter_context(begun(server, *(STYLES | DEAF)[name])) for name in names]
        for _ in range(PROBES // len(names) + 1):
            get(server, "probe")
        for name, raw in zip(names, raws, strict=True):
            if name in DEAF:
                raw.reset()
        for _ in range(PROBES // len(names) + 1):
            get(server, "probe")
        assert server.stop() == 0
