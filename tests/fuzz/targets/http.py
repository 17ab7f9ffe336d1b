"""Requests, as a connection reads them with either parser.

The input: an octet of flags (see `Flags`), one that says how the wire is cut, and the wire.

What must hold:
- Nothing but HTTPError comes out, once, with a status that is meant for it and a text that is printable; its
  answer is a whole response that closes the connection.
- The events are the same however the wire is cut, and when a parser reads it a second time.
- What waits in the buffer while more is asked for is within the limits.
- A head that is written down anew is read as the same head; a body has the length that it announced.
- httptools and h11 read the same octets alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.fuzz.targets.wire import cut, options
from tests.support.builds import Build, both

Event = tuple[Any, ...]

BUILDS = both("asgiws.http")
STATUSES = (400, 408, 413, 414, 417, 431, 501, 505)
_RESPONSE = re.compile(rb"HTTP/1\.1 (\d{3}) [\x20-\x7e]+\r\n(?:[a-z-]+: [\x20-\x7e]*\r\n)+\r\n")


class Flags(NamedTuple):
    """`small` limits; the client's side ends with the wire; the application answers before it has read the
    body, or lets every upgrade have its way."""

    small: bool
    eof: bool
    early: bool
    upgrades: bool

    @classmethod
    def of(cls, octet: int) -> Flags:
        return cls(*(bool(octet >> bit & 1) for bit in range(4)))


def _limits(build: Build, small: bool) -> Any:
    limits = build["limits"]
    if not small:
        return limits.DEFAULT_LIMITS
    return limits.Limits(
        request_line=48,
        header_bytes=128,
        header_count=5,
        leading_empty_lines=2,
        chunk_line=16,
        drain=16,
        request_body=40,
    )


def _parser(build: Build, name: str) -> Any:
    if name == "httptools":
        return build["httptools_adapter"].HttptoolsParser()
    return build["h11_adapter"].H11Parser()


class Reader:
    """One connection in one build, and the events that were met on it."""

    def __init__(self, build: Build, parser: Any, flags: Flags) -> None:
        response = build["response"]
        defaults = response.ResponseDefaults([], b"", False, build["date"].DateCache(lambda: 0.0))
        self.limits = _limits(build, flags.small)
        self.build = build
        self.flags = flags
        self.connection = build["connection"].HTTPConnection(parser, defaults, self.limits)
        self.events: list[Event] = []
        self._method = ""

    def feed(self, pieces: Iterable[bytes]) -> list[Event]:
        for piece in pieces:
            if self.events and self.events[-1][0] == "tail":
                self._join("tail", piece)
                continue
            self.connection.receive_data(piece)
            if not self._pull():
                return self.events
        if self.flags.eof:
            self.connection.receive_eof()
            self._pull()
        return self.events

    def _join(self, kind: str, data: bytes) -> None:
        """Octets of a body or a tail, which the cut must not show in."""
        if self.events and self.events[-1][0] == kind:
            data = self.events.pop()[1] + data
        self.events.append((kind, data))

    def _pull(self) -> bool:
        """Take events until data is needed; false when nothing will come."""
        module = self.build["connection"]
        connection = self.connection
        while True:
            try:
                event = connection.next_event()
            except self.build["errors"].HTTPError as error:
                self._refused(error)
                return False
            if event is module.NEED_DATA:
                limits = self.limits
                most = max(limits.request_line + limits.header_bytes, limits.chunk_line) + 4
                assert connection.buffered() <= most, "more is kept than the limits allow"
                return True
            if event is module.CLOSED:
                if self.events and self.events[-1][0] == "tail":
                    return True
                self.events.append(("closed",))
                return False
            if event is module.PAUSED:
                self._answer()
            elif isinstance(event, self.build["head"].RequestHead):
                self._head(event)
            elif isinstance(event, bytes):
                assert event, "an empty piece of a body"
                self._join("body", event)
            else:
                self.events.append(("end", tuple(event.trailers)))

    def _head(self, head: Any) -> None:
        self.events.append(_facts(head))
        self._method = head.method
        connection = self.connection
        if connection.expects_continue:
            assert connection.send_continue().startswith(b"HTTP/1.1 100 ")
        if self.flags.upgrades and head.upgrade and not head.has_body():
            self._join("tail", connection.take_tail())
        elif self.flags.early:
            self._answer()

    def _answer(self) -> None:
        self.connection.start_response(200, [])
        data = b"".join(self.connection.send_body(b"yes", False))
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")

    def _refused(self, error: Any) -> None:
        connection = self.connection
        assert error.status in STATUSES, error.status
        assert re.fullmatch(r"[\x20-\x7e]+", error.message), error.message
        self.events.append(("error", error.status, error.message))
        started, owed = connection.response_started(), connection.response_owed()
        data = connection.error_response(error)
        if started:
            assert data == b""
        else:
            head = _RESPONSE.match(data)
            assert head is not None
            assert int(head[1]) == error.status
            assert b"\r\nconnection: close\r\n" in head[0]
            body = data[head.end() :]
            length = re.search(rb"\r\ncontent-length: (\d+)\r\n", head[0])
            assert length is not None
            if owed and self._method == "HEAD":
                assert body == b""  # RFC 9110, 9.3.2
            else:
                assert int(length[1]) == len(body)
        assert connection.next_event() is self.build["connection"].CLOSED
        assert not connection.response_owed()


def _facts(head: Any) -> Event:
    return (
        *("head", head.method, head.target, head.raw_path, head.query, head.http_version),
        *(tuple(head.headers), head.content_length, head.chunked, head.keep_alive),
        *(head.expect_continue, tuple(head.upgrade)),
    )


def _check(events: list[Event]) -> None:
    """What holds of the events of any wire."""
    announced: int | None = None
    body = 0
    for event in events:
        kind = event[0]
        if kind == "head":
            announced = None if event[8] else max(event[7], 0)
            body = 0
            names = [name for name, _ in event[6]]
            assert all(name == name.lower() for name in names)
            assert names.count(b"host") == 1 or event[5] == "1.0"
            assert not (event[8] and event[7] >= 0), "two framings"
        elif kind == "body":
            body += len(event[1])
            assert announced is None or body <= announced
        elif kind == "end":
            assert announced is None or body == announced


def _written_anew(head: Event) -> bytes:
    lines = [b"%s %s HTTP/%s" % (head[1].encode(), head[2], head[5].encode())]
    lines += [b"%s: %s" % field for field in head[6]]
    return b"\r\n".join([*lines, b"", b""])


def _read(build: Build, name: str, flags: Flags, pieces: list[bytes], wire: bytes) -> list[Event]:
    """The events of a wire in one build, the same in pieces and whole."""
    parser = _parser(build, name)
    events = Reader(build, parser, flags).feed(pieces)
    whole = Reader(build, parser, flags).feed([wire] if wire else [])
    assert whole == events, f"the cut shows: {whole} and {events}"
    return events


def _one_parser(name: str, data: bytes) -> list[Event]:
    (octet, how), wire = options(data, 2)
    flags = Flags.of(octet)
    pieces = cut(wire, how)
    first, *others = (_read(build, name, flags, pieces, wire) for build in BUILDS)
    for other in others:
        assert other == first, f"the builds differ: {other} and {first}"
    _check(first)
    if not flags.small:
        build = BUILDS[0]
        for head in [event for event in first if event[0] == "head"][:4]:
            again = Reader(build, _parser(build, name), flags._replace(eof=False))
            assert again.feed([_written_anew(head)])[0] == head, "a head is not read as written"
    return first


def httptools(data: bytes) -> None:
    _one_parser("httptools", data)


def h11(data: bytes) -> None:
    _one_parser("h11", data)


def differential(data: bytes) -> None:
    """Both parsers, each with a cut of its own."""
    (octet, one, two), wire = options(data, 3)
    flags = Flags.of(octet)
    for build in BUILDS:
        by_httptools, by_h11 = (
            Reader(build, _parser(build, name), flags).feed(cut(wire, how))
            for name, how in (("httptools", one), ("h11", two))
        )
        assert by_httptools == by_h11, f"httptools {by_httptools}, h11 {by_h11}"
