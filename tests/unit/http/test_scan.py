"""`asgiws/http/scan.py` and its compiled twin, which has no name at run time: through what calls them.

Whichever build runs must give the answers of the regular expressions of `grammar.py`.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.http import grammar, scan
from asgiws.http.buffer import ReceiveBuffer
from asgiws.http.errors import BadRequest, HeaderFieldsTooLarge, HTTPError, InvalidResponse
from asgiws.http.head_reader import HeadReader
from asgiws.http.limits import Limits
from asgiws.http.response import ResponseDefaults, ResponseWriter, encode_fields
from asgiws.http.semantics import check_request_line
from tests.support.properties import examples

FIRST = b"GET / HTTP/1.1\r\nHost: first\r\n\r\n"
HEAD = b"PUT /a?b HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t\xff z \r\n\r\n"
LIMITS = Limits(request_line=4096, header_bytes=4096, header_count=64)


Answer = tuple[bytes, bytes] | type[HTTPError]


def expected(data: bytes) -> Answer:
    """The method and the version of a head, or how it is refused: by the expressions alone."""
    line = grammar.request_line.match(data)
    if line is None:
        return BadRequest
    try:
        check_request_line(line[1], line[2], line[3])
    except HTTPError as error:
        return type(error)
    return (line[1], line[3]) if grammar.request_head.fullmatch(data) else BadRequest


def read(data: bytes, limits: Limits = LIMITS) -> Answer:
    """The same as the reader has it. It stands behind another head, so that it does not begin at 0."""
    buffer = ReceiveBuffer()
    reader = HeadReader(limits)
    buffer.feed(FIRST + data + b"tail\r\n\r\n")
    assert reader.read(buffer) == FIRST
    try:
        head = reader.read(buffer)
    except HTTPError as error:
        return type(error)
    assert head is not None
    assert buffer.take(4) == b"tail", "it ended elsewhere"
    line = head.index(b"\r\n")
    assert head[line - 3 : line] == reader.http_version.encode()
    assert head[: line - 3] + head[line:] == data[: line - 3] + data[line:]
    # A higher minor version is written as 1.1; what came is what is compared.
    return reader.method.encode(), data[line - 3 : line]


def agree(data: bytes) -> None:
    if data.startswith(b"\r\n"):
        data = (
            b"x" + data
        )  # empty lines in front of a head are skipped, and are none of the grammar's
    data = (data + b"\r\n\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert read(data) == expected(data)
    match = grammar.request_head.fullmatch(data)
    found = scan.request_head(FIRST + data + b"tail", len(FIRST), len(FIRST) + len(data))
    if match is None:
        assert found is None
    else:
        offset = len(FIRST)
        lines = data.count(b"\r\n") - 2
        assert found == (offset + match.end(1), offset + match.end(2), lines)


def test_each_octet_in_each_place() -> None:
    for place in range(len(HEAD) - 4):
        for octet in range(256):
            agree(HEAD[:place] + bytes([octet]) + HEAD[place + 1 :])


def test_each_octet_between_any_two() -> None:
    for place in range(len(HEAD) - 4):
        for octet in range(256):
            agree(HEAD[:place] + bytes([octet]) + HEAD[place:])


def test_each_piece_left_out() -> None:
    for start in range(len(HEAD) - 4):
        for end in range(start + 1, len(HEAD) - 3):
            agree(HEAD[:start] + HEAD[end:])


@examples(300)
@given(st.binary(max_size=60))
def test_arbitrary_octets(data: bytes) -> None:
    agree(data)


PIECES = st.sampled_from(
    [
        b"GET",
        b"M-SEARCH",
        b" ",
        b"/",
        b"*",
        b"http://a/",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"HTTP/1.7",
        b"HTTP/2.0",
        b"HTTP/1.1 ",
        b"http/1.1",
        b"\r\n",
        b"\r",
        b"\n",
        b":",
        b"Host",
        b"Host: a",
        b"X:",
        b"\t",
        b"\x00",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\x1f",
        b"\x0b",
        b"(",
        b"~",
    ]
)


@examples(500)
@given(st.lists(PIECES, max_size=14).map(b"".join))
def test_pieces_of_heads(data: bytes) -> None:
    agree(data)


@examples(500)
@given(
    st.lists(st.sampled_from([b"Host: a", b"X:", b"Y:\t\xfe"]) | st.binary(max_size=4), max_size=5),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 2), st.binary(max_size=2)), max_size=2),
)
def test_nearly_right_heads(lines: list[bytes], changes: list[tuple[int, int, bytes]]) -> None:
    data = b"\r\n".join([b"GET /path HTTP/1.1", *lines, b"", b""])
    for place, size, octets in changes:
        place %= len(data)
        data = data[:place] + octets + data[place + size :]
    agree(data)


@pytest.mark.parametrize("count", [0, 1, 2, 63])
def test_the_lines_are_counted(count: int) -> None:
    """By the limit, which the count is for."""
    data = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * count + b"\r\n"
    assert read(data, Limits(header_count=max(count, 1))) == (b"GET", b"1.1")
    if count > 1:
        assert read(data, Limits(header_count=count - 1)) is HeaderFieldsTooLarge


@pytest.mark.parametrize("size", range(1, 40))
def test_nothing_is_read_behind_the_octets_that_are_there(size: int) -> None:
    """A head that is cut short anywhere, and ends there in a blank line."""
    agree(HEAD[:size])
    agree(HEAD[:size].rstrip(b"\r\n"))


# Field lines that go out.


def encoded(pairs: list[tuple[bytes, bytes]]) -> bytes | None:
    try:
        return encode_fields(pairs)
    except InvalidResponse:
        return None


def expected_block(pairs: list[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in pairs:
        if grammar.token.fullmatch(name) is None or grammar.field_value.fullmatch(value) is None:
            return None
    return b"".join(name + b": " + value + b"\r\n" for name, value in pairs)


def agree_on(pairs: list[tuple[bytes, bytes]]) -> None:
    block = expected_block(pairs)
    assert encoded(pairs) == block
    assert scan.field_block(pairs) == block


def test_each_octet_of_a_field() -> None:
    for octet in map(bytes, ([code] for code in range(256))):
        for name in (octet, octet + b"a", b"a" + octet, b"a" + octet + b"a"):
            agree_on([(b"x", b"y"), (name, b"z")])
        for value in (octet, octet + b"a", b"a" + octet, b"a" + octet + b"a"):
            agree_on([(b"x", b"y"), (b"z", value)])


TOKENS = st.sampled_from([b"host", b"x-y", b"!#$%&'*+-.^_`|~", b"A0"])
VALUES = st.sampled_from([b"", b"a", b" \t", b"\xff" * 3, b"a\r\nb: c", b"\x00", b"\x7f"])


@examples(300)
@given(
    st.lists(st.tuples(TOKENS | st.binary(max_size=3), VALUES | st.binary(max_size=3)), max_size=5)
)
def test_arbitrary_fields(pairs: list[tuple[bytes, bytes]]) -> None:
    agree_on(pairs)


def test_no_fields_and_many() -> None:
    agree_on([])
    agree_on([(b"name-%d" % number, b"v" * number) for number in range(2000)])


def test_a_block_owns_its_octets() -> None:
    name, value = b"n" * 100, b"v" * 100
    block = encode_fields([(name, value)])
    again = encode_fields([(name, value)])
    assert block == again
    assert block is not again
    assert (name, value) == (b"n" * 100, b"v" * 100)


class Octets(bytes):
    """As a framework's own kind of header value."""


@pytest.mark.parametrize("kind", [bytearray, memoryview, Octets])
def test_other_buffers_are_taken_as_bytes(kind: type) -> None:
    assert scan.field_block([(b"a", kind(b"b"))]) is None  # type: ignore[list-item]
    assert scan.field_block([(kind(b"a"), b"b")]) is None  # type: ignore[list-item]
    assert encode_fields([(kind(b"a"), b"b"), (b"c", kind(b"d"))]) == b"a: b\r\nc: d\r\n"
    with pytest.raises(InvalidResponse):
        encode_fields([(b"a", kind(b"b\r\nc: d"))])


@pytest.mark.parametrize("wrong", ["text", 5, None])
def test_what_is_no_buffer_is_refused(wrong: object) -> None:
    for pair in ((b"a", wrong), (wrong, b"a")):
        with pytest.raises(InvalidResponse):
            encode_fields([pair])  # type: ignore[list-item]


# Where a head ends, and numbers.


def heads_in(*reads: bytes) -> list[bytes]:
    """The heads that a reader finds in what comes in these reads."""
    buffer = ReceiveBuffer()
    reader = HeadReader(LIMITS)
    found = []
    for data in reads:
        buffer.feed(data)
        while (head := reader.read(buffer)) is not None:
            found.append(head)
    return found


@examples(300)
@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"a"]), max_size=8).map(b"".join)
)
def test_the_end_of_a_head(data: bytes) -> None:
    for start in range(len(data) + 2):
        assert scan.end_of_head(data, start) == data.find(b"\r\n\r\n", start)


def test_the_end_of_a_head_wherever_a_read_ends() -> None:
    for cut in range(1, 2 * len(FIRST)):
        data = FIRST + FIRST
        assert heads_in(data[:cut], data[cut:]) == [FIRST, FIRST]
    assert heads_in(*(bytes([octet]) for octet in FIRST)) == [FIRST]


def test_numbers() -> None:
    for value, number in (
        (b"0", 0),
        (b"00012", 12),
        (b"9" * 18, 10**18 - 1),
        (b"1" + b"0" * 18, -1),
        (b"", -1),
        (b"-1", -1),
        (b"+1", -1),
        (b" 1", -1),
        (b"1_0", -1),
        (b"\xb2", -1),
        ("1", -1),
        (1, -1),
    ):
        assert scan.number(value) == number  # type: ignore[arg-type]
        writer = ResponseWriter(ResponseDefaults(server=b"", with_date=False))
        headers: Any = [(b"content-length", value)]
        if number < 0:
            with pytest.raises(InvalidResponse):
                writer.start(200, headers, "HEAD", False, False, False)
        else:
            writer.start(200, headers, "HEAD", False, False, False)
            assert writer.body(b"", False, True) == [
                b"HTTP/1.1 200 OK\r\ncontent-length: " + value + b"\r\n\r\n"  # type: ignore[operator]
            ]


def test_pieces_and_what_is_joined() -> None:
    assert scan.piece(b"0123456", 2, 5) == b"234"
    assert scan.piece(b"0123456", 3, 3) == b""
    assert scan.joined(b"a", b"", b"bc", b"d", b"\r\n") == b"abcd\r\n"


@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize(
    "name", [b"x-name", b"X-Name", b"x-namE", b"A", b"Z", b"@[`{", b"x_\x80\xff", b""]
)
def test_a_name_in_lower_case(name: bytes, kind: type) -> None:
    assert scan.lowered(name) == name.lower()
    assert (scan.lowered(name) is name) == (name == name.lower())
    writer = ResponseWriter(ResponseDefaults(server=b"", with_date=False))
    headers: Any = [kind((name, b"Value")), kind((b"content-length", b"0"))]
    if grammar.token.fullmatch(name) is None:
        with pytest.raises(InvalidResponse):
            writer.start(200, headers, "GET", False, False, False)
    else:
        writer.start(200, headers, "GET", False, False, False)
        assert writer.body(b"", False, True) == [
            b"HTTP/1.1 200 OK\r\n" + name.lower() + b": Value\r\ncontent-length: 0\r\n\r\n"
        ]


def test_what_has_no_lower_case_is_no_name() -> None:
    with pytest.raises(AttributeError):
        scan.lowered(5)
    assert scan.lowered("X") == "x"  # what it is not, is said where the field is checked
