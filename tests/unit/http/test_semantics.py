"""Refusals are in test_connection.py, through both parsers; here is what a head means."""

from __future__ import annotations

import pytest

from asgiws.http.errors import BadRequest, HTTPError, NotImplementedHere
from asgiws.http.head import RequestHead
from asgiws.http.semantics import METHODS, check_request_line, explain_refusal, make_head

Fields = list[tuple[bytes, bytes]]


def make(*fields: tuple[bytes, bytes], version: str = "1.1", target: bytes = b"/") -> RequestHead:
    return make_head("GET", target, version, [(b"host", b"a"), *fields])


@pytest.mark.parametrize(
    ("version", "values", "keep_alive"),
    [
        ("1.1", [], True),
        ("1.1", [b"close"], False),
        ("1.1", [b"keep-alive, CLOSE"], False),
        ("1.1", [b"x", b"close"], False),
        ("1.1", [b"closed"], True),
        ("1.0", [], False),
        ("1.0", [b"Keep-Alive"], True),
        ("1.0", [b"keep-alive", b"close"], False),
    ],
)
def test_persistence(version: str, values: list[bytes], keep_alive: bool) -> None:
    head = make(*((b"connection", value) for value in values), version=version)
    assert head.keep_alive is keep_alive


def test_upgrade() -> None:
    head = make(
        (b"upgrade", b"h2c, WebSocket"), (b"connection", b"keep-alive"), (b"connection", b"Upgrade")
    )
    assert head.upgrade == [b"h2c", b"websocket"]
    assert head.keep_alive


@pytest.mark.parametrize(
    ("fields", "length", "chunked"),
    [
        ([], -1, False),
        ([(b"content-length", b"0")], 0, False),
        ([(b"content-length", b"010")], 10, False),
        ([(b"transfer-encoding", b"Chunked")], -1, True),
    ],
)
def test_framing(fields: Fields, length: int, chunked: bool) -> None:
    head = make(*fields)
    assert head.content_length == length
    assert head.chunked is chunked


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"/a?", b"/a", b""),
        (b"//a", b"//a", b""),
        (b"*", b"*", b""),
        (b"http://b", b"/", b""),
        (b"http://b?q", b"/", b"q"),
        (b"http://b/p%20?q", b"/p%20", b"q"),
    ],
)
def test_targets(target: bytes, path: bytes, query: bytes) -> None:
    head = make(target=target)
    assert (head.target, head.raw_path, head.query) == (target, path, query)


def test_the_authority_of_an_absolute_target_is_the_host() -> None:
    head = make((b"x", b"y"), target=b"http://b:1/")
    assert head.headers == [(b"host", b"b:1"), (b"x", b"y")]
    head = make_head("GET", b"http://b/", "1.0", [])
    assert head.headers == [(b"host", b"b")]


def test_http_1_0_needs_no_host() -> None:
    assert make_head("GET", b"/", "1.0", []).headers == []


def test_methods() -> None:
    for method in METHODS:
        check_request_line(method, b"/", b"1.1")
    assert b"CONNECT" not in METHODS
    with pytest.raises(NotImplementedHere):
        check_request_line(b"CONNECT", b"a:1", b"1.1")


def test_explain_refusal() -> None:
    error = explain_refusal(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
    assert isinstance(error, BadRequest)
    assert error.message == "the Content-Length is not a number"
    error = explain_refusal(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert error.message == "the request head is invalid"
    assert isinstance(error, HTTPError)
