from __future__ import annotations

import dataclasses
import itertools
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.http import states
from asgiws.http.connection import (
    CLOSED,
    END_OF_REQUEST,
    NEED_DATA,
    PAUSED,
    EndOfRequest,
    HTTPConnection,
)
from asgiws.http.errors import BadRequest, HTTPError, InvalidResponse, RequestTimeout
from asgiws.http.head import RequestHead
from asgiws.http.limits import DEFAULT_LIMITS, Limits
from asgiws.http.parser import HeadParser
from asgiws.http.parsers import make_parser
from tests.support.feeding import (
    connect,
    defaults,
    feed,
    feed_every_way,
    is_closed,
    octets,
    parse_one,
)
from tests.support.properties import examples
from tests.support.smuggling import SMUGGLING

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMALL = Limits(
    request_line=32,
    header_bytes=64,
    header_count=4,
    leading_empty_lines=2,
    chunk_line=16,
    drain=8,
)
HTTPTOOLS = make_parser("httptools")
H11 = make_parser("h11")


def head(
    method: str = "GET",
    target: bytes = b"/",
    headers: tuple[tuple[bytes, bytes], ...] = ((b"host", b"a"),),
    **facts: object,
) -> tuple[object, ...]:
    path, _, query = target.partition(b"?")
    expected = {
        "raw_path": path,
        "query": query,
        "http_version": "1.1",
        "content_length": -1,
        "chunked": False,
        "keep_alive": True,
        "expect_continue": False,
        "upgrade": (),
        **facts,
    }
    return (
        "head",
        method,
        target,
        expected["raw_path"],
        expected["query"],
        expected["http_version"],
        headers,
        expected["content_length"],
        expected["chunked"],
        expected["keep_alive"],
        expected["expect_continue"],
        expected["upgrade"],
    )


END = ("end", ())


class TestRequests:
    def test_simple(self, parser: HeadParser) -> None:
        assert parse_one(parser, GET) == [head(), END]

    def test_headers_keep_their_order_and_lose_their_case(self, parser: HeadParser) -> None:
        data = b"GET /p?q HTTP/1.1\r\nHOST: a\r\nX:  1\t \r\nA-b:\r\nx: 2 3\r\nY: \xe4\r\n\r\n"
        headers = (
            (b"host", b"a"),
            (b"x", b"1"),
            (b"a-b", b""),
            (b"x", b"2 3"),
            (b"y", b"\xe4"),
        )
        assert parse_one(parser, data) == [head(target=b"/p?q", headers=headers), END]

    def test_content_length(self, parser: HeadParser) -> None:
        events = parse_one(parser, POST + b"Content-Length: 003\r\n\r\nabc")
        assert events[0][7] == 3
        assert events[1:] == [("body", b"abc"), END]

    def test_content_length_of_zero(self, parser: HeadParser) -> None:
        events = parse_one(parser, POST + b"Content-Length: 0\r\n\r\n")
        assert events[0][7] == 0
        assert events[1:] == [END]

    def test_chunked(self, parser: HeadParser) -> None:
        events = parse_one(
            parser, CHUNKED + b'3\r\nabc\r\n00A ; x="\\"y" ;z\r\n0123456789\r\n0\r\n\r\n'
        )
        assert events[0][8] is True
        assert events[1:] == [("body", b"abc0123456789"), END]

    def test_chunked_without_data(self, parser: HeadParser) -> None:
        assert parse_one(parser, CHUNKED + b"0\r\n\r\n")[1:] == [END]

    def test_transfer_encoding_in_capitals(self, parser: HeadParser) -> None:
        data = POST + b"Transfer-Encoding:\tCHUNKED \r\n\r\n1\r\na\r\n0\r\n\r\n"
        assert parse_one(parser, data)[1:] == [("body", b"a"), END]

    def test_trailers(self, parser: HeadParser) -> None:
        events = parse_one(
            parser,
            CHUNKED + b"1\r\na\r\n0\r\nX-Sum: 1 \r\nContent-Length: 7\r\nHost: b\r\nY:\r\n\r\n",
        )
        assert events[1:] == [("body", b"a"), ("end", ((b"x-sum", b"1"), (b"y", b"")))]

    def test_pipelined(self, parser: HeadParser) -> None:
        data = (
            GET + CHUNKED + b"1\r\na\r\n0\r\n\r\n" + b"\r\n" + POST + b"Content-Length: 1\r\n\r\nb"
        )
        events = feed_every_way(parser, data + GET)
        assert [event[0] for event in events] == (
            ["head", "end", "head", "body", "end", "head", "body", "end", "head", "end"]
        )

    def test_a_foreign_upgrade_is_ignored_and_its_body_kept(self, parser: HeadParser) -> None:
        data = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        events = parse_one(parser, data + b"Content-Length: 3\r\n\r\nabc")
        assert events[0][11] == (b"h2c",)
        assert events[1:] == [("body", b"abc"), END]
        events = parse_one(parser, data + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
        assert events[1:] == [("body", b"a"), END]

    def test_http_1_0(self, parser: HeadParser) -> None:
        data = b"GET / HTTP/1.0\r\n\r\n"
        expected = head(headers=(), http_version="1.0", keep_alive=False)
        assert feed_every_way(parser, data + GET) == [expected, END, ("closed",)]

    def test_http_1_0_kept_alive(self, parser: HeadParser) -> None:
        data = b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
        events = feed_every_way(parser, data * 2)
        assert [event[0] for event in events] == ["head", "end", "head", "end"]

    def test_a_higher_minor_version_is_1_1(self, parser: HeadParser) -> None:
        assert parse_one(parser, b"GET / HTTP/1.9\r\nHost: a\r\n\r\n") == [head(), END]

    def test_close(self, parser: HeadParser) -> None:
        data = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n"
        assert [event[0] for event in feed_every_way(parser, data + GET)] == (
            ["head", "end", "closed"]
        )

    def test_absolute_form(self, parser: HeadParser) -> None:
        data = b"GET HTTP://B:80/p?q HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n"
        assert parse_one(parser, data) == [
            head(
                target=b"HTTP://B:80/p?q",
                raw_path=b"/p",
                query=b"q",
                headers=((b"host", b"B:80"), (b"x", b"y")),
            ),
            END,
        ]

    def test_asterisk_form(self, parser: HeadParser) -> None:
        data = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
        assert parse_one(parser, data) == [head("OPTIONS", b"*"), END]

    def test_all_characters_of_a_target(self, parser: HeadParser) -> None:
        target = b"/" + bytes(set(range(0x21, 0x7F)) - set(b"#?"))
        data = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        assert parse_one(parser, data) == [head(target=target), END]

    def test_all_characters_of_a_field(self, parser: HeadParser) -> None:
        value = bytes(set(range(0x20, 0x100)) - {0x7F}).strip() + b"\t~"
        name = b"!#$%&'*+-.^_`|~0aZ"
        data = b"GET / HTTP/1.1\r\nHost: a\r\n" + name + b":" + value + b"\r\n\r\n"
        headers = ((b"host", b"a"), (name.lower(), value))
        assert parse_one(parser, data) == [head(headers=headers), END]

    def test_expect_continue(self, parser: HeadParser) -> None:
        data = POST + b"Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na"
        assert parse_one(parser, data)[0][10] is True


class TestRefusals:
    @pytest.mark.parametrize("name", SMUGGLING)
    def test_smuggling(self, parser: HeadParser, name: str) -> None:
        data, status, message = SMUGGLING[name]
        events = parse_one(parser, data)
        assert events[-1] == ("error", status, message)
        # Behind the good head of a bad body there is its data, and nothing of what follows.
        assert {event[0] for event in events[:-1]} <= {"head", "body"}

    @pytest.mark.parametrize(
        ("data", "status", "message"),
        [
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "this server speaks HTTP/1.1 and HTTP/1.0"),
            (b"GET / HTTP/0.9\r\n\r\n", 505, "this server speaks HTTP/1.1 and HTTP/1.0"),
            (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "this method is not implemented"),
            (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "this method is not implemented"),
            (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501, "this method is not implemented"),
            (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the target * is for OPTIONS only"),
            (
                b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
                400,
                "the request target is neither a path nor an absolute http URI",
            ),
            (
                b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
                400,
                "the request target is neither a path nor an absolute http URI",
            ),
            (
                b"GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n",
                400,
                "the request target has an empty host",
            ),
            (
                POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\n",
                417,
                "no expectation but 100-continue can be met",
            ),
            (
                b"\x16\x03\x01\x02\x00",
                400,
                "the request does not start with a method (first byte 0x16); is this TLS?",
            ),
            (
                b"\rGET",
                400,
                "the request does not start with a method (first byte 0x0d); is this TLS?",
            ),
            (b"\r\n" * 5 + GET, 400, "too many empty lines before the request line"),
        ],
    )
    def test_others(self, parser: HeadParser, data: bytes, status: int, message: str) -> None:
        assert feed_every_way(parser, data) == [("error", status, message)]

    def test_what_was_good_before_is_served(self, parser: HeadParser) -> None:
        events = feed_every_way(parser, GET + b"GET / HTTP/1.1\r\n\r\n" + GET)
        assert events == [head(), END, ("error", 400, "no Host header")]


class TestLimits:
    @pytest.mark.parametrize(
        ("data", "status", "message"),
        [
            (b"GET /" + b"a" * 28, 414, "the request line is over 32 bytes"),
            (b"GET /" + b"a" * 50 + b" HTTP/1.1\r\n\r\n", 414, "the request line is over 32 bytes"),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 53,
                431,
                "the header fields are over 64 bytes",
            ),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 99 + b"\r\n\r\n",
                431,
                "the header fields are over 64 bytes",
            ),
            (b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 5, 431, "more than 4 header fields"),
            (b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 5 + b"\r\n", 431, "more than 4 header fields"),
            # The first fault in the order of the bytes is the one that is told.
            (b"GET / HTTP/1.1\r\n b\r\n" + b"a:\r\n" * 9, 400, None),
            (b"GET / HTTP/2.0\r\n" + b"a:\r\n" * 9, 505, None),
            (b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 5 + b" b\r\n\r\n", 431, None),
            (b"GET / HTTP/1.1\r\nX: " + b"a" * 70 + b"\x00\r\n\r\n", 431, None),
            (b"GET / HTTP/1.1\r\nX\r\nY: " + b"a" * 70 + b"\r\n\r\n", 400, None),
            (b"\x00" * 99, 400, None),
        ],
    )
    def test_refused(
        self, parser: HeadParser, data: bytes, status: int, message: str | None
    ) -> None:
        events = feed_every_way(parser, data, SMALL)
        assert len(events) == 1
        assert events[0][1] == status
        assert message is None or events[0][2] == message
        assert feed_every_way(parser, data + GET, SMALL) == events

    def test_just_within(self, parser: HeadParser) -> None:
        line = b"GET /" + b"a" * 16 + b" HTTP/1.1\r\n"
        assert len(line) == 32
        fields = b"Host: a\r\nX:\r\nY:\r\nZ: " + b"z" * 40 + b"\r\n\r\n"
        assert len(fields) == 64
        assert len(feed_every_way(parser, line + fields, SMALL)) == 2
        limits = dataclasses.replace(SMALL, header_bytes=63)
        assert feed_every_way(parser, line + fields, limits)[0][1] == 431
        limits = dataclasses.replace(SMALL, request_line=31)
        assert feed_every_way(parser, line + fields, limits)[0][1] == 414
        limits = dataclasses.replace(SMALL, header_count=3)
        assert feed_every_way(parser, line + fields, limits)[0][1] == 431

    def test_the_default_limits_hold(self, parser: HeadParser) -> None:
        events = feed(parser, [b"GET /" + b"a" * 8192])
        assert events[0][1] == 414
        start = b"GET / HTTP/1.1\r\nHost: a\r\n"
        assert feed(parser, [start + b"a: b\r\n" * 99 + b"\r\n"])[-1] == END
        assert feed(parser, [start + b"a: b\r\n" * 100 + b"\r\n"])[0][1] == 431
        assert feed(parser, [start + b"a: " + b"b" * 65000 + b"\r\n\r\n"])[-1] == END
        assert feed(parser, [start + b"a: " + b"b" * 66000])[0][1] == 431

    def test_a_chunk_line(self, parser: HeadParser) -> None:
        assert feed_every_way(parser, CHUNKED + b"1;" + b"a" * 12 + b"\r\n", SMALL)[-1][0] == "head"
        error = ("error", 400, "a chunk-size line is over 16 bytes")
        assert feed_every_way(parser, CHUNKED + b"1;" + b"a" * 15, SMALL)[-1] == error
        assert feed_every_way(parser, CHUNKED + b"1;" + b"a" * 15 + b"\r\n", SMALL)[-1] == error

    def test_trailers(self, parser: HeadParser) -> None:
        events = feed_every_way(parser, CHUNKED + b"0\r\n" + b"a:\r\n" * 5, SMALL)
        assert events[-1] == ("error", 431, "more than 4 trailer fields")
        events = feed_every_way(parser, CHUNKED + b"0\r\na: " + b"a" * 62, SMALL)
        assert events[-1] == ("error", 431, "the trailers are over 64 bytes")
        events = feed_every_way(parser, CHUNKED + b"0\r\na: b\r\nc: " + b"a" * 90 + b"\r\n", SMALL)
        assert events[-1] == ("error", 431, "the trailers are over 64 bytes")

    def test_a_head_that_drips_in_is_searched_once(self, parser: HeadParser) -> None:
        """Far below the second that a quadratic search would need."""
        data = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 60000 + b"\r\n\r\n"
        assert feed(parser, octets(data))[-1] == END


class TestEndOfStream:
    def test_between_requests(self, parser: HeadParser) -> None:
        assert feed_every_way(parser, b"", eof=True) == [("closed",)]
        assert feed_every_way(parser, GET, eof=True) == [head(), END, ("closed",)]

    def test_complete_requests_before_it_are_served(self, parser: HeadParser) -> None:
        connection = connect(parser)
        connection.receive_data(GET + GET)
        connection.receive_eof()
        for _ in range(2):
            assert isinstance(connection.next_event(), RequestHead)
            assert connection.next_event() is END_OF_REQUEST
            assert connection.next_event() is PAUSED
            connection.start_response(200, [])
            connection.send_body(b"", False)
        assert connection.next_event() is CLOSED
        assert is_closed(connection)

    def test_within_a_head(self, parser: HeadParser) -> None:
        error = ("error", 400, "the connection ended within a request head")
        assert feed_every_way(parser, GET[:-1], eof=True) == [error]
        assert feed_every_way(parser, b"\r", eof=True) == [error]

    def test_within_a_body(self, parser: HeadParser) -> None:
        error = ("error", 400, "the connection ended within a request body")
        data = POST + b"Content-Length: 3\r\n\r\nab"
        assert feed_every_way(parser, data, eof=True)[1:] == [("body", b"ab"), error]
        assert feed_every_way(parser, CHUNKED + b"0\r\n", eof=True)[1:] == [error]


def requested(
    parser: HeadParser, data: bytes = GET, limits: Limits = DEFAULT_LIMITS
) -> HTTPConnection:
    """A connection that has given the head of a request."""
    connection = connect(parser, limits)
    connection.receive_data(data)
    assert isinstance(connection.next_event(), RequestHead)
    return connection


class TestExchange:
    def test_pauses_until_the_response_is_complete(self, parser: HeadParser) -> None:
        connection = requested(parser, GET + GET)
        assert connection.next_event() is END_OF_REQUEST
        assert connection.next_event() is PAUSED
        assert connection.buffered() == len(GET)
        assert connection.response_owed()
        connection.start_response(200, [])
        assert connection.next_event() is PAUSED
        assert not connection.response_started()
        assert connection.send_body(b"a", True) == [
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"
        ]
        assert connection.response_started()
        assert connection.next_event() is PAUSED
        assert connection.send_body(b"", False) == [b"0\r\n\r\n"]
        assert connection.status() == 200
        assert not connection.response_owed()
        assert isinstance(connection.next_event(), RequestHead)

    def test_the_body_waits_until_it_is_pulled(self, parser: HeadParser) -> None:
        connection = requested(parser, POST + b"Content-Length: 6\r\n\r\nabc")
        connection.receive_data(b"def")
        assert connection.buffered() == 6
        assert connection.next_event() == b"abcdef"
        event = connection.next_event()
        assert isinstance(event, EndOfRequest)
        assert repr(event) == "EndOfRequest([])"

    def test_a_small_rest_of_the_body_is_drained(self, parser: HeadParser) -> None:
        connection = requested(parser, POST + b"Content-Length: 9\r\n\r\n", SMALL)
        connection.start_response(200, [])
        connection.send_body(b"", False)
        assert connection.next_event() is NEED_DATA
        connection.receive_data(b"12345678")
        assert connection.next_event() is NEED_DATA
        assert not connection.has_partial_head()
        connection.receive_data(b"9" + GET)
        # That was more than the limit of 8.
        assert connection.next_event() is CLOSED
        assert is_closed(connection)
        connection = requested(parser, CHUNKED + b"8\r\n12345678\r\n0\r\nX: y\r\n\r\n" + GET, SMALL)
        connection.start_response(200, [])
        connection.send_body(b"", False)
        assert isinstance(connection.next_event(), RequestHead)

    def test_a_rest_that_never_comes(self, parser: HeadParser) -> None:
        connection = requested(parser, POST + b"Content-Length: 9\r\n\r\n")
        connection.start_response(200, [])
        connection.send_body(b"", False)
        connection.receive_eof()
        assert connection.next_event() is CLOSED

    def test_a_body_that_goes_wrong_behind_the_response(self, parser: HeadParser) -> None:
        connection = requested(parser, CHUNKED + b"x\r\n")
        connection.start_response(200, [])
        connection.send_body(b"", False)
        with pytest.raises(BadRequest) as caught:
            connection.next_event()
        assert connection.error_response(caught.value) == b""
        assert is_closed(connection)

    def test_closing_ends_it_with_the_response(self, parser: HeadParser) -> None:
        connection = requested(parser, GET + GET)
        connection.next_event()
        connection.closing = True
        connection.start_response(200, [])
        assert b"\r\nconnection: close\r\n" in connection.send_body(b"", False)[0]
        assert connection.next_event() is CLOSED

    def test_closing_after_the_head_was_sent(self, parser: HeadParser) -> None:
        connection = requested(parser, GET + GET)
        connection.next_event()
        connection.start_response(200, [])
        assert b"connection" not in connection.send_body(b"", True)[0]
        connection.closing = True
        connection.send_body(b"", False)
        assert is_closed(connection)

    def test_data_after_the_end_is_dropped(self, parser: HeadParser) -> None:
        connection = connect(parser)
        connection.closing = True
        assert connection.next_event() is CLOSED
        connection.receive_data(GET)
        assert connection.buffered() == 0
        assert connection.next_event() is CLOSED

    def test_a_partial_head_is_told(self, parser: HeadParser) -> None:
        connection = connect(parser)
        assert not connection.has_partial_head()
        connection.receive_data(b"G")
        assert connection.next_event() is NEED_DATA
        assert connection.has_partial_head()
        connection.receive_data(GET[1:])
        connection.next_event()
        assert not connection.has_partial_head()

    def test_signals_have_names(self) -> None:
        assert repr(NEED_DATA) == "NEED_DATA"


class TestContinue:
    DATA = POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"

    def test_once(self, parser: HeadParser) -> None:
        connection = requested(parser, self.DATA)
        assert connection.expects_continue
        assert connection.send_continue() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert connection.send_continue() == b""
        connection.receive_data(b"abc" + GET)
        assert connection.next_event() == b"abc"
        connection.next_event()
        connection.start_response(200, [])
        assert b"close" not in connection.send_body(b"", False)[0]
        assert isinstance(connection.next_event(), RequestHead)

    def test_not_when_the_body_comes_by_itself(self, parser: HeadParser) -> None:
        connection = requested(parser, self.DATA + b"a")
        assert connection.next_event() == b"a"
        assert connection.send_continue() == b""

    def test_a_response_instead_ends_the_connection(self, parser: HeadParser) -> None:
        connection = requested(parser, self.DATA)
        connection.start_response(413, [])
        assert b"\r\nconnection: close\r\n" in connection.send_body(b"", False)[0]
        assert is_closed(connection)
        assert connection.next_event() is CLOSED

    def test_not_behind_the_start_of_a_response(self, parser: HeadParser) -> None:
        connection = requested(parser, self.DATA)
        connection.start_response(200, [])
        connection.send_body(b"a", True)
        assert connection.send_continue() == b""

    def test_not_without_a_body(self, parser: HeadParser) -> None:
        connection = requested(parser, POST + b"Expect: 100-continue\r\n\r\n")
        assert connection.send_continue() == b""

    def test_not_in_http_1_0(self, parser: HeadParser) -> None:
        data = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        assert requested(parser, data).send_continue() == b""
        data = b"POST / HTTP/1.0\r\nExpect: nonsense\r\nContent-Length: 3\r\n\r\n"
        requested(parser, data)


class TestInformational:
    def test_early_hints(self, parser: HeadParser) -> None:
        connection = requested(parser)
        data = connection.informational(103, [(b"Link", b"</a>")])
        assert data == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        connection.start_response(200, [])

    def test_not_to_http_1_0(self, parser: HeadParser) -> None:
        connection = requested(parser, b"GET / HTTP/1.0\r\n\r\n")
        assert connection.informational(103, []) == b""

    @pytest.mark.parametrize("status", [100, 101, 200, "103", True])
    def test_status(self, parser: HeadParser, status: int) -> None:
        with pytest.raises(InvalidResponse, match="102 to 199"):
            requested(parser).informational(status, [])

    def test_status_of_the_standard_library(self, parser: HeadParser) -> None:
        data = requested(parser).informational(HTTPStatus.EARLY_HINTS, [])
        assert data == b"HTTP/1.1 103 Early Hints\r\n\r\n"

    def test_behind_the_start_of_the_final_one(self, parser: HeadParser) -> None:
        """Nothing of that is on the wire until its body begins; then there is no place for an interim one."""
        connection = requested(parser)
        connection.start_response(200, [])
        assert connection.informational(103, []) == b"HTTP/1.1 103 Early Hints\r\n\r\n"
        connection.send_body(b"a", True)
        assert connection.informational(103, []) == b""
        with pytest.raises(InvalidResponse, match="a token"):
            connection.informational(103, [(b"a b", b"")])

    def test_not_behind_the_final_one(self, parser: HeadParser) -> None:
        connection = requested(parser)
        connection.start_response(200, [])
        connection.send_body(b"a", False)
        with pytest.raises(InvalidResponse, match="before the final one"):
            connection.informational(103, [])


class TestUpgrade:
    DATA = (
        b"GET / HTTP/1.1\r\nHost: a\r\n"
        b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
    )

    def test_the_tail_is_kept(self, parser: HeadParser) -> None:
        connection = requested(parser, self.DATA + b"\x81\x00")
        connection.receive_data(b"\r\n")
        assert connection.take_tail() == b"\x81\x00\r\n"
        assert connection.next_event() is CLOSED
        data = connection.switch_protocols([(b"upgrade", b"websocket")])
        assert data == (
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
        )
        assert connection.next_event() is CLOSED
        with pytest.raises(InvalidResponse):
            connection.switch_protocols([])

    def test_no_tail(self, parser: HeadParser) -> None:
        assert requested(parser, self.DATA).take_tail() == b""

    def test_a_refusal_behind_the_tail(self, parser: HeadParser) -> None:
        connection = requested(parser, self.DATA + b"tail")
        connection.take_tail()
        connection.start_response(403, [])
        assert connection.send_body(b"no", False)[0].startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert is_closed(connection)

    def test_not_behind_a_response(self, parser: HeadParser) -> None:
        connection = requested(parser, self.DATA)
        connection.start_response(200, [])
        with pytest.raises(InvalidResponse):
            connection.switch_protocols([])

    @pytest.mark.parametrize(
        "fields",
        [
            b"Upgrade: websocket\r\n",
            b"Connection: upgrade\r\n",
            b"Connection: keep-alive\r\nUpgrade: websocket\r\n",
            b"Connection: xupgrade\r\nUpgrade: websocket\r\n",
        ],
    )
    def test_both_fields_are_needed(self, parser: HeadParser, fields: bytes) -> None:
        event = feed_every_way(parser, b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")[0]
        assert event[11] == ()

    def test_not_in_http_1_0(self, parser: HeadParser) -> None:
        data = b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        assert feed_every_way(parser, data)[0][11] == ()


class TestErrorResponse:
    def test_before_any_request(self, parser: HeadParser) -> None:
        connection = connect(parser)
        data = connection.error_response(RequestTimeout("too slow"))
        assert data == (
            b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: 9\r\nconnection: close\r\n\r\ntoo slow\n"
        )
        assert is_closed(connection)

    def test_in_place_of_a_response_that_was_not_sent(self, parser: HeadParser) -> None:
        connection = requested(parser, CHUNKED + b"x\r\n")
        connection.start_response(200, [])
        with pytest.raises(HTTPError) as caught:
            connection.next_event()
        data = connection.error_response(caught.value)
        assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert data.endswith(b"\r\n\r\na chunk-size line is malformed\n")

    def test_to_head_without_its_body(self, parser: HeadParser) -> None:
        connection = requested(
            parser, b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"
        )
        with pytest.raises(HTTPError) as caught:
            connection.next_event()
        data = connection.error_response(caught.value)
        assert data.endswith(b"content-length: 31\r\nconnection: close\r\n\r\n")

    def test_not_within_a_response(self, parser: HeadParser) -> None:
        connection = requested(parser, CHUNKED + b"x\r\n")
        connection.start_response(200, [])
        connection.send_body(b"a", True)
        with pytest.raises(HTTPError) as caught:
            connection.next_event()
        assert connection.error_response(caught.value) == b""
        assert is_closed(connection)


class TestOrder:
    def test_no_response_without_a_request(self, parser: HeadParser) -> None:
        connection = connect(parser)
        with pytest.raises(InvalidResponse, match="no request waits"):
            connection.start_response(200, [])
        with pytest.raises(InvalidResponse, match="no response body"):
            connection.send_body(b"", False)
        with pytest.raises(InvalidResponse, match="no trailers"):
            connection.send_trailers([])
        with pytest.raises(InvalidResponse, match="before the final one"):
            connection.informational(103, [])

    def test_nothing_behind_the_end(self, parser: HeadParser) -> None:
        connection = requested(parser)
        connection.next_event()
        connection.start_response(200, [])
        connection.send_body(b"", False)
        with pytest.raises(InvalidResponse, match="no response body"):
            connection.send_body(b"", False)
        with pytest.raises(InvalidResponse, match="no request waits"):
            connection.start_response(200, [])

    def test_a_response_is_replaced_until_it_is_sent(self, parser: HeadParser) -> None:
        connection = requested(parser)
        connection.start_response(200, [(b"x", b"y"), (b"content-length", b"9")])
        connection.start_response(500, [])
        assert connection.send_body(b"a", False) == [
            b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 1\r\n\r\na"
        ]

    def test_an_invalid_start_changes_nothing(self, parser: HeadParser) -> None:
        connection = requested(parser)
        with pytest.raises(InvalidResponse):
            connection.start_response(200, [(b"a\r\nb", b"c")])
        connection.start_response(204, [])
        connection.send_body(b"", False)

    def test_an_invalid_body_changes_nothing(self, parser: HeadParser) -> None:
        connection = requested(parser)
        connection.start_response(200, [(b"content-length", b"2")])
        with pytest.raises(InvalidResponse, match="longer"):
            connection.send_body(b"abc", False)
        with pytest.raises(InvalidResponse, match="shorter"):
            connection.send_body(b"a", False)
        assert connection.send_body(b"ab", False) == [
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"
        ]


class TestTrailers:
    DATA = b"GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, Trailers\r\nConnection: TE\r\n\r\n"

    def test_sent(self, parser: HeadParser) -> None:
        connection = requested(parser, self.DATA)
        connection.next_event()
        connection.start_response(200, [(b"trailer", b"x")], True)
        connection.send_body(b"a", False)
        assert connection.expects_trailers()
        with pytest.raises(InvalidResponse, match="not allowed in trailers"):
            connection.send_trailers([(b"content-length", b"1")])
        assert connection.send_trailers([(b"X", b"y")]) == b"0\r\nx: y\r\n\r\n"
        assert not connection.expects_trailers()
        assert connection.next_event() is NEED_DATA

    def test_left_out_for_who_does_not_take_them(self, parser: HeadParser) -> None:
        connection = requested(parser)
        connection.start_response(200, [], True)
        connection.send_body(b"a", False)
        assert connection.send_trailers([(b"X", b"y")]) == b"0\r\n\r\n"

    def test_dropped_for_http_1_0(self, parser: HeadParser) -> None:
        connection = requested(parser, b"GET / HTTP/1.0\r\n\r\n")
        connection.start_response(200, [], True)
        assert connection.send_body(b"a", False) == [
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na"
        ]
        assert connection.expects_trailers()
        assert connection.send_trailers([(b"X", b"y")]) == b""
        assert is_closed(connection)

    def test_dropped_for_head(self, parser: HeadParser) -> None:
        connection = requested(parser, self.DATA.replace(b"GET", b"HEAD"))
        connection.start_response(200, [], True)
        connection.send_body(b"a", False)
        assert connection.send_trailers([(b"X", b"y")]) == b""


class TestFile:
    def test_with_a_length(self, parser: HeadParser) -> None:
        connection = requested(parser)
        connection.next_event()
        connection.start_response(200, [])
        assert connection.start_file(5) == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
        assert connection.sends_body()
        assert connection.end_file(5) == b""
        assert connection.next_event() is NEED_DATA

    def test_behind_other_pieces(self, parser: HeadParser) -> None:
        connection = requested(parser)
        connection.start_response(200, [])
        connection.send_body(b"a", True)
        assert connection.start_file(0x15) == b"15\r\n"
        assert connection.end_file(0x15) == b"\r\n0\r\n\r\n"

    def test_empty_behind_other_pieces(self, parser: HeadParser) -> None:
        connection = requested(parser)
        connection.start_response(200, [])
        connection.send_body(b"a", True)
        assert connection.start_file(0) == b""
        assert connection.end_file(0) == b"0\r\n\r\n"

    def test_before_trailers(self, parser: HeadParser) -> None:
        connection = requested(parser)
        connection.start_response(200, [], True)
        assert connection.start_file(2).endswith(b"transfer-encoding: chunked\r\n\r\n2\r\n")
        assert connection.end_file(2) == b"\r\n"
        assert connection.send_trailers([]) == b"0\r\n\r\n"

    def test_to_head(self, parser: HeadParser) -> None:
        connection = requested(parser, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.start_response(200, [])
        assert connection.start_file(5) == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
        assert not connection.sends_body()
        assert connection.end_file(5) == b""

    def test_of_another_length(self, parser: HeadParser) -> None:
        connection = requested(parser)
        connection.start_response(200, [(b"content-length", b"5")])
        with pytest.raises(InvalidResponse, match="shorter"):
            connection.start_file(4)
        with pytest.raises(InvalidResponse, match="longer"):
            connection.start_file(6)
        assert connection.start_file(5)


def test_a_response_that_ends_with_the_connection(parser: HeadParser) -> None:
    connection = requested(parser, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    connection.start_response(200, [])
    assert not connection.ends_with_connection()
    assert connection.send_body(b"a", True) == [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\na"]
    assert connection.ends_with_connection()
    assert connection.send_body(b"b", False) == [b"b"]
    assert is_closed(connection)


def test_defaults_are_sent(parser: HeadParser) -> None:
    connection = HTTPConnection(parser, defaults([(b"x-a", b"1")], b"me", True))
    connection.receive_data(GET)
    connection.next_event()
    connection.start_response(200, [(b"x-a", b"2")])
    assert connection.send_body(b"", False) == [
        b"HTTP/1.1 200 OK\r\nx-a: 2\r\nserver: me\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        b"content-length: 0\r\n\r\n"
    ]


# Properties

FRAGMENTS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /p?q HTTP/1.1\r\n",
        b"HEAD http://b/ HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"X: y\r\n",
        b"Content-Length: 3\r\n",
        b"content-length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive, upgrade\r\n",
        b"Upgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"\x00",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"0\r\nT: x\r\n\r\n",
    ]
)
STREAMS = st.lists(
    st.one_of(FRAGMENTS, FRAGMENTS, FRAGMENTS, st.binary(max_size=8)), max_size=16
).map(b"".join)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Requests that are mostly good, one behind the other."""
    text = st.binary(max_size=12).map(
        lambda data: bytes(c for c in data if c in b"\t" or 32 <= c < 127 or c > 127)
    )
    target = st.text('abc/?%41;=&|"{}', max_size=10).map(lambda text: b"/" + text.encode())
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        method = draw(
            st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"QUERY", b"M-SEARCH"])
        )
        fields = [b"Host: a"]
        for _ in range(draw(st.integers(0, 4))):
            name = draw(
                st.sampled_from(
                    [b"X", b"Connection", b"Upgrade", b"TE", b"Via", b"Proxy-Connection"]
                )
            )
            fields.append(name + b":" + draw(text))
        body = draw(st.binary(max_size=20))
        framing = draw(st.integers(0, 2))
        content = b""
        if framing == 1:
            fields.append(b"Content-Length: %d" % len(body))
            content = body
        elif framing == 2:
            fields.append(b"Transfer-Encoding: chunked")
            size = draw(st.integers(1, 8))
            pieces = [body[i : i + size] for i in range(0, len(body), size)]
            content = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            content += b"0\r\n\r\n"
        fields = draw(st.permutations(fields))
        parts.append(b"%b %b HTTP/1.1\r\n" % (method, draw(target)))
        parts.extend(field + b"\r\n" for field in fields)
        parts.append(b"\r\n" + content)
    return b"".join(parts)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@examples(300)
@given(data=st.one_of(STREAMS, requests()), cuts=st.lists(st.integers(0, 500), max_size=6))
def test_any_split_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    whole = feed(HTTPTOOLS, [data], SMALL, eof=True)
    assert feed(HTTPTOOLS, split(data, cuts), SMALL, eof=True) == whole
    assert feed(HTTPTOOLS, octets(data), SMALL, eof=True) == whole


@examples(300)
@given(data=st.one_of(STREAMS, requests()))
def test_both_parsers_give_the_same_events(data: bytes) -> None:
    assert feed(H11, [data], eof=True) == feed(HTTPTOOLS, [data], eof=True)


@examples(300)
@given(data=st.binary(max_size=300))
def test_any_bytes_give_events_or_an_http_error(data: bytes) -> None:
    feed(HTTPTOOLS, [data], eof=True)
    feed(H11, split(data, [100, 200]), eof=True)


@examples(200)
@given(data=requests())
def test_good_requests_pass(data: bytes) -> None:
    """The strategy above is of use only if most of what it makes gets through."""
    events = feed(HTTPTOOLS, [data])
    assert events[0][0] in ("head", "error")
    if events[0][0] == "error":
        assert "header" in events[0][2] or "target" in events[0][2]


def test_every_state_has_a_name_and_a_row() -> None:
    assert len(states.REQUEST) == len(states.REQUEST_STATES)
    assert len(states.RESPONSE) == len(states.RESPONSE_STATES)
