"""Who holds on: each wait for a client, or for the application, ends."""

from __future__ import annotations

import os
import select
import ssl
import time

import pytest

from tests.abuse.harness import MEGABYTE, Abuse, ended, get, post
from tests.support.pki import Certificate
from tests.support.raw import TEXT, Raw, close_frame, handshake

#: How many hold on at once.
MANY = 200


def status_of(answer: bytes | None) -> int:
    assert answer is not None, "the connection was cut"
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split(b" ", 2)[1])


def trickle(raws: list[Raw], data: bytes, rhythm: float = 0.1) -> None:
    """Send an octet of `data` after the other on each connection until the server has answered them all."""
    left = raws
    for position in range(len(data)):
        answered = select.select([raw.sock for raw in left], [], [], 0)[0]
        left = [raw for raw in left if raw.sock not in answered]
        if not left:
            return
        for raw in left:
            raw.send(data[position : position + 1])
        time.sleep(rhythm)
    raise AssertionError(f"{len(left)} connections go on")


def test_silent_connections(abuse: Abuse) -> None:
    """Clients connect and send nothing"""
    with abuse("--timeout-request-head", "2") as scene:
        raws = scene.raws_of(MANY)
        scene.victim.served()
        assert ended(raws) == [b""] * MANY


def test_slow_heads(abuse: Abuse) -> None:
    """Request heads that come an octet at a time and never end (slowloris)"""
    with abuse("--timeout-request-head", "2") as scene:
        raws = scene.raws_of(50)
        for raw in raws:
            raw.send(b"GET /tasks HTTP/1.1\r\nHost: a\r\n")
        trickle(raws, b"X: y\r\n" * 100)
        scene.victim.served()
        assert [status_of(answer) for answer in ended(raws)] == [408] * len(raws)


def test_unfinished_heads(abuse: Abuse) -> None:
    """Half a request head, and then nothing"""
    with abuse("--timeout-request-head", "2") as scene:
        raws = scene.raws_of(MANY)
        for raw in raws:
            raw.send(b"GET /tasks HTTP/1.1\r\nHost: a\r\n")
        scene.victim.served()
        assert [status_of(answer) for answer in ended(raws)] == [408] * MANY


def test_half_a_handshake(abuse: Abuse) -> None:
    """WebSocket handshakes of which half comes, and then nothing"""
    with abuse("--timeout-request-head", "2") as scene:
        raws = scene.raws_of(MANY)
        for raw in raws:
            raw.send(handshake("/echo")[:-10])
        scene.victim.served()
        assert [status_of(answer) for answer in ended(raws)] == [408] * MANY
        assert "echo began" not in scene.report()


def test_stalled_bodies(abuse: Abuse) -> None:
    """Request bodies that stop in their middle"""
    with abuse("--timeout-request-body", "1") as scene:
        raws = scene.raws_of(MANY)
        for number, raw in enumerate(raws):
            if number % 3 == 0:
                raw.send(post("/read", "Content-Length: 1000") + b"half")
            elif number % 3 == 1:
                raw.send(post("/read", "Transfer-Encoding: chunked") + b"4\r\nhalf\r\n3e8\r\nmore")
            else:
                raw.send(post("/read", "Content-Length: 1000", "Expect: 100-continue"))
                assert raw.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        scene.victim.served()
        assert [status_of(answer) for answer in ended(raws)] == [408] * MANY
        scene.until("read disconnected", MANY)


def test_slow_applications(abuse: Abuse) -> None:
    """Clients that wait for a slow application are none of these, and are served"""
    options = ["--timeout-request-head", "--timeout-request-body", "--timeout-keep-alive"]
    with abuse(*(part for option in options for part in (option, "1"))) as scene:
        raws = scene.raws_of(20)
        for number, raw in enumerate(raws):
            if number % 2:
                raw.send(get("/unread"))
            else:
                raw.send(post("/unread", "Content-Length: 4") + b"body")
        started = time.monotonic()
        while time.monotonic() < started + 3:
            scene.victim.served(1)
        assert scene.raw().request(get("/release")).status == 200
        assert [raw.response().body for raw in raws] == [b"unread"] * 20


def test_idle_keep_alive(abuse: Abuse) -> None:
    """Connections that are kept after a request, and not used"""
    with abuse("--timeout-keep-alive", "1") as scene:
        raws = scene.raws_of(MANY)
        for raw in raws:
            assert raw.request(get("/tasks")).status == 200
        scene.victim.served()
        assert ended(raws) == [b""] * MANY


def test_never_accepted(abuse: Abuse) -> None:
    """An application that never answers handshakes"""
    with abuse("--ws-handshake-timeout", "1") as scene:
        raws = [scene.handshake("/never_accepts") for _ in range(MANY)]
        scene.victim.served()
        assert [status_of(answer) for answer in ended(raws)] == [503] * MANY
        scene.until("never_accepts 1006", MANY)


def test_unanswered_close(abuse: Abuse) -> None:
    """WebSocket clients that do not answer the close"""
    with abuse("--ws-close-timeout", "1") as scene:
        raws = [scene.opened("/closes") for _ in range(MANY)]
        for raw in raws:
            assert raw.close_frame() == (4000, "")
        scene.victim.served()
        ended(raws)
        scene.until("closes 1006", MANY)


def test_no_pong(abuse: Abuse) -> None:
    """WebSocket clients that answer no ping"""
    with abuse("--ws-ping-interval", "0.5", "--ws-ping-timeout", "2") as scene:
        raws = [scene.opened("/echo") for _ in range(MANY)]
        scene.victim.served()
        for answer in ended(raws):
            assert answer is not None
            assert answer.endswith(b"keepalive ping timeout")
        scene.until("echo 1011", MANY)


def test_idle_websockets(abuse: Abuse) -> None:
    """WebSockets on which nothing is said, or not a whole message"""
    with abuse("--ws-idle-timeout", "1", reopens=True) as scene:
        raws = [scene.opened("/echo") for _ in range(MANY)]
        for raw in raws[: MANY // 2]:
            raw.send_frame(TEXT, b"half", fin=False)
        scene.victim.served()
        for raw in raws:
            code, _ = raw.close_frame()
            assert code == 1001
            raw.send(close_frame(1001))
        scene.until("echo 1001", MANY)
        assert set(ended(raws)) == {b""}


def test_maximum_age(abuse: Abuse) -> None:
    """WebSockets that are held for ever"""
    with abuse("--ws-max-age", "1", "--ws-max-age-jitter", "1", reopens=True) as scene:
        raws = [scene.opened("/echo") for _ in range(MANY)]
        scene.victim.served()
        for raw in raws:
            code, _ = raw.close_frame()
            assert code == 1001
            raw.send(close_frame(1001))
        scene.until("echo 1001", MANY)
        assert set(ended(raws)) == {b""}


@pytest.mark.parametrize("how", ["silent", "half"])
def test_unfinished_tls_handshakes(abuse: Abuse, certificate: Certificate, how: str) -> None:
    """TLS handshakes that do not begin, or do not end"""
    # OpenSSL and uvloop hold some 60 KiB for each until it has failed. asyncio has a buffer of 256 KiB beside.
    growth = (80 if "asyncio" in os.environ.get("ASGIWS_TEST_OPTIONS", "") else 20) * MEGABYTE
    with abuse("--ssl-handshake-timeout", "1", tls=certificate, growth=growth) as scene:
        raws = [scene.raw(tls=False) for _ in range(MANY)]
        if how == "half":
            hello = client_hello()
            for raw in raws:
                raw.send(hello[: len(hello) // 2])
        scene.victim.served()
        ended(raws)


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()
