"""HTTP/1.1 over real sockets: order, framing, slow and vanishing clients, refusals, file sending."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.raw import Desk, Raw, request, unused_name
from tests.support.server import RunningServer, serve

APP = "apps:app"
#: Of the fixtures `server` and `faulty`.
OPTIONS = ("--timeout-keep-alive", "30")
MEGABYTE = 1024 * 1024
#: Far above what the buffers of one connection hold, far below what is sent in those tests.
BOUND = 30 * MEGABYTE


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


HELLO = request("/hello?x")
CHUNKED = "Transfer-Encoding: chunked"


# The connection.


def test_whole_response(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(HELLO)
    headers = dict(response.headers)
    assert headers.pop("date").endswith(" GMT")
    assert headers == {
        "content-type": "text/plain",
        "x-hello": "1",
        "server": "asgiws",
        "content-length": "5",
    }
    assert response.body == b"hello"


def test_keep_alive(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        for number in range(20):
            response = raw.request(request("/upload?x", f"X: {number}"))
            assert response.status == 200
            assert response.get("connection") is None


def test_keep_alive_timeout() -> None:
    with serve(APP, "--timeout-keep-alive", "0.2") as server, Raw.connect(server) as raw:
        assert raw.request(HELLO).body == b"hello"
        assert raw.read_all() == b""


def test_keep_alive_timeout_does_not_touch_a_request_in_progress() -> None:
    with serve(APP, "--timeout-keep-alive", "0.1") as server, Raw.connect(server) as raw:
        desk, name = Desk(server), unused_name()
        raw.send(request(f"/answers_late?{name}"))
        desk.wait_for(name, "waiting")
        # Another connection comes and goes by the same timeout meanwhile.
        with Raw.connect(server) as other:
            other.request(HELLO)
            assert other.read_all() == b""
        desk.release(name)
        assert raw.response().json() == "late"


def test_keep_alive_timeout_is_over_with_the_next_request() -> None:
    with serve(APP, "--timeout-keep-alive", "1.5") as server, Raw.connect(server) as raw:
        desk = Desk(server)
        raw.request(HELLO)
        name = unused_name()
        raw.send(request(f"/streams?{name}"))
        raw.head()
        with Raw.connect(server) as other:
            other.request(HELLO)
            assert other.read_all() == b""
        for _ in range(3):
            desk.release(name)
        assert raw.read_until(b"0\r\n\r\n").count(b"piece") == 3


def test_connection_close_asked_by_the_client(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request("/hello?x", "Connection: close"))
        assert response.get("connection") == "close"
        assert raw.read_all() == b""


def test_connection_close_by_the_application(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request("/closes_connection?x"))
        assert response.get("connection") == "close"
        assert response.body == b"bye"
        assert raw.read_all() == b""


def test_pipelining_keeps_the_order(server: RunningServer) -> None:
    sizes = [0, 5, 100_000, 3, 70_000, 1]
    with Raw.connect(server) as raw:
        raw.send(
            b"".join(
                request("/upload?x", f"Content-Length: {size}", method="POST", body=b"\1" * size)
                for size in sizes
            )
        )
        assert [raw.response().json()["size"] for _ in sizes] == sizes


def test_pipelined_request_waits_for_the_response_before_it(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with Raw.connect(server) as raw:
        raw.send(request(f"/answers_late?{name}") + HELLO + request("/upload?x"))
        desk.wait_for(name, "waiting")
        desk.release(name)
        assert raw.response().json() == "late"
        assert raw.response().body == b"hello"
        assert raw.response().json()["size"] == 0


def test_pipelined_requests_that_are_not_read_do_not_pile_up(
    server: RunningServer, desk: Desk
) -> None:
    before = desk.memory()
    with Raw.connect(server, receive_buffer=4096) as raw:
        raw.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 60 * MEGABYTE:
                sent += raw.sock.send(HELLO * 1000)
        except TimeoutError:
            pass
        assert sent < 60 * MEGABYTE
        assert desk.memory() - before < BOUND
        raw.reset()


def test_empty_lines_before_a_request(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        assert raw.request(b"\r\n\r\n" + HELLO, "GET").body == b"hello"
        assert raw.request(b"\r\n" + HELLO, "GET").body == b"hello"


def test_request_byte_by_byte(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        for byte in request("/upload?x", CHUNKED, method="POST", body=chunked(b"ab", b"c")):
            raw.send(bytes([byte]))
        assert raw.response().json()["size"] == 3


def test_half_close_behind_a_request(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        raw.send(HELLO + request("/upload?x"))
        raw.shut()
        assert raw.response().body == b"hello"
        assert raw.response().json()["size"] == 0
        assert raw.read_all() == b""


def test_half_close_while_the_response_is_streamed(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with Raw.connect(server) as raw:
        raw.send(request(f"/streams?{name}"))
        raw.shut()
        raw.head()
        for _ in range(3):
            desk.wait_for(name, "waiting")
            desk.release(name)
        assert raw.read_all().endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "half",
    [
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        request("/upload?x", "Content-Length: 5", method="POST", body=b"abc"),
        request("/upload?x", CHUNKED, method="POST", body=chunked(b"abc", end=b"")),
    ],
    ids=["request line", "header", "body", "chunks"],
)
def test_half_close_within_a_request(server: RunningServer, half: bytes) -> None:
    with Raw.connect(server) as raw:
        raw.send(half)
        raw.shut()
        response = raw.response()
        assert response.status == 400
        assert b"ended within" in response.body
        assert raw.read_all() == b""


def test_silent_connections_are_closed_quietly(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        raw.shut()
        assert raw.read_all() == b""


# Responses.


@pytest.mark.parametrize("path", ["/hello?x", "/pieces?x", "/sized?x&5&5", "/download?x"])
def test_head(server: RunningServer, path: str) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request(path, method="HEAD"))
        assert response.status == 200
        assert response.get("content-length") in (None, "5")
        # The next response begins where this one's head ended.
        assert raw.request(HELLO).body == b"hello"


@pytest.mark.parametrize("status", [204, 304])
def test_responses_without_a_body(server: RunningServer, status: int) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request(f"/status?x&{status}"))
        assert response.status == status
        assert response.get("transfer-encoding") is None
        assert status != 204 or response.get("content-length") is None
        assert raw.request(HELLO).body == b"hello"


@pytest.mark.parametrize("status", [200, 201, 299, 400, 404, 418, 500, 599, 700])
def test_status(server: RunningServer, status: int) -> None:
    with Raw.connect(server) as raw:
        assert raw.request(request(f"/status?x&{status}")).status == status


def test_streamed_response(server: RunningServer, desk: Desk, name: str) -> None:
    """Each piece arrives before the next is sent."""
    with Raw.connect(server) as raw:
        raw.send(request(f"/streams?{name}"))
        _, _, headers = raw.head()
        assert ("transfer-encoding", "chunked") in headers
        for number in range(3):
            assert raw.read_until(b"\n\r\n") == b"8\r\npiece %d\n\r\n" % number
            desk.release(name)
        assert raw.read(5) == b"0\r\n\r\n"
        assert raw.request(HELLO).body == b"hello"


def test_empty_pieces_do_not_end_the_body(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        assert raw.request(request("/pieces?x")).body == b"one two three"


def test_http_1_0(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request("/hello?x", version="1.0"))
        assert response.get("connection") == "close"
        assert response.body == b"hello"
        assert raw.read_all() == b""


def test_http_1_0_without_host(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        assert raw.request(b"GET /hello?x HTTP/1.0\r\n\r\n").body == b"hello"


def test_http_1_0_keep_alive(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        for _ in range(3):
            response = raw.request(request("/hello?x", "Connection: keep-alive", version="1.0"))
            assert response.get("connection") == "keep-alive"
            assert response.body == b"hello"


def test_http_1_0_has_no_chunks(server: RunningServer) -> None:
    """A body of unknown length ends with the connection, whatever the client hoped for."""
    with Raw.connect(server) as raw:
        response = raw.request(request("/pieces?x", "Connection: keep-alive", version="1.0"))
        assert response.get("transfer-encoding") is None
        assert response.get("connection") == "close"
        assert response.body == b"one two three"


def test_content_length_of_the_application(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        for path in ("/sized?x&10&10", "/sized?x&10&3&0&7", "/sized?x&0&0", "/sized?x&10&10&0"):
            response = raw.request(request(path))
            assert response.get("content-length") == path.split("&")[1]
            assert len(response.body) == int(path.split("&")[1])


@pytest.mark.parametrize(
    ("path", "whole"),
    [("/sized?{}&10&11", False), ("/sized?{}&10&9", False), ("/sized?{}&10&5&6", True)],
)
def test_wrong_content_length_of_the_application(
    faulty: RunningServer, name: str, path: str, whole: bool
) -> None:
    """What does not fit is not sent: 500, or a response that the client sees is incomplete."""
    with Raw.connect(faulty) as raw:
        raw.send(request(path.format(name)))
        if whole:
            assert raw.head()[1] == 200
            assert not raw.read_all().startswith(b"x" * 10)
        else:
            response = raw.response()
            assert response.status == 500
            assert raw.read_all() == b""
    faulty.wait_for_log("Content-Length")
    assert Desk(faulty).report(name)["raised"] == "ApplicationError"


def test_trailers_of_the_response(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request("/trailers?x", "TE: trailers"))
        assert response.body == b"with trailers"
        assert response.trailers == [("x-sum", "1"), ("x-more", "2")]
        response = raw.request(request("/trailers?x"))
        assert response.body == b"with trailers"
        assert response.trailers == []
        assert raw.request(HELLO).body == b"hello"


def test_early_hints(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        raw.send(request("/early_hints?x"))
        links = []
        while True:
            _, status, headers = raw.head()
            if status != 103:
                break
            assert {key for key, _ in headers} == {"link"}
            links.append([value for _, value in headers])
        assert links == [
            ["</a.css>; rel=preload", "</b.css>; rel=preload"],
            ["</c.css>; rel=preload"],
            ["</behind.css>; rel=preload"],
        ]
        assert status == 200
        assert raw.read_until(b"0\r\n\r\n") == b"3\r\nhin\r\n3\r\nted\r\n0\r\n\r\n"


# Requests.


@pytest.mark.parametrize("size", [0, 1, 65536, 1_000_001])
def test_request_body(server: RunningServer, size: int) -> None:
    body = b"\1" * size
    with Raw.connect(server) as raw:
        sized = request("/upload?x", f"Content-Length: {size}", method="PUT", body=body)
        assert raw.request(sized).json()["sum"] == size
        pieces = [body[at : at + 9999] for at in range(0, size, 9999)]
        coded = request("/upload?x", CHUNKED, method="PUT", body=chunked(*pieces))
        assert raw.request(coded).json()["sum"] == size


def test_chunks_with_extensions_and_trailers(server: RunningServer) -> None:
    body = (
        b'5;a=b\r\nhello\r\n00A ; x="y;z"\r\n0123456789\r\n0;last\r\nX-Sum: 1\r\nHost: evil\r\n\r\n'
    )
    with Raw.connect(server) as raw:
        answer = raw.request(request("/upload?x", CHUNKED, method="POST", body=body)).json()
        assert answer["size"] == 15
        # Fields of routing and framing have no business there (RFC 9110 6.5.1).
        assert answer["trailers"] == [["x-sum", "1"]]
        assert raw.request(HELLO).body == b"hello"


def test_body_streams_both_ways(server: RunningServer, desk: Desk, name: str) -> None:
    """The application sees each piece as it comes, and its answer leaves before the request ends."""
    with Raw.connect(server) as raw:
        raw.send(request(f"/echoes?{name}", CHUNKED, method="POST"))
        raw.send(b"5\r\nfirst\r\n")
        raw.head()
        assert raw.read(10) == b"5\r\nfirst\r\n"
        raw.send(b"6\r\nsecond\r\n")
        assert raw.read(11) == b"6\r\nsecond\r\n"
        raw.send(b"0\r\n\r\n")
        assert raw.read(5) == b"0\r\n\r\n"


def test_expect_continue(server: RunningServer) -> None:
    """100 is sent when the application asks for the body."""
    with Raw.connect(server) as raw:
        headers = ("Expect: 100-continue", "Content-Length: 4")
        raw.send(request("/upload?x", *headers, method="POST"))
        assert raw.head()[1] == 100
        raw.send(b"body")
        assert raw.response().json()["size"] == 4
        assert raw.request(HELLO).body == b"hello"


def test_expect_continue_of_an_application_that_does_not_ask(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        headers = ("Expect: 100-continue", "Content-Length: 4")
        response = raw.request(request("/ignores_body?x", *headers, method="POST"))
        assert response.status == 200
        # Whether the client now sends the body cannot be known.
        assert response.get("connection") == "close"
        assert raw.read_all() == b""


def test_expect_something_else(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request("/hello?x", "Expect: more"))
        assert response.status == 417


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_body_that_the_application_ignores(server: RunningServer, size: int) -> None:
    """The answer is readable although the client is still sending; a small body costs nothing."""
    with Raw.connect(server) as raw:
        raw.send(request("/ignores_body?x", f"Content-Length: {size}", method="POST"))
        body = b"x" * size
        try:
            raw.send(body)
        except OSError:
            assert size > 10  # the server stopped listening, as it may
        assert raw.response().json() == "not interested"
        if size == 10:
            assert raw.request(HELLO).body == b"hello"


def test_upload_to_a_slow_application(server: RunningServer, desk: Desk, name: str) -> None:
    """50 MiB: the client has to wait, and memory stays bounded."""
    size = 50 * MEGABYTE
    before = desk.memory()
    with Raw.connect(server) as raw:
        raw.send(request(f"/slow_upload?{name}", f"Content-Length: {size}", method="POST"))
        desk.wait_for(name, "waiting")
        sent = 0
        raw.sock.settimeout(0.5)
        try:
            while sent < size:
                sent += raw.sock.send(bytes(min(65536, size - sent)))
        except TimeoutError:
            pass
        raw.sock.settimeout(25)
        assert sent < BOUND
        assert desk.memory() - before < BOUND
        desk.release(name)
        raw.send(bytes(size - sent))
        assert raw.response().json() == size


def test_download_by_a_slow_client(server: RunningServer, desk: Desk, name: str) -> None:
    """200 MiB: the application has to wait, and memory stays bounded."""
    before = desk.memory()
    with Raw.connect(server, receive_buffer=65536) as raw:
        raw.send(request(f"/download?{name}"))
        raw.head()
        progress, same = [], 0
        while same < 5:
            now = desk.ask(f"/progress?{name}")
            same = same + 1 if now and now == progress else 0
            progress = now
        assert progress[0] < 30
        assert desk.memory() - before < BOUND
        total = 0
        for _ in range(50):
            size = int(raw.read_until(b"\r\n")[:-2], 16)
            total += len(raw.read(size + 2)) - 2
        assert total == 50 * MEGABYTE
        assert desk.memory() - before < BOUND
        raw.reset()
    assert desk.report(name)["raised"] == "ClientDisconnected"


async def test_download_and_upload_with_httpx(server: RunningServer) -> None:
    async def body() -> Any:
        for _ in range(100):
            yield b"\1" * 10_000

    async with httpx.AsyncClient(base_url=server.url(""), trust_env=False) as client:
        response = await client.post("/upload?x", content=body())
        assert response.json()["sum"] == 1_000_000
        answers = await asyncio.gather(*(client.get("/hello?x") for _ in range(50)))
        assert {answer.text for answer in answers} == {"hello"}
        async with client.stream("GET", "/download?x") as streamed:
            total = 0
            async for piece in streamed.aiter_raw():
                total += len(piece)
                if total > 5 * MEGABYTE:
                    break


# The client leaves.


@pytest.mark.parametrize("way", ["reset", "close", "shut"])
def test_client_leaves_while_the_application_waits(
    server: RunningServer, desk: Desk, name: str, way: str
) -> None:
    raw = Raw.connect(server)
    raw.send(request(f"/waits_for_disconnect?{name}"))
    desk.wait_for(name, "waiting")
    getattr(raw, way)()
    report = desk.report(name)
    assert report["events"] == [{"type": "http.disconnect"}]
    if way == "reset":
        assert "OSError" in report["notes"][0]["kinds"]
    raw.close()


def test_client_leaves_within_its_request(server: RunningServer, desk: Desk, name: str) -> None:
    raw = Raw.connect(server)
    raw.send(request(f"/slow_upload?{name}", "Content-Length: 10", method="POST", body=b"half"))
    desk.wait_for(name, "waiting")
    raw.reset()
    # The server has seen the reset once it answers on a connection opened after it.
    desk.release(name)
    assert desk.report(name)["raised"] == "Gone"


def test_client_leaves_within_the_response(server: RunningServer, desk: Desk, name: str) -> None:
    raw = Raw.connect(server)
    raw.send(request(f"/streams_until_gone?{name}"))
    desk.wait_for(name, "sent")
    raw.reset()
    (note,) = desk.report(name)["notes"]
    assert "OSError" in note["kinds"]


def test_disconnect_after_the_response(server: RunningServer, desk: Desk, name: str) -> None:
    with Raw.connect(server) as raw:
        assert raw.request(request(f"/receives_after_the_end?{name}")).json() == "done"
        report = desk.report(name)
        assert report["events"] == [{"type": "http.disconnect"}] * 2
        assert "response is complete" in report["notes"][0]["text"]
        assert raw.request(HELLO).body == b"hello"


# Files.


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "big file"
    path.write_bytes(os.urandom(MEGABYTE) * 40)
    return path


def test_pathsend(server: RunningServer, desk: Desk, big_file: Path) -> None:
    before = desk.memory()
    with Raw.connect(server) as raw:
        response = raw.request(request(f"/file?x&{quote(str(big_file))}"))
        assert response.get("content-length") == str(40 * MEGABYTE)
        assert response.body == big_file.read_bytes()
        assert raw.request(HELLO).body == b"hello"
    assert desk.memory() - before < BOUND


def test_pathsend_to_head(server: RunningServer, big_file: Path) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request(f"/file?x&{quote(str(big_file))}", method="HEAD"))
        assert response.get("content-length") == str(40 * MEGABYTE)
        assert raw.request(HELLO).body == b"hello"


def test_pathsend_of_an_empty_file(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with Raw.connect(server) as raw:
        response = raw.request(request(f"/file?x&{quote(str(tmp_path / 'empty'))}"))
        assert response.get("content-length") == "0"
        assert raw.request(HELLO).body == b"hello"


def test_pathsend_behind_a_body(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"and the file")
    with Raw.connect(server) as raw:
        response = raw.request(request(f"/file_in_body?x&{quote(str(tmp_path / 'file'))}"))
        assert response.body == b"before and the file"


def test_pathsend_to_http_1_0(server: RunningServer, big_file: Path) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request(f"/file?x&{quote(str(big_file))}", version="1.0"))
        assert response.body == big_file.read_bytes()


def test_client_leaves_while_a_file_is_sent(
    server: RunningServer, desk: Desk, name: str, big_file: Path
) -> None:
    raw = Raw.connect(server, receive_buffer=4096)
    raw.send(request(f"/file?{name}&{quote(str(big_file))}"))
    raw.head()
    raw.reset()
    assert desk.report(name)["raised"] == "ClientDisconnected"


# Upgrades that are none.


@pytest.mark.parametrize("body", [b"", b"a body that must not be lost"])
def test_foreign_upgrade_is_ignored(server: RunningServer, body: bytes) -> None:
    """Java's HttpClient asks for h2c with its first request."""
    with Raw.connect(server) as raw:
        headers = (
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        )
        for _ in range(2):
            sized = request(
                "/upload?x", *headers, f"Content-Length: {len(body)}", method="POST", body=body
            )
            assert raw.request(sized).json()["size"] == len(body)
            coded = request(
                "/upload?x", *headers, CHUNKED, method="POST", body=chunked(*[body] if body else [])
            )
            assert raw.request(coded).json()["size"] == len(body)
        assert raw.request(HELLO).body == b"hello"


def test_http_2_preface(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET")
        assert response.status == 505
        assert raw.read_all() == b""


# What is refused.

GET = "GET /hello?x HTTP/1.1\r\nHost: localhost\r\n"
POST = "POST /upload?x HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLING = {
    "Content-Length and Transfer-Encoding": POST
    + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding and Content-Length": POST
    + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding twice": POST
    + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": POST + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "identity": POST + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "xchunked": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked with a tab before": POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "space before the colon": POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding empty": POST + "Transfer-Encoding: \r\n\r\n",
    "Transfer-Encoding in 1.0": "POST /upload?x HTTP/1.0\r\nHost: x\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Content-Lengths differ": POST + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "Content-Lengths in a list": POST + "Content-Length: 1, 2\r\n\r\nab",
    "Content-Length signed": POST + "Content-Length: +2\r\n\r\nab",
    "Content-Length negative": POST + "Content-Length: -2\r\n\r\nab",
    "Content-Length in hex": POST + "Content-Length: 0x2\r\n\r\nab",
    "Content-Length with underscore": POST + "Content-Length: 1_0\r\n\r\n0123456789",
    "Content-Length empty": POST + "Content-Length: \r\n\r\n",
    "Content-Length with a space in it": POST + "Content-Length: 1 0\r\n\r\n0123456789",
    "Content-Length in other digits": POST + "Content-Length: \xb2\r\n\r\nab",
    "bare LF behind the request line": "GET /hello?x HTTP/1.1\nHost: localhost\r\n\r\n",
    "bare LF behind a header": GET + "X: 1\nY: 2\r\n\r\n",
    "bare LF at the end": GET + "\n",
    "bare CR in a value": GET + "X: a\rY: b\r\n\r\n",
    "obs-fold": GET + "X: a\r\n b\r\n\r\n",
    "obs-fold with a tab": GET + "X: a\r\n\tb\r\n\r\n",
    "fold before the first header": "GET /hello?x HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "NUL in a value": GET + "X: a\0b\r\n\r\n",
    "NUL in a name": GET + "X\0: a\r\n\r\n",
    "NUL in the target": "GET /hello?x\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no Host": "GET /hello?x HTTP/1.1\r\n\r\n",
    "two Hosts": GET + "Host: other\r\n\r\n",
    "Host with a space": "GET /hello?x HTTP/1.1\r\nHost: a b\r\n\r\n",
    "Host with a path": "GET /hello?x HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "header without a colon": GET + "X\r\n\r\n",
    "header without a name": GET + ": x\r\n\r\n",
    "space in a name": GET + "X Y: z\r\n\r\n",
    "space in the target": "GET /hello x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two spaces": "GET  /hello?x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tab for space": "GET\t/hello?x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no version": "GET /hello?x\r\nHost: localhost\r\n\r\n",
    "version in small letters": "GET /hello?x http/1.1\r\nHost: localhost\r\n\r\n",
    "version of two digits": "GET /hello?x HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "relative target": "GET hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "asterisk for GET": "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "fragment": "GET /hello#x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "raw UTF-8 in the target": "GET /h\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "chunk size negative": POST + CHUNKED + "\r\n\r\n-1\r\n\r\n",
    "chunk size with 0x": POST + CHUNKED + "\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "chunk size signed": POST + CHUNKED + "\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    "chunk size empty": POST + CHUNKED + "\r\n\r\n\r\na\r\n0\r\n\r\n",
    "chunk size with underscore": POST + CHUNKED + "\r\n\r\n1_0\r\n" + "a" * 16 + "\r\n0\r\n\r\n",
    "chunk size huge": POST + CHUNKED + "\r\n\r\n" + "f" * 17 + "\r\n",
    "chunk line with a bare LF": POST + CHUNKED + "\r\n\r\n1\na\r\n0\r\n\r\n",
    "chunk extension with a bare LF": POST + CHUNKED + "\r\n\r\n1;x\ny\r\na\r\n0\r\n\r\n",
    "chunk too long": POST + CHUNKED + "\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "chunk ended by a bare LF": POST + CHUNKED + "\r\n\r\n1\r\na\n0\r\n\r\n",
    "trailer without a colon": POST + CHUNKED + "\r\n\r\n0\r\nX\r\n\r\n",
    "trailer folded": POST + CHUNKED + "\r\n\r\n0\r\nX: a\r\n b\r\n\r\n",
    "TLS hello": "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    "nonsense": "\x00\x01\x02\x03\r\n\r\n",
}


@pytest.mark.parametrize("what", SMUGGLING)
def test_ambiguous_request_is_refused(server: RunningServer, what: str) -> None:
    """400 with a text that says why, then the end: what follows is not taken for a request."""
    data = SMUGGLING[what].encode("latin-1")
    with Raw.connect(server) as raw:
        raw.send(data + HELLO)
        response = raw.response()
        assert response.status == 400
        assert response.get("connection") == "close"
        assert (response.get("content-type") or "").startswith("text/plain")
        assert len(response.body) > 10
        assert raw.read_all() == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/" + "a" * 9000), 414),
        (b"GET /" + b"a" * 20_000, 414),
        (request("/", "X: " + "a" * 70_000), 431),
        (request("/", *["X: a"] * 200), 431),
        (request("/", *["X: a"] * 101)[:-2], 431),
        (request("/", method="BREW"), 501),
        (request("/", method="get"), 501),
        (request("localhost:80", method="CONNECT"), 501),
        (request("/", "Transfer-Encoding: gzip, chunked", method="POST"), 501),
        (request("/", version="2.0"), 505),
        (request("/", version="0.9"), 505),
        (request("/upload?x", CHUNKED, method="POST") + b"1;" + b"x" * 5000, 400),
        (
            request("/upload?x", CHUNKED, method="POST") + b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n",
            431,
        ),
    ],
)
def test_refusals(server: RunningServer, data: bytes, status: int) -> None:
    with Raw.connect(server) as raw:
        raw.send(data)
        response = raw.response()
        assert response.status == status
        assert response.get("connection") == "close"
        assert response.body
        assert raw.read_all() == b""


def test_refusal_is_readable_although_the_client_goes_on_sending(server: RunningServer) -> None:
    """A reset must not overtake the answer."""
    with Raw.connect(server) as raw:
        raw.send(b"GET / nonsense\r\n" + b"x" * 500_000)
        for _ in range(20):
            raw.send(b"more" * 10_000)
        assert raw.response().status == 400
        assert raw.read_all() == b""


def test_good_requests_before_a_bad_one_are_served(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        raw.send(HELLO + request("/pieces?x") + b"GET / HTTP/9.9\r\n\r\n" + HELLO)
        assert raw.response().body == b"hello"
        assert raw.response().body == b"one two three"
        assert raw.response().status == 505
        assert raw.read_all() == b""


def test_bad_chunk_after_the_response_has_begun(
    server: RunningServer, desk: Desk, name: str
) -> None:
    """It is too late for a 400: the client sees that the response is incomplete."""
    with Raw.connect(server) as raw:
        raw.send(request(f"/echoes?{name}", CHUNKED, method="POST") + b"5\r\nfirst\r\n")
        raw.head()
        assert raw.read(10) == b"5\r\nfirst\r\n"
        raw.send(b"nonsense\r\n")
        assert raw.read_all() == b""
    assert desk.report(name)["raised"] in ("Gone", "ClientDisconnected")


# Targets.


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/scope?{}", "/scope", "/scope", "{}"),
        ("/%73cope?{}&%20", "/scope", "/%73cope", "{}&%20"),
        ("http://elsewhere:81/scope?{}", "/scope", "/scope", "{}"),
    ],
)
def test_scope(
    server: RunningServer, name: str, target: str, path: str, raw_path: str, query: str
) -> None:
    with Raw.connect(server) as raw:
        port = raw.sock.getsockname()[1]
        scope = raw.request(request(target.format(name), "X-Twice: 1", "X-Twice: 2")).json()
    headers = scope.pop("headers")
    assert headers[0] == ["host", "elsewhere:81" if target.startswith("http") else "localhost"]
    assert headers[1:] == [["x-twice", "1"], ["x-twice", "2"]]
    scope.pop("extensions")
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": raw_path,
        "query_string": query.format(name),
        "root_path": "",
        "client": ["127.0.0.1", port],
        "server": ["127.0.0.1", server.port],
    }


def test_options_for_the_server(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        assert raw.request(request("*", method="OPTIONS")).status == 404


# Faults of the application.


@pytest.mark.parametrize(
    ("path", "log"),
    [
        ("raises_first", "RuntimeError: before the start"),
        ("raises_after_start", "RuntimeError: after the start"),
        ("returns_first", "returned without a response"),
        ("returns_after_start", "returned without"),
    ],
)
def test_application_fails_before_anything_was_sent(
    faulty: RunningServer, name: str, path: str, log: str
) -> None:
    with Raw.connect(faulty) as raw:
        response = raw.request(request(f"/{path}?{name}"))
        assert response.status == 500
        assert response.body == b"Internal Server Error"
        assert response.get("x-lost") is None
    faulty.wait_for_log(log)


@pytest.mark.parametrize("path", ["/raises_in_body?x", "/raises_in_body?x&sized"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_application_fails_within_the_body(faulty: RunningServer, path: str, version: str) -> None:
    """The client can tell that it is not whole: by what is missing, or else by a reset."""
    with Raw.connect(faulty) as raw:
        raw.send(request(path, version=version))
        try:
            raw.head()
            data = raw.read_all()
        except ConnectionResetError:
            assert version == "1.0"
        else:
            assert not data.endswith(b"0\r\n\r\n")
            assert version == "1.1" or "sized" in path
    faulty.wait_for_log("RuntimeError: in the body")


def test_application_fails_after_its_response(faulty: RunningServer) -> None:
    with Raw.connect(faulty) as raw:
        assert raw.request(request("/raises_after_the_end?x")).json() == "whole"
        assert raw.request(HELLO).body == b"hello"
    faulty.wait_for_log("RuntimeError: after the end")


def test_application_that_is_cancelled(faulty: RunningServer, name: str) -> None:
    with Raw.connect(faulty) as raw:
        raw.send(request(f"/cancels_itself?{name}"))
        raw.is_lost()
    with Raw.connect(faulty) as raw:
        assert raw.request(HELLO).body == b"hello"


def test_messages_that_must_not_be_sent(server: RunningServer, desk: Desk, name: str) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request(f"/sends_badly?{name}"))
        assert response.status == 200
        assert response.body == b"fine"
        assert raw.request(HELLO).body == b"hello"
    notes = desk.report(name)["notes"]
    assert len(notes) == 19
    for note in notes:
        assert note != "nothing was raised"
        # An OSError would say that the client has gone.
        assert "OSError" not in note["kinds"]
    assert "http.response.start is expected" in notes[0]["text"]
    assert "http.response.body is expected" in notes[13]["text"]
    assert "the response is complete" in notes[-1]["text"]


@pytest.mark.parametrize(
    "header",
    [
        ("x-evil", "a\r\nx-injected: 1"),
        ("x-evil", "a\nx-injected: 1"),
        ("x-evil", "a\rx-injected: 1"),
        ("x-evil", "a\r\n\r\nHTTP/1.1 200 OK"),
        ("x-evil", "a\0b"),
        ("x-evil: 1\r\nx-injected", "1"),
        ("x\nevil", "1"),
        ("x evil", "1"),
        ("x-evil:", "1"),
        ("x-evil: 1; x", "1"),
        ("", "1"),
    ],
)
def test_header_cannot_split_the_response(
    server: RunningServer, desk: Desk, name: str, header: tuple[str, str]
) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(request(f"/sends_header?{name}&{quote(json.dumps(header))}"))
        assert response.body == b"refused"
        assert {"x-injected", "x-evil"}.isdisjoint(key for key, _ in response.headers)
        assert raw.request(HELLO).body == b"hello"
    (note,) = desk.report(name)["notes"]
    assert "OSError" not in note["kinds"]


def test_header_with_latin_1(server: RunningServer, name: str) -> None:
    header = quote(json.dumps(("X-Fine", "a\tb caf\xe9")))
    with Raw.connect(server) as raw:
        response = raw.request(request(f"/sends_header?{name}&{header}"))
    assert response.body == b"sent"
    assert response.get("x-fine") == "a\tb caf\xe9"
