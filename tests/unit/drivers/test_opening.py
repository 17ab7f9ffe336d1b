"""`asgiws/drivers/opening.py`: the answer to a handshake, written by something that is no HTTP/1.1."""

from __future__ import annotations

from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError
from asgiws.drivers.opening import ACCEPTED, PENDING, REFUSED, Opening
from asgiws.websocket.compression import Compression, Settings
from asgiws.websocket.extensions import parse
from asgiws.websocket.handshake import Handshake


class Answer:
    """Notes what it is to write; refuses a header that HTTP does not allow."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def switch_protocols(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        if any(b"\n" in value for _, value in headers):
            raise ValueError("a header with a line break")
        self.calls.append(dict(headers))
        return b"<101>"

    def response_started(self) -> bool:
        return bool(self.calls)

    def start_response(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.calls.append((status, headers))

    def send_body(self, data: bytes, more: bool) -> list[bytes]:
        return [b"<%s>" % data] if more else [b"<%s>" % data, b"<end>"]


HANDSHAKE = Handshake(
    accept=b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    subprotocols=["chat", "news"],
    offers=[],
)


@pytest.fixture
def answer() -> Answer:
    return Answer()


@pytest.fixture
def opening(answer: Answer) -> Opening:
    return Opening({"type": "websocket"}, HANDSHAKE, answer)


def accept(**message: Any) -> dict[str, Any]:
    return {"type": "websocket.accept", **message}


def test_the_scope_is_given_once(opening: Opening) -> None:
    assert opening.take_scope() == {"type": "websocket"}
    assert opening.scope is None


def test_accepted(opening: Opening, answer: Answer) -> None:
    assert opening.outcome == PENDING
    message = accept(subprotocol="chat", headers=[(b"X-A", bytearray(b"b"))])
    assert opening.answer("websocket.accept", message, None) == [b"<101>"]
    assert (opening.outcome, opening.status, opening.deflate) == (ACCEPTED, 101, None)
    [headers] = answer.calls
    assert headers[b"sec-websocket-accept"] == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert headers[b"sec-websocket-protocol"] == b"chat"
    assert headers[b"x-a"] == b"b"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (accept(subprotocol="mail"), "malformed websocket.accept"),
        (accept(headers=[(b"Sec-WebSocket-Accept", b"x")]), "is the server's to send"),
        (accept(headers=[(b"Upgrade", b"x")]), "is the server's to send"),
        (accept(headers=[(b"Content-Length", b"0")]), "is the server's to send"),
        (accept(headers=[("text", b"x")]), "malformed websocket.accept"),
        (accept(headers=[(b"x", b"a\nb")]), "malformed websocket.accept: a header with"),
    ],
)
def test_an_accept_that_is_not_right_leaves_the_handshake_open(
    opening: Opening, message: dict[str, Any], words: str
) -> None:
    with pytest.raises(ApplicationError, match=words):
        opening.answer("websocket.accept", message, None)
    assert opening.outcome == PENDING
    assert not opening.has_begun()
    assert opening.answer("websocket.accept", accept(), None) == [b"<101>"]


def test_refused_by_a_close(opening: Opening, answer: Answer) -> None:
    written = b"".join(opening.answer("websocket.close", {"type": "websocket.close"}, None))
    assert (opening.outcome, opening.status) == (REFUSED, 403)
    assert written.endswith(b"<end>")
    assert answer.calls[0][0] == 403


def test_refused_by_the_server(opening: Opening, answer: Answer) -> None:
    assert opening.refuse(503, "no room") == [b"<no room\n>", b"<end>"]
    assert answer.calls == [(503, [(b"content-type", b"text/plain; charset=utf-8")])]
    assert opening.outcome == PENDING  # not the application's


def test_a_denial_response(opening: Opening, answer: Answer) -> None:
    start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"a", b"b")]}
    assert opening.answer("websocket.http.response.start", start, None) == []
    assert (opening.denial, opening.has_begun()) == (401, True)
    with pytest.raises(ApplicationError, match="within a denial response"):
        opening.answer("websocket.accept", accept(), None)
    body = "websocket.http.response.body"
    with pytest.raises(ApplicationError, match=r"malformed websocket\.http\.response\.body"):
        opening.answer(body, {"type": body, "body": 5}, None)
    assert opening.answer(body, {"type": body, "body": b"x", "more_body": True}, None) == [b"<x>"]
    assert opening.outcome == PENDING
    assert opening.answer(body, {"type": body}, None) == [b"<>", b"<end>"]
    assert (opening.outcome, opening.status, opening.denial) == (REFUSED, 401, 0)


def test_a_start_without_a_status(opening: Opening) -> None:
    kind = "websocket.http.response.start"
    with pytest.raises(ApplicationError, match="malformed"):
        opening.answer(kind, {"type": kind}, None)
    assert not opening.denial


@pytest.mark.parametrize("kind", ["websocket.send", "http.response.start", 5])
def test_what_is_no_answer(opening: Opening, kind: Any) -> None:
    with pytest.raises(ApplicationError, match="in state CONNECTING"):
        opening.answer(kind, {"type": kind}, None)


def test_compression_is_what_the_client_offers(answer: Answer) -> None:
    offers = parse([b"permessage-deflate; client_max_window_bits"])
    handshake = Handshake(HANDSHAKE.accept, HANDSHAKE.subprotocols, offers)
    opening = Opening({}, handshake, answer)
    opening.answer("websocket.accept", accept(), Compression(Settings()))
    assert opening.deflate is not None
    assert answer.calls[0][b"sec-websocket-extensions"].startswith(b"permessage-deflate")


def test_when_the_answer_is_late(opening: Opening) -> None:
    assert not opening.is_late(1e9)  # nothing is due
    opening.due = 10.0
    assert not opening.is_late(9.9)
    assert opening.is_late(10.0)
    assert (opening.due, opening.is_late(11.0)) == (0.0, False)


def test_a_denial_that_has_begun_is_not_late(opening: Opening) -> None:
    opening.due = 10.0
    kind = "websocket.http.response.start"
    opening.answer(kind, {"type": kind, "status": 401}, None)
    assert not opening.is_late(10.0)
    assert opening.due == 0.0
