"""From octets to messages (RFC 6455, 5.4 to 5.6 and 8.1): each case whole, octet by octet, and with
a tail."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from asgiws.config import Config
from asgiws.websocket.deflate import Deflate, Parameters
from asgiws.websocket.events import Close, Ping, Pong
from asgiws.websocket.messages import MAX_FRAGMENTS, MessageReader
from tests.support.properties import quick
from tests.support.wire import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TAIL,
    TAIL_EVENT,
    TEXT,
    Failed,
    check_three_ways,
    client_frame,
    close_frame,
    feed_all,
    splits,
)

MAX_SIZE = 70000
RSV1 = 4
KEEP = Parameters(False, False, 12, 15)


def make() -> MessageReader:
    return MessageReader(MAX_SIZE)


def text(payload: str | bytes, **options: Any) -> bytes:
    return client_frame(TEXT, payload.encode() if isinstance(payload, str) else payload, **options)


def binary(payload: bytes, **options: Any) -> bytes:
    return client_frame(BINARY, payload, **options)


def more(payload: bytes = b"", fin: bool = False, **options: Any) -> bytes:
    return client_frame(CONT, payload, fin=fin, **options)


def last(payload: bytes = b"") -> bytes:
    return more(payload, fin=True)


def ping(payload: bytes = b"") -> bytes:
    return client_frame(PING, payload)


EURO = "€".encode()

CASES: list[tuple[str, bytes, list[Any]]] = [
    ("nothing", b"", []),
    # 5.6
    ("text", text("Hello"), ["Hello"]),
    ("empty text", text(""), [""]),
    ("text in many scripts", text("κόσμε 你好 😀\x00"), ["κόσμε 你好 😀\x00"]),
    ("binary", binary(bytes(range(256))), [bytes(range(256))]),
    ("empty binary", binary(b""), [b""]),
    ("text and binary", text("a") + binary(b"b") + text("c"), ["a", b"b", "c"]),
    *(
        (f"binary of {size}", binary(b"x" * size), [b"x" * size])
        for size in (125, 126, 127, 65535, 65536, MAX_SIZE)
    ),
    ("mask of zeros", text("Hello", key=bytes(4)), ["Hello"]),
    # 5.4: "A fragmented message consists of a single frame with the FIN bit clear and an opcode
    # other than 0, followed by zero or more frames with the FIN bit clear and the opcode set to 0,
    # and terminated by a single frame with the FIN bit set and an opcode of 0."
    ("two fragments", text("Hel", fin=False) + last(b"lo"), ["Hello"]),
    (
        "many fragments",
        binary(b"a", fin=False) + more(b"b") + more(b"c") + last(b"d"),
        [b"abcd"],
    ),
    ("one fragment, then nothing", text("a", fin=False) + last(), ["a"]),
    ("all fragments empty", text("", fin=False) + more() + last(), [""]),
    ("empty first fragment", binary(b"", fin=False) + last(b"ab"), [b"ab"]),
    ("empty fragments between", text("a", fin=False) + more() + more() + last(b"b"), ["ab"]),
    ("a message after fragments", text("a", fin=False) + last(b"b") + binary(b"c"), ["ab", b"c"]),
    ("fragments after fragments", (text("a", fin=False) + last(b"b")) * 3, ["ab"] * 3),
    ("an unfinished message", text("a", fin=False) + more(b"b"), []),
    (
        "a character over two fragments",
        text(EURO[:1], fin=False) + more(EURO[1:2]) + more() + last(EURO[2:]),
        ["€"],
    ),
    # "Control frames ... MAY be injected in the middle of a fragmented message."
    (
        "control frames between fragments",
        ping(b"0") + text("a", fin=False) + ping(b"1") + client_frame(PONG, b"2") + last(b"b"),
        [Ping(b"0"), Ping(b"1"), Pong(b"2"), "ab"],
    ),
    (
        "a ping within a character",
        text(EURO[:2], fin=False) + ping(b"p") + last(EURO[2:]),
        [Ping(b"p"), "€"],
    ),
    (
        "a ping before the first octet of a message",
        binary(b"", fin=False) + ping() + more() + ping() + last(b"x"),
        [Ping(b""), Ping(b""), b"x"],
    ),
    ("a close between fragments", text("a", fin=False) + close_frame(1000), [Close(1000, "")]),
    # 5.5.2, 5.5.3
    ("ping", ping(), [Ping(b"")]),
    ("ping of 125", ping(bytes(range(125))), [Ping(bytes(range(125)))]),
    ("pong", client_frame(PONG, b"unsolicited"), [Pong(b"unsolicited")]),
    # 5.5.1
    ("close", close_frame(), [Close(1005, "")]),
    ("close with code", close_frame(4000), [Close(4000, "")]),
    ("close with reason", close_frame(1001, "tschüß".encode()), [Close(1001, "tschüß")]),
    (
        "messages before a close",
        text("a") + ping() + close_frame(1000),
        ["a", Ping(b""), Close(1000, "")],
    ),
    ("close with one octet", client_frame(CLOSE, b"\x03"), [Failed(1002)]),
    ("close with a bad code", text("a") + close_frame(1006), ["a", Failed(1002)]),
    ("close with a bad reason", close_frame(1000, b"\xff"), [Failed(1007)]),
    # 5.4
    ("continuation of nothing", last(b"x"), [Failed(1002)]),
    ("continuation of nothing, unfinished", more(b"x"), [Failed(1002)]),
    ("continuation after a message", text("a") + last(b"x"), ["a", Failed(1002)]),
    ("continuation after fragments", text("a", fin=False) + last() + last(), ["a", Failed(1002)]),
    ("a message within another", text("a", fin=False) + text("b"), [Failed(1002)]),
    ("a fragment within another", text("a", fin=False) + binary(b"b", fin=False), [Failed(1002)]),
    ("a message within an empty one", text("", fin=False) + text(""), [Failed(1002)]),
    # 5.1, 5.2
    ("not masked", text("a") + text("b", key=None), ["a", Failed(1002)]),
    ("RSV1 without an extension", ping() + text("a", rsv=RSV1), [Ping(b""), Failed(1002)]),
    ("reserved opcode", text("a") + client_frame(3), ["a", Failed(1002)]),
    ("fragmented ping", client_frame(PING, fin=False), [Failed(1002)]),
    # 8.1
    ("bad UTF-8", text(b"ok\xff"), [Failed(1007)]),
    ("good before bad UTF-8", text("good") + text(b"\xc0\x80"), ["good", Failed(1007)]),
    ("half a character", text(EURO[:2]), [Failed(1007)]),
    (
        "half a character over fragments",
        text(EURO[:1], fin=False) + last(EURO[1:2]),
        [Failed(1007)],
    ),
    ("bad UTF-8 in a fragment", text("ok", fin=False) + more(b"\xff") + last(), [Failed(1007)]),
    ("a character broken by a fragment", text(EURO[:2], fin=False) + last(b"x"), [Failed(1007)]),
    ("a lone surrogate", text(b"\xed\xa0\x80"), [Failed(1007)]),
    (
        "a surrogate pair over fragments",
        text(b"\xed\xa0", fin=False) + last(b"\x80"),
        [Failed(1007)],
    ),
    ("no UTF-8 in binary", binary(b"\xff\xfe", fin=False) + last(b"\xed"), [b"\xff\xfe\xed"]),
    # 10.4: limits
    ("too big", binary(b"", length=MAX_SIZE + 1), [Failed(1009)]),
    ("far too big", text("a") + text("", length=2**63 - 1), ["a", Failed(1009)]),
    (
        "too big in fragments",
        binary(b"x" * 69999, fin=False) + more(b"y") + last(b"z"),
        [Failed(1009)],
    ),
    (
        "just not too big in fragments",
        binary(b"x" * 69999, fin=False) + last(b"y"),
        [b"x" * 69999 + b"y"],
    ),
]


@pytest.mark.parametrize(
    ("wire", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_three_ways(wire: bytes, expected: list[Any]) -> None:
    if (wire and not expected) or (expected and expected[-1] == Failed(1009)):
        # A tail would continue the message, which it may, or come behind what was never read.
        assert feed_all(make(), [wire]) == expected
        assert feed_all(make(), [wire[i : i + 1] for i in range(len(wire))]) == expected
    else:
        check_three_ways(make, wire, expected)


#: Two messages with everything in them; the splits of the property test are drawn over it.
RICH = (
    text("α", fin=False)
    + ping(b"one")
    + more("βγ".encode()[:3])
    + last("βγ".encode()[3:] + b"!")
    + binary(bytes(range(200)))
    + client_frame(PONG, b"two")
    + text("")
    + close_frame(3000, b"done")
)
RICH_EVENTS = [Ping(b"one"), "αβγ!", bytes(range(200)), Pong(b"two"), "", Close(3000, "done")]


@given(splits(RICH))
@quick
def test_any_split_gives_the_same_events(pieces: list[bytes]) -> None:
    assert feed_all(make(), pieces) == RICH_EVENTS


frames = st.builds(
    client_frame,
    st.sampled_from([CONT, CONT, TEXT, BINARY, PING, PONG, CLOSE, 3]),
    st.binary(max_size=12) | st.text("aé€😀", max_size=5).map(str.encode),
    fin=st.booleans(),
    rsv=st.sampled_from([0] * 9 + [4]),
)


@given(st.lists(frames | st.binary(max_size=8), max_size=8), st.booleans(), st.data())
@quick
def test_any_octets_in_any_split_give_events_or_a_documented_error(
    parts: list[bytes], compressed: bool, data: st.DataObject
) -> None:
    wire = b"".join(parts)

    def reader() -> MessageReader:
        return MessageReader(30, Deflate(KEEP) if compressed else None)

    whole = feed_all(reader(), [wire])
    pieces = feed_all(reader(), data.draw(splits(wire)))
    if compressed and whole and type(whole[-1]) is Failed:
        # zlib may meet wrong data before or after the limit, as the pieces fall.
        assert type(pieces.pop()) is type(whole.pop())
    assert pieces == whole
    for event in whole:
        if type(event) is Failed:
            assert event.code in (1002, 1007, 1009)
        elif type(event) in (str, bytes):
            size = len(event.encode() if type(event) is str else event)
            assert size <= 30


def as_client(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    return Frame(Opcode(opcode), payload, fin=fin).serialize(mask=True)


@given(st.lists(st.text(max_size=50) | st.binary(max_size=200), max_size=6), st.data())
@quick
def test_what_websockets_sends_arrives(sent: list[str | bytes], data: st.DataObject) -> None:
    wire = b""
    for message in sent:
        opcode, payload = (
            (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
        )
        *pieces, final = data.draw(splits(payload))
        for piece in pieces:
            wire += as_client(opcode, piece, fin=False)
            opcode = CONT
        wire += as_client(opcode, final)
    assert feed_all(make(), data.draw(splits(wire))) == sent


# When a failure is told


def fails_after(reader: MessageReader, wire: bytes) -> int:
    """After how many octets of `wire`, fed one by one, the reader fails."""
    for index in range(len(wire)):
        if any(type(event) is Failed for event in feed_all(reader, [wire[index : index + 1]])):
            return index + 1
    raise AssertionError("no failure")


def test_a_message_is_refused_for_its_size_before_its_payload_is_read() -> None:
    assert fails_after(make(), binary(b"x" * (MAX_SIZE + 1))) == 14
    wire = binary(b"x" * MAX_SIZE, fin=False) + more(b"y" * 200)
    assert fails_after(make(), wire) == len(wire) - 200


def test_a_text_fails_at_its_first_bad_octet() -> None:
    # 8.1; Autobahn 6.4: "fail fast"
    good = "κόσμε".encode()
    for bad, needed in ((b"\xff", 1), (b"\xf4\x90", 2), (b"\xed\xa0", 2), (b"\xe2(", 2)):
        wire = text(good + bad + b"x" * 100)
        assert fails_after(make(), wire) == len(wire) - 100 - len(bad) + needed
        wire = text(good, fin=False) + more(bad + b"x" * 100)
        assert fails_after(make(), wire) == len(wire) - 100 - len(bad) + needed


def test_events_before_an_error_come_first() -> None:
    reader = make()
    wire = text("one") + ping(b"two") + text(b"\xff")
    assert feed_all(reader, [wire]) == ["one", Ping(b"two"), Failed(1007)]


def test_what_is_given_out_and_kept_was_copied() -> None:
    reader = make()
    first = bytearray(binary(b"given out") + binary(b"kept", fin=False) + ping(b"half")[:-2])
    reader.feed(first, 0, len(first))
    event = reader.next_event()
    assert reader.next_event() is None
    first[:] = bytes(len(first))
    assert event == b"given out"
    assert feed_all(reader, [ping(b"half")[-2:] + last(b"!")]) == [Ping(b"half"), b"kept!"]


# Compression


def compress(message: bytes, wbits: int = -15) -> bytes:
    stream = zlib.compressobj(wbits=wbits)
    return (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


HELLO = bytes.fromhex("f248cdc9c90700")  # RFC 7692, 7.2.3.1

COMPRESSED: list[tuple[str, bytes, list[Any]]] = [
    ("text", text(HELLO, rsv=RSV1), ["Hello"]),
    ("binary", binary(HELLO, rsv=RSV1), [b"Hello"]),
    # 7.2.3.1: "0x41 0x03 0xf2 0x48 0xcd 0x80 0x04 0xc9 0xc9 0x07 0x00"
    ("in fragments", text(HELLO[:3], rsv=RSV1, fin=False) + last(HELLO[3:]), ["Hello"]),
    (
        "with everything between",
        text(HELLO[:1], rsv=RSV1, fin=False) + ping(b"p") + more() + more(HELLO[1:]) + last(),
        [Ping(b"p"), "Hello"],
    ),
    ("first fragment empty", text(b"", rsv=RSV1, fin=False) + last(HELLO), ["Hello"]),
    # 7.2.3.2
    (
        "with the context of the message before",
        text(HELLO, rsv=RSV1) + text(bytes.fromhex("f200110000"), rsv=RSV1),
        ["Hello", "Hello"],
    ),
    # 6: "An endpoint ... MAY send ... uncompressed"
    (
        "compressed and not",
        text(HELLO, rsv=RSV1) + text("plain") + binary(HELLO, rsv=RSV1),
        [
            "Hello",
            "plain",
            b"Hello",
        ],
    ),
    ("plain in fragments", text("a", fin=False) + last(b"b"), ["ab"]),
    ("empty", text(b"\x00", rsv=RSV1), [""]),
    ("empty in fragments", text(b"\x00", rsv=RSV1, fin=False) + last(b""), [""]),
    # an empty message is one octet of deflate, not none
    ("no data", text(HELLO, rsv=RSV1) + text(b"", rsv=RSV1), ["Hello", Failed(1007)]),
    ("wrong data", text("a") + text(b"\x07", rsv=RSV1), ["a", Failed(1007)]),
    ("bad UTF-8 once inflated", text(compress(b"ok\xff"), rsv=RSV1), [Failed(1007)]),
    ("half a character once inflated", text(compress(EURO[:2]), rsv=RSV1), [Failed(1007)]),
    ("binary needs no UTF-8", binary(compress(b"\xff"), rsv=RSV1), [b"\xff"]),
    ("too big once inflated", binary(compress(bytes(MAX_SIZE + 1)), rsv=RSV1), [Failed(1009)]),
    ("just not too big", binary(compress(bytes(MAX_SIZE)), rsv=RSV1), [bytes(MAX_SIZE)]),
    # 6.1: not on "non-first fragments" nor control frames
    (
        "RSV1 on a continuation",
        text(b"", rsv=RSV1, fin=False) + more(HELLO, rsv=RSV1),
        [Failed(1002)],
    ),
    ("RSV1 on a ping", client_frame(PING, rsv=RSV1), [Failed(1002)]),
    ("RSV1 on a close", close_frame(1000, rsv=RSV1), [Failed(1002)]),
    ("RSV2", text("a", rsv=2), [Failed(1002)]),
    ("RSV1 and RSV3", text(HELLO, rsv=5), [Failed(1002)]),
]


@pytest.mark.parametrize(
    ("wire", "expected"), [case[1:] for case in COMPRESSED], ids=[c[0] for c in COMPRESSED]
)
def test_compressed_three_ways(wire: bytes, expected: Sequence[Any]) -> None:
    check_three_ways(lambda: MessageReader(MAX_SIZE, Deflate(KEEP)), wire, expected)


def test_the_limit_counts_all_fragments_once_inflated() -> None:
    reader = MessageReader(1000, Deflate(KEEP))
    stream = zlib.compressobj(wbits=-15)
    part = stream.compress(bytes(600)) + stream.flush(zlib.Z_SYNC_FLUSH)
    rest = stream.compress(bytes(600)) + stream.flush(zlib.Z_SYNC_FLUSH)
    assert feed_all(reader, [binary(part, rsv=RSV1, fin=False)]) == []
    assert feed_all(reader, [last(rest)]) == [Failed(1009)]


def test_a_bomb_in_a_frame_does_not_allocate_more_than_the_limit() -> None:
    limit = 1 << 16
    wire = binary(compress(bytes(10 << 20)), rsv=RSV1)
    reader = MessageReader(limit, Deflate(KEEP))
    pieces = [wire[i : i + 4096] for i in range(0, len(wire), 4096)]
    tracemalloc.start()
    try:
        assert feed_all(reader, pieces) == [Failed(1009)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * limit


def test_nothing_is_stored_for_a_length_that_is_only_announced() -> None:
    reader = MessageReader(1 << 40)
    tracemalloc.start()
    try:
        assert feed_all(reader, [binary(b"x" * 100, length=1 << 39)]) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_tail_is_an_event_of_its_own() -> None:
    # What the helper relies on.
    assert feed_all(make(), [TAIL]) == [TAIL_EVENT]


def test_the_option_has_the_same_default() -> None:
    assert Config("main:app").ws_max_fragments == MAX_FRAGMENTS
