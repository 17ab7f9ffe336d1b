"""What no table can hold: properties of all octets, made up by hypothesis.

Rules of this file:
- What is generated is close to what is right, so that it gets past the first check: conversations
  of valid frames with wrong ones among them, changed at random places.
- The other build is loaded beside the one that runs: the sources next to the extensions, or the
  extensions next to the sources.
- An outcome is plain values, so that two builds can be compared: their classes are not the same.
"""

from __future__ import annotations

import asyncio
import importlib
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgiws.config import Config
from asgiws.drivers.http import HTTPDriver
from asgiws.drivers.http_parts import HTTPParts
from asgiws.drivers.upgrade import upgrade
from asgiws.http.parsers import make_parser
from asgiws.services.runtime import Runtime
from asgiws.websocket import mask
from asgiws.websocket.connection import WebSocketConnection
from asgiws.websocket.deflate import Deflate, Parameters
from conformance.rfc6455 import app as application
from conformance.rfc6455 import verdict
from conformance.rfc6455.notation import (
    BINARY,
    CLOSE,
    CONT,
    OPENING,
    PING,
    PONG,
    RSV1,
    TEXT,
    close,
    deflated,
    frame,
    last,
    octets,
)
from conformance.rfc6455.notation import Frame as Sent
from conformance.rfc6455.table import CASES
from tests.support.builds import Build, built, load, running
from tests.support.feeding import feed as http_events
from tests.support.loops import Loop, settle
from tests.support.memory_outlet import MemoryOutlet
from tests.support.properties import examples
from tests.support.raw import Frame, Raw
from tests.support.wire import bytewise, splits

MAX_SIZE = 2000
#: The close codes that a failed connection may have: RFC 6455, 7.4.1.
DOCUMENTED = (1002, 1007, 1009)

several = examples(120)

# What a client may send.

payloads = st.one_of(
    st.binary(max_size=140),
    st.text(max_size=40).map(str.encode),
    # Wrong as text: at once, at its end, within it.
    st.sampled_from((b"\xff", b"ok\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"a\x80b")),
    # The places where the form of the length changes, and the limit.
    st.sampled_from((0, 1, 125, 126, 127, 700, MAX_SIZE - 1, MAX_SIZE, MAX_SIZE + 1)).map(bytes),
)
keys = st.binary(min_size=4, max_size=4)
codes = st.sampled_from((1000, 1001, 1004, 1005, 1007, 1011, 3000, 4999, 5000))


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message of a client, perhaps in fragments, perhaps compressed."""
    opcode = draw(st.sampled_from((TEXT, BINARY)))
    payload = draw(payloads)
    rsv = draw(st.sampled_from((0, 0, RSV1)))
    if rsv:
        payload = deflated(payload)
    *pieces, final = draw(splits(payload))[:4] if draw(st.booleans()) else [payload]
    wire = b""
    for piece in pieces:
        wire += frame(opcode, piece, fin=False, rsv=rsv, key=draw(keys))
        opcode, rsv = CONT, 0
    return wire + frame(opcode, final, rsv=rsv, key=draw(keys))


controls = st.one_of(
    st.builds(
        frame, st.sampled_from((PING, PONG)), st.binary(max_size=125), key=keys, rsv=st.just(0)
    ),
    st.builds(close, codes, st.text(max_size=20).map(str.encode)),
)
anything = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    rsv=st.integers(0, 7),
    key=st.one_of(keys, st.none()),
    form=st.sampled_from((0, 0, 64)),
)
#: One thing is wrong, and all else right, so that it is this that is met.
wrong = st.one_of(
    st.builds(frame, st.just(CONT), payloads, fin=st.booleans(), key=keys),
    st.builds(frame, st.sampled_from((TEXT, BINARY)), payloads, fin=st.just(False), key=keys),
    st.builds(frame, st.sampled_from((3, 7, 11, 15)), st.binary(max_size=9), key=keys),
    st.builds(frame, st.sampled_from((TEXT, PING)), payloads, rsv=st.integers(1, 7), key=keys),
    st.builds(frame, st.sampled_from((TEXT, CLOSE, PING)), payloads, key=st.none()),
    st.builds(frame, st.sampled_from((CLOSE, PING, PONG)), payloads, key=keys),
    st.builds(frame, st.sampled_from((PING, CLOSE)), fin=st.just(False), key=keys),
    st.builds(frame, st.just(BINARY), payloads, form=st.just(64), key=keys),
    st.builds(frame, st.just(TEXT), length=st.sampled_from((MAX_SIZE + 1, 1 << 62)), key=keys),
)
cases = st.sampled_from(
    [case.received for case in CASES.values() if isinstance(case.received, bytes)]
).filter(lambda wire: len(wire) < 3000)


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """What comes behind an opening handshake: mostly right, perhaps changed somewhere."""
    parts = draw(
        st.lists(st.one_of(messages(), messages(), controls, wrong, anything, cases), max_size=5)
    )
    return changed(draw, b"".join(parts)) if draw(st.booleans()) else b"".join(parts)


def changed(draw: st.DrawFn, wire: bytes) -> bytes:
    """The octets with a few of them replaced, left out, put in or repeated."""
    data = bytearray(wire)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 4)))
        what = draw(st.sampled_from(("replace", "insert", "repeat", "swap")))
        piece = draw(st.binary(max_size=4))
        if what == "replace":
            data[at:until] = piece
        elif what == "insert":
            data[at:at] = piece
        elif what == "repeat":
            data[at:at] = data[at:until]
        else:
            data[at:until] = data[at:until].swapcase()
    return bytes(data)


# What becomes of it.


RUNNING = running("asgiws.websocket")


def outcome(build: Build, pieces: Sequence[bytes], compressed: bool) -> list[Any]:
    """The events of a connection on which `pieces` arrive, as plain values."""
    deflate = build["deflate"]
    agreed = deflate.Parameters(False, False, 12, 15)
    connection = build["connection"].WebSocketConnection()
    connection.open(MAX_SIZE, deflate.Deflate(agreed) if compressed else None)
    events: list[Any] = []
    for piece in pieces:
        buffer = bytearray(b"<<" + piece + b">>")
        connection.feed(buffer, 2, 2 + len(piece))
        while (event := connection.next_event()) is not None:
            plain = event if isinstance(event, (str, bytes)) else tuple(event)
            events.append((type(event).__name__, plain))
        assert buffer[:2] == b"<<"
        assert buffer[-2:] == b">>", "octets of others were touched"
        buffer[:] = b"?" * len(buffer)
    return events


def with_one_failure_for_compressed_data(events: list[Any]) -> list[Any]:
    """The events, with what can be wrong about compressed data taken as one.

    Data that is too big, bad UTF-8 and bad deflate all at once is all of these: which of them is
    met first hangs on how much of it is inflated in one go.
    """
    if events and events[-1][0] == "Close" and events[-1][1][2] and events[-1][1][0] != 1002:
        return [*events[:-1], "failed for its data"]
    return events


@given(st.data(), conversations(), st.booleans())
@several
def test_any_cut_gives_the_same_events(data: st.DataObject, wire: bytes, compressed: bool) -> None:
    pieces = data.draw(splits(wire))
    whole, octet_by_octet, any_cut = (
        outcome(RUNNING, cut, compressed) for cut in ([wire], bytewise(wire), pieces)
    )
    if compressed:
        whole, octet_by_octet, any_cut = map(
            with_one_failure_for_compressed_data, (whole, octet_by_octet, any_cut)
        )
    assert octet_by_octet == whole
    assert any_cut == whole


@given(st.one_of(conversations(), st.binary(max_size=300)), st.booleans())
@several
def test_any_octets_give_events_or_a_documented_error(wire: bytes, compressed: bool) -> None:
    events = outcome(RUNNING, [wire], compressed)
    for kind, value in events[:-1]:
        assert kind in ("str", "bytes", "Ping", "Pong"), value
    for kind, value in events[-1:]:
        if kind == "Close":
            code, reason, failed, _ = value
            if failed:
                assert code in DOCUMENTED
                assert reason
                # The close frame that tells it can be made.
                WebSocketConnection().close_frame(code, reason)
            else:
                assert code == 1005 or 1000 <= code <= 4999
    for kind, value in events:
        if kind in ("str", "bytes"):
            assert len(value.encode() if kind == "str" else value) <= MAX_SIZE


# Encode, then decode.


class Socket:
    """What `Raw` reads from: octets, in pieces as small as a network may make them."""

    def __init__(self, wire: bytes) -> None:
        self.wire = wire

    def settimeout(self, seconds: float) -> None:
        pass

    def recv(self, size: int) -> bytes:
        piece, self.wire = self.wire[:7], self.wire[7:]
        return piece


large = st.sampled_from((65535, 65536, 70000)).map(lambda size: random.Random(size).randbytes(size))
contents = st.one_of(st.text(max_size=200), payloads, payloads, large)


@given(st.lists(contents, max_size=4), st.binary(max_size=125), st.text(max_size=41))
@examples(60)
def test_what_we_encode_an_independent_decoder_decodes(
    sent: list[str | bytes], payload: bytes, reason: str
) -> None:
    connection = WebSocketConnection()
    wire = b""
    for content in sent:
        encode = connection.text if isinstance(content, str) else connection.binary
        wire += b"".join(encode(content))  # type: ignore[arg-type]
    ends = (
        connection.ping(payload) + connection.pong(payload) + connection.close_frame(4000, reason)
    )
    frames, rest = verdict.split(wire + ends)
    assert not rest
    decoded = [
        one.payload.decode() if one.first == 0x81 else one.payload if one.first == 0x82 else one
        for one in frames[:-3]
    ]
    assert decoded == sent
    assert frames[-3:-1] == [Sent(0x89, payload), Sent(0x8A, payload)]
    kept = frames[-1].payload[2:].decode()
    assert frames[-1].first == 0x88
    assert reason.startswith(kept)
    assert kept == reason or len(kept.encode()) > 123 - 4
    # And a second decoder, which reads from a socket.
    raw = Raw(Socket(ends))  # type: ignore[arg-type]
    assert [raw.frame(), raw.frame()] == [Frame(PING, payload), Frame(PONG, payload)]
    assert raw.close_frame() == (4000, kept)


@given(st.lists(contents, min_size=1, max_size=4), st.booleans())
@examples(60)
def test_what_we_compress_an_independent_inflater_inflates(
    sent: list[str | bytes], takeover: bool
) -> None:
    connection = WebSocketConnection()
    connection.open(MAX_SIZE, Deflate(Parameters(not takeover, False, 9, 15)))
    promised: dict[str, str | None] = {"server_max_window_bits": "9"}
    if not takeover:
        promised["server_no_context_takeover"] = None
    inflater = verdict.Inflater(promised)
    for content in sent:
        encode = connection.text if isinstance(content, str) else connection.binary
        [one], rest = verdict.split(b"".join(encode(content)))  # type: ignore[arg-type]
        assert not rest
        data = inflater.message(one.payload) if one.first & 0x40 else one.payload
        assert one.first & ~0x40 == (0x81 if isinstance(content, str) else 0x82)
        assert data == (content.encode() if isinstance(content, str) else content)


@given(
    st.data(), st.one_of(st.text(max_size=300), payloads), st.lists(keys, min_size=9, max_size=9)
)
@several
def test_what_a_client_encodes_we_decode(
    data: st.DataObject, content: str | bytes, masks: list[bytes]
) -> None:
    payload = content.encode() if isinstance(content, str) else content
    opcode = TEXT if isinstance(content, str) else BINARY
    *pieces, final = data.draw(splits(payload))
    wire = b""
    for index, piece in enumerate(pieces):
        wire += frame(opcode, piece, fin=False, key=masks[index % 8])
        opcode = CONT
    wire += frame(opcode, final, key=masks[8])
    if len(payload) <= MAX_SIZE:
        expected = [(type(content).__name__, content)]
    else:
        reason = f"message of more than {MAX_SIZE} bytes"
        expected = [("Close", (1009, reason, True, "ws_max_size"))]  # type: ignore[list-item]
    assert outcome(RUNNING, data.draw(splits(wire)), False) == expected


# The compiled and the pure build.


PACKAGE = "asgiws.websocket"
#: The modules of `asgiws.websocket` of which there is an extension for this interpreter.
BUILT = built(PACKAGE)


@pytest.fixture(scope="module")
def builds() -> tuple[Build, Build]:
    """The compiled build and the pure one."""
    if not BUILT:
        pytest.skip("nothing is compiled here")
    return load(PACKAGE, pure=False), load(PACKAGE, pure=True)


def test_there_are_two_builds(builds: tuple[Build, Build]) -> None:
    compiled, pure = builds
    for name in BUILT:
        last_name = name.rpartition(".")[2]
        assert not compiled[last_name].__file__.endswith(".py")
        assert pure[last_name].__file__.endswith(".py")
    assert any(build is RUNNING for build in builds)
    assert compiled["messages"] is not pure["messages"]
    assert importlib.import_module("asgiws.websocket.mask") is mask


@given(st.data(), st.one_of(conversations(), st.binary(max_size=300)), st.booleans())
@examples(200)
def test_both_builds_give_the_same_events(
    builds: tuple[Build, Build], data: st.DataObject, wire: bytes, compressed: bool
) -> None:
    pieces = data.draw(splits(wire))
    compiled, pure = (outcome(build, pieces, compressed) for build in builds)
    assert compiled == pure


def test_both_builds_give_the_same_on_the_whole_table(builds: tuple[Build, Build]) -> None:
    for case in CASES.values():
        steps = case.received if isinstance(case.received, tuple) else (case.received,)
        wire = b"".join(step for step in steps if isinstance(step, bytes))
        compressed = case.extension is not None
        for pieces in ([wire], bytewise(wire) if len(wire) < 1000 else [wire[:9], wire[9:]]):
            compiled, pure = (outcome(build, pieces, compressed) for build in builds)
            assert compiled == pure, case.id


@given(contents, keys, st.integers(0, 255), st.integers(0, (1 << 63) - 1))
@examples(100)
def test_both_builds_encode_the_same(
    builds: tuple[Build, Build], content: str | bytes, key: bytes, first: int, length: int
) -> None:
    payload = content.encode() if isinstance(content, str) else content
    results = []
    for build in builds:
        frames, connection = build["frames"], build["connection"].WebSocketConnection()
        encode = connection.text if isinstance(content, str) else connection.binary
        results.append(
            (
                frames.header(first, length),
                frames.frame(first, payload),
                build["mask"].apply_mask(payload, key),
                encode(content),
                connection.close_frame(1000, payload[:60].decode("latin-1")),
            )
        )
    assert results[0] == results[1]


# The two HTTP parsers.

#: In capitals and small letters, with what is escaped and what stands for a host.
TARGETS = ("/case", "/Case%2F?A=b&c=%e9", "http://Example.com/Abs?X", "/?", "//x/../Y")
HEADS = sorted(
    {
        case.request.replace("{path}", TARGETS[index % len(TARGETS)])
        for index, case in enumerate(CASES.values())
    }
)
#: What requests have been smuggled with, and what a handshake is made of.
BITS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\x80", b"HTTP/1.0", b"0",
    b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"Host: b\r\n", b"X: y\r\n", b"GET / ",
    b"Sec-WebSocket-Protocol: a\r\n", b"Sec-WebSocket-Extensions: a;b\r\n",
]  # fmt: skip


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """A request head of the table, changed at a few places."""
    data = bytearray(draw(st.sampled_from(HEADS)).encode("latin-1"))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 3)))
        data[at:until] = draw(st.one_of(st.sampled_from(BITS), st.binary(max_size=2)))
    lines = bytes(data).split(b"\r\n")
    if draw(st.booleans()) and len(lines) > 3:
        middle = lines[1:-2]
        draw(st.randoms(use_true_random=False)).shuffle(middle)
        lines[1:-2] = middle
    return b"\r\n".join(lines)


PARSERS = [make_parser("httptools"), make_parser("h11")]


@given(heads())
@examples(200)
def test_both_parsers_read_a_head_alike(head: bytes) -> None:
    httptools, h11 = (http_events(parser, [head], eof=True) for parser in PARSERS)
    assert httptools == h11


def served(requests: Sequence[tuple[str, bytes]]) -> list[tuple[bytes, str]]:
    """What a server answers to octets, and how it ends the connection, for each parser's name."""

    async def serve() -> list[tuple[bytes, str]]:
        results = []
        for parser, data in requests:
            config = Config(
                app="x:y", http=parser, date_header=False, access_log=False, ws_max_size=MAX_SIZE
            )
            runtime = Runtime(echo, config, asyncio.get_running_loop(), None)
            outlet = MemoryOutlet(HTTPDriver(HTTPParts(runtime), upgrade))
            await outlet.feed(data)
            await settle()
            results.append((outlet.take(), outlet.ended))
            await outlet.lose()
            await settle()
        return results

    loop = Loop("asyncio")
    try:
        result: list[tuple[bytes, str]] = loop.run(serve())
        return result
    finally:
        loop.close()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await application.perform(CASES["5.1-1"], scope, receive, send, [])
    else:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@given(heads(), conversations())
@examples(60)
def test_both_parsers_serve_a_client_alike(head: bytes, wire: bytes) -> None:
    """From the head to the last frame; and whatever comes, it is HTTP or frames that go out."""
    httptools, h11 = served([("httptools", head + wire), ("h11", head + wire)])
    assert httptools == h11
    answer = httptools[0]
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    if answer.startswith(b"HTTP/1.1 101 "):
        frames, rest = verdict.split(answer.partition(b"\r\n\r\n")[2])
        assert not rest
        closed = [index for index, one in enumerate(frames) if one.first & 0x0F == CLOSE]
        assert closed in ([], [len(frames) - 1])


@given(conversations())
@examples(60)
def test_a_session_answers_any_octets_with_frames_and_ends_once(wire: bytes) -> None:
    head = OPENING.replace("{path}", "/").encode()
    [(answer, ended)] = served([("auto", head + wire)])
    status, blank, out = answer.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 101 ")
    assert blank
    frames, rest = verdict.split(out)
    assert not rest
    assert bool(ended) == (bool(frames) and frames[-1].first == 0x88)


def test_the_conversations_are_worth_it() -> None:
    """Most of what is generated must get somewhere: messages, fragments, each documented error."""
    seen: set[Any] = set()
    chance = random.Random(6455)

    @given(conversations())
    @settings(deadline=None, max_examples=600, database=None, derandomize=True)
    def look(wire: bytes) -> None:
        for kind, value in outcome(RUNNING, [wire], chance.random() < 0.5):
            seen.add((kind, value[0]) if kind == "Close" and value[2] else kind)

    look()
    assert {"str", "bytes", "Ping", "Pong", ("Close", 1002), ("Close", 1007)} <= seen
    assert outcome(RUNNING, [octets("81 80 00000000") + last()], False)[0] == ("str", "")
