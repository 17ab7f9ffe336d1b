from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.drivers.scope import decode_path, http_scope, websocket_scope
from asgiws.http.connection import HTTPConnection
from asgiws.http.head import RequestHead
from asgiws.http.parsers import make_parser
from asgiws.http.response import ResponseDefaults
from asgiws.services.runtime import Runtime
from tests.support.memory_outlet import MemoryOutlet, RecordingDriver


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("it is not called here")


def make_runtime(state: dict[str, Any] | None = None, **options: Any) -> Runtime:
    config = Config(app="unused:app", **options)
    return Runtime(nothing, config, asyncio.get_running_loop(), state)


def parse(data: bytes) -> RequestHead:
    connection = HTTPConnection(make_parser("auto"), ResponseDefaults())
    connection.receive_data(data)
    head = connection.next_event()
    assert isinstance(head, RequestHead)
    return head


def outlet(**facts: Any) -> MemoryOutlet:
    return MemoryOutlet(RecordingDriver(), **facts)


async def test_http() -> None:
    head = parse(b"GET /a%20b/%C3%A4?x=%20 HTTP/1.1\r\nHost: h\r\nX-Y: Z\r\n\r\n")
    runtime = make_runtime()
    scope = http_scope(runtime, head, outlet())
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b/ä",
        "raw_path": b"/a%20b/%C3%A4",
        "query_string": b"x=%20",
        "root_path": "",
        "headers": [(b"host", b"h"), (b"x-y", b"Z")],
        "client": ("192.0.2.1", 4321),
        "server": ("192.0.2.2", 80),
        "extensions": {
            "http.response.pathsend": {},
            "http.response.trailers": {},
            "http.response.early_hint": {},
            "http.response.zerocopysend": {},
            "asgiws.http.request.trailers": {},
            "asgiws.drain": {"version": "1.0", "event": runtime.drain["event"]},
        },
    }
    assert type(scope["client"]) is tuple
    assert type(scope["client"][1]) is int


async def test_http_1_0_has_no_trailers_and_hints() -> None:
    scope = http_scope(make_runtime(), parse(b"GET / HTTP/1.0\r\n\r\n"), outlet())
    assert scope["http_version"] == "1.0"
    assert scope["headers"] == []
    assert set(scope["extensions"]) == {
        "http.response.pathsend",
        "http.response.zerocopysend",
        "asgiws.drain",
    }


async def test_a_connection_without_sendfile_has_no_zerocopysend() -> None:
    without = outlet()
    without.has_sendfile = False
    scope = http_scope(make_runtime(), parse(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), without)
    assert "http.response.zerocopysend" not in scope["extensions"]
    assert "http.response.pathsend" in scope["extensions"]


async def test_websocket() -> None:
    head = parse(b"GET /chat HTTP/1.1\r\nHost: h\r\n\r\n")
    runtime = make_runtime()
    scope = websocket_scope(runtime, head, outlet(), ["a", "b"])
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/chat",
        "raw_path": b"/chat",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"h")],
        "client": ("192.0.2.1", 4321),
        "server": ("192.0.2.2", 80),
        "subprotocols": ["a", "b"],
        "extensions": {
            "websocket.http.response": {},
            "asgiws.drain": {"version": "1.0", "event": runtime.drain["event"]},
        },
    }


async def test_schemes_under_tls() -> None:
    head = parse(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    runtime = make_runtime()
    secure = outlet(secure=True)
    assert http_scope(runtime, head, secure)["scheme"] == "https"
    assert websocket_scope(runtime, head, secure, [])["scheme"] == "wss"


@pytest.mark.parametrize("content", [{"tls_version": 0x0304}, None])
async def test_what_the_server_knows_of_tls(content: Any) -> None:
    head = parse(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    runtime = make_runtime()
    secure = outlet(secure=True, tls=content)
    scopes = [http_scope(runtime, head, secure), websocket_scope(runtime, head, secure, [])]
    for scope in scopes:
        assert ("tls" in scope["extensions"]) is (content is not None)
        assert scope["extensions"].get("tls") == content
    if content is not None:
        scopes[0]["extensions"]["tls"]["mine"] = 1
        assert scopes[1]["extensions"]["tls"] == content


async def test_a_unix_socket() -> None:
    head = parse(b"GET / HTTP/1.1\r\nHost:\r\n\r\n")
    scope = http_scope(make_runtime(), head, outlet(client=None, server=("/run/a.sock", None)))
    assert scope["client"] is None
    assert scope["server"] == ("/run/a.sock", None)


async def test_root_path_begins_the_path_but_not_raw_path() -> None:
    runtime = make_runtime(root_path="/api")
    scope = http_scope(runtime, parse(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"), outlet())
    assert scope["root_path"] == "/api"
    assert scope["path"] == "/api/x"
    assert scope["raw_path"] == b"/x"
    scope = http_scope(runtime, parse(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), outlet())
    assert scope["path"] == "*"


async def test_absolute_form() -> None:
    head = parse(b"GET http://example.org?q HTTP/1.1\r\nHost: h\r\n\r\n")
    scope = http_scope(make_runtime(), head, outlet())
    assert scope["path"] == "/"
    assert scope["raw_path"] == b"/"
    assert scope["query_string"] == b"q"
    assert scope["headers"] == [(b"host", b"example.org")]


async def test_state_is_a_shallow_copy() -> None:
    shared: list[int] = []
    runtime = make_runtime({"shared": shared})
    head = parse(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    first = http_scope(runtime, head, outlet())
    first["state"]["mine"] = 1
    first["state"]["shared"].append(2)
    assert websocket_scope(runtime, head, outlet(), [])["state"] == {"shared": [2]}


async def test_no_state_without_lifespan() -> None:
    head = parse(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert "state" not in http_scope(make_runtime(), head, outlet())
    assert http_scope(make_runtime({}), head, outlet())["state"] == {}


async def test_what_an_application_may_change_is_its_own() -> None:
    runtime = make_runtime()
    data = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    first = http_scope(runtime, parse(data), outlet())
    second = http_scope(runtime, parse(data), outlet())
    for key in ("asgi", "headers", "extensions"):
        assert first[key] is not second[key]
    for name, content in first["extensions"].items():
        assert content == second["extensions"][name]
        if content is second["extensions"][name]:
            with pytest.raises(TypeError, match="cannot be changed"):
                content["mine"] = True


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/a+b", "/a+b"),
        (b"/%41%2f%2F", "/A//"),
        (b"/%E2%82%AC", "/€"),
        (b"/%ff", "/\ufffd"),
        (b"/%zz%4", "/%zz%4"),
        (b"/%00", "/\x00"),
    ],
)
def test_decode_path(raw: bytes, path: str) -> None:
    assert decode_path(raw) == path
