"""The WebSocket session between a client in memory and small real applications, on each event loop.

Time is what `check(now)` is called with: the session says by `check_at` when it wants to be called,
and the tests call it a moment before and at that time. `loop.time()` itself moves by milliseconds
meanwhile, which no test depends on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.drivers.reading import HELD_BACK, TURN_EVENTS
from asgiws.drivers.websocket import ANSWER_GRACE
from tests.support.loops import LOOPS, Loop, on_each_loop, settle
from tests.support.websocket_peer import (
    ACCEPT,
    BINARY_FRAME,
    CLOSE_FRAME,
    HIGH_WATER,
    LOW_WATER,
    PING_FRAME,
    PONG_FRAME,
    TEXT_FRAME,
    Echo,
    Message,
    Peer,
    Receive,
    Script,
    Send,
    closed,
    disconnect,
    received,
    scripted,
    send_text,
    text,
)
from tests.support.wire import (
    BINARY,
    CONT,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_frame,
    server_frames,
)

# The opening handshake


@on_each_loop
async def test_accept() -> None:
    app, peer = await scripted("Sec-WebSocket-Protocol: a, b", accept=False)
    assert app.told == [{"type": "websocket.connect"}]
    headers = [(b"X-One", b"1"), [b"Set-Cookie", bytearray(b"a=b")]]
    await app.do("send", {**ACCEPT, "subprotocol": "b", "headers": headers})
    lines = peer.take_response().split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    assert sorted(line.lower() for line in lines[1:]) == [
        b"connection: upgrade",
        b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        b"sec-websocket-protocol: b",
        b"set-cookie: a=b",
        b"upgrade: websocket",
        b"x-one: 1",
    ]
    assert not peer.outlet.ended


@on_each_loop
async def test_accept_may_come_before_connect_is_received() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({**ACCEPT, "subprotocol": None, "headers": None})
        await send(send_text("hello"))
        told.append(await receive())
        told.append(await receive())

    told: list[Message] = []
    peer = Peer(app)
    await peer.open()
    assert peer.take() == [(TEXT_FRAME, b"hello")]
    await peer.feed(close_frame(1000))
    await settle()
    assert told == [{"type": "websocket.connect"}, disconnect(1000)]


@on_each_loop
async def test_an_application_that_never_receives_does_not_put_off_the_close() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)  # websocket.connect is never taken
        await asyncio.Event().wait()

    peer = Peer(app)
    await peer.open()
    await peer.feed(close_frame(1000))
    assert peer.take() == [closed(1000)]
    assert peer.outlet.ended == "close"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"subprotocol": "c"}, "'c' was not offered by the client (a, b)"),
        ({"headers": [(b"sec-websocket-protocol", b"a")]}, "sec-websocket-protocol"),
        ({"headers": [(b"Sec-WebSocket-Extensions", b"x")]}, "sec-websocket-extensions"),
        ({"headers": [(b"Upgrade", b"x")]}, "upgrade"),
        ({"headers": [(b"Connection", b"close")]}, "connection"),
        ({"headers": [(b"Content-Length", b"0")]}, "content-length"),
        ({"headers": [(b"Transfer-Encoding", b"chunked")]}, "transfer-encoding"),
        ({"headers": [(b"x", b"a\r\nb: c")]}, "control character"),
        ({"headers": [(b"x y", b"a")]}, "not a token"),
        ({"headers": [("x", "a")]}, "malformed websocket.accept"),
        ({"headers": [(b"x", 3)]}, "malformed websocket.accept"),
        ({"headers": [b"x"]}, "malformed websocket.accept"),
        ({"headers": 5}, "malformed websocket.accept"),
    ],
)
@on_each_loop
async def test_a_bad_accept_is_told_and_may_be_mended(message: Message, words: str) -> None:
    app, peer = await scripted("Sec-WebSocket-Protocol: a, b", accept=False)
    with pytest.raises(ApplicationError) as caught:
        await app.do("send", {**ACCEPT, **message})
    assert words in str(caught.value)
    assert peer.outlet.take() == b""
    await app.do("send", ACCEPT)
    await peer.open()


@on_each_loop
async def test_what_came_before_accept_is_held_back_and_then_delivered() -> None:
    app = Echo()
    peer = Peer(app)
    whole = text("one") + client_frame(PING, b"p") + text("two")
    await peer.feed(whole[:5])
    await peer.feed(whole[5:])
    await settle()
    assert peer.take_response().startswith(b"HTTP/1.1 101")
    assert peer.take() == [(PONG_FRAME, b"p"), (TEXT_FRAME, b"one"), (TEXT_FRAME, b"two")]
    assert app.told == [{"type": "websocket.connect"}, received("one"), received("two")]


@on_each_loop
async def test_a_close_frame_before_accept() -> None:
    app, peer = await scripted(accept=False)
    await peer.feed(close_frame(3000, b"never mind"))
    await app.do("send", ACCEPT)
    assert peer.take_response().startswith(b"HTTP/1.1 101")
    assert peer.take() == [closed(3000, "never mind")]
    assert peer.outlet.ended == "close"
    assert await app.do("receive") == disconnect(3000, "never mind")


@on_each_loop
async def test_messages_and_a_close_frame_before_accept() -> None:
    app = Echo()
    peer = Peer(app)
    await peer.feed(text("one"), text("two"), close_frame(1000))
    await settle()
    peer.take_response()
    assert peer.take() == [(TEXT_FRAME, b"one"), (TEXT_FRAME, b"two"), closed(1000)]
    assert app.told[1:] == [received("one"), received("two"), disconnect(1000)]


@on_each_loop
async def test_all_that_a_client_sends_and_its_end_before_accept() -> None:
    app = Echo()
    peer = Peer(app)
    await peer.feed(text("one"), close_frame(1000))
    await peer.outlet.feed_eof()
    await settle()
    assert app.told[1:] == [received("one"), disconnect(1000)]
    peer = Peer(app := Echo())
    await peer.feed(text("one"))
    await peer.outlet.feed_eof()
    await settle()
    assert peer.outlet.ended == "close"
    await peer.outlet.lose()
    await settle()
    assert app.told[1:] == [received("one"), disconnect(1006)]


@on_each_loop
async def test_two_receives_before_accept_are_both_served_after_it() -> None:
    app, peer = await scripted(accept=False)
    receives = [asyncio.ensure_future(app.receive()) for _ in range(2)]
    await peer.feed(text("one"), text("two"))
    await settle()
    await app.do("send", ACCEPT)
    assert await asyncio.gather(*receives) == [received("one"), received("two")]


@on_each_loop
async def test_a_client_may_not_send_without_end_before_accept() -> None:
    app, peer = await scripted(accept=False)
    frame = client_frame(BINARY, b"x" * (HELD_BACK // 2 - 8))
    assert len(frame) == HELD_BACK // 2
    await peer.feed(frame)
    assert peer.outlet.reading
    await peer.feed(frame)
    assert not peer.outlet.reading
    await peer.feed(frame)  # was on its way
    await app.do("send", ACCEPT)
    assert peer.outlet.reading
    for _ in range(3):
        assert await app.do("receive") == received(b"x" * (HELD_BACK // 2 - 8))


@on_each_loop
async def test_a_close_refuses_with_403() -> None:
    app, peer = await scripted(accept=False)
    await app.do("send", {"type": "websocket.close", "code": 4000})
    response = peer.take_response()
    assert response.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"\r\nconnection: close\r\n" in response
    assert response.endswith(b"\r\n\r\nthe application refused the WebSocket\n")
    assert (peer.outlet.ended, peer.outlet.linger) == ("close", False)
    assert await app.do("receive") == disconnect(1006)
    await app.do("send", {"type": "websocket.close"})  # ignored
    for message in (ACCEPT, send_text("x")):
        with pytest.raises(ApplicationError, match="in state REFUSED: expected nothing more"):
            await app.do("send", message)
    # What the client still sends is dropped, even where the outlet would hand it on.
    data = bytearray(text("late"))
    peer.session.receive_data(data, 0, len(data))


# The denial response


@on_each_loop
async def test_a_denial_response_whole() -> None:
    app, peer = await scripted(accept=False)
    start = {"type": "websocket.http.response.start", "status": 401}
    await app.do("send", {**start, "headers": [(b"WWW-Authenticate", b"Basic")]})
    assert peer.outlet.take() == b""  # it leaves with its body
    assert not peer.outlet.ended
    await app.do("send", {"type": "websocket.http.response.body", "body": b"who?"})
    response = peer.take_response()
    assert response.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"\r\nwww-authenticate: Basic\r\n" in response
    assert b"\r\ncontent-length: 4\r\n" in response
    assert response.endswith(b"\r\n\r\nwho?")
    assert peer.outlet.ended == "close"
    assert await app.do("receive") == disconnect(1006)
    with pytest.raises(ApplicationError, match="REFUSED"):
        await app.do("send", {"type": "websocket.http.response.body"})


@on_each_loop
async def test_a_denial_response_streamed() -> None:
    app, peer = await scripted(accept=False)
    body = {"type": "websocket.http.response.body"}
    await app.do("send", {"type": "websocket.http.response.start", "status": 503})
    await app.do("send", {**body, "body": bytearray(b"not "), "more_body": True})
    first = peer.take_response()
    assert first.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"transfer-encoding: chunked" in first
    assert first.endswith(b"4\r\nnot \r\n")
    await app.do("send", {**body, "body": b"now", "more_body": True})
    assert peer.outlet.take() == b"3\r\nnow\r\n"
    assert not peer.outlet.ended
    await app.do("send", body)
    assert peer.outlet.take() == b"0\r\n\r\n"
    assert peer.outlet.ended == "close"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "websocket.http.response.start"}, "status"),
        ({"type": "websocket.http.response.start", "status": "200"}, "status"),
        ({"type": "websocket.http.response.start", "status": 101}, "status"),
        (
            {"type": "websocket.http.response.start", "status": 200, "headers": [(b"a\n", b"")]},
            "token",
        ),
        (
            {"type": "websocket.http.response.start", "status": 200, "headers": [("a", "b")]},
            "malformed",
        ),
        ({"type": "websocket.http.response.start", "status": 200, "headers": None}, "malformed"),
        (
            {"type": "websocket.http.response.body"},
            "in state CONNECTING: expected websocket.accept",
        ),
        (send_text("too early"), "in state CONNECTING: expected websocket.accept"),
        ({"type": "websocket.nonsense"}, "in state CONNECTING: expected websocket.accept"),
    ],
)
@on_each_loop
async def test_a_bad_answer_to_the_handshake(message: Message, words: str) -> None:
    app, peer = await scripted(accept=False)
    with pytest.raises(ApplicationError, match=words):
        await app.do("send", message)
    assert peer.outlet.take() == b""
    await app.do("send", ACCEPT)
    await peer.open()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            ACCEPT,
            "'websocket.accept' within a denial response: expected websocket.http.response.body",
        ),
        ({"type": "websocket.close"}, "'websocket.close' within a denial response"),
        ({"type": "websocket.http.response.start", "status": 200}, "within a denial response"),
        ({"type": "websocket.http.response.body", "body": "text"}, "malformed"),
        ({"type": "websocket.http.response.body", "body": 3}, "malformed"),
        (
            {"type": "websocket.http.response.body", "body": b"12345"},
            "longer than its Content-Length",
        ),
        (
            {"type": "websocket.http.response.body", "body": b"123"},
            "shorter than its Content-Length",
        ),
    ],
)
@on_each_loop
async def test_a_bad_message_within_a_denial_response(message: Message, words: str) -> None:
    app, peer = await scripted(accept=False)
    headers = [(b"content-length", b"4")]
    await app.do(
        "send", {"type": "websocket.http.response.start", "status": 400, "headers": headers}
    )
    with pytest.raises(ApplicationError, match=words):
        await app.do("send", message)
    assert peer.outlet.take() == b""
    await app.do("send", {"type": "websocket.http.response.body", "body": b"1234"})
    assert peer.take_response().endswith(b"\r\n\r\n1234")


@pytest.mark.parametrize("end", ["return", "raise"])
@on_each_loop
async def test_a_denial_response_that_is_cut_short_is_not_taken_for_whole(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    app, peer = await scripted(accept=False)
    await app.do("send", {"type": "websocket.http.response.start", "status": 400})
    body = {"type": "websocket.http.response.body", "body": b"half", "more_body": True}
    await app.do("send", body)
    app.order(end, LookupError("the application's"))
    await settle()
    assert peer.outlet.ended == "abort"
    assert await peer.receive() == disconnect(1006)
    await peer.outlet.lose()


# The close-code contract


@on_each_loop
async def test_the_application_returns() -> None:
    app, peer = await scripted()
    app.order("return")
    await settle()
    assert peer.take() == [closed(1000)]
    assert not peer.outlet.ended  # the client's close frame is awaited
    await peer.feed(text("late"), close_frame(1000))
    assert peer.take() == []
    # Both close frames were there: the client has nothing more to say.
    assert (peer.outlet.ended, peer.outlet.linger) == ("close", False)


@on_each_loop
async def test_the_application_raises(caplog: pytest.LogCaptureFixture) -> None:
    app, peer = await scripted()
    app.order("raise", LookupError("the application's"))
    await settle()
    assert peer.take() == [closed(1011, "internal error")]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.name == "asgiws.error"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        ({}, closed(1000)),
        ({"code": None, "reason": None}, closed(1000)),
        ({"code": 1001}, closed(1001)),
        ({"code": 4321, "reason": "tschüß"}, closed(4321, "tschüß")),
        ({"code": 1005}, closed(None)),
        ({"code": 3000, "reason": "é" * 100}, closed(3000, "é" * 61)),
    ],
)
@on_each_loop
async def test_the_application_closes(message: Message, frame: tuple[int, bytes]) -> None:
    app, peer = await scripted()
    await app.do("send", {"type": "websocket.close", **message})
    assert peer.take() == [frame]
    await app.do("send", {"type": "websocket.close", "code": 1011})  # ignored
    assert peer.take() == []
    await peer.feed(close_frame(3999, b"the client's own"))
    assert peer.take() == []
    assert peer.outlet.ended == "close"
    assert await app.do("receive") == disconnect(3999, "the client's own")


@pytest.mark.parametrize(
    "message",
    [
        {"code": 1006},
        {"code": 999},
        {"code": 1000.0},
        {"code": "1000"},
        {"reason": b"bytes"},
        {"reason": 5},
        {"reason": "\ud800"},
    ],
)
@on_each_loop
async def test_a_bad_close_is_told_and_nothing_is_sent(message: Message) -> None:
    app, peer = await scripted()
    with pytest.raises(ApplicationError, match=r"malformed websocket\.close"):
        await app.do("send", {"type": "websocket.close", **message})
    assert peer.take() == []
    await app.do("send", send_text("still open"))
    assert peer.take() == [(TEXT_FRAME, b"still open")]


@pytest.mark.parametrize(
    ("frame", "echo", "told"),
    [
        (close_frame(1000), closed(1000), disconnect(1000)),
        (close_frame(1001, b"gone"), closed(1001, "gone"), disconnect(1001, "gone")),
        (close_frame(4999, "é".encode()), closed(4999, "é"), disconnect(4999, "é")),
        (close_frame(), closed(None), disconnect(1005)),
    ],
)
@on_each_loop
async def test_the_client_closes(frame: bytes, echo: tuple[int, bytes], told: Message) -> None:
    app = Echo()
    peer = Peer(app)
    await peer.open()
    await peer.feed(frame)
    assert peer.take() == [echo]
    assert (peer.outlet.ended, peer.outlet.linger) == ("close", False)
    await settle()
    await peer.outlet.lose()
    assert app.told[1:] == [told]


FAILURES = [
    (client_frame(TEXT, b"x", key=None), 1002),
    (client_frame(CONT, b"x"), 1002),
    (close_frame(1005), 1002),
    (client_frame(TEXT, b"\xff"), 1007),
    (close_frame(1000, b"\xff"), 1007),
    (client_frame(BINARY, length=17 * 2**20), 1009),
]


@pytest.mark.parametrize(("frame", "code"), FAILURES)
@on_each_loop
async def test_the_client_breaks_the_protocol(frame: bytes, code: int) -> None:
    app = Echo()
    peer = Peer(app)
    await peer.open()
    await peer.feed(frame, text("never read"))
    ((first, body),) = peer.take()
    assert first == CLOSE_FRAME
    assert int.from_bytes(body[:2], "big") == code
    assert len(body) > 2  # with a reason
    # The client may still be sending, and is to read our last words all the same.
    assert (peer.outlet.ended, peer.outlet.linger) == ("close", False)
    await settle()
    await peer.outlet.lose()
    assert app.told[1:] == [disconnect(code, body[2:].decode())]


@on_each_loop
async def test_the_connection_is_lost() -> None:
    app = Echo()
    peer = Peer(app)
    await peer.open()
    await peer.outlet.lose()
    await settle()
    assert app.told[1:] == [disconnect(1006)]


@on_each_loop
async def test_the_client_ends_its_side_without_a_close_frame() -> None:
    app = Echo()
    peer = Peer(app)
    await peer.open()
    await peer.outlet.feed_eof()
    assert peer.take() == []
    assert (peer.outlet.ended, peer.outlet.linger) == ("close", False)
    await peer.outlet.lose()
    await settle()
    assert app.told[1:] == [disconnect(1006)]


@on_each_loop
async def test_the_server_shuts_down() -> None:
    app = Echo()
    peer = Peer(app)
    await peer.open()
    peer.session.shutdown()
    assert peer.take() == [closed(1012, "service restart")]
    peer.session.shutdown()
    assert peer.take() == []
    assert not peer.outlet.ended
    await peer.feed(close_frame(1012, b"service restart"))
    await settle()
    assert peer.outlet.ended == "close"
    peer.session.shutdown()
    assert app.told[1:] == [disconnect(1012, "service restart")]


@on_each_loop
async def test_the_server_shuts_down_before_the_handshake_is_answered() -> None:
    app, peer = await scripted(accept=False)
    peer.session.shutdown()
    assert peer.take_response().startswith(b"HTTP/1.1 503 ")
    assert peer.outlet.ended == "close"
    # It is not the application's mistake that it answers now.
    for message in (ACCEPT, {"type": "websocket.http.response.start", "status": 200}):
        with pytest.raises(ClientDisconnected):
            await app.do("send", message)
    await app.do("send", {"type": "websocket.close"})
    assert await app.do("receive") == disconnect(1006)


@on_each_loop
async def test_the_server_shuts_down_within_a_denial_response() -> None:
    app, peer = await scripted(accept=False)
    await app.do("send", {"type": "websocket.http.response.start", "status": 404})
    peer.session.shutdown()
    assert not peer.outlet.ended
    await app.do("send", {"type": "websocket.http.response.body", "body": b"none"})
    assert peer.take_response().startswith(b"HTTP/1.1 404 ")
    assert peer.outlet.ended == "close"


@pytest.mark.parametrize("end", ["return", "raise"])
@on_each_loop
async def test_the_application_ends_without_an_answer(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    app, peer = await scripted(accept=False)
    app.order(end, LookupError("the application's"))
    await settle()
    assert peer.take_response().startswith(b"HTTP/1.1 500 ")
    assert peer.outlet.ended == "close"
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    if end == "return":
        assert "without answering the WebSocket handshake of /chat" in record.getMessage()
    else:
        assert record.exc_info is not None


@on_each_loop
async def test_the_application_is_cancelled_by_the_server(caplog: pytest.LogCaptureFixture) -> None:
    _, peer = await scripted()
    peer.runtime.cutting_off = True
    peer.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await peer.task
    assert peer.take() == [closed(1011)]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@on_each_loop
async def test_the_application_is_cancelled_by_somebody_else() -> None:
    _, peer = await scripted()
    peer.task.cancel()
    if sys.version_info >= (3, 11):
        with pytest.raises(asyncio.CancelledError):
            await peer.task
        assert peer.take() == [closed(1011)]
    else:  # a task cannot tell whose cancellation it was
        await peer.task
        assert peer.take() == [closed(1011, "internal error")]


class Halt(BaseException):
    """Not an Exception, as SystemExit is not."""


@on_each_loop
async def test_the_application_raises_what_is_no_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, peer = await scripted()
    app.order("raise", Halt())
    await peer.task
    assert peer.take() == [closed(1011, "internal error")]
    assert "Halt" in caplog.text


@on_each_loop
async def test_the_application_raises_a_cancellation_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, peer = await scripted()
    app.order("raise", asyncio.CancelledError("of a task that it waited for"))
    await peer.task
    assert peer.take() == [closed(1011, "internal error")]
    assert "of a task that it waited for" in caplog.text


class SafeString(str):
    """As a template's."""

    __slots__ = ()


@on_each_loop
async def test_a_subclass_of_str_is_text() -> None:
    app, peer = await scripted()
    await app.do("send", {"type": "websocket.send", "text": SafeString("<b>é</b>")})
    assert peer.take() == [(TEXT_FRAME, "<b>é</b>".encode())]
    with pytest.raises(ApplicationError, match="'text' must be a str, not int"):
        await app.do("send", {"type": "websocket.send", "text": 5})


@on_each_loop
async def test_an_application_that_does_not_catch_a_disconnect_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await asyncio.sleep(0)
        await peer.outlet.lose()
        await send(send_text("into the void"))

    peer = Peer(app)
    await settle()
    assert peer.task.done()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert await peer.receive() == {"type": "websocket.connect"}
    assert await peer.receive() == disconnect(1006)


# The client does not answer our close frame


@on_each_loop
async def test_the_close_deadline() -> None:
    app, peer = await scripted(ws_close_timeout=7.0, ws_ping_interval=0)
    before = asyncio.get_running_loop().time()
    await app.do("send", {"type": "websocket.close"})
    deadline = peer.last_check()
    assert before + 7 <= deadline <= asyncio.get_running_loop().time() + 7
    assert peer.session.check(deadline - 0.001) == deadline
    assert not peer.outlet.ended
    assert peer.session.check(deadline) == 0.0
    assert peer.outlet.ended == "close"  # what was written shall arrive
    assert await app.do("receive") == disconnect(1006)
    assert peer.session.check(deadline + 100) == 0.0
    await peer.outlet.lose()


@on_each_loop
async def test_data_after_our_close_frame_is_dropped_and_pings_are_answered() -> None:
    # 5.5.2: "... MUST send a Pong frame in response, unless it already received a Close frame."
    app, peer = await scripted()
    await app.do("send", {"type": "websocket.close"})
    peer.take()
    receive = app.order("receive")
    await peer.feed(text("late"), client_frame(PING, b"p"))
    await settle()
    assert peer.take() == [(PONG_FRAME, b"p")]
    assert not receive.done()
    await peer.feed(client_frame(TEXT, b"x", key=None))
    assert peer.take() == []  # our close frame was sent already
    assert peer.outlet.ended == "close"
    assert (await receive)["code"] == 1002


@on_each_loop
async def test_the_connection_is_lost_while_closing() -> None:
    app, peer = await scripted()
    await app.do("send", {"type": "websocket.close", "code": 4000})
    await peer.outlet.feed_eof()
    assert peer.outlet.ended == "close"
    await peer.outlet.lose()
    assert await app.do("receive") == disconnect(1006)


@on_each_loop
async def test_reading_goes_on_while_closing_however_much_waits() -> None:
    # The client's close frame may stand behind any amount of data that nobody wants any more.
    app, peer = await scripted()
    big = client_frame(BINARY, bytes(HIGH_WATER))
    await peer.feed(big)
    await peer.feed(big)
    assert not peer.outlet.reading
    await app.do("send", {"type": "websocket.close"})
    assert peer.outlet.reading
    await peer.feed(big)
    assert peer.outlet.reading
    await peer.feed(close_frame(1000))
    assert peer.outlet.ended == "close"


# What came before the end is delivered and answered

ENDS = [
    (close_frame(1000), closed(1000), 1000),
    (client_frame(TEXT, b"x", key=None), None, 1002),
    (client_frame(TEXT, b"\xff"), None, 1007),
]


def check_end(frame: tuple[int, bytes], expected: tuple[int, bytes] | None, code: int) -> None:
    if expected is not None:
        assert frame == expected
    else:
        assert frame[0] == CLOSE_FRAME
        assert int.from_bytes(frame[1][:2], "big") == code


@pytest.mark.parametrize("pieces", ["one read", "a read each", "octet by octet"])
@pytest.mark.parametrize(("end", "frame", "code"), ENDS)
@on_each_loop
async def test_messages_before_the_end_are_answered_first(
    end: bytes, frame: tuple[int, bytes] | None, code: int, pieces: str
) -> None:
    app = Echo()
    peer = Peer(app)
    await peer.open()
    frames = [text("one"), text("two"), end]
    wire = b"".join(frames)
    if pieces == "one read":
        frames = [wire]
    elif pieces == "octet by octet":
        frames = [wire[i : i + 1] for i in range(len(wire))]
    for piece in frames:
        await peer.feed(piece)
    await settle()
    *answers, last = peer.take()
    assert answers == [(TEXT_FRAME, b"one"), (TEXT_FRAME, b"two")]
    check_end(last, frame, code)
    assert peer.outlet.ended == "close"
    assert [message["type"] for message in app.told[1:]] == ["websocket.receive"] * 2 + [
        "websocket.disconnect"
    ]
    assert app.told[-1]["code"] == code


@pytest.mark.parametrize(("end", "frame", "code"), ENDS)
@on_each_loop
async def test_the_application_may_await_between_a_message_and_its_answer(
    end: bytes, frame: tuple[int, bytes] | None, code: int
) -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        for _ in range(2):
            message = await receive()
            await gate.wait()
            await send(send_text(f"answer to {message['text']}"))
        told.append(await receive())

    told: list[Message] = []
    peer = Peer(app)
    await peer.open()
    await peer.feed(text("one"), text("two"), end)
    await settle()
    assert peer.take() == []
    assert not peer.outlet.ended
    grace = peer.last_check()
    assert peer.session.check(grace - 0.001) == grace
    gate.set()
    await settle()
    *answers, last = peer.take()
    assert answers == [(TEXT_FRAME, b"answer to one"), (TEXT_FRAME, b"answer to two")]
    check_end(last, frame, code)
    assert [message["code"] for message in told] == [code]


@pytest.mark.parametrize("waits", ["with a message", "without having received"])
@pytest.mark.parametrize(("end", "frame", "code"), ENDS)
@on_each_loop
async def test_an_application_that_never_comes_back_has_a_grace(
    end: bytes, frame: tuple[int, bytes] | None, code: int, waits: str
) -> None:
    app, peer = await scripted()
    await peer.feed(text("one"))
    if waits == "with a message":
        await app.do("receive")
    before = asyncio.get_running_loop().time()
    await peer.feed(end)
    await peer.feed(text("behind the end"))
    grace = peer.last_check()
    assert before + ANSWER_GRACE <= grace <= asyncio.get_running_loop().time() + ANSWER_GRACE
    assert peer.session.check(grace - 0.001) == grace
    assert peer.take() == []
    await app.do("send", send_text("in time"))
    assert peer.session.check(grace) == 0.0
    answer, last = peer.take()
    assert answer == (TEXT_FRAME, b"in time")
    check_end(last, frame, code)
    assert peer.outlet.ended == "close"
    with pytest.raises(ClientDisconnected):
        await app.do("send", send_text("too late"))
    if waits == "without having received":
        assert await app.do("receive") == received("one")
    assert (await app.do("receive"))["code"] == code


@pytest.mark.parametrize(("end", "frame", "code"), ENDS)
@on_each_loop
async def test_an_application_that_returns_had_its_turn(
    end: bytes, frame: tuple[int, bytes] | None, code: int
) -> None:
    app, peer = await scripted()
    receive = app.order("receive")
    await settle()
    await peer.feed(text("one"), end)
    await receive
    await app.do("send", send_text("answer"))
    assert peer.take() == [(TEXT_FRAME, b"answer")]
    app.order("return")
    await settle()
    (last,) = peer.take()
    check_end(last, frame, code)  # the client's code, not 1000: it closed first
    assert peer.outlet.ended == "close"


@on_each_loop
async def test_an_application_that_closes_in_its_turn() -> None:
    app, peer = await scripted()
    receive = app.order("receive")
    await settle()
    await peer.feed(text("one"), close_frame(3000, b"client"))
    await receive
    await app.do("send", {"type": "websocket.close", "code": 4000, "reason": "app"})
    assert peer.take() == [closed(4000, "app")]
    assert peer.outlet.ended == "close"
    assert await app.do("receive") == disconnect(3000, "client")


@on_each_loop
async def test_the_clients_side_ends_right_behind_its_close_frame() -> None:
    app, peer = await scripted()
    receive = app.order("receive")
    await settle()
    await peer.feed(text("one"), close_frame(1000))
    await peer.outlet.feed_eof()
    assert not peer.outlet.ended  # it may still read
    await receive
    await app.do("send", send_text("answer"))
    assert await app.do("receive") == disconnect(1000)
    assert peer.take() == [(TEXT_FRAME, b"answer"), closed(1000)]


@on_each_loop
async def test_the_connection_is_lost_behind_a_close_frame() -> None:
    app, peer = await scripted()
    await peer.feed(text("one"), close_frame(3000, b"bye"))
    await peer.outlet.lose()
    assert await app.do("receive") == received("one")
    assert await app.do("receive") == disconnect(3000, "bye")


@on_each_loop
async def test_the_server_shuts_down_in_the_applications_turn() -> None:
    app, peer = await scripted()
    await peer.feed(text("one"), close_frame(3000, b"bye"))
    peer.session.shutdown()
    assert peer.take() == [closed(1012, "service restart")]
    assert peer.outlet.ended == "close"
    assert await app.do("receive") == received("one")
    assert await app.do("receive") == disconnect(3000, "bye")


# Messages


@on_each_loop
async def test_messages_both_ways() -> None:
    app, peer = await scripted()
    await peer.feed(text("κόσμε"), client_frame(BINARY, b"\x00\xff"))
    assert await app.do("receive") == received("κόσμε")
    assert await app.do("receive") == received(b"\x00\xff")
    await app.do("send", send_text("κόσμε"))
    await app.do("send", {"type": "websocket.send", "text": "only this", "bytes": None})
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abcdef")[:3], memoryview(b"axbxcx")[::2]):
        await app.do("send", {"type": "websocket.send", "bytes": data, "text": None})
    assert peer.take() == [
        (TEXT_FRAME, "κόσμε".encode()),
        (TEXT_FRAME, b"only this"),
        *[(BINARY_FRAME, b"abc")] * 4,
    ]
    await app.do("send", {"type": "websocket.send", "bytes": bytes(100_000)})
    await app.do("send", {"type": "websocket.send", "bytes": b"", "text": None})
    assert peer.take() == [(BINARY_FRAME, bytes(100_000)), (BINARY_FRAME, b"")]


@on_each_loop
async def test_a_message_steps_the_application_within_the_read() -> None:
    app = Echo()
    peer = Peer(app)
    await peer.open()
    await settle()
    asyncio.get_running_loop().call_soon(
        lambda: (peer.feed_now(text("ping")), taken.append(peer.take()))
    )
    taken: list[Any] = []
    await settle()
    assert taken == [[(TEXT_FRAME, b"ping")]]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({}, "one of 'text' and 'bytes'"),
        ({"text": None, "bytes": None}, "one of 'text' and 'bytes'"),
        ({"text": "", "bytes": b""}, "one of 'text' and 'bytes'"),
        ({"text": b"bytes"}, "malformed payload"),
        ({"text": 5}, "malformed payload"),
        ({"text": "\ud800"}, "malformed payload"),
        ({"bytes": "text"}, "malformed payload"),
        ({"bytes": 5}, "malformed payload"),
        ({"bytes": [1, 2]}, "malformed payload"),
    ],
)
@on_each_loop
async def test_a_malformed_message_is_told_and_nothing_is_sent(
    message: Message, words: str
) -> None:
    app, peer = await scripted()
    with pytest.raises(ApplicationError, match=words):
        await app.do("send", {"type": "websocket.send", **message})
    assert peer.outlet.take() == b""
    await app.do("send", send_text("still open"))
    assert peer.take() == [(TEXT_FRAME, b"still open")]


@pytest.mark.parametrize("message", [None, "websocket.send", [], {}, {"text": "x"}, 5])
@on_each_loop
async def test_what_is_no_message_at_all(message: Any) -> None:
    app, _ = await scripted()
    with pytest.raises(ApplicationError, match="needs a dict with a 'type'"):
        await app.do("send", message)


@pytest.mark.parametrize(
    "kind", ["websocket.accept", "websocket.http.response.start", "http.response.body", "", 5]
)
@on_each_loop
async def test_messages_out_of_order_name_the_state_and_what_was_expected(kind: Any) -> None:
    app, peer = await scripted()
    with pytest.raises(ApplicationError) as caught:
        await app.do("send", {"type": kind})
    assert f"unexpected message {kind!r} in state OPEN" in str(caught.value)
    assert "expected websocket.send or websocket.close" in str(caught.value)
    await app.do("send", {"type": "websocket.close"})
    with pytest.raises(ApplicationError, match="in state CLOSING: expected nothing more"):
        await app.do("send", {"type": kind})
    with pytest.raises(
        ApplicationError, match=r"websocket\.send after websocket\.close, in state CLOSING"
    ):
        await app.do("send", send_text("x"))
    await peer.feed(close_frame(1000))
    with pytest.raises(ApplicationError, match="in state CLOSED: expected nothing more"):
        await app.do("send", {"type": kind})
    with pytest.raises(ApplicationError, match="in state CLOSED"):
        await app.do("send", send_text("x"))
    assert not isinstance(caught.value, OSError)


GONE: dict[str, Callable[[Peer], Awaitable[None]]] = {
    "lost": lambda peer: peer.outlet.lose(),
    "closed": lambda peer: peer.feed(close_frame(1000)),
    "failed": lambda peer: peer.feed(client_frame(TEXT, b"x", key=None)),
    "shut down": lambda peer: peer.outlet.shutdown(),
}


@pytest.mark.parametrize("how", GONE)
@on_each_loop
async def test_send_after_the_peer_has_gone_raises_an_oserror(how: str) -> None:
    app, peer = await scripted()
    await GONE[how](peer)
    for _ in range(2):
        with pytest.raises(ClientDisconnected) as caught:
            await app.do("send", send_text("x"))
        assert isinstance(caught.value, OSError)
    # A close then is a matter of course, and ignored.
    await app.do("send", {"type": "websocket.close"})


@pytest.mark.parametrize("how", ["lost", "half-closed"])
@on_each_loop
async def test_an_answer_to_a_handshake_whose_client_has_gone(how: str) -> None:
    app, peer = await scripted(accept=False)
    if how == "lost":
        await peer.outlet.lose()
    else:
        await peer.outlet.feed_eof()
    with pytest.raises(ClientDisconnected):
        await app.do("send", ACCEPT)
    if how == "half-closed":
        await peer.outlet.lose()
    for message in (ACCEPT, {"type": "websocket.http.response.start", "status": 200}):
        with pytest.raises(ClientDisconnected):
            await app.do("send", message)
    assert await app.do("receive") == disconnect(1006)
    assert peer.outlet.take() == b""


@on_each_loop
async def test_the_client_goes_within_a_denial_response() -> None:
    app, peer = await scripted(accept=False)
    await app.do("send", {"type": "websocket.http.response.start", "status": 404})
    await peer.outlet.lose()
    with pytest.raises(ClientDisconnected):
        await app.do("send", {"type": "websocket.http.response.body", "body": b"x"})
    assert await app.do("receive") == disconnect(1006)


@on_each_loop
async def test_receive_after_disconnect_is_a_mistake() -> None:
    app, peer = await scripted()
    await peer.outlet.lose()
    await app.do("receive")
    for _ in range(2):
        with pytest.raises(ApplicationError, match=r"after websocket\.disconnect"):
            await app.do("receive")


# Pings


@on_each_loop
async def test_pings_are_answered_while_the_application_is_busy() -> None:
    app, peer = await scripted()
    await peer.feed(
        client_frame(PING, b"one"), client_frame(PING), text("x"), client_frame(PING, b"2")
    )
    assert peer.take() == [(PONG_FRAME, b"one"), (PONG_FRAME, b""), (PONG_FRAME, b"2")]
    assert await app.do("receive") == received("x")


@on_each_loop
async def test_only_the_latest_ping_is_answered_to_a_client_that_does_not_read() -> None:
    # 5.5.3: "... MAY elect to send a Pong frame for only the most recently processed Ping frame."
    _, peer = await scripted()
    peer.outlet.pause_writing()
    for number in range(100):
        await peer.feed(client_frame(PING, b"%d" % number))
    assert peer.take() == []
    await peer.outlet.resume_writing()
    assert peer.take() == [(PONG_FRAME, b"99")]
    peer.outlet.pause_writing()
    await peer.outlet.resume_writing()
    assert peer.take() == []


@on_each_loop
async def test_a_ping_whose_pong_comes_in_time() -> None:
    _, peer = await scripted(ws_ping_interval=20, ws_ping_timeout=5)
    due = peer.last_check()
    assert due - asyncio.get_running_loop().time() == pytest.approx(20, abs=5)
    assert peer.session.check(due - 0.001) == due
    assert peer.take() == []
    for _ in range(3):
        deadline = peer.session.check(due)
        assert deadline == due + 5
        ((first, payload),) = peer.take()
        assert first == PING_FRAME
        assert len(payload) <= 125
        assert peer.session.check(deadline - 0.001) == deadline
        await peer.feed(client_frame(PONG, payload))
        # The next ping comes an interval after the pong.
        due = peer.last_check()
        assert due - asyncio.get_running_loop().time() == pytest.approx(20, abs=5)
        assert peer.session.check(due - 0.001) == due
        assert peer.take() == []
    assert not peer.outlet.ended


@pytest.mark.parametrize(
    "before", [b"", client_frame(PONG, b"unsolicited")], ids=["never", "another's"]
)
@on_each_loop
async def test_a_ping_whose_pong_never_comes(before: bytes) -> None:
    app, peer = await scripted(ws_ping_interval=20, ws_ping_timeout=5)
    receive = app.order("receive")
    deadline = peer.session.check(peer.last_check())
    peer.take()
    if before:
        # Anything that is heard shows that the client is alive; its silence counts from then.
        await peer.feed(before)
        assert peer.session.check(deadline) == deadline + 5
        deadline += 5
    assert peer.session.check(deadline) == 0.0
    assert peer.take() == [closed(1011, "keepalive ping timeout")]
    assert peer.outlet.ended == "close"
    assert await receive == disconnect(1011, "keepalive ping timeout")
    await peer.outlet.lose()


@on_each_loop
async def test_a_late_pong_and_data_instead_of_a_pong() -> None:
    _, peer = await scripted(ws_ping_interval=20, ws_ping_timeout=5)
    deadline = peer.session.check(peer.last_check())
    ((_, payload),) = peer.take()
    # A pong cannot overtake a long message: a client that was heard meanwhile is alive.
    half = client_frame(BINARY, bytes(1000))
    for index in range(4):
        await peer.feed(half[index * 100 : (index + 1) * 100])
        assert peer.session.check(deadline) == deadline + 5
        deadline += 5
        assert peer.take() == []
    await peer.feed(half[400:], client_frame(PONG, payload))
    due = peer.last_check()
    assert peer.session.check(due - 0.001) == due
    assert peer.take() == []
    assert not peer.outlet.ended


@on_each_loop
async def test_no_ping_times_out_while_we_do_not_read() -> None:
    app, peer = await scripted(ws_ping_interval=20, ws_ping_timeout=5)
    deadline = peer.session.check(peer.last_check())
    assert len(peer.take()) == 1
    await peer.feed(client_frame(BINARY, bytes(HIGH_WATER)))
    await peer.feed(client_frame(BINARY, bytes(HIGH_WATER)))
    assert not peer.outlet.reading
    for _ in range(3):
        assert peer.session.check(deadline) == deadline + 5
        # Were the client gone, this write would fail.
        assert len(peer.take()) == 1
        deadline += 5
    await app.do("receive")
    await app.do("receive")
    assert peer.outlet.reading
    # From now on its silence counts again.
    assert peer.session.check(deadline) == 0.0
    assert peer.outlet.ended == "close"


@on_each_loop
async def test_no_timeout_and_no_pings() -> None:
    _, peer = await scripted(ws_ping_interval=20, ws_ping_timeout=0)
    due = peer.last_check()
    payloads = set()
    for _ in range(3):
        assert peer.session.check(due) == due + 20
        due += 20
        ((first, payload),) = peer.take()
        assert first == PING_FRAME
        payloads.add(payload)
    assert len(payloads) == 3
    _, peer = await scripted(ws_ping_interval=0, ws_handshake_timeout=0)
    assert peer.outlet.check_times == []
    assert peer.session.check(asyncio.get_running_loop().time() + 1000) == 0.0
    assert peer.take() == []


@on_each_loop
async def test_check_is_nothing_when_there_is_no_timeout_and_after_the_end() -> None:
    app, peer = await scripted(accept=False, ws_handshake_timeout=0)
    later = asyncio.get_running_loop().time() + 1000
    assert peer.session.check(later) == 0.0
    await app.do("send", {"type": "websocket.close"})
    assert peer.session.check(later) == 0.0


# Backpressure


@on_each_loop
async def test_reading_pauses_above_the_high_mark_and_goes_on_at_the_low_one() -> None:
    app, peer = await scripted()
    size = 16384
    frame = client_frame(BINARY, bytes(size))
    sent = 0
    while peer.outlet.reading:
        await peer.feed(frame, client_frame(PING))
        sent += 1
        # So much in the queue, and so much behind it that is looked through for control frames.
        assert sent * size <= 2 * HIGH_WATER + size
    assert 2 * HIGH_WATER - size <= sent * size
    assert len(peer.take()) == sent  # pings were answered all along
    left = sent
    while not peer.outlet.reading:
        await app.do("receive")
        left -= 1
    assert left * size <= HIGH_WATER + LOW_WATER
    for _ in range(left):
        await app.do("receive")
    assert peer.outlet.reading
    assert peer.take() == []  # and no ping was answered twice
    await peer.feed(client_frame(PING, b"again"))
    assert peer.take() == [(PONG_FRAME, b"again")]


@on_each_loop
async def test_many_small_messages_count_with_the_memory_they_take() -> None:
    app, peer = await scripted()
    frames = text("") * 1000
    fed = 0
    while peer.outlet.reading:
        await peer.feed(frames)
        fed += 1000
        assert fed <= HIGH_WATER // 32 + HIGH_WATER // 6 + 1000
    for _ in range(fed):
        assert await app.receive() == received("")
    assert peer.outlet.reading


@on_each_loop
async def test_send_waits_while_the_client_does_not_read() -> None:
    app, peer = await scripted()
    await app.do("send", send_text("at once"))
    peer.outlet.pause_writing()
    first = asyncio.ensure_future(app.send(send_text("one")))
    second = asyncio.ensure_future(app.send(send_text("two")))
    await settle()
    assert not first.done()
    assert not second.done()
    await peer.outlet.resume_writing()
    await asyncio.gather(first, second)
    assert peer.take() == [(TEXT_FRAME, b"at once"), (TEXT_FRAME, b"one"), (TEXT_FRAME, b"two")]


@on_each_loop
async def test_send_stops_waiting_when_the_connection_is_lost() -> None:
    app, peer = await scripted()
    peer.outlet.pause_writing()
    send = app.order("send", send_text("one"))
    await settle()
    assert not send.done()
    await peer.outlet.lose()
    with pytest.raises(ClientDisconnected):
        await send
    with pytest.raises(ClientDisconnected):
        await app.do("send", send_text("two"))


@on_each_loop
async def test_two_sends_at_once_do_not_mix() -> None:
    app, peer = await scripted()
    payloads = [bytes((number,)) * (30_000 * number) for number in range(1, 5)]
    await asyncio.gather(
        *(app.send({"type": "websocket.send", "bytes": payload}) for payload in payloads)
    )
    assert peer.take() == [(BINARY_FRAME, payload) for payload in payloads]


@on_each_loop
async def test_an_application_that_has_ended_lets_the_client_finish() -> None:
    app, peer = await scripted()
    await peer.feed(client_frame(BINARY, bytes(HIGH_WATER)))
    await peer.feed(client_frame(BINARY, bytes(HIGH_WATER)))
    assert not peer.outlet.reading
    app.order("return")
    await settle()
    assert peer.outlet.reading
    assert peer.take() == [closed(1000)]
    for _ in range(3):
        await peer.feed(client_frame(BINARY, bytes(HIGH_WATER)))
        assert peer.outlet.reading
    await peer.feed(close_frame(1000))
    assert peer.outlet.ended == "close"


# receive(): cancelled, twice at once


@on_each_loop
async def test_a_cancelled_receive_loses_nothing() -> None:
    app, peer = await scripted()
    loop = asyncio.get_running_loop()
    taken: list[Message] = []
    for number in range(3):
        waiting = asyncio.ensure_future(app.receive())
        await settle()
        # The message comes first, the cancellation before the task's next turn; and the other way
        # round.
        if number == 1:
            waiting.cancel()
        loop.call_soon(peer.feed_now, text(str(number)))  # a read
        if number == 2:
            loop.call_soon(waiting.cancel)
        await settle()
        if waiting.cancelled():
            taken.append(await app.do("receive"))
        else:
            taken.append(waiting.result())
    assert taken == [received("0"), received("1"), received("2")]


@on_each_loop
async def test_a_receive_that_is_cancelled_when_it_was_woken_passes_the_message_on() -> None:
    app, peer = await scripted(accept=False)
    first = asyncio.ensure_future(app.receive())
    second = asyncio.ensure_future(app.receive())
    await settle()
    await peer.feed(text("one"))
    await peer.send(ACCEPT)  # wakes the first, in the loop's next turn
    first.cancel()
    assert await asyncio.wait_for(second, 10) == received("one")
    assert first.cancelled()


@on_each_loop
async def test_a_receive_that_is_cancelled_before_a_message_comes_does_not_swallow_it() -> None:
    app, peer = await scripted()
    first = asyncio.ensure_future(app.receive())
    second = asyncio.ensure_future(app.receive())
    await settle()
    first.cancel()
    peer.feed_now(text("one"))  # nobody is stepped: the first waiter is cancelled already
    assert await asyncio.wait_for(second, 10) == received("one")
    peer.session.shutdown()
    third = asyncio.ensure_future(app.receive())
    await settle()
    third.cancel()
    await peer.feed(close_frame(1000))
    await settle()
    assert third.cancelled()
    assert await app.do("receive") == disconnect(1000)


@on_each_loop
async def test_a_disconnect_survives_a_cancelled_receive() -> None:
    app, peer = await scripted()
    waiting = asyncio.ensure_future(app.receive())
    await settle()
    peer.outlet._lose()  # the waiting task is to be stepped in the next turn
    waiting.cancel()
    await settle()
    assert waiting.cancelled()
    assert await app.do("receive") == disconnect(1006)


@on_each_loop
async def test_wait_for_and_cancel_scopes_around_receive() -> None:
    app, peer = await scripted()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(app.receive(), 0.001)
    with anyio.move_on_after(0.001):
        await app.receive()
    await peer.feed(text("one"))
    assert await asyncio.wait_for(app.receive(), 10) == received("one")
    with anyio.fail_after(10):
        asyncio.get_running_loop().call_soon(peer.feed_now, text("two"))
        assert await app.receive() == received("two")


@on_each_loop
async def test_two_receives_at_once_get_a_message_each_in_order() -> None:
    app, peer = await scripted()
    receives = [asyncio.ensure_future(app.receive()) for _ in range(3)]
    await settle()
    asyncio.get_running_loop().call_soon(peer.feed_now, text("one"), text("two"), text("three"))
    assert await asyncio.gather(*receives) == [received("one"), received("two"), received("three")]


@on_each_loop
async def test_a_second_receive_does_not_wait_for_ever_when_the_first_was_told() -> None:
    app, peer = await scripted()
    receives = [asyncio.ensure_future(app.receive()) for _ in range(3)]
    await settle()
    await peer.outlet.lose()
    first, *others = await asyncio.wait_for(asyncio.gather(*receives, return_exceptions=True), 10)
    assert first == disconnect(1006)
    assert all(isinstance(other, ApplicationError) for other in others)


@on_each_loop
async def test_who_receives_when_the_application_has_returned_is_told_as_well() -> None:
    app, peer = await scripted()
    await peer.outlet.lose()
    app.order("return")
    await settle()
    assert peer.task.done()
    assert await asyncio.wait_for(app.receive(), 10) == disconnect(1006)


# Compression


@on_each_loop
async def test_compression() -> None:
    app, peer = await scripted(
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", accept=False
    )
    await app.do("send", ACCEPT)
    assert b"permessage-deflate; client_max_window_bits=12; server_max" in peer.take_response()
    stream = zlib.compressobj(wbits=-12)
    payload = (stream.compress(b"hello " * 20) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
    await peer.feed(client_frame(TEXT, payload, rsv=4))
    assert await app.do("receive") == received("hello " * 20)
    await app.do("send", send_text("hello " * 20))
    ((first, payload),) = peer.take()
    assert first == 0xC1
    assert zlib.decompressobj(-12).decompress(payload + b"\x00\x00\xff\xff") == b"hello " * 20


@on_each_loop
async def test_compression_can_be_turned_off() -> None:
    app, peer = await scripted(
        "Sec-WebSocket-Extensions: permessage-deflate", accept=False, ws_per_message_deflate=False
    )
    await app.do("send", ACCEPT)
    assert b"extensions" not in peer.take_response()
    await peer.feed(client_frame(TEXT, b"x", rsv=4))
    assert (await app.do("receive"))["code"] == 1002


@on_each_loop
async def test_the_message_limit_is_the_configured_one() -> None:
    app, peer = await scripted(ws_max_size=10)
    await peer.feed(client_frame(BINARY, bytes(10)), client_frame(BINARY, bytes(11)))
    assert await app.do("receive") == received(bytes(10))
    assert (await app.do("receive"))["code"] == 1009


# The log


@pytest.mark.parametrize("unix", [False, True])
@on_each_loop
async def test_the_access_log(unix: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asgiws")
    who = '- - "WebSocket /chat"' if unix else '192.0.2.1:4321 - "WebSocket /chat?room=1"'

    def lines() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
        caplog.clear()
        return found

    app, peer = await scripted(unix=unix)
    assert lines() == [f"{who} 101"]
    await peer.feed(close_frame(3000))
    assert lines() == [f"{who} closed 3000"]
    app, peer = await scripted(accept=False, unix=unix)
    await app.do("send", {"type": "websocket.close"})
    assert lines() == [f"{who} 403"]
    app, peer = await scripted(accept=False, unix=unix)
    await app.do("send", {"type": "websocket.http.response.start", "status": 404})
    await app.do("send", {"type": "websocket.http.response.body"})
    assert lines() == [f"{who} 404"]
    app, peer = await scripted(unix=unix)
    await peer.feed(client_frame(TEXT, b"\xff"))
    assert lines()[1:] == [
        f"{who} closed 1007",
        f"{who.split()[0]} - WebSocket failed with 1007: text message is not UTF-8 (close code 1007)",
    ]
    app, peer = await scripted(unix=unix, access_log=False)
    await peer.feed(close_frame(1000))
    assert lines() == []


# Every way of ending, in any order


FRAMES = {
    "one": text("one"),
    "two": text("two"),
    "big": client_frame(BINARY, bytes(HIGH_WATER)),
    "fragment": client_frame(TEXT, b"frag", fin=False),
    "continuation": client_frame(CONT, b"ment"),
    "ping": client_frame(PING, b"p"),
    "pong": client_frame(PONG, b"\x00\x00\x00\x01"),
    "close": close_frame(1000, b"client"),
    "close without code": close_frame(),
    "close with a bad code": close_frame(1005),
    "not UTF-8": client_frame(TEXT, b"\xff"),
    "not masked": client_frame(TEXT, b"x", key=None),
    "half a frame": text("cut")[:4],
}


class Lives(RuleBasedStateMachine):
    """An application and a client that do anything at any time, and what must hold whatever they
    do."""

    loop_name = "asyncio"

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop(self.loop_name)
        self.app, self.peer = self.loop.run(self.begin())
        self.ended = False  # the application has
        self.wire = b""

    async def begin(self) -> tuple[Script, Peer]:
        app = Script()
        peer = Peer(app, ws_ping_interval=20, ws_ping_timeout=5)
        await settle()
        return app, peer

    def act(self, function: Callable[..., object], *arguments: object) -> None:
        """Call it from a callback of the loop, as the outlet does, then let everything run."""

        async def run() -> None:
            done = asyncio.get_running_loop().create_future()

            def call() -> None:
                try:
                    done.set_result(function(*arguments))
                except BaseException as error:
                    done.set_exception(error)

            asyncio.get_running_loop().call_soon(call)
            await done
            await settle()
            for result in self.results:
                if result.done():
                    result.exception()  # an application hears of many mistakes here

        self.loop.run(run())
        self.wire += self.peer.outlet.take()

    results: list[asyncio.Future[Any]] = []  # noqa: RUF012

    def order(self, kind: str, argument: Any = None) -> None:
        self.act(lambda: self.results.append(self.app.order(kind, argument)))

    # The application

    @precondition(lambda self: not self.ended)
    @rule(
        message=st.sampled_from(
            [
                ACCEPT,
                ACCEPT,
                send_text("hello"),
                {"type": "websocket.send", "bytes": b"data"},
                {"type": "websocket.close", "code": 4000, "reason": "app"},
                {"type": "websocket.http.response.start", "status": 401},
                {"type": "websocket.http.response.body", "body": b"no", "more_body": True},
                {"type": "websocket.http.response.body", "body": b"no"},
                {"type": "nonsense"},
            ]
        )
    )
    def app_sends(self, message: Message) -> None:
        self.order("send", message)

    @precondition(lambda self: not self.ended)
    @rule()
    def app_receives(self) -> None:
        self.order("receive")

    @precondition(lambda self: not self.ended)
    @rule(kind=st.sampled_from(["return", "raise"]))
    def app_ends(self, kind: str) -> None:
        self.order(kind, LookupError("the application's"))
        self.ended = True

    @precondition(lambda self: not self.ended)
    @rule()
    def app_is_cancelled(self) -> None:
        self.act(self.peer.task.cancel)
        self.ended = True

    # The client

    @precondition(lambda self: not self.peer.outlet.lost)
    @rule(names=st.lists(st.sampled_from(sorted(FRAMES)), max_size=4))
    def client_sends(self, names: list[str]) -> None:
        self.act(self.peer.feed_now, *(FRAMES[name] for name in names))

    @precondition(lambda self: not self.peer.outlet.lost)
    @rule()
    def client_ends_its_side(self) -> None:
        self.act(self.peer.feed_eof_now)

    @precondition(lambda self: not self.peer.outlet.lost)
    @rule()
    def connection_is_lost(self) -> None:
        self.act(self.peer.outlet._lose)

    @precondition(lambda self: not self.peer.outlet.lost)
    @rule(reads=st.booleans())
    def client_reads_or_not(self, reads: bool) -> None:
        peer = self.peer
        self.act(peer.resume_writing_now if reads else peer.outlet.pause_writing)

    # The server

    @rule()
    def server_shuts_down(self) -> None:
        if not self.peer.outlet.ended:  # `Connection.shutdown` looks first
            self.act(self.peer.session.shutdown)

    @rule(late=st.booleans())
    def a_deadline_comes(self, late: bool) -> None:
        times = self.peer.outlet.check_times
        if times:
            when = max(times) + (1000 if late else 0)
            self.act(lambda: self.peer.outlet.ended or times.append(self.check(when)))

    def check(self, when: float) -> float:
        return self.peer.session.check(when) or when

    # What must hold

    def disconnects(self) -> int:
        return sum(message["type"] == "websocket.disconnect" for message in self.app.told)

    @invariant()
    def disconnect_is_told_at_most_once_and_last(self) -> None:
        assert self.disconnects() <= 1
        if self.disconnects():
            assert self.app.told[-1]["type"] == "websocket.disconnect"

    @invariant()
    def the_client_gets_at_most_one_close_frame_and_only_pongs_behind_it(self) -> None:
        head, _, rest = self.wire.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            assert not head or head.startswith(b"HTTP/1.1 ")
            return
        opcodes = [first for first, _ in server_frames(rest)]
        if CLOSE_FRAME in opcodes:
            assert set(opcodes[opcodes.index(CLOSE_FRAME) + 1 :]) <= {PONG_FRAME}

    def teardown(self) -> None:
        try:
            if not self.peer.outlet.lost:
                self.act(self.peer.outlet._lose)
            self.loop.run(self.drain())
            assert self.disconnects() == 1
            assert self.app.told[-1]["type"] == "websocket.disconnect"
        finally:
            self.results.clear()
            self.loop.close()

    async def drain(self) -> None:
        """Receive what is left, as the application, or as a task of its that outlived it."""
        await settle()
        while not self.disconnects():
            if not self.peer.task.done() and self.app.orders.empty():
                self.app.order("receive")
            elif self.peer.task.done():
                self.app.told.append(await asyncio.wait_for(self.app.receive(), 10))
            await settle()
        self.peer.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LookupError):
            await self.peer.task
        with pytest.raises(ApplicationError):
            await asyncio.wait_for(self.app.receive(), 10)


LIVES = settings(
    deadline=None,
    max_examples=100,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("loop_name", LOOPS)
def test_disconnect_is_told_exactly_once_whatever_happens(loop_name: str) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    logging.disable(logging.CRITICAL)
    try:
        run_state_machine_as_test(type("Lives", (Lives,), {"loop_name": loop_name}), settings=LIVES)
    finally:
        logging.disable(logging.NOTSET)


@on_each_loop
async def test_a_close_behind_many_pings_is_seen_by_an_application_that_takes_nothing() -> None:
    """Control frames do not wait for it, though the queue is full and they are more than a turn takes."""
    app, peer = await scripted()
    pings = [b"%d" % number for number in range(2 * TURN_EVENTS)]
    await peer.feed(
        client_frame(BINARY, bytes(HIGH_WATER)),
        *[client_frame(PING, ping) for ping in pings],
        close_frame(4000),
    )
    await settle()
    assert peer.take() == [(PONG_FRAME, ping) for ping in pings]
    peer.session.check(peer.last_check())
    assert peer.take() == [closed(4000)]
    assert (await app.do("receive"))["type"] == "websocket.receive"
    assert await app.do("receive") == disconnect(4000)


# Deadlines and limits


@on_each_loop
async def test_an_application_that_does_not_answer_the_handshake(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, peer = await scripted(accept=False, ws_handshake_timeout=7)
    loop = asyncio.get_running_loop()
    due = peer.last_check()
    assert due == pytest.approx(loop.time() + 7, abs=2)
    assert peer.session.check(due - 1) == due
    assert peer.outlet.take() == b""
    assert peer.session.check(due) == 0.0
    assert peer.outlet.take().startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert peer.outlet.ended == "close"
    assert "did not answer in time (ws_handshake_timeout)" in caplog.text
    assert await app.do("receive") == disconnect(1006)
    with pytest.raises(ClientDisconnected):
        await app.do("send", ACCEPT)


@on_each_loop
async def test_a_handshake_that_is_answered_in_time_has_no_more_to_do_with_it() -> None:
    app, peer = await scripted(accept=False, ws_handshake_timeout=7, ws_ping_interval=0)
    due = peer.last_check()
    await app.do("send", ACCEPT)
    assert peer.session.check(due + 100) == 0.0
    assert not peer.outlet.ended
    start = {"type": "websocket.http.response.start", "status": 401}
    app, peer = await scripted(accept=False, ws_handshake_timeout=7)
    await app.do("send", start)
    assert peer.session.check(due + 100) == 0.0
    assert not peer.outlet.ended


@on_each_loop
async def test_connection_age() -> None:
    app, peer = await scripted(ws_max_age=100, ws_max_age_jitter=50, ws_ping_interval=0)
    due = peer.last_check()
    assert 98 <= due - asyncio.get_running_loop().time() <= 150
    assert peer.session.check(due - 1) == due
    assert peer.take() == []
    assert (
        peer.session.check(due) > asyncio.get_running_loop().time()
    )  # the deadline for the client's close frame
    assert peer.take() == [closed(1001, "connection age")]
    await peer.feed(close_frame(1001))
    assert await app.do("receive") == disconnect(1001)


@on_each_loop
async def test_ages_are_spread() -> None:
    peers = [(await scripted(ws_max_age=100, ws_max_age_jitter=1000))[1] for _ in range(20)]
    ages = [peer.session.check(peer.last_check()) for peer in peers]
    assert len(set(ages)) > 1
    peers = [(await scripted(ws_max_age=100, ws_ping_interval=0))[1] for _ in range(20)]
    now = asyncio.get_running_loop().time()
    assert all(peer.last_check() == pytest.approx(now + 100, abs=3) for peer in peers)


@pytest.mark.parametrize("way", ["in", "out", "pings"])
@on_each_loop
async def test_idle_is_who_sends_and_gets_no_message(way: str) -> None:
    app, peer = await scripted(ws_idle_timeout=100, ws_ping_interval=0)
    due = peer.last_check()
    for _ in range(8):
        if way == "in":
            await peer.feed(text("x"))
        elif way == "out":
            await app.do("send", send_text("x"))
        else:
            await peer.feed(client_frame(PING))
        due = peer.session.check(due)
        if peer.outlet.take().endswith(b"idle timeout"):
            break
    else:
        assert way != "pings"
        return
    assert way == "pings"


@on_each_loop
async def test_idle_is_noticed_within_a_quarter_more() -> None:
    _, peer = await scripted(ws_idle_timeout=100, ws_ping_interval=0)
    begin = asyncio.get_running_loop().time()
    due = peer.last_check()
    await peer.feed(text("x"))
    while not (taken := peer.take()):
        now = due
        due = peer.session.check(now)
    assert taken == [closed(1001, "idle timeout")]
    assert 100 <= now - begin <= 126


@pytest.mark.parametrize("policy", ["wait", "close", "abort"])
@on_each_loop
async def test_a_client_that_takes_nothing(policy: str, caplog: pytest.LogCaptureFixture) -> None:
    app, peer = await scripted(ws_slow_consumer=policy, ws_send_timeout=7)
    assert peer.outlet.send_timeout == 7
    peer.outlet.pause_writing()
    send = app.order("send", send_text("one"))
    await settle()
    peer.take()
    await peer.outlet.stall()
    if policy == "wait":
        assert not peer.outlet.ended
        await peer.outlet.resume_writing()
        await send
        assert caplog.text == ""
        return
    assert peer.outlet.ended == policy
    assert peer.take() == ([closed(1013, "slow consumer")] if policy == "close" else [])
    await peer.outlet.lose()
    with pytest.raises(ClientDisconnected):
        await send
    assert await app.do("receive") == (
        disconnect(1013, "slow consumer") if policy == "close" else disconnect(1006)
    )
    assert "slow consumer: took nothing for 7 seconds (ws_send_timeout)" in caplog.text


@pytest.mark.parametrize("policy", ["wait", "close", "abort"])
@on_each_loop
async def test_too_much_waits_to_be_sent(policy: str, caplog: pytest.LogCaptureFixture) -> None:
    app, peer = await scripted(ws_slow_consumer=policy, ws_max_outbound=1000)
    peer.outlet.pause_writing()
    peer.outlet.waiting = 999
    sends = [asyncio.ensure_future(app.send(send_text("one")))]
    await settle()
    assert peer.take() == [(TEXT_FRAME, b"one")]
    peer.outlet.waiting = 1000
    sends.append(asyncio.ensure_future(app.send(send_text("two"))))
    await settle()
    if policy == "wait":
        assert peer.take() == []
        peer.outlet.waiting = 0
        await peer.outlet.resume_writing()
        await asyncio.gather(*sends)
        assert peer.take() == [(TEXT_FRAME, b"two")]
        return
    with pytest.raises(ClientDisconnected):
        await sends[1]
    assert peer.outlet.ended == policy
    assert peer.take() == ([closed(1013, "slow consumer")] if policy == "close" else [])
    assert "1000 bytes wait to be sent (ws_max_outbound)" in caplog.text
    await peer.outlet.lose()
    with pytest.raises(ClientDisconnected):
        await sends[0]


@on_each_loop
async def test_a_slow_client_can_still_be_closed_by_the_application() -> None:
    app, peer = await scripted(ws_max_outbound=1)
    peer.outlet.pause_writing()
    peer.outlet.waiting = 10
    closing = app.order("send", {"type": "websocket.close", "code": 4000})
    await settle()
    assert peer.take() == [closed(4000)]
    await peer.outlet.resume_writing()
    await closing


@pytest.mark.parametrize("end", ["close", "lost"])
@on_each_loop
async def test_an_application_that_goes_on_is_cancelled(end: str) -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    peer = Peer(app, ws_cancel_after=0.05)
    await peer.open()
    if end == "close":
        await peer.feed(close_frame(1000))
    else:
        await peer.outlet.lose()
    await asyncio.wait([peer.task])
    assert ended == ["cancelled"]


@on_each_loop
async def test_a_message_of_too_many_frames() -> None:
    app, peer = await scripted(ws_max_fragments=3)
    message = [client_frame(TEXT, b"a", fin=False), client_frame(CONT, b"b", fin=False)]
    await peer.feed(*message, client_frame(CONT, b"c"), *message)
    assert await app.do("receive") == received("abc")
    app.order("receive")
    await settle()
    assert peer.take() == []
    await peer.feed(client_frame(CONT, b"c", fin=False), client_frame(CONT, b""))
    assert peer.take() == [closed(1008, "message of more than 3 frames")]


# Control frames behind data that nobody takes


@on_each_loop
async def test_pings_and_pongs_behind_a_full_queue() -> None:
    app, peer = await scripted(ws_ping_interval=20, ws_ping_timeout=5)
    big = client_frame(BINARY, bytes(HIGH_WATER))
    await peer.feed(big)
    await peer.feed(text("one"), client_frame(PING, b"1"), text("two")[:3])
    assert peer.outlet.reading
    due = peer.last_check()
    peer.session.check(due)
    assert peer.take()[0] == (PONG_FRAME, b"1")
    await peer.feed(text("two")[3:], client_frame(PONG, b"\0\0\0\1"), client_frame(PING, b"2"))
    assert peer.take() == [(PONG_FRAME, b"2")]
    # The pong counted: nothing is due before the next ping.
    assert peer.session.check(due + 6) > due + 6
    assert not peer.outlet.ended
    peer.take()
    assert (await app.do("receive"))["bytes"] == bytes(HIGH_WATER)
    assert await app.do("receive") == received("one")
    assert await app.do("receive") == received("two")
    assert peer.take() == []  # no second answer
    await peer.feed(client_frame(PING, b"3"))
    assert peer.take() == [(PONG_FRAME, b"3")]


@pytest.mark.parametrize("fits", [True, False])
@on_each_loop
async def test_a_close_behind_a_full_queue(fits: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost that there is room for, and who takes nothing hears of it all the same."""
    caplog.set_level(logging.INFO)
    high = HIGH_WATER if fits else 1
    app, peer = await scripted(ws_queue_high=high, ws_queue_low=1)
    messages = [bytes((number,)) * 1000 for number in range(6)]
    await peer.feed(client_frame(BINARY, bytes(high)))
    await peer.feed(*[client_frame(BINARY, message) for message in messages], close_frame(4000))
    peer.session.check(peer.last_check())
    assert peer.take() == [closed(4000)]
    with pytest.raises(ClientDisconnected):
        await app.do("send", send_text("late"))
    got = []
    while (message := await app.do("receive"))["type"] == "websocket.receive":
        got.append(message["bytes"])
    assert message == disconnect(4000)
    if fits:
        assert got == [bytes(high), *messages]
        assert "dropped" not in caplog.text
    else:
        assert got == [bytes(high), *messages][: len(got)]
        assert "messages dropped" in caplog.text


@on_each_loop
async def test_a_bad_close_behind_a_full_queue_fails_the_connection() -> None:
    _, peer = await scripted(ws_queue_high=1, ws_queue_low=1)
    await peer.feed(client_frame(BINARY, b"x" * 10))
    await peer.feed(client_frame(BINARY, b"x" * 1000), text("y"), close_frame(1005))
    peer.session.check(peer.last_check())
    ((first, payload),) = peer.take()
    assert (first, payload[:2]) == (CLOSE_FRAME, (1002).to_bytes(2, "big"))


@pytest.mark.parametrize("how", ["eof", "lost"])
@on_each_loop
async def test_the_end_behind_a_full_queue_is_noticed_at_once(how: str) -> None:
    app, peer = await scripted()
    big = client_frame(BINARY, bytes(HIGH_WATER))
    await peer.feed(big)
    await peer.feed(text("one"))
    if how == "eof":
        await peer.outlet.feed_eof()
        assert peer.outlet.ended == "close"
    await peer.outlet.lose()
    with pytest.raises(ClientDisconnected):
        await app.do("send", send_text("late"))
    assert (await app.do("receive"))["bytes"] == bytes(HIGH_WATER)
    assert await app.do("receive") == received("one")
    assert await app.do("receive") == disconnect(1006)


@on_each_loop
async def test_who_hangs_up_while_reading_is_paused_is_read_to_the_end() -> None:
    app, peer = await scripted()
    big = client_frame(BINARY, bytes(HIGH_WATER))
    await peer.feed(big)
    await peer.feed(big)
    assert not peer.outlet.reading
    await peer.outlet.hang_up()
    assert peer.outlet.reading
    await peer.feed(text("last"))
    assert peer.outlet.reading
    await peer.outlet.feed_eof()
    assert peer.outlet.ended == "close"
    await peer.outlet.lose()
    with pytest.raises(ClientDisconnected):
        await app.do("send", send_text("late"))
    for _ in range(2):
        assert (await app.do("receive"))["bytes"] == bytes(HIGH_WATER)
    assert await app.do("receive") == received("last")
    assert await app.do("receive") == disconnect(1006)


@on_each_loop
async def test_who_hangs_up_and_has_sent_without_end_is_cut_off() -> None:
    _, peer = await scripted(ws_queue_high=1000, ws_queue_low=1)
    for _ in range(2):
        await peer.feed(client_frame(BINARY, bytes(2000)))
    assert not peer.outlet.reading
    await peer.outlet.hang_up()
    for _ in range(10):
        await peer.feed(client_frame(BINARY, bytes(2000)))
    assert peer.outlet.ended == "close"


@on_each_loop
async def test_a_slow_client_that_takes_what_is_sent_is_alive() -> None:
    """The ping is behind what it has still to take."""
    _, peer = await scripted(ws_ping_interval=20, ws_ping_timeout=5)
    deadline = peer.session.check(peer.last_check())
    peer.take()
    for _ in range(3):
        peer.outlet.waiting = 1000
        peer.outlet.has_taken += 10
        assert peer.session.check(deadline) == deadline + 5
        deadline += 5
    # It has the ping now, and has its time to answer.
    peer.outlet.waiting = 0
    peer.outlet.has_taken += 10
    assert peer.session.check(deadline) == deadline + 5
    assert peer.session.check(deadline + 5) == 0.0
    assert peer.take() == [closed(1011, "keepalive ping timeout")]


@on_each_loop
async def test_a_client_whose_ping_was_behind_much_has_its_time_to_answer() -> None:
    """All of it is taken shortly before the deadline: the ping came with the last of it."""
    _, peer = await scripted(ws_ping_interval=20, ws_ping_timeout=5)
    peer.outlet.waiting = 1000
    deadline = peer.session.check(peer.last_check())
    peer.take()
    peer.outlet.waiting = 0
    peer.outlet.has_taken += 1000
    assert peer.session.check(deadline) == deadline + 5
    assert peer.session.check(deadline + 5) == 0.0
    assert peer.take() == [closed(1011, "keepalive ping timeout")]


@on_each_loop
async def test_a_ping_that_was_taken_is_no_sign_of_life() -> None:
    """The kernel takes it, whatever the client does."""
    _, peer = await scripted(ws_ping_interval=20, ws_ping_timeout=5)
    deadline = peer.session.check(peer.last_check())
    peer.take()
    peer.outlet.has_taken += 6
    assert peer.session.check(deadline) == 0.0
    assert peer.take() == [closed(1011, "keepalive ping timeout")]


@on_each_loop
async def test_a_client_that_takes_nothing_is_not() -> None:
    _, peer = await scripted(ws_ping_interval=20, ws_ping_timeout=5)
    deadline = peer.session.check(peer.last_check())
    peer.take()
    peer.outlet.waiting = 1000
    assert peer.session.check(deadline) == 0.0
    assert peer.take() == [closed(1011, "keepalive ping timeout")]


@on_each_loop
async def test_a_client_that_has_closed_keeps_its_code_whatever_the_server_does_then() -> None:
    app, peer = await scripted()
    await peer.feed(text("one"), close_frame(4001, b"bye"))
    assert await app.do("receive") == received("one")
    assert peer.take() == []  # the application has its turn to answer
    await peer.outlet.call(peer.session.let_go)
    assert peer.take() == [closed(4001, "bye")]
    assert await app.do("receive") == disconnect(4001, "bye")
