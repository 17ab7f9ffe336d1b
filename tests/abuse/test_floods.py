"""Who is fast: floods of what costs the client little."""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from asgiws.net.ending import LINGER_MOST
from tests.abuse.harness import MEGABYTE, PATIENCE, Abuse, Scene, flood, get, post, push, until
from tests.support.raw import BINARY, CONTINUATION, PING, PONG, TEXT, Raw, frame, handshake

#: Answers that the victim must get while a flood lasts.
ANSWERS = 20


@contextlib.contextmanager
def again_and_again(*senders: Callable[[], object]) -> Iterator[None]:
    """Call each from a thread of its own for as long as the block lasts. What a call sends is answered when it
    returns, so that no backlog is left in the kernel."""
    stopped = threading.Event()

    def run(send: Callable[[], object]) -> None:
        while not stopped.is_set():
            send()

    with ThreadPoolExecutor() as threads:
        running = [threads.submit(run, send) for send in senders]
        try:
            yield
        finally:
            stopped.set()
        for future in running:
            future.result()


@pytest.mark.parametrize(("path", "end"), [("/count", b" 0"), ("/echo", b"count")])
def test_tiny_messages(abuse: Abuse, path: str, end: bytes) -> None:
    """Messages without a payload, twenty thousand at a time"""
    data = frame(TEXT, b"") * 20000 + frame(TEXT, b"count")

    def send(raw: Raw) -> None:
        raw.send(data)
        raw.read_until(end)

    with abuse() as scene:
        raws = [scene.opened(path) for _ in range(2)]
        with again_and_again(*(partial(send, raw) for raw in raws)):
            scene.victim.served(ANSWERS)


def test_tiny_messages_whose_answers_are_not_read(abuse: Abuse) -> None:
    """Messages without a payload to an echo, by a client that reads none of the answers"""
    with abuse() as scene:
        raws = [scene.opened("/echo", receive_buffer=4096) for _ in range(2)]
        data = frame(TEXT, b"") * 20000
        with flood(raws[0], data, reading=False), flood(raws[1], data, reading=False):
            scene.victim.served(ANSWERS)


@pytest.mark.parametrize("kind", ["compressed", "text", "empty"])
def test_fragments_of_an_octet(abuse: Abuse, kind: str) -> None:
    """Messages in fragments of an octet each: compressed, of a text, or without an octet"""
    rsv = 0
    if kind == "compressed":
        stream = zlib.compressobj(0, zlib.DEFLATED, -12)
        payload = (stream.compress(bytes(30000)) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
        rsv = 4
    else:
        payload = "€".encode() * 10000
    size = int(kind != "empty")
    first = frame(TEXT, payload[:1], fin=False, rsv=rsv)
    rest = [frame(CONTINUATION, payload[i : i + size], fin=False) for i in range(1, len(payload))]
    data = first + b"".join(rest) + frame(CONTINUATION, b"" if size else payload[1:])

    with abuse() as scene:
        extension = "Sec-WebSocket-Extensions: permessage-deflate"
        raws = [scene.opened("/count", extension) for _ in range(10)]
        with contextlib.ExitStack() as floods:
            for raw in raws:
                floods.enter_context(flood(raw, data, reading=False))
            scene.victim.served(ANSWERS)


def test_pings_whose_pongs_are_not_read(abuse: Abuse) -> None:
    """Pings, as many as the connection takes, by a client that reads none of the pongs"""
    with abuse() as scene:
        raw = scene.opened("/echo", receive_buffer=4096)
        # The pongs would be more than the kernel takes, and more than may be kept of them.
        data = frame(PING, b"p" * 125) * 8000
        for _ in range(18):
            assert push(raw, data, quiet=PATIENCE) == len(data)
        scene.victim.served(ANSWERS)


def test_pings(abuse: Abuse) -> None:
    """Pings, as many as the connection takes"""
    with abuse() as scene:
        raw = scene.opened("/echo")
        with flood(raw, frame(PING, b"again") * 20000, reading=True):
            scene.victim.served(ANSWERS)
        raw = scene.opened("/echo")
        raw.send_frame(PING, b"are you there")
        assert raw.frame()[:2] == (PONG, b"are you there")


def test_pipelined_requests_whose_responses_are_not_read(abuse: Abuse) -> None:
    """Pipelined requests for 64 KiB each, by a client that reads none of the responses"""
    with abuse() as scene:
        raws = [scene.raw(receive_buffer=4096) for _ in range(10)]
        for raw in raws:
            requests = get("/large") * 200000
            assert push(raw, requests, quiet=0.2) < len(requests)
        scene.victim.served(ANSWERS)


def test_pipelined_requests(abuse: Abuse) -> None:
    """Pipelined requests, as many as the connection takes"""
    with abuse() as scene:
        raw = scene.raw()
        with flood(raw, get("/tasks") * 5000, reading=True):
            scene.victim.served(ANSWERS)


def test_tiny_chunks(abuse: Abuse) -> None:
    """Request bodies of 37,449 chunks of two octets, one after the other"""
    data = post("/read", "Transfer-Encoding: chunked") + b"2\r\nab\r\n" * 37449 + b"0\r\n\r\n"
    with abuse() as scene:
        raws = scene.raws_of(3)
        with again_and_again(*(partial(raw.request, data) for raw in raws)):
            scene.victim.served(ANSWERS)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(handshake("/echo")[:-10], id="half a handshake"),
        pytest.param(handshake("/never_accepts"), id="a handshake"),
        pytest.param(handshake("/echo") + frame(TEXT, b"hello"), id="a message"),
        pytest.param(get("/download"), id="a request"),
    ],
)
def test_connects_and_resets(abuse: Abuse, sent: bytes) -> None:
    """Clients that connect and reset the connection, a thousand after the other"""
    with abuse() as scene:
        for _ in range(1000):
            raw = scene.raw()
            if sent:
                raw.send(sent)
            raw.reset()
        scene.victim.served()


def test_who_has_gone_is_forgotten(abuse: Abuse) -> None:
    """WebSockets that connect and reset, thousands after the other, where applications may be cancelled late"""
    with abuse("--ws-cancel-after", "1h", growth=2 * MEGABYTE) as scene:
        for _ in range(5000):
            raw = scene.opened("/echo")
            raw.reset()
        scene.victim.served()


def test_connections_at_once(abuse: Abuse) -> None:
    """A thousand WebSockets that connect at once, and leave at once"""
    with abuse() as scene:
        raws = [scene.handshake("/echo") for _ in range(1000)]
        for raw in raws:
            assert raw.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        scene.victim.served()
        for raw in raws:
            raw.reset()


def test_what_is_no_http(abuse: Abuse) -> None:
    """Octets that are no HTTP, and frames that are no WebSocket's"""
    with abuse() as scene:
        for number in range(500):
            raw = scene.raw()
            if number % 2:
                raw.send(bytes([128 + number % 128]) * 1000 + b"\r\n\r\n")
                assert raw.response().status == 400
            else:
                raw.upgrade("/echo")
                raw.send(bytes([240 + number % 16]) * 1000)
                assert raw.close_frame()[0] == 1002
        scene.victim.served()


@pytest.mark.parametrize("path", ["/closes", "/echo"])
def test_who_goes_on_after_a_close(abuse: Abuse, path: str) -> None:
    """Clients that go on sending after the WebSocket was closed, or failed"""
    with abuse("--ws-close-timeout", "1") as scene:
        raws = [scene.opened(path) for _ in range(3)]
        with contextlib.ExitStack() as stack:
            for raw in raws:
                if path == "/echo":
                    raw.send(b"\xff\xff")
                stack.enter_context(flood(raw, frame(BINARY, bytes(1000)) * 1000, reading=False))
            scene.victim.served(ANSWERS)
            until(lambda: scene.is_alone(), "the server has cut them off")


def test_who_goes_on_after_a_refusal(abuse: Abuse) -> None:
    """Clients that go on sending after their request was refused"""
    with abuse(app="brief_app:app") as scene:
        raws = scene.raws_of(3)
        with contextlib.ExitStack() as stack:
            for raw in raws:
                raw.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
                stack.enter_context(flood(raw, bytes(1000000), reading=False))
            scene.victim.served(ANSWERS)
            until(lambda: scene.is_alone(), "the server has cut them off", LINGER_MOST + PATIENCE)


# The log.


def offend(scene: Scene, kind: str, times: int) -> None:
    """Break a rule, each time on a connection of its own."""
    for _ in range(times):
        raw = scene.raw()
        if kind == "origin":
            raw.send(handshake("/echo", "Origin: https://evil.example"))
            assert raw.response().status == 403
        elif kind == "host":
            raw.send(handshake("/echo", host="evil.example"))
            assert raw.response().status == 403
        elif kind == "head":
            push(raw, b"GET /" + b"a" * 20000)
            assert raw.response().status == 414
        elif kind == "no http":
            raw.send(b"\0\0\r\n\r\n")
            assert raw.response().status == 400
        elif kind == "message":
            raw.upgrade("/echo")
            raw.send_frame(BINARY, b"", length=17 * MEGABYTE)
            assert raw.close_frame()[0] == 1009
        elif kind == "no frame":
            raw.upgrade("/echo")
            raw.send(b"\xff\xff")
            assert raw.close_frame()[0] == 1002
        else:
            assert kind == "connections"
            assert raw.response().status == 429
        raw.close()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param("origin", ("--ws-allowed-origins", "http://localhost"), id="origin"),
        pytest.param("host", ("--allowed-hosts", "localhost"), id="host"),
        pytest.param("head", (), id="head"),
        pytest.param("no http", (), id="no http"),
        pytest.param("message", (), id="message"),
        pytest.param("no frame", (), id="no frame"),
        pytest.param("connections", ("--limit-per-ip", "2"), id="connections"),
    ],
)
def test_the_log_does_not_grow_with_a_flood(
    abuse: Abuse, kind: str, options: tuple[str, ...]
) -> None:
    """Offences that are logged, again and again"""
    times = 500
    with abuse(*options, http=False) as scene:
        if kind == "connections":
            scene.raws_of(2)
        offend(scene, kind, times)
        scene.victim.served()
        lines = scene.server.stderr().splitlines()
    assert len(lines) < times / 5, f"{len(lines)} lines"
