"""Responses within exchanges are in test_connection.py; here is each rule by itself."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.http.errors import InvalidResponse
from asgiws.http.response import (
    COALESCE,
    STATUS_LINES,
    ResponseDefaults,
    ResponseWriter,
    encode_fields,
)
from tests.support.feeding import DATE, defaults
from tests.support.properties import examples

Fields = list[tuple[bytes, bytes]]


def start(
    status: int = 200,
    headers: Any = (),
    method: str = "GET",
    http10: bool = False,
    close: bool = False,
    trailers: bool = False,
    shared: ResponseDefaults | None = None,
) -> ResponseWriter:
    writer = ResponseWriter(shared or defaults())
    writer.start(status, headers, method, http10, close, trailers)
    return writer


def whole(body: bytes, **facts: Any) -> bytes:
    return b"".join(start(**facts).body(body, False, True))


def streamed(*pieces: bytes, **facts: Any) -> bytes:
    writer = start(**facts)
    out = []
    for i, piece in enumerate(pieces):
        out += writer.body(piece, i < len(pieces) - 1, i == 0)
    return b"".join(out)


OK = b"HTTP/1.1 200 OK\r\n"


class TestFraming:
    def test_one_piece_gets_a_length(self) -> None:
        assert whole(b"abc") == OK + b"content-length: 3\r\n\r\nabc"
        assert whole(b"") == OK + b"content-length: 0\r\n\r\n"

    def test_several_are_chunked(self) -> None:
        expected = OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n10\r\n" + b"b" * 16
        assert streamed(b"a", b"", b"b" * 16, b"") == expected + b"\r\n0\r\n\r\n"
        assert streamed(b"a", b"", b"b" * 16) == expected + b"\r\n0\r\n\r\n"
        assert streamed(b"", b"") == OK + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"

    def test_the_application_s_length_is_kept(self) -> None:
        headers = [(b"Content-Length", b"3")]
        assert streamed(b"a", b"bc", headers=headers) == OK + b"content-length: 3\r\n\r\nabc"

    def test_chunked_is_the_server_s_to_say(self) -> None:
        headers = [(b"transfer-encoding", b"Chunked")]
        assert whole(b"a", headers=headers) == OK + b"content-length: 1\r\n\r\na"
        assert b"chunked" in streamed(b"a", b"", headers=headers)
        headers.append((b"content-length", b"1"))
        assert whole(b"a", headers=headers) == OK + b"content-length: 1\r\n\r\na"
        with pytest.raises(InvalidResponse, match="only Transfer-Encoding"):
            start(headers=[(b"transfer-encoding", b"gzip, chunked")])

    def test_http_1_0(self) -> None:
        kept = OK + b"content-length: 1\r\nconnection: keep-alive\r\n\r\na"
        assert whole(b"a", http10=True) == kept
        ended = OK + b"connection: close\r\n\r\nab"
        assert streamed(b"a", b"b", http10=True) == ended
        writer = start(http10=True)
        writer.body(b"", True, True)
        assert writer.close
        assert writer.is_close_delimited()

    @pytest.mark.parametrize(
        ("facts", "expected"),
        [
            ({"method": "HEAD"}, OK + b"content-length: 3\r\n\r\n"),
            (
                {"method": "HEAD", "headers": [(b"content-length", b"9")]},
                OK + b"content-length: 9\r\n\r\n",
            ),
            ({"status": 204}, b"HTTP/1.1 204 No Content\r\n\r\n"),
            (
                {"status": 204, "headers": [(b"content-length", b"3")]},
                b"HTTP/1.1 204 No Content\r\n\r\n",
            ),
            ({"status": 304}, b"HTTP/1.1 304 Not Modified\r\n\r\n"),
            (
                {"status": 304, "headers": [(b"content-length", b"9")]},
                b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
            ),
        ],
    )
    def test_no_body(self, facts: Any, expected: bytes) -> None:
        assert whole(b"abc", **facts) == expected
        if "HEAD" not in facts.values():
            assert streamed(b"abc", b"d", b"", **facts) == expected

    def test_head_without_a_length_says_none(self) -> None:
        assert whole(b"", method="HEAD") == OK + b"\r\n"
        assert streamed(b"abc", b"", method="HEAD") == OK + b"\r\n"

    def test_head_does_not_end_a_1_0_connection(self) -> None:
        assert b"keep-alive" in streamed(b"abc", b"", method="HEAD", http10=True)

    def test_the_length_is_held_against_the_body(self) -> None:
        headers = [(b"content-length", b"3")]
        writer = start(headers=headers)
        with pytest.raises(InvalidResponse, match="longer"):
            writer.body(b"abcd", True, True)
        with pytest.raises(InvalidResponse, match="shorter"):
            writer.body(b"", False, True)
        assert writer.body(b"ab", True, True)
        with pytest.raises(InvalidResponse, match="longer"):
            writer.body(b"cd", False, False)
        assert writer.body(b"c", False, False) == [b"c"]

    def test_a_writer_starts_anew(self) -> None:
        writer = start(headers=[(b"content-length", b"3"), (b"connection", b"close, x")])
        writer.start(200, [], "GET", False, False, False)
        assert writer.body(b"a", False, True) == [OK + b"content-length: 1\r\n\r\na"]

    @pytest.mark.parametrize("value", [b"", b"x", b"-1", b"1, 1", b"+1"])
    def test_a_bad_length(self, value: bytes) -> None:
        with pytest.raises(InvalidResponse, match="not a number"):
            start(headers=[(b"content-length", value)])

    def test_two_lengths(self) -> None:
        with pytest.raises(InvalidResponse, match="more than one"):
            start(headers=[(b"content-length", b"1"), (b"Content-Length", b"1")])


class TestCoalescing:
    def test_a_large_body_is_not_copied(self) -> None:
        body = b"x" * COALESCE
        pieces = start().body(body, False, True)
        assert len(pieces) == 2
        assert pieces[1] is body
        pieces = start().body(body, True, True)
        assert len(pieces) == 3
        assert pieces[1] is body
        assert pieces[2] == b"\r\n"

    def test_a_small_one_is_one_piece(self) -> None:
        body = b"x" * (COALESCE - 1)
        assert len(start().body(body, False, True)) == 1
        writer = start()
        assert len(writer.body(body, True, True)) == 1
        assert len(writer.body(body, False, False)) == 1

    def test_nothing_is_no_piece(self) -> None:
        writer = start(headers=[(b"content-length", b"0")])
        writer.body(b"", True, True)
        assert writer.body(b"", False, False) == []


class TestConnection:
    @pytest.mark.parametrize(
        ("headers", "facts", "expected"),
        [
            ([], {"close": True}, b"connection: close\r\n"),
            ([(b"connection", b"Close")], {}, b"connection: close\r\n"),
            ([(b"connection", b"keep-alive")], {}, b""),
            ([(b"connection", b"keep-alive")], {"close": True}, b"connection: close\r\n"),
            ([(b"connection", b"upgrade")], {}, b"connection: upgrade\r\n"),
            (
                [(b"connection", b"x"), (b"connection", b"close, y")],
                {},
                b"connection: x, y, close\r\n",
            ),
            ([(b"connection", b"x")], {"http10": True}, b"connection: x, keep-alive\r\n"),
        ],
    )
    def test_options(self, headers: Fields, facts: Any, expected: bytes) -> None:
        written = whole(b"", headers=headers, **facts)
        assert written == OK + b"content-length: 0\r\n" + expected + b"\r\n"

    def test_the_writer_knows(self) -> None:
        assert start(headers=[(b"connection", b"close")]).close
        assert not start().close


class TestFields:
    @pytest.mark.parametrize(
        "pair",
        [
            (b"", b"x"),
            (b"a b", b"x"),
            (b"a:", b"x"),
            (b"a\r\nb", b"x"),
            (b"a\n", b"x"),
            (b"\xe4", b"x"),
            (b"a", b"\r"),
            (b"a", b"\n"),
            (b"a", b"b\r\nc: d"),
            (b"a", b"b\r\n\r\nc"),
            (b"a", b"\x00"),
            (b"a", b"\x7f"),
            (b"a", b"\x0b"),
        ],
    )
    def test_nothing_splits_a_response(self, pair: tuple[bytes, bytes]) -> None:
        fields = [(b"x", b"y"), pair, (b"x", b"y")]
        with pytest.raises(InvalidResponse):
            encode_fields(fields)
        with pytest.raises(InvalidResponse):
            start(headers=fields)
        with pytest.raises(InvalidResponse):
            start().informational(103, fields)
        with pytest.raises(InvalidResponse):
            start().switch_protocols(fields)
        with pytest.raises(InvalidResponse):
            start(trailers=True).trailer_end(fields, True)

    @pytest.mark.parametrize("name", [b"connection", b"transfer-encoding", b"content-length"])
    def test_framing_fields_split_no_response(self, name: bytes) -> None:
        with pytest.raises(InvalidResponse):
            start(headers=[(name, b"a\r\nb: c")])

    @examples(300)
    @given(fields=st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5)), max_size=3))
    def test_every_field_is_one_line(self, fields: Fields) -> None:
        try:
            block = encode_fields(fields)
        except InvalidResponse:
            return
        lines = block.split(b"\r\n")
        assert lines.pop() == b""
        assert [tuple(line.split(b": ", 1)) for line in lines] == fields

    @pytest.mark.parametrize(
        "headers",
        [
            5,
            [5],
            [b"ab"],
            [(b"a",)],
            [(b"a", b"b", b"c")],
            [("a", "b")],
            [(b"a", "b")],
            [(b"a", None)],
            [(1, b"b")],
            [("connection", b"close")],
            [(b"connection", "close")],
            [(b"content-length", 5)],
            None,
        ],
    )
    def test_headers_that_are_none(self, headers: Any) -> None:
        with pytest.raises(InvalidResponse):
            start(headers=headers)

    def test_pairs_may_be_lists_and_come_from_anywhere(self) -> None:
        written = whole(b"", headers=([name, b"1"] for name in (b"A", b"b")))
        assert written == OK + b"a: 1\r\nb: 1\r\ncontent-length: 0\r\n\r\n"

    def test_repeated_fields_stay(self) -> None:
        headers = [(b"set-cookie", b"a"), (b"set-cookie", b"b")]
        assert whole(b"", headers=headers).startswith(OK + b"set-cookie: a\r\nset-cookie: b\r\n")

    @pytest.mark.parametrize("status", [True, 100, 101, 199, 1000, -1, "200", 200.0, None])
    def test_a_status_that_is_none(self, status: Any) -> None:
        with pytest.raises(InvalidResponse, match="200 to 999"):
            start(status)

    def test_a_status_of_the_standard_library(self) -> None:
        writer = start(HTTPStatus.NO_CONTENT)
        assert type(writer.status) is int
        assert writer.bodiless
        assert whole(b"", status=HTTPStatus.CREATED).startswith(b"HTTP/1.1 201 Created\r\n")


class TestDefaults:
    def test_all(self) -> None:
        shared = defaults([(b"X-A", b"1"), (b"x-a", b"2")], b"me", True)
        assert whole(b"", shared=shared) == (
            OK + b"x-a: 1\r\nx-a: 2\r\nserver: me\r\n" + DATE + b"content-length: 0\r\n\r\n"
        )

    def test_none(self) -> None:
        assert whole(b"", shared=defaults()) == OK + b"content-length: 0\r\n\r\n"

    def test_the_application_s_own_take_their_place(self) -> None:
        shared = defaults([(b"x-a", b"1"), (b"x-b", b"2")], b"me", True)
        headers = [(b"X-A", b"3"), (b"Server", b"you"), (b"Date", b"today")]
        assert whole(b"", shared=shared, headers=headers) == (
            OK + b"x-a: 3\r\nserver: you\r\ndate: today\r\nx-b: 2\r\ncontent-length: 0\r\n\r\n"
        )
        headers = [(b"x-b", b"4")]
        assert whole(b"", shared=shared, headers=headers) == (
            OK + b"x-b: 4\r\nx-a: 1\r\nserver: me\r\n" + DATE + b"content-length: 0\r\n\r\n"
        )

    def test_the_configuration_s_own_take_their_place(self) -> None:
        shared = defaults([(b"Server", b"mine"), (b"Date", b"never")], b"me", True)
        assert whole(b"", shared=shared) == (
            OK + b"server: mine\r\ndate: never\r\ncontent-length: 0\r\n\r\n"
        )

    def test_an_application_s_date_alone(self) -> None:
        written = whole(b"", shared=defaults(with_date=True), headers=[(b"date", b"today")])
        assert written == OK + b"date: today\r\ncontent-length: 0\r\n\r\n"

    @pytest.mark.parametrize(
        "pair",
        [(b"a\r\n", b"b"), (b"a", b"b\n"), (b"content-length", b"1"), (b"Connection", b"close")],
    )
    def test_bad_ones(self, pair: tuple[bytes, bytes]) -> None:
        with pytest.raises(InvalidResponse):
            ResponseDefaults([pair])


class TestOthers:
    def test_switch_protocols(self) -> None:
        writer = start(shared=defaults([(b"x-a", b"1")], b"me", True))
        assert writer.switch_protocols([(b"Upgrade", b"websocket"), (b"x-a", b"2")]) == (
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            b"x-a: 2\r\nserver: me\r\n" + DATE + b"\r\n"
        )
        written = writer.switch_protocols([(b"date", b"today")])
        assert written.count(b"date: ") == 1

    @pytest.mark.parametrize("name", [b"content-length", b"Transfer-Encoding", b"connection"])
    def test_no_framing_in_interim_responses(self, name: bytes) -> None:
        with pytest.raises(InvalidResponse, match="not allowed in an interim response"):
            start().informational(103, [(name, b"1")])
        with pytest.raises(InvalidResponse, match="not allowed in an interim response"):
            start().switch_protocols([(name, b"1")])

    @pytest.mark.parametrize("headers", [5, [5], [("a", "b")]])
    def test_headers_that_are_none(self, headers: Any) -> None:
        with pytest.raises(InvalidResponse):
            start().informational(103, headers)

    def test_trailers(self) -> None:
        writer = start(trailers=True, headers=[(b"content-length", b"1")])
        assert writer.body(b"a", False, True) == [
            OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n"
        ]
        assert writer.trailer_end([(b"x", b"y")], True) == b"0\r\nx: y\r\n\r\n"

    def test_trailers_behind_nothing(self) -> None:
        writer = start(trailers=True)
        assert writer.body(b"", False, True) == [OK + b"transfer-encoding: chunked\r\n\r\n"]
        assert writer.trailer_end([], True) == b"0\r\n\r\n"

    def test_the_length_holds_with_trailers_too(self) -> None:
        writer = start(trailers=True, headers=[(b"content-length", b"1")])
        with pytest.raises(InvalidResponse, match="longer"):
            writer.body(b"ab", False, True)

    @pytest.mark.parametrize("name", [b"host", b"transfer-encoding", b"set-cookie"])
    def test_forbidden_trailers(self, name: bytes) -> None:
        with pytest.raises(InvalidResponse, match="not allowed in trailers"):
            start(trailers=True).trailer_end([(name, b"x")], False)

    def test_status_lines(self) -> None:
        assert STATUS_LINES[404] == b"HTTP/1.1 404 Not Found\r\n"
        assert STATUS_LINES[299] == b"HTTP/1.1 299 \r\n"  # RFC 9112 4: the space stays
