"""The opening handshake, by raw octets: what is refused and how, and what an application may say."""

from __future__ import annotations

import json
import zlib
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.support.raw import (
    BINARY,
    KEY,
    PING,
    PONG,
    TEXT,
    Desk,
    Raw,
    Response,
    close_frame,
    frame,
    handshake,
)
from tests.support.server import RunningServer, serve

APP = "apps:app"
GET = b"GET /progress?x HTTP/1.1\r\nHost: localhost\r\n\r\n"


def answer(server: RunningServer, request: bytes) -> Response:
    """The answer to a handshake that is refused, which is a whole HTTP response."""
    with Raw.connect(server) as raw:
        return raw.request(request)


def assert_still_http(raw: Raw) -> None:
    """The connection of a refused handshake serves the next request, unless it said otherwise."""
    assert raw.request(GET).status == 200


# What 4.2.1 asks of the client.


@pytest.mark.parametrize(
    ("header", "status", "word"),
    [
        ("Sec-WebSocket-Key: ", 400, "Key"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ", 400, "Key"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==x", 400, "Key"),
        ("Sec-WebSocket-Key: !!!!IHNhbXBsZSBub25jZQ==", 400, "Key"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub24=", 400, "Key"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWVl", 400, "Key"),
        (f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Key: {KEY}", 400, "Key"),
        ("Sec-WebSocket-Version: 8", 426, "13"),
        ("Sec-WebSocket-Version: 14", 426, "13"),
        ("Sec-WebSocket-Version: ", 426, "13"),
        ("Sec-WebSocket-Version: 13, 8", 426, "13"),
        ("Sec-WebSocket-Version: 013", 426, "13"),
        ("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13", 426, "13"),
        ("Sec-WebSocket-Protocol: a, b, a", 400, "Protocol"),
        ("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a", 400, "Protocol"),
        ("Sec-WebSocket-Protocol: a b", 400, "Protocol"),
        ('Sec-WebSocket-Protocol: "a"', 400, "Protocol"),
        ("Sec-WebSocket-Extensions: a b", 400, "xtension"),
        ("Sec-WebSocket-Extensions: permessage-deflate; =", 400, "xtension"),
        ('Sec-WebSocket-Extensions: a; b="c', 400, "xtension"),
    ],
)
def test_malformed(server: RunningServer, header: str, status: int, word: str) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(handshake("/echo?none", header))
        assert response.status == status
        assert word in response.body.decode()
        if status == 426:
            # 4.2.2: "the server MUST ... include ... |Sec-WebSocket-Version|"
            assert response.get("sec-websocket-version") == "13"
            # RFC 9110, 15.5.22 and 7.8
            assert response.get("upgrade") == "websocket"
            assert response.get("connection") == "upgrade"
        else:
            assert response.get("upgrade") is None
        assert_still_http(raw)


@pytest.mark.parametrize("gone", ["Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_missing(server: RunningServer, gone: str) -> None:
    request = b"".join(
        line
        for line in handshake("/echo?none").splitlines(keepends=True)
        if not line.startswith(gone.encode())
    )
    response = answer(server, request)
    assert response.status == (426 if gone.endswith("Version") else 400)
    assert response.get("sec-websocket-version") == ("13" if gone.endswith("Version") else None)


@pytest.mark.parametrize("gone", ["Host", "Upgrade", "Connection"])
def test_without_what_makes_it_a_handshake(server: RunningServer, gone: str) -> None:
    request = b"".join(
        line
        for line in handshake("/progress?x").splitlines(keepends=True)
        if not line.startswith(gone.encode())
    )
    # RFC 9110, 7.8: an upgrade that was not asked for in due form is no upgrade.
    assert answer(server, request).status == (400 if gone == "Host" else 200)


@pytest.mark.parametrize(
    "headers",
    [
        ["Connection: keep-alive, Upgrade"],
        ["Connection: keep-alive", "Connection: Upgrade"],
        ["Connection: UPGRADE"],
        ["Connection: upgrade,keep-alive"],
        ["Connection: ,, upgrade ,"],
        ["Upgrade: WebSocket"],
        ["Upgrade: h2c, WEBSOCKET"],
        ["Upgrade: h2c", "Upgrade: websocket"],
        ["Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ=="],
        ["sec-websocket-version:\t13 \t"],
        ["Origin: https://elsewhere.example"],
        ["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b, c"],
        ["Sec-WebSocket-Protocol: ,a,,"],
        ["Content-Length: 0"],
    ],
)
def test_well_formed(server: RunningServer, name: str, headers: list[str]) -> None:
    headers = [
        header.replace("sec-websocket-version", "Sec-WebSocket-Version") for header in headers
    ]
    with Raw.connect(server) as raw:
        raw.upgrade(f"/echo?{name}", *headers)
        raw.send_frame(TEXT, b"hello")
        assert raw.message() == "hello"


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "DELETE"])
def test_other_methods_do_not_upgrade(server: RunningServer, method: str) -> None:
    """RFC 9110, 7.8: an Upgrade may be ignored; the method says that it is no handshake."""
    request = handshake("/progress?x").replace(b"GET", method.encode(), 1)
    with Raw.connect(server) as raw:
        response = raw.request(request)
        assert response.status in (200, 405)
        assert response.get("upgrade") is None


def test_http_1_0_does_not_upgrade(server: RunningServer) -> None:
    response = answer(server, handshake("/progress?x").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert response.status in (200, 400)


def test_handshake_with_a_body_does_not_upgrade(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        request = handshake("/upload?x", "Content-Length: 4") + b"body"
        response = raw.request(request)
        assert response.status == 200
        assert response.json()["size"] == 4
        assert_still_http(raw)


def test_handshake_byte_by_byte(server: RunningServer, name: str) -> None:
    with Raw.connect(server) as raw:
        for byte in handshake(f"/echo?{name}"):
            raw.send(bytes([byte]))
        assert raw.response("HEAD").status == 101
        for byte in frame(TEXT, b"bytes"):
            raw.send(bytes([byte]))
        assert raw.message() == "bytes"


def test_headers_of_the_answer(server: RunningServer, name: str) -> None:
    with Raw.connect(server) as raw:
        response = raw.upgrade(f"/listen?{name}")
    assert response.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert response.get("sec-websocket-protocol") is None
    assert response.get("sec-websocket-extensions") is None
    assert response.get("date")
    assert response.get("server") == "asgiws"


def test_scope(server: RunningServer, desk: Desk, name: str) -> None:
    with Raw.connect(server) as raw:
        raw.upgrade(
            f"/listen?{name}",
            "Sec-WebSocket-Protocol: b, a",
            "X-Twice: 1",
            "X-Twice: 2",
            "X-Latin: caf\xe9",
        )
        port = raw.sock.getsockname()[1]
        raw.send(close_frame(1000))
        raw.read_all()
    scope = desk.report(name)["scope"]
    headers = scope.pop("headers")
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/listen",
        "raw_path": "/listen",
        "query_string": name,
        "root_path": "",
        "client": ["127.0.0.1", port],
        "server": ["127.0.0.1", server.port],
        "subprotocols": ["b", "a"],
        "extensions": {
            "websocket.http.response": {},
            "asgiws.drain": {"version": "1.0", "event": False},
            "asgiws.pubsub": {
                "version": "1.0",
                "hub": "the hub",
                "max_topic": 255,
                "max_subscriptions": 1000,
                "max_message": 2**20,
            },
        },
    }
    assert headers[:2] == [["host", "localhost"], ["upgrade", "websocket"]]
    assert headers[-3:] == [["x-twice", "1"], ["x-twice", "2"], ["x-latin", "caf\xe9"]]


# What comes right behind the handshake.


@pytest.mark.parametrize("size", [0, 10, 60_000, 1_000_000])
def test_data_behind_the_handshake(server: RunningServer, name: str, size: int) -> None:
    payload = b"x" * size
    with Raw.connect(server) as raw:
        tail = frame(TEXT, b"first") + frame(PING, b"p") + frame(BINARY, payload)
        raw.upgrade(f"/echo?{name}", tail=tail)
        got = [raw.frame() for _ in range(3)]
    # The pong need not wait for the application, nor the other way round.
    assert sorted(got) == sorted(
        [(TEXT, b"first", True, False), (PONG, b"p", True, False), (BINARY, payload, True, False)]
    )


@pytest.mark.parametrize("size", [0, 10, 60_000, 1_000_000])
def test_data_before_a_late_accept(server: RunningServer, desk: Desk, name: str, size: int) -> None:
    """What is sent before the 101 is held back, or not read, but never lost."""
    payload = b"x" * size
    with Raw.connect(server) as raw:
        raw.send(handshake(f"/accepts_late?{name}") + frame(TEXT, b"early"))
        desk.wait_for(name, "waiting")
        raw.send(frame(BINARY, payload[: size // 2], fin=False))
        desk.release(name)
        raw.send(frame(0, payload[size // 2 :]))
        assert raw.response("HEAD").status == 101
        assert raw.message() == "early"
        assert raw.message() == payload


def test_close_frame_before_a_late_accept(server: RunningServer, desk: Desk, name: str) -> None:
    with Raw.connect(server) as raw:
        raw.send(handshake(f"/accepts_late?{name}") + frame(TEXT, b"early") + close_frame(4000))
        desk.wait_for(name, "waiting")
        desk.release(name)
        assert raw.response("HEAD").status == 101
        assert raw.message() == "early"
        assert raw.closed_by_server() == (4000, "")
    assert [event["type"] for event in desk.report(name)["events"]] == [
        "websocket.receive",
        "websocket.disconnect",
    ]


def test_client_leaves_before_the_accept(server: RunningServer, desk: Desk, name: str) -> None:
    raw = Raw.connect(server)
    raw.send(handshake(f"/accepts_late?{name}"))
    desk.wait_for(name, "waiting")
    raw.reset()
    # The server has seen the reset once it answers on a connection opened after it.
    with Raw.connect(server) as other:
        assert_still_http(other)
    desk.release(name)
    report = desk.report(name)
    assert report["events"] == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]
    assert "OSError" in report["notes"][0]["kinds"]


def test_upgrade_as_second_request(server: RunningServer, name: str) -> None:
    with Raw.connect(server) as raw:
        assert_still_http(raw)
        raw.upgrade(f"/echo?{name}", tail=frame(TEXT, b"hello"))
        assert raw.message() == "hello"


def test_upgrade_pipelined_behind_a_request(server: RunningServer, name: str) -> None:
    with Raw.connect(server) as raw:
        raw.send(GET + GET + handshake(f"/echo?{name}") + frame(TEXT, b"hello"))
        assert raw.response().status == 200
        assert raw.response().status == 200
        assert raw.response("HEAD").status == 101
        assert raw.message() == "hello"


def test_upgrade_pipelined_behind_a_slow_request(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with Raw.connect(server) as raw:
        slow = f"GET /answers_late?{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        raw.send(slow + handshake(f"/echo?{name}1") + frame(TEXT, b"hello"))
        desk.wait_for(name, "waiting")
        desk.release(name)
        assert raw.response().status == 200
        assert raw.response("HEAD").status == 101
        assert raw.message() == "hello"


def test_request_behind_a_refused_upgrade(server: RunningServer) -> None:
    with Raw.connect(server) as raw:
        raw.send(handshake("/echo?none", "Sec-WebSocket-Version: 8") + GET)
        assert raw.response().status == 426
        assert raw.response().status == 200


# Subprotocols and extensions.


async def test_subprotocol(server: RunningServer, name: str) -> None:
    url = server.ws_url(f"/subprotocol?{name}&b")
    offers = [Subprotocol("a"), Subprotocol("b")]
    async with connect(url, subprotocols=offers, proxy=None) as client:
        assert client.subprotocol == "b"


def test_subprotocol_that_was_not_offered(faulty: RunningServer, name: str) -> None:
    """The client would have to fail the connection (4.1): the application hears of it first."""
    request = handshake(f"/subprotocol?{name}&c", "Sec-WebSocket-Protocol: a, b")
    assert answer(faulty, request).status == 500
    faulty.wait_for_log(r"subprotocol 'c' was not offered by the client \(a, b\)")


DEFLATE = "permessage-deflate"


@pytest.mark.parametrize(
    ("offer", "parameters"),
    [
        ("permessage-deflate", set()),
        ("permessage-deflate; client_max_window_bits", None),
        ("permessage-deflate; client_max_window_bits=10", None),
        ("permessage-deflate; server_max_window_bits=10", {"server_max_window_bits=10"}),
        ('permessage-deflate; server_max_window_bits="9"', {"server_max_window_bits=9"}),
        ("permessage-deflate; server_no_context_takeover", {"server_no_context_takeover"}),
        ("permessage-deflate; client_no_context_takeover", None),
        (
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12; "
            "client_no_context_takeover; client_max_window_bits=9",
            None,
        ),
        ("x-webkit-deflate-frame, permessage-deflate", set()),
        ("permessage-deflate; unknown, permessage-deflate", set()),
        ("permessage-deflate; server_max_window_bits=7, permessage-deflate", set()),
        ("permessage-deflate; server_max_window_bits=010, permessage-deflate", set()),
        ("permessage-deflate; server_max_window_bits, permessage-deflate", set()),
        ("permessage-deflate; server_no_context_takeover=1, permessage-deflate", set()),
        ("permessage-deflate; client_max_window_bits=16, permessage-deflate", set()),
        (
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover, "
            "permessage-deflate",
            set(),
        ),
    ],
)
def test_extension_is_accepted(
    server: RunningServer, name: str, offer: str, parameters: set[str] | None
) -> None:
    with Raw.connect(server) as raw:
        response = raw.upgrade(f"/echo?{name}", f"Sec-WebSocket-Extensions: {offer}")
        extension, *got = (response.get("sec-websocket-extensions") or "").split("; ")
        assert extension == DEFLATE
        if parameters is not None:
            assert parameters <= set(got)
        for parameter in got:
            key, _, value = parameter.partition("=")
            if key == "client_max_window_bits":
                # RFC 7692, 7.1.2.2: only to a client that offered it, and no more than it offered
                assert "client_max_window_bits" in offer
                assert 8 <= int(value) <= (10 if "=10" in offer else 15)
            elif key == "server_max_window_bits":
                assert 8 <= int(value) <= 15
            else:
                assert key in ("server_no_context_takeover", "client_no_context_takeover")
                assert not value
        # "Hello" as RFC 7692, 7.2.3.1 has it: the compressed message is understood, and answered.
        raw.send_frame(TEXT, bytes.fromhex("f248cdc9c90700"), rsv=4)
        got_frame = raw.frame()
        assert got_frame.opcode == TEXT
        assert inflate(got_frame.payload) if got_frame.rsv1 else got_frame.payload == b"Hello"


def inflate(payload: bytes) -> bool:
    return zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff") == b"Hello"


@pytest.mark.parametrize(
    "offer",
    [
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; client_max_window_bits=x",
    ],
)
def test_extension_is_declined(server: RunningServer, name: str, offer: str) -> None:
    """Or the handshake is refused as malformed; never is it accepted with what is not spoken."""
    with Raw.connect(server) as raw:
        response = (
            raw.request(handshake(f"/echo?{name}", f"Sec-WebSocket-Extensions: {offer}"), "GET")
            if offer.endswith("=")
            else raw.upgrade(f"/echo?{name}", f"Sec-WebSocket-Extensions: {offer}")
        )
        if response.status == 101:
            assert response.get("sec-websocket-extensions") is None
            raw.send_frame(TEXT, b"plain")
            assert raw.frame() == (TEXT, b"plain", True, False)
        else:
            assert response.status == 400


def test_compression_turned_off(name: str) -> None:
    with serve(APP, "--ws-per-message-deflate", "false") as server, Raw.connect(server) as raw:
        response = raw.upgrade(f"/echo?{name}", f"Sec-WebSocket-Extensions: {DEFLATE}")
        assert response.get("sec-websocket-extensions") is None


def test_the_options_of_compression(name: str) -> None:
    """What they ask for is answered, and kept to."""
    options = (
        *("--ws-deflate-window-bits", "10", "--ws-deflate-client-window-bits", "11"),
        *("--ws-deflate-no-context-takeover", "both", "--ws-deflate-min-size", "100"),
        *("--ws-deflate-level", "9", "--ws-deflate-memory-level", "9"),
        *("--ws-deflate-memory", "1MiB", "--ws-deflate-backend", "zlib"),
    )
    long = b"compressed " * 10
    with serve(APP, *options) as server, Raw.connect(server) as raw:
        offer = f"{DEFLATE}; client_max_window_bits"
        response = raw.upgrade(f"/echo?{name}", f"Sec-WebSocket-Extensions: {offer}")
        assert response.get("sec-websocket-extensions") == (
            f"{DEFLATE}; client_max_window_bits=11; server_no_context_takeover; "
            "client_no_context_takeover; server_max_window_bits=10"
        )
        payloads = []
        for message in (long[:99], long, long):
            raw.send_frame(TEXT, message)
            frame = raw.frame()
            payloads.append(frame.payload)
            assert frame.rsv1 == (len(message) >= 100)
        assert payloads[0] == long[:99]
        assert payloads[1] == payloads[2]
        assert zlib.decompressobj(-10).decompress(payloads[1] + b"\0\0\xff\xff") == long


# Headers that the application adds.


def test_headers_on_accept(server: RunningServer, name: str) -> None:
    with Raw.connect(server) as raw:
        response = raw.upgrade(f"/two_cookies?{name}")
    cookies = [value for key, value in response.headers if key == "set-cookie"]
    assert cookies == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "header",
    [
        ("x-evil", "a\r\nx-injected: 1"),
        ("x-evil", "a\nx-injected: 1"),
        ("x-evil", "a\rx-injected: 1"),
        ("x-evil", "a\0b"),
        ("x-evil: 1\r\nx-injected", "1"),
        ("x evil", "1"),
        ("", "1"),
        ("sec-websocket-protocol", "a"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("sec-websocket-accept", "x"),
        ("upgrade", "h2c"),
        ("connection", "close"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
    ],
)
def test_accept_headers_that_must_not_be_sent(
    server: RunningServer, desk: Desk, name: str, header: tuple[str, str]
) -> None:
    """The application is told, nothing of them leaves, and it may still accept."""
    path = f"/accept_headers?{name}&{quote(json.dumps(header))}"
    with Raw.connect(server) as raw:
        response = raw.upgrade(path)
        names = [key for key, _ in response.headers]
        assert "x-second" in names
        assert not {"x-first", "x-injected", "x-evil", "x evil"} & set(names)
    (note,) = desk.report(name)["notes"]
    assert "OSError" not in note["kinds"]


def test_accept_header_that_may_be_sent(server: RunningServer, name: str) -> None:
    header = quote(json.dumps(("X-Fine", "a\tb caf\xe9")))
    with Raw.connect(server) as raw:
        response = raw.upgrade(f"/accept_headers?{name}&{header}")
    assert response.get("x-first") == "1"
    assert response.get("x-fine") == "a\tb caf\xe9"


# The application says no.


def test_refused_by_the_application(server: RunningServer, desk: Desk, name: str) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(handshake(f"/refuses?{name}") + frame(TEXT, b"impatient"))
        assert response.status == 403
        assert raw.read_all() == b""
    (event,) = desk.report(name)["events"]
    assert event["type"] == "websocket.disconnect"


async def test_refused_as_a_library_sees_it(server: RunningServer, name: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(server.ws_url(f"/refuses?{name}"), proxy=None)
    assert caught.value.response.status_code == 403


def test_unknown_path(server: RunningServer, name: str) -> None:
    assert answer(server, handshake(f"/no-such-path?{name}")).status == 403


async def test_denial_response(server: RunningServer, desk: Desk, name: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(server.ws_url(f"/denies?{name}"), proxy=None)
    response = caught.value.response
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Basic"
    assert response.body == b"who are you?"


def test_denial_response_on_the_wire(server: RunningServer, desk: Desk, name: str) -> None:
    with Raw.connect(server) as raw:
        response = raw.request(handshake(f"/denies?{name}"))
        assert response.status == 401
        assert response.body == b"who are you?"
        assert response.get("content-length") == "12"
        assert response.get("upgrade") is None
        assert raw.read_all() == b""
    late, _ = desk.report(name)["notes"]
    assert "websocket.accept" in late["text"]
    assert "nothing more" in late["text"]


def test_denial_response_is_streamed(server: RunningServer, desk: Desk, name: str) -> None:
    """Each piece arrives before the application sends the next."""
    with Raw.connect(server) as raw:
        raw.send(handshake(f"/denies_in_pieces?{name}"))
        _, status, headers = raw.head()
        assert status == 418
        assert ("transfer-encoding", "chunked") in headers
        for number in range(3):
            assert f"piece {number}\n".encode() in raw.read_until(b"\n\r\n")
            desk.release(name)
        assert raw.read_all() == b"0\r\n\r\n"


def test_denial_response_cut_short(server: RunningServer, desk: Desk, name: str) -> None:
    """The client can tell: no last chunk comes."""
    with Raw.connect(server) as raw:
        raw.send(handshake(f"/denies_half?{name}"))
        try:
            data = raw.read_all()
        except ConnectionResetError:
            data = b""
    assert not data.endswith(b"0\r\n\r\n")


def test_denial_response_of_which_nothing_was_sent(server: RunningServer, name: str) -> None:
    """Nothing has left, so an honest answer is still possible."""
    assert answer(server, handshake(f"/denies_nothing?{name}")).status == 500


def test_denial_responses_that_must_not_be_sent(
    server: RunningServer, desk: Desk, name: str
) -> None:
    response = answer(server, handshake(f"/denies_badly?{name}"))
    assert response.status == 403
    assert response.body == b"fine"
    assert response.get("x-injected") is None
    notes = desk.report(name)["notes"]
    assert len(notes) == 6
    for note in notes:
        assert "OSError" not in note["kinds"]


@pytest.mark.parametrize(
    ("path", "log"),
    [
        ("raises_early", "RuntimeError: before any answer"),
        ("returns_early", "returned without answering"),
    ],
)
def test_application_fails_before_it_answers(
    faulty: RunningServer, name: str, path: str, log: str
) -> None:
    with Raw.connect(faulty) as raw:
        response = raw.request(handshake(f"/{path}?{name}"))
        assert response.status == 500
        assert b"before any answer" not in response.body
        assert raw.read_all() == b""
    faulty.wait_for_log(log)


def test_accept_without_receive(server: RunningServer, name: str) -> None:
    with Raw.connect(server) as raw:
        raw.upgrade(f"/accepts_without_receive?{name}")
        assert raw.message() == "hello"


def test_messages_out_of_order(server: RunningServer, desk: Desk, name: str) -> None:
    """Each error names the state and what was expected; nothing of it was sent."""
    with Raw.connect(server) as raw:
        raw.upgrade(f"/sends_early?{name}")
        assert raw.message() == "now"
        assert raw.message() == ""
        assert raw.message() == b""
        assert raw.message() == b"view"
        raw.send(close_frame(1000))
        assert raw.close_frame() == (1000, "")
    notes: list[Any] = desk.report(name)["notes"]
    early, unknown, again, *payloads, last = notes
    for note in (early, unknown):
        assert "CONNECTING" in note["text"]
        assert "websocket.accept" in note["text"]
    assert "OPEN" in again["text"]
    assert "websocket.send or websocket.close" in again["text"]
    assert len(payloads) == 6
    for note in notes:
        assert "OSError" not in note["kinds"]
    assert "websocket.disconnect" in last["text"]


def test_plain_request_to_a_websocket_path(server: RunningServer) -> None:
    """What is not a handshake is HTTP."""
    assert httpx.get(server.url("/echo?x"), trust_env=False).status_code == 404
