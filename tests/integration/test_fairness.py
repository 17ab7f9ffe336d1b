"""A client that floods does not keep the others waiting, counted in what of the flood is handled meanwhile."""

from __future__ import annotations

import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from asgiws.drivers.http import TURN
from asgiws.drivers.reading import TURN_EVENTS
from asgiws.net.loop_io import READ_SIZE
from asgiws.server import loops
from tests.support.raw import BINARY, TEXT, Raw, frame
from tests.support.server import RunningServer, serve

APP = "fairness_app:app"
LOOPS = ["asyncio", *(["uvloop"] if loops.uvloop_version() else [])]
#: Echoes that are asked for while the flood lasts.
ECHOES = 100
#: Turns of the loop between two messages of a client that answers at once. On a shared machine the client is
#: itself kept waiting; so the middle one of all its echoes is looked at.
TURNS = 8


@pytest.fixture(scope="module", params=LOOPS)
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with serve(APP, "--loop", request.param, "--no-access-log") as server:
        yield server


@contextmanager
def flooding(flooder: Raw, data: bytes) -> Iterator[None]:
    """Send it again and again from another thread, and read what is answered from a third."""

    def send() -> None:
        try:
            while True:
                flooder.sock.sendall(data)
        except OSError:
            pass

    def receive() -> None:
        try:
            while flooder.sock.recv(1 << 20):
                pass
        except OSError:
            pass

    threads = [threading.Thread(target=target) for target in (send, receive)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        flooder.sock.shutdown(2)
        for thread in threads:
            thread.join()


def handled_between_echoes(victim: Raw) -> list[int]:
    """How much of the flood was handled before each echo, once it has begun."""
    while True:
        victim.send_frame(TEXT, b"?")
        if int(victim.message()) > 0:
            break
    counts = []
    for _ in range(ECHOES):
        victim.send_frame(TEXT, b"?")
        counts.append(int(victim.message()))
    return sorted(counts)


def test_a_flood_of_messages(server: RunningServer) -> None:
    with Raw.connect(server) as victim, Raw.connect(server) as flooder:
        victim.upgrade("/echo")
        flooder.upgrade("/flood")
        with flooding(flooder, frame(TEXT, b"") * 40000):
            counts = handled_between_echoes(victim)
    assert counts[-1] > 0, "there was no flood"
    assert counts[ECHOES // 2] <= TURNS * TURN_EVENTS, counts


def test_a_flood_of_requests(server: RunningServer) -> None:
    with Raw.connect(server) as victim, Raw.connect(server) as flooder:
        victim.upgrade("/echo")
        with flooding(flooder, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 8000):
            counts = handled_between_echoes(victim)
    assert counts[-1] > 0, "there was no flood"
    assert counts[ECHOES // 2] <= TURNS * TURN, counts


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is read from /proc")
def test_a_flood_of_compressed_messages_is_not_inflated_ahead(server: RunningServer) -> None:
    """One read holds 200 messages of 1 MiB each; no more than the high mark and one are queued."""

    def peak() -> int:
        """The most memory that the server ever had, in octets."""
        with Raw.connect(server) as raw:
            return int(raw.request(b"GET /peak HTTP/1.1\r\nHost: a\r\n\r\n").body) * 1024

    deflate = zlib.compressobj(9, wbits=-15)
    message = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    data = frame(BINARY, message.removesuffix(b"\0\0\xff\xff"), rsv=4) * 200
    assert len(data) < READ_SIZE
    with Raw.connect(server) as flooder, Raw.connect(server) as desk:
        extensions = "Sec-WebSocket-Extensions: permessage-deflate"
        assert flooder.upgrade("/held", extensions).get("sec-websocket-extensions")
        before = peak()
        flooder.send(data)
        grown = peak() - before  # the server has read the flood: it was there before this request
        desk.request(b"GET /release HTTP/1.1\r\nHost: a\r\n\r\n")
        flooder.send_frame(TEXT, b"end")
        assert flooder.message() == "200"
        grown = max(grown, peak() - before)
    assert grown < 20 << 20
