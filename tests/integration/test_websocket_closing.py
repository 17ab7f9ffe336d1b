"""The close-code contract: what the client sees, and what the application is told."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Desk,
    Raw,
    close_frame,
    frame,
    handshake,
    unused_name,
)
from tests.support.server import RunningServer, serve

APP = "apps:app"
#: Of the fixtures `server` and `faulty`.
OPTIONS = ("--ws-max-size", "1000")
GONE = {"type": "websocket.disconnect"}


def opened(server: RunningServer, path: str, tail: bytes = b"") -> Raw:
    """A WebSocket without extensions."""
    raw = Raw.connect(server)
    raw.upgrade(path, tail=tail)
    return raw


def disconnect(code: int, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def text(content: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": content}


def assert_told_once(report: dict[str, Any], code: int, reason: str = "") -> None:
    """The disconnect was the last thing that the application was told, and told once."""
    assert report["events"][-1:] == [disconnect(code, reason)]
    assert [event["type"] for event in report["events"]].count("websocket.disconnect") == 1
    (note,) = report["notes"][-1:]
    assert "websocket.disconnect" in note["text"]
    assert "OSError" not in note["kinds"]


async def end_of(connection: ClientConnection) -> tuple[int, str]:
    """The close code and reason as the library sees them, once the connection has ended."""
    await connection.wait_closed()
    return connection.close_code or 0, connection.close_reason or ""


def library(server: RunningServer, path: str, **options: Any) -> connect:
    return connect(server.ws_url(path), proxy=None, **options)


# The application ends it.


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("returns", 1000, ""),
        ("raises", 1011, "internal error"),
        ("exits", 1011, "internal error"),
        ("closes?{}&4321&the%20reason", 4321, "the reason"),
        ("closes?{}&1001", 1001, ""),
        ("closes?{}&3000", 3000, ""),
        ("closes?{}&4999&%C3%A4%C3%B6%C3%BC%E2%82%AC", 4999, "äöü€"),
        ("closes?{}", 1000, ""),
    ],
)
async def test_application_ends_it(
    faulty: RunningServer, name: str, path: str, code: int, reason: str
) -> None:
    path = "/" + (path.format(name) if "?" in path else f"{path}?{name}")
    async with library(faulty, path) as client:
        assert await end_of(client) == (code, reason)
    report = await asyncio.to_thread(Desk(faulty).report, name)
    if path.startswith("/closes"):
        # The client echoed it: that is what ended the connection.
        assert_told_once(report, code, reason)


def test_exception_is_logged_with_its_traceback(faulty: RunningServer, name: str) -> None:
    with opened(faulty, f"/raises_on_message?{name}") as raw:
        raw.send_frame(TEXT, b"go")
        assert raw.close_frame() == (1011, "internal error")
    faulty.wait_for_log(r"RuntimeError: a fault of the application")
    assert Desk(faulty).report(name)["raised"] == "RuntimeError"
    # It served the next one as if nothing had been.
    with opened(faulty, f"/echo?{unused_name()}") as raw:
        raw.send_frame(TEXT, b"still here")
        assert raw.message() == "still here"


def test_long_reason_is_cut_between_characters(server: RunningServer, name: str) -> None:
    with opened(server, f"/closes?{name}&4000&" + "%E2%82%AC" * 50) as raw:
        assert raw.close_frame() == (4000, "€" * 41)


def test_close_with_what_may_not_be_sent(server: RunningServer, desk: Desk, name: str) -> None:
    with opened(server, f"/closes_badly?{name}") as raw:
        # 1005 says "no code": a close frame without a body is what it means.
        assert raw.close_frame() == (1005, "")
        raw.send(close_frame(None))
        assert raw.read_all() == b""
    *refused, last = desk.report(name)["notes"]
    assert len(refused) == 3
    assert last == "nothing was raised"
    for note, code in zip(refused, ("0", "999", "1004"), strict=True):
        assert code in note["text"]
        assert "OSError" not in note["kinds"]


def test_second_close_is_ignored_and_send_is_an_error(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with opened(server, f"/closes_twice?{name}") as raw:
        assert raw.close_frame() == (4002, "")
        raw.send(close_frame(4002))
        assert raw.read_all() == b""
    report = desk.report(name)
    second, late, accept, _ = report["notes"]
    assert second == "nothing was raised"
    for note, word in ((late, "websocket.send"), (accept, "websocket.accept")):
        assert word in note["text"]
        assert "CLOSING" in note["text"]
        assert "nothing more" in note["text"]
    assert_told_once(report, 4002)


def test_client_answers_with_another_code(server: RunningServer, desk: Desk, name: str) -> None:
    with opened(server, f"/closes?{name}&4000") as raw:
        assert raw.close_frame() == (4000, "")
        raw.send(close_frame(4100, "my own"))
        assert raw.read_all() == b""
    assert_told_once(desk.report(name), 4100, "my own")


def test_server_ends_tcp_after_both_close_frames(server: RunningServer, name: str) -> None:
    with opened(server, f"/closes?{name}&4000") as raw:
        raw.close_frame()
        raw.send(close_frame(4000))
        assert raw.read_all() == b""


def test_data_behind_our_close_frame_is_dropped(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with opened(server, f"/closes?{name}&4000") as raw:
        raw.close_frame()
        raw.send(frame(TEXT, b"crossed") + frame(PING, b"?") + close_frame(4000))
        # 5.5.2: a ping is answered "unless it already received a Close frame"
        assert raw.frame() == (PONG, b"?", True, False)
        assert raw.read_all() == b""
    assert desk.report(name)["events"] == [disconnect(4000)]


def test_answer_to_last_message_comes_before_the_close(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with opened(server, f"/closes_on_message?{name}") as raw:
        raw.send_frame(TEXT, b"bye")
        assert raw.message() == "goodbye"
        assert raw.close_frame() == (4001, "as asked")
        raw.send(close_frame(4001))
        assert raw.read_all() == b""


# The client ends it.


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1000, "done"),
        (1001, "leaving"),
        (1003, ""),
        (1007, ""),
        (1008, ""),
        (1009, ""),
        (1010, ""),
        (1011, ""),
        (1012, ""),
        (1013, ""),
        (1014, ""),
        (3000, "three"),
        (3999, ""),
        (4000, "vier €"),
        (4999, "r" * 123),
    ],
)
def test_client_closes(
    server: RunningServer, desk: Desk, name: str, code: int, reason: str
) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send(close_frame(code, reason))
        # 5.5.1: "it typically echos the status code it received"
        assert raw.close_frame()[0] == code
        assert raw.read_all() == b""
    assert_told_once(desk.report(name), code, reason)


def test_client_closes_without_a_code(server: RunningServer, desk: Desk, name: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send(close_frame(None))
        assert raw.closed_by_server() == (1005, "")
    assert_told_once(desk.report(name), 1005)


async def test_client_library_closes(server: RunningServer, desk: Desk, name: str) -> None:
    async with library(server, f"/echo?{name}") as client:
        await client.close(4242, "from a library")
        assert await end_of(client) == (4242, "from a library")
    assert_told_once(await asyncio.to_thread(desk.report, name), 4242, "from a library")


def test_tcp_reset(server: RunningServer, desk: Desk, name: str) -> None:
    raw = opened(server, f"/echo?{name}")
    raw.reset()
    assert_told_once(desk.report(name), 1006)


def test_tcp_fin_without_a_close_frame(server: RunningServer, desk: Desk, name: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.shut()
        assert raw.read_all() == b""
        assert_told_once(desk.report(name), 1006)


def test_tcp_fin_in_the_midst_of_a_message(server: RunningServer, desk: Desk, name: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send(frame(TEXT, b"begun", fin=False) + frame(CONTINUATION, b"and")[:4])
        raw.shut()
        assert raw.read_all() == b""
    report = desk.report(name)
    assert report["events"] == [disconnect(1006)]


def test_close_frame_and_fin_at_once(server: RunningServer, desk: Desk, name: str) -> None:
    with opened(server, f"/slow_echo?{name}") as raw:
        raw.send(frame(TEXT, b"last") + close_frame(4000, "bye"))
        raw.shut()
        assert raw.message() == "last"
        assert raw.closed_by_server() == (4000, "bye")
    assert desk.report(name)["events"] == [text("last"), disconnect(4000, "bye")]


@pytest.mark.parametrize("tail", [b"", close_frame(1001, "leaving")], ids=["reset", "close"])
def test_client_leaves_a_busy_application(
    server: RunningServer, desk: Desk, name: str, tail: bytes
) -> None:
    """It learns of it when it comes back, and by an OSError when it sends."""
    raw = opened(server, f"/sleeper?{name}")
    raw.send(frame(TEXT, b"work") + tail)
    desk.wait_for(name, "waiting")
    raw.reset()
    server.wait_for_log(rf"sleeper\?{name}.* closed {1001 if tail else 1006}")
    desk.release(name)
    report = desk.report(name)
    assert "OSError" in report["notes"][0]["kinds"]
    if tail:
        assert_told_once(report, 1001, "leaving")
    else:
        assert_told_once(report, 1006)


def test_application_that_only_sends_learns_that_the_client_left(
    server: RunningServer, desk: Desk, name: str
) -> None:
    raw = opened(server, f"/push_until_gone?{name}")
    assert raw.message() == "pushed"
    raw.send(close_frame(1000))
    (note,) = desk.report(name)["notes"]
    raw.close()
    assert "OSError" in note["kinds"]


def test_disconnect_comes_to_one_of_several_receivers(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with opened(server, f"/counts_to_the_end?{name}") as raw:
        desk.wait_for(name, "receiving")
        raw.send(close_frame(1000))
        assert raw.close_frame() == (1000, "")
    report = desk.report(name)
    assert report["events"] == [disconnect(1000)]
    # The others are told so rather than left waiting for ever.
    assert report["notes"] == [3, 1]


# What the client may not send.

PROTOCOL_ERRORS = {
    "RSV1": frame(TEXT, b"x", rsv=4),
    "RSV2": frame(TEXT, b"x", rsv=2),
    "RSV3": frame(TEXT, b"x", rsv=1),
    "RSV1 on a ping": frame(PING, b"x", rsv=4),
    "opcode 3": frame(3),
    "opcode 7": frame(7, b"x"),
    "opcode 11": frame(11),
    "opcode 15": frame(15, b"x"),
    "unmasked text": frame(TEXT, b"x", mask=None),
    "unmasked ping": frame(PING, b"", mask=None),
    "unmasked close": frame(CLOSE, b"\x03\xe8", mask=None),
    "long ping": frame(PING, b"x" * 126),
    "long pong": frame(PONG, b"x" * 126),
    "long close": frame(CLOSE, b"\x03\xe8" + b"x" * 124),
    "ping in fragments": frame(PING, b"x", fin=False),
    "close in fragments": frame(CLOSE, b"", fin=False),
    "continuation of nothing": frame(CONTINUATION, b"x"),
    "continuation of nothing, not final": frame(CONTINUATION, b"x", fin=False),
    "continuation after a whole message": frame(TEXT, b"") + frame(CONTINUATION, b"x"),
    "message within a message": frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"),
    "other message within a message": frame(TEXT, b"x", fin=False) + frame(BINARY, b"y"),
    "length of 16 bits too long": frame(TEXT, b"x", form=16),
    "length of 64 bits too long": frame(TEXT, b"x" * 200, form=64),
    "length with the highest bit": frame(BINARY, b"", length=1 << 63),
    "close with one octet": frame(CLOSE, b"\x03"),
    **{
        f"close with {code}": close_frame(code)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}


@pytest.mark.parametrize("what", PROTOCOL_ERRORS)
def test_protocol_error(server: RunningServer, desk: Desk, name: str, what: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send(PROTOCOL_ERRORS[what])
        if what == "continuation after a whole message":
            assert raw.message() == ""
        code, reason = raw.closed_by_server()
    assert code == 1002
    assert reason
    report = desk.report(name)
    assert_told_once(report, 1002, reason)


def test_what_comes_behind_an_illegal_frame_is_not_looked_at(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send(frame(3) + frame(TEXT, b"ignored") + frame(PING) + close_frame(4000))
        assert raw.closed_by_server()[0] == 1002
    assert [event["type"] for event in desk.report(name)["events"]] == [GONE["type"]]


BAD_TEXT = {
    "lone continuation byte": b"ok\x80",
    "overlong": b"\xc0\xaf",
    "overlong in three": b"\xe0\x80\xaf",
    "surrogate": b"\xed\xa0\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "cut short": b"abc\xe2\x82",
    "never valid": b"\xff",
    "Autobahn's": b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
}


@pytest.mark.parametrize("what", BAD_TEXT)
def test_bad_utf8(server: RunningServer, desk: Desk, name: str, what: str) -> None:
    payload = BAD_TEXT[what]
    with opened(server, f"/echo?{name}") as raw:
        raw.send_frame(TEXT, payload)
        code, reason = raw.closed_by_server()
    assert code == 1007
    assert_told_once(desk.report(name), 1007, reason)


@pytest.mark.parametrize("what", BAD_TEXT)
def test_bad_utf8_split_at_each_byte(server: RunningServer, name: str, what: str) -> None:
    payload = BAD_TEXT[what]
    for cut in range(len(payload) + 1):
        with opened(server, f"/echo?{name}{cut}") as raw:
            raw.send_frame(TEXT, payload[:cut], fin=False)
            raw.send_frame(CONTINUATION, payload[cut:])
            assert raw.closed_by_server()[0] == 1007


@pytest.mark.parametrize("what", sorted(BAD_TEXT.keys() - {"cut short"}))
def test_bad_utf8_fails_before_the_message_ends(
    server: RunningServer, name: str, what: str
) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send_frame(TEXT, BAD_TEXT[what], fin=False)
        assert raw.closed_by_server()[0] == 1007


def test_bad_utf8_fails_before_the_frame_ends(server: RunningServer, name: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send(frame(TEXT, b"abc\xffdef", length=500))
        assert raw.closed_by_server()[0] == 1007


def test_good_utf8_split_at_each_byte(server: RunningServer, name: str) -> None:
    whole = "aß€😀".encode()
    with opened(server, f"/echo?{name}") as raw:
        for cut in range(len(whole) + 1):
            raw.send_frame(TEXT, whole[:cut], fin=False)
            raw.send_frame(CONTINUATION, whole[cut:])
            assert raw.message() == "aß€😀"


def test_bad_utf8_in_a_close_reason(server: RunningServer, desk: Desk, name: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send(close_frame(1000, b"\xff\xfe"))
        code, reason = raw.closed_by_server()
    assert code == 1007
    assert_told_once(desk.report(name), 1007, reason)


@pytest.mark.parametrize(
    "data",
    [
        frame(BINARY, b"x" * 1001),
        frame(BINARY, b"", length=1001),
        frame(BINARY, b"", length=(1 << 63) - 1),
        frame(TEXT, "ü".encode() * 501),
        frame(BINARY, b"x" * 600, fin=False) + frame(CONTINUATION, b"", length=401),
        frame(BINARY, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 401),
    ],
    ids=["whole", "header alone", "huge", "octets count", "fragment header", "fragments"],
)
def test_too_big(server: RunningServer, desk: Desk, name: str, data: bytes) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send(data)
        code, reason = raw.closed_by_server()
    assert code == 1009
    assert "1000" in reason
    assert_told_once(desk.report(name), 1009, reason)


def test_largest_message_that_is_taken(server: RunningServer, name: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send_frame(BINARY, b"x" * 1000)
        assert raw.message() == b"x" * 1000
        raw.send_frame(BINARY, b"x" * 600, fin=False)
        raw.send_frame(CONTINUATION, b"x" * 400)
        assert raw.message() == b"x" * 1000


def test_close_frame_is_readable_although_much_more_was_sent(
    server: RunningServer, name: str
) -> None:
    """The server does not read what is too big; a reset must not overtake its close frame."""
    with opened(server, f"/echo?{name}") as raw:
        raw.send(frame(BINARY, b"x" * 3_000_000))
        assert raw.closed_by_server()[0] == 1009


def test_tcp_ends_once_the_frame_that_was_refused_has_passed(
    server: RunningServer, name: str
) -> None:
    payload = b"x" * 200_000
    with opened(server, f"/echo?{name}") as raw:
        octets = frame(BINARY, payload)
        raw.send(octets[:-1000])
        assert raw.close_frame()[0] == 1009
        raw.send(octets[-1000:])
        assert raw.read_all() == b""


async def test_a_client_that_still_writes_what_was_refused_leaves_in_order(
    server: RunningServer, name: str
) -> None:
    """An end of TCP while it writes breaks `websockets` on asyncio: its close() raises AttributeError."""
    async with library(server, f"/echo?{name}", compression=None) as client:
        sending = asyncio.ensure_future(client.send(bytes(20_000_000)))
        code, _ = await end_of(client)
        await asyncio.gather(sending, return_exceptions=True)
    assert code == 1009


async def test_too_big_once_inflated(server: RunningServer, desk: Desk, name: str) -> None:
    async with library(server, f"/echo?{name}", compression="deflate") as client:
        await client.send(bytes(100_000_000))
        code, reason = await end_of(client)
    assert code == 1009
    assert_told_once(await asyncio.to_thread(desk.report, name), 1009, reason)


def test_invalid_deflate_data(server: RunningServer, desk: Desk, name: str) -> None:
    with Raw.connect(server) as raw:
        raw.upgrade(f"/echo?{name}", "Sec-WebSocket-Extensions: permessage-deflate")
        raw.send_frame(BINARY, b"\xff" * 20, rsv=4)
        code, reason = raw.closed_by_server()
    assert code == 1007
    assert_told_once(desk.report(name), 1007, reason)


# What came before the end is answered.


@pytest.mark.parametrize("app", ["echo", "slow_echo"])
@pytest.mark.parametrize(
    ("last", "code", "reason"),
    [
        (close_frame(4000, "bye"), 4000, "bye"),
        (close_frame(None), 1005, ""),
        (frame(3), 1002, None),
        (frame(TEXT, b"\xff"), 1007, None),
        (frame(BINARY, b"", length=1001), 1009, None),
    ],
    ids=["close", "close without code", "protocol error", "bad UTF-8", "too big"],
)
def test_messages_before_the_end_are_answered(
    server: RunningServer,
    desk: Desk,
    name: str,
    app: str,
    last: bytes,
    code: int,
    reason: str | None,
) -> None:
    """All in one segment, also together with the handshake."""
    messages = frame(TEXT, b"one") + frame(BINARY, b"two") + frame(TEXT, b"three")
    for tail in (b"", messages + last):
        with opened(server, f"/{app}?{name}{len(tail)}", tail=tail) as raw:
            if not tail:
                raw.send(messages + last)
            assert [raw.message() for _ in range(3)] == ["one", b"two", "three"]
            got = raw.closed_by_server()
        assert got[0] == code
        if reason is not None:
            assert got[1] == reason
        report = desk.report(f"{name}{len(tail)}")
        assert [event["type"] for event in report["events"]] == ["websocket.receive"] * 3 + [
            "websocket.disconnect"
        ]
        assert_told_once(report, *got)


def test_application_that_ends_at_the_last_message(
    server: RunningServer, desk: Desk, name: str
) -> None:
    """The client's close frame was there before the application returned: its code is echoed."""
    with opened(server, f"/returns_after_one?{name}") as raw:
        raw.send(frame(TEXT, b"one") + close_frame(4000, "mine"))
        assert raw.message() == "one"
        assert raw.closed_by_server() == (4000, "mine")


def test_end_does_not_wait_for_ever_for_the_application(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with opened(server, f"/sleeper?{name}") as raw:
        raw.send(frame(TEXT, b"work") + close_frame(4000, "bye"))
        assert raw.closed_by_server() == (4000, "bye")
    desk.release(name)
    assert_told_once(desk.report(name), 4000, "bye")


# Deadlines.


def test_client_ignores_the_servers_close() -> None:
    with serve(APP, "--ws-close-timeout", "0.2") as server:
        desk, name = Desk(server), unused_name()
        with opened(server, f"/closes?{name}&4000") as raw:
            assert raw.close_frame() == (4000, "")
            raw.is_lost()
            assert_told_once(desk.report(name), 1006)


def test_client_ignores_the_close_and_keeps_sending() -> None:
    with serve(APP, "--ws-close-timeout", "0.3") as server:
        desk, name = Desk(server), unused_name()
        with opened(server, f"/closes?{name}&4000") as raw:
            assert raw.close_frame() == (4000, "")
            try:
                while True:
                    raw.send(frame(TEXT, b"chatter" * 10))
            except OSError:
                pass
        assert_told_once(desk.report(name), 1006)


def test_client_ignores_the_close_after_the_application_has_ended() -> None:
    with serve(APP, "--ws-close-timeout", "0.2") as server:
        with opened(server, f"/returns?{unused_name()}") as raw:
            assert raw.close_frame() == (1000, "")
            raw.is_lost()
        server.wait_for_log(r"returns.* closed 1006")


def test_close_waits_for_its_deadline_behind_unread_data() -> None:
    """A client that reads nothing gets all that was sent, the close frame last, once it reads."""
    with serve(APP, "--ws-close-timeout", "60") as server:
        desk, name = Desk(server), unused_name()
        with Raw.connect(server, receive_buffer=4096) as raw:
            raw.upgrade(f"/floods_then_closes?{name}")
            raw.send_frame(PING, b"while you are full")
            desk.wait_for(name, "waiting")
            # Of several pings the latest has to be answered.
            raw.send_frame(PING, b"again")
            desk.release(name)
            desk.wait_for(name, "closing")
            # Through the small window, megabytes would take their time.
            raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            while (got := raw.frame()).opcode in (BINARY, PONG):
                pass
            assert got == (CLOSE, (4005).to_bytes(2, "big"), True, False)
            assert raw.frame() == (PONG, b"again", True, False)
            raw.send(close_frame(4005))
            assert raw.read_all() == b""
        (note,) = desk.report(name)["notes"]
        assert isinstance(note, dict)


def test_ping_timeout() -> None:
    with serve(APP, "--ws-ping-interval", "0.2", "--ws-ping-timeout", "0.2") as server:
        desk, name = Desk(server), unused_name()
        with opened(server, f"/echo?{name}") as raw:
            ping = raw.frame()
            assert ping.opcode == PING
            code, reason = raw.closed_by_server()
            assert code == 1011
            assert "ping" in reason
        assert_told_once(desk.report(name), 1011, reason)


def test_ping_timeout_of_a_client_that_reads_nothing() -> None:
    with serve(APP, "--ws-ping-interval", "0.2", "--ws-ping-timeout", "0.2") as server:
        desk, name = Desk(server), unused_name()
        with Raw.connect(server, receive_buffer=4096) as raw:
            raw.upgrade(f"/flood?{name}&65536")
            server.wait_for_log(rf"flood\?{name}.* closed 1011")
            raw.reset()
            assert desk.report(name)["raised"] == "ClientDisconnected"


def test_wrong_pong_is_no_pong() -> None:
    options = ("--ws-ping-interval", "0.2", "--ws-ping-timeout", "0.3")
    with serve(APP, *options) as server, opened(server, f"/echo?{unused_name()}") as raw:
        ping = raw.frame()
        raw.send_frame(PONG, ping.payload + b"x")
        assert raw.close_frame()[0] == 1011


def test_pongs_keep_the_connection() -> None:
    options = ("--ws-ping-interval", "0.05", "--ws-ping-timeout", "5")
    with serve(APP, *options) as server, opened(server, f"/echo?{unused_name()}") as raw:
        payloads = set()
        for _ in range(10):
            ping = raw.frame()
            assert ping.opcode == PING
            payloads.add(ping.payload)
            raw.send_frame(PONG, ping.payload)
        assert len(payloads) == 10
        raw.send_frame(TEXT, b"alive")
        while (got := raw.frame()).opcode == PING:
            raw.send_frame(PONG, got.payload)
        assert got.payload == b"alive"


async def test_busy_application_does_not_time_out_its_client() -> None:
    """The peers' fault: an unread message stopped the reading of pongs."""
    # A second is long enough for a client on a machine that is busy with other things.
    with serve(APP, "--ws-ping-interval", "0.2", "--ws-ping-timeout", "1") as server:
        desk, name = Desk(server), unused_name()
        async with library(server, f"/sleeper?{name}", ping_interval=None) as client:
            for number in range(50):
                await client.send(f"{number}" * 1000)
            await asyncio.sleep(2.5)
            await asyncio.to_thread(desk.release, name)
            assert await client.recv() == "0" * 1000
            await client.close(4000)
            assert await end_of(client) == (4000, "")


# The server ends it.


def test_shutdown() -> None:
    with serve(APP) as server:
        desk, name = Desk(server), unused_name()
        with opened(server, f"/listen?{name}") as raw:
            raw.send_frame(TEXT, b"x")
            desk.wait_for(name, "received")
            server.send_signal(15)
            code, reason = raw.close_frame()
            assert code == 1012
            assert reason
            raw.send(close_frame(1012, reason))
            assert raw.read_all() == b""
            assert server.wait() == 0
    assert f"listen?{name}" in server.stderr()
    assert "closed 1012" in server.stderr()


async def test_shutdown_seen_by_a_library_and_the_application(tmp_path: Any) -> None:
    """The application is told 1012 once, and may still do its work before the server ends."""
    with serve("shutdown_app:app", env={"SEEN": str(tmp_path / "seen")}) as server:
        async with library(server, "/") as client:
            assert await client.recv() == "ready"
            server.send_signal(15)
            code, reason = await end_of(client)
            assert code == 1012
            assert reason
        assert await asyncio.to_thread(server.wait) == 0
    assert (tmp_path / "seen").read_text() == f"websocket.disconnect 1012 {reason}; shutdown;"


def test_shutdown_while_the_client_ignores_it() -> None:
    options = ("--timeout-graceful-shutdown", "1")
    with serve(APP, *options) as server, opened(server, f"/listen?{unused_name()}") as raw:
        server.send_signal(15)
        assert raw.close_frame()[0] == 1012
        assert server.wait() == 0


def test_shutdown_while_the_application_ignores_it() -> None:
    with serve(APP, "--timeout-graceful-shutdown", "1", expect_errors=True) as server:
        desk, name = Desk(server), unused_name()
        with opened(server, f"/ignores?{name}") as raw:
            desk.wait_for(name, "waiting")
            server.send_signal(15)
            assert raw.close_frame()[0] == 1012
            raw.send(close_frame(1012))
            assert server.wait() == 0


@pytest.mark.parametrize(
    ("path", "steps", "status"),
    [("accepts_late", 1, 503), ("denies_in_pieces", 1, 418)],
)
def test_shutdown_before_the_handshake_was_answered(path: str, steps: int, status: int) -> None:
    with serve(APP, "--timeout-graceful-shutdown", "2", expect_errors=True) as server:
        desk, name = Desk(server), unused_name()
        with Raw.connect(server) as raw, opened(server, f"/listen?{unused_name()}") as other:
            raw.send(handshake(f"/{path}?{name}"))
            desk.wait_for(name, "waiting")
            server.send_signal(15)
            assert raw.head()[1] == status
            # One that is in the middle of something does not keep the others from being told.
            assert other.close_frame()[0] == 1012
            other.send(close_frame(1012))
            assert server.wait() == 0
    assert "Traceback" not in server.stderr()


# The ends of applications that ignore everything.


def test_application_that_ignores_the_close(server: RunningServer, desk: Desk, name: str) -> None:
    """It neither receives nor sends: the client gets its close frame at once all the same."""
    with opened(server, f"/ignores?{name}") as raw:
        raw.send(close_frame(4000, "bye"))
        assert raw.closed_by_server() == (4000, "bye")
    desk.release(name)
    report = desk.report(name)
    assert "OSError" in report["notes"][0]["kinds"]
    assert_told_once(report, 4000, "bye")


async def test_send_after_the_end_is_an_oserror(
    server: RunningServer, desk: Desk, name: str
) -> None:
    async with library(server, f"/pusher?{name}") as client:
        await asyncio.to_thread(desk.release, name)
        assert await client.recv() == "pushed"
        await client.close()
    with pytest.raises(ConnectionClosed):
        await client.recv()
    server.wait_for_log(rf"pusher\?{name}.* closed 1000")
    await asyncio.to_thread(desk.release, name)
    (note,) = (await asyncio.to_thread(desk.report, name))["notes"]
    assert "OSError" in note["kinds"]
