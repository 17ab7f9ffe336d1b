"""Feeding a connection in every way that a network may, and collecting what comes out.

Rules of this file: no test in it. Events come out as plain tuples, with neighbouring pieces of a
body joined, so that two runs can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asgiws.http.connection import (
    CLOSED,
    NEED_DATA,
    PAUSED,
    EndOfRequest,
    HTTPConnection,
)
from asgiws.http.date import DateCache
from asgiws.http.errors import HTTPError
from asgiws.http.head import RequestHead
from asgiws.http.limits import DEFAULT_LIMITS, Limits
from asgiws.http.parser import HeadParser
from asgiws.http.response import ResponseDefaults

Event = tuple[Any, ...]

#: Sunday, 6 November 1994, the RFC's own example.
CLOCK = 784111777.0
DATE = b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


def defaults(
    headers: list[tuple[bytes, bytes]] | None = None, server: bytes = b"", with_date: bool = False
) -> ResponseDefaults:
    return ResponseDefaults(headers, server, with_date, DateCache(lambda: CLOCK))


def connect(parser: HeadParser, limits: Limits = DEFAULT_LIMITS) -> HTTPConnection:
    return HTTPConnection(parser, defaults(), limits)


def is_closed(connection: HTTPConnection) -> bool:
    """True when no request will be read and no response is owed."""
    return connection.next_event() is CLOSED and not connection.response_owed()


def pull(connection: HTTPConnection, events: list[Event]) -> bool:
    """Take events until data is needed, answering each request; false when nothing will come."""
    while True:
        try:
            event = connection.next_event()
        except HTTPError as error:
            events.append(("error", error.status, error.message))
            assert connection.next_event() is CLOSED
            connection.error_response(error)
            assert is_closed(connection)
            return False
        if event is NEED_DATA:
            return True
        if event is CLOSED:
            events.append(("closed",))
            return False
        if event is PAUSED:
            connection.start_response(200, [])
            connection.send_body(b"", False)
        elif isinstance(event, RequestHead):
            events.append(
                (
                    "head",
                    event.method,
                    event.target,
                    event.raw_path,
                    event.query,
                    event.http_version,
                    tuple(event.headers),
                    event.content_length,
                    event.chunked,
                    event.keep_alive,
                    event.expect_continue,
                    tuple(event.upgrade),
                )
            )
        elif isinstance(event, bytes):
            assert event
            if events and events[-1][0] == "body":
                event = events.pop()[1] + event
            events.append(("body", event))
        else:
            assert isinstance(event, EndOfRequest)
            events.append(("end", tuple(event.trailers)))


def feed(
    parser: HeadParser,
    pieces: Iterable[bytes],
    limits: Limits = DEFAULT_LIMITS,
    eof: bool = False,
) -> list[Event]:
    """The events of a connection on which `pieces` arrive, one per read."""
    connection = connect(parser, limits)
    events: list[Event] = []
    for piece in pieces:
        if piece:
            connection.receive_data(piece)
            if not pull(connection, events):
                return events
    if eof:
        connection.receive_eof()
        pull(connection, events)
    return events


def octets(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def feed_every_way(
    parser: HeadParser, data: bytes, limits: Limits = DEFAULT_LIMITS, eof: bool = False
) -> list[Event]:
    """The events of `data`, fed whole and octet by octet, which must give the same."""
    whole = feed(parser, [data], limits, eof)
    assert feed(parser, octets(data), limits, eof) == whole
    return whole


def parse_one(parser: HeadParser, data: bytes, limits: Limits = DEFAULT_LIMITS) -> list[Event]:
    """The events of one whole request, fed whole, octet by octet and with another one behind it."""
    events = feed_every_way(parser, data, limits)
    tail = b"OPTIONS * HTTP/1.1\r\nHost: tail\r\n\r\n"
    if events[-1][0] == "end" and events[0][9]:
        assert feed(parser, [data + tail], limits) == events + feed(parser, [tail], limits)
    else:
        assert feed(parser, [data + tail], limits) == events
    return events
