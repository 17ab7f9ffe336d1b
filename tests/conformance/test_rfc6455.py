"""Runs our own table of RFC 6455 and RFC 7692, in memory and over a socket.

Rules of this file:
- The table has the cases; here is only how octets get to a server and what it sends gets back.
- In memory the whole chain serves the case, from the request head to the session: every case in
  each way that a network may cut its octets, with each HTTP parser and on each loop.
- KNOWN_FAULTS are strict in memory: a case that passes is to be taken off the list.
- Over a socket a server is started as a user starts it, so `ASGIWS_TEST_OPTIONS` has its say.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.drivers.http import HTTPDriver
from asgiws.drivers.http_parts import HTTPParts
from asgiws.drivers.upgrade import upgrade
from asgiws.services.runtime import Runtime
from conformance.rfc6455 import app as application
from conformance.rfc6455 import table, verdict
from conformance.rfc6455.notation import (
    DEFLATE,
    ECHO,
    LISTEN,
    MAX_SIZE,
    OPENING,
    RAISE,
    Case,
    Closed,
    Deflater,
    Event,
    Frame,
    Wait,
    close,
    disconnect,
    ping,
    plain,
    ponged,
)
from conformance.rfc6455.table import CASES, RFC6455, RFC7692
from tests.support.loops import LOOPS, Loop, settle
from tests.support.memory_outlet import MemoryOutlet
from tests.support.raw import Raw, unused_name
from tests.support.server import RunningServer, serve
from tests.support.wire import bytewise

PROJECT = Path(__file__).resolve().parents[2]

#: (parser, loop): each parser and each loop once.
VARIANTS = [("h11", "asyncio")]
VARIANTS.append(("httptools", "uvloop" if "uvloop" in LOOPS else "asyncio"))

#: From this size on, octets come one by one at both ends of a read and in pieces between.
LARGE = 1500

Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    return [data]


def octet_by_octet(data: bytes) -> list[bytes]:
    if len(data) < LARGE:
        return bytewise(data)
    middle = data[300:-300]
    pieces = [middle[at : at + 999] for at in range(0, len(middle), 999)]
    return [*bytewise(data[:300]), *pieces, *bytewise(data[-300:])]


def stages(case: Case) -> list[bytes | Wait]:
    """What the client does behind its handshake, the goodbye not included."""
    received = case.received
    return list(received) if isinstance(received, tuple) else [received]


@functools.lru_cache
def configured(parser: str, **options: Any) -> Config:
    return Config(app="unused:app", http=parser, ws_max_size=MAX_SIZE, access_log=False, **options)


class Client:
    """A client in memory, and the server's side of its connection."""

    def __init__(self, case: Case, parser: str, **options: Any) -> None:
        self.case = case
        self.told: list[Event] | None = None
        self.frames: list[Frame] = []
        self._rest = b""
        config = configured(parser, **options)
        self.runtime = Runtime(self._app, config, asyncio.get_running_loop(), None)
        self.outlet = MemoryOutlet(HTTPDriver(HTTPParts(self.runtime), upgrade))

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            self.told = []
            await application.perform(self.case, scope, receive, send, self.told)
        else:
            await application.app({**scope, "path": "/", "query_string": b""}, receive, send)

    async def feed(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            await self.outlet.feed(piece)
        await settle()
        self.take()

    def take(self) -> None:
        if self.frames or self._rest or self._opened():
            frames, self._rest = verdict.split(self._rest + self.outlet.take())
            self.frames += frames

    def _opened(self) -> bool:
        return not self.outlet.written.startswith(b"HTTP/")

    def head(self) -> tuple[int, list[tuple[str, str]]]:
        head, blank, rest = self.outlet.take().partition(b"\r\n\r\n")
        assert blank, "no response"
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        if status == 101:
            self.frames, self._rest = verdict.split(rest)
        fields = [line.split(":", 1) for line in lines]
        return status, [(name, value.strip()) for name, value in fields]

    async def play(self, cut: Cut, tail: bool) -> None:
        """The whole case."""
        case = self.case
        request = case.request.replace("{path}", "/case").encode("latin-1")
        # The usual handshake need not be cut again and again: section 4 does it.
        usual = tail or (case.request in (OPENING, DEFLATE) and not case.id.startswith("4."))
        await self.feed([request] if usual else cut(request))
        inflater = verdict.response(case, *self.head())
        if case.status == 101:
            await self._converse(cut, tail)
            await self._end(inflater, tail)
        elif stages(case) != [b""]:
            await self.feed(stages(case))  # type: ignore[arg-type]
        verdict.told(case, self.told)

    async def play_at_once(self) -> None:
        """The case of a client that does not wait for the response."""
        case = self.case
        assert isinstance(case.received, bytes)
        request = case.request.replace("{path}", "/case").encode("latin-1")
        goodbye = b"" if case.ends else close(1000)
        await self.feed([request + case.received + goodbye])
        inflater = verdict.response(case, *self.head())
        if case.lost:
            await self.outlet.feed_eof()
        await self._end(inflater, False)
        verdict.told(case, self.told)

    async def _converse(self, cut: Cut, tail: bool) -> None:
        case = self.case
        steps = stages(case)
        for index, step in enumerate(steps):
            if isinstance(step, Wait):
                assert len(self.frames) >= step.frames, f"waits for {step.frames} frames"
                continue
            data = step + ping(verdict.TAIL) if tail and index == len(steps) - 1 else step
            await self.feed(cut(data))
        if case.lost:
            await self.outlet.feed_eof()
        elif not case.ends:
            await self.feed(cut(close(1000)))

    async def _end(self, inflater: verdict.Inflater | None, tail: bool) -> None:
        """The server has ended TCP, and everything that it sent is there."""
        self.take()
        assert self.outlet.ended, "the server does not end TCP"
        await self.outlet.lose()
        await settle()
        assert not self._rest, f"half a frame: {self._rest[:80]!r}"
        verdict.sent(self.case, self.frames, inflater, tail)


def run_on(loop: str, main: Coroutine[Any, Any, None]) -> None:
    runner = Loop(loop)
    try:
        runner.run(main)
    finally:
        runner.close()


def has_only_to_answer(case: Case) -> bool:
    """Whether neither side has to wait for what the other says by itself."""
    sends = [step for step in case.does if isinstance(step, dict)]
    answers = case.does[-1] in (ECHO, LISTEN) and all("accept" in step["type"] for step in sends)
    return case.status == 101 and answers and not isinstance(case.received, tuple)


@pytest.mark.parametrize(("parser", "loop"), VARIANTS, ids=[parser for parser, _ in VARIANTS])
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_in_memory(case: Case, parser: str, loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whole; octet by octet; both with a ping behind; all in one read with the handshake."""

    async def main() -> None:
        for cut in (whole, octet_by_octet):
            for tail in (False, True):
                # A tail would become part of a frame that is not whole.
                if not (tail and (case.lost or case.status != 101)):
                    await Client(case, parser).play(cut, tail)
        if has_only_to_answer(case):
            await Client(case, parser).play_at_once()

    run_on(loop, main())
    raised = [record for record in caplog.records if record.exc_info]
    assert bool(raised) == (RAISE in case.does), raised


#: The options of compression, each away from its default: what the RFC asks for is the same.
COMPRESSION = {
    "zlib": {"ws_deflate_backend": "zlib"},
    "zlib-ng": {"ws_deflate_backend": "zlib-ng"},
    "small windows": {"ws_deflate_window_bits": 9, "ws_deflate_client_window_bits": 9},
    "large windows": {"ws_deflate_window_bits": 15, "ws_deflate_client_window_bits": 15},
    "server forgets": {"ws_deflate_no_context_takeover": "server"},
    "client forgets": {"ws_deflate_no_context_takeover": "client"},
    "both forget": {"ws_deflate_no_context_takeover": "both", "ws_deflate_memory_level": 1},
    "no memory": {"ws_deflate_memory": 0},
    "little memory": {"ws_deflate_memory": 100_000, "ws_deflate_level": 1},
    "much memory": {"ws_deflate_memory_level": 9, "ws_deflate_level": 9},
    "none is short": {"ws_deflate_min_size": 0},
    "all are short": {"ws_deflate_min_size": 100_000},
}
CASES_7692 = [case for clause in RFC7692 for case in clause.cases]

#: In these the client does not heed the response: it keeps its window, of the size that it offered.
HEEDLESS = {
    *("7692:7.2.2-7", "7692:7.2.2-10", "7692:7.2.3.2-1", "7692:7.2.3.2-2"),
    *("7692:7.2.2-13", "7692:7.2.2-14"),
}
HEEDS = {"small windows", "client forgets", "both forget", "no memory"}


@pytest.mark.parametrize("name", COMPRESSION)
@pytest.mark.parametrize("case", CASES_7692, ids=[case.id for case in CASES_7692])
def test_with_the_options_of_compression(case: Case, name: str) -> None:
    if case.id in HEEDLESS and name in HEEDS:
        return  # the client breaks what was agreed
    options = {"ws_deflate_min_size": 0, **COMPRESSION[name]}  # type: ignore[dict-item]

    async def main() -> None:
        for cut in (whole, octet_by_octet):
            await Client(case, "auto", **options).play(cut, tail=not case.lost)

    run_on(VARIANTS[-1][1], main())


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    options = ("--ws-max-size", str(MAX_SIZE), "--no-access-log")
    # One application raises, on purpose; nothing else may.
    with serve("conformance.rfc6455.app:app", *options, cwd=PROJECT, expect_errors=True) as running:
        yield running
        assert running.stop() == 0
    last_lines = re.findall(r"^Traceback .*\n(?:[ \t].*\n)+(\S+)", running.stderr(), re.MULTILINE)
    assert all("Deliberate" in line for line in last_lines), last_lines


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_over_a_socket(case: Case, server: RunningServer) -> None:
    name = unused_name()
    request = case.request.replace("{path}", application.path(case, name)).encode("latin-1")
    with Raw.connect(server) as raw:
        if case.status == 101:
            raw.send(request)
            _, status, fields = raw.head()
            inflater = verdict.response(case, status, fields)
            frames = converse(raw, case)
            verdict.sent(case, frames, inflater, False)
        else:
            response = raw.request(request, "HEAD" if request.startswith(b"HEAD") else "GET")
            verdict.response(case, response.status, response.headers)
    with Raw.connect(server) as desk:
        answer = desk.request(
            f"GET /told?{name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        )
    verdict.told(case, application.read_report(answer.body))


def converse(raw: Raw, case: Case) -> list[Frame]:
    """The client's side behind the handshake; all that the server sent."""
    frames: list[Frame] = []
    for step in stages(case):
        if isinstance(step, Wait):
            while len(frames) < step.frames:
                got = raw.frame()
                first = (0x80 if got.fin else 0) | (0x40 if got.rsv1 else 0) | got.opcode
                frames.append(Frame(first, got.payload))
        else:
            raw.send(step)
    if case.lost:
        raw.shut()
    elif not case.ends:
        raw.send(close(1000))
    more, rest = verdict.split(raw.read_all())
    assert not rest, f"half a frame: {rest[:80]!r}"
    return frames + more


# The table itself


def test_ids_name_their_clause_and_are_numbered_through() -> None:
    clauses = [("", clause) for clause in RFC6455] + [("7692:", clause) for clause in RFC7692]
    numbers: dict[str, list[int]] = {}
    for prefix, clause in clauses:
        for case in clause.cases:
            section, _, number = case.id.rpartition("-")
            assert section == prefix + clause.section, case.id
            numbers.setdefault(section, []).append(int(number))
    for section, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), section
    assert len(CASES) == sum(map(len, numbers.values()))


def test_each_clause_has_a_case_or_a_reason_and_what_it_names_exists() -> None:
    for clause in (*RFC6455, *RFC7692):
        assert clause.words
        assert clause.cases or clause.also or clause.why, clause
        assert set(clause.also) <= set(CASES), clause.also
        for file in re.findall(r"`(tests/[^`]+)`", clause.why):
            assert (PROJECT / file).exists()


def test_the_page_has_the_table_as_it_is() -> None:
    """`python -m conformance.rfc6455 --write-docs` writes it."""
    page = table.PAGE.read_text(encoding="utf-8")
    assert table.with_block(page) == page


# The verdicts: what they must not let pass


def rejects(check: Callable[[], object]) -> str:
    with pytest.raises(verdict.Wrong) as caught:
        check()
    return str(caught.value)


ECHOED = CASES["5.6-1"]
COMPRESSED = CASES["7692:7.1.1.1-1"]
FIELDS = [
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
]


def extension(value: str) -> list[tuple[str, str]]:
    return [*FIELDS, ("sec-websocket-extensions", value)]


@pytest.mark.parametrize(
    ("case", "status", "fields", "words"),
    [
        (ECHOED, 200, FIELDS, "status"),
        (ECHOED, 101, FIELDS[1:], "Upgrade"),
        (ECHOED, 101, [FIELDS[0], ("connection", "close"), FIELDS[2]], "Connection"),
        (ECHOED, 101, [*FIELDS[:2], ("sec-websocket-accept", "x")], "Accept"),
        (ECHOED, 101, [*FIELDS, FIELDS[0]], "twice"),
        (ECHOED, 101, [*FIELDS, ("content-length", "0")], "content-length"),
        (ECHOED, 101, extension("permessage-deflate"), "cannot be agreed"),
        (COMPRESSED, 101, FIELDS, "not agreed"),
        (COMPRESSED, 101, extension("foo"), "foo"),
        (COMPRESSED, 101, extension("permessage-deflate"), "is missing"),
        (
            COMPRESSED,
            101,
            extension("permessage-deflate; server_no_context_takeover=1"),
            "has a value",
        ),
        (
            COMPRESSED,
            101,
            extension("permessage-deflate; server_no_context_takeover; client_max_window_bits=9"),
            "not offered",
        ),
        (
            CASES["7692:7.1.2.1-2"],
            101,
            extension("permessage-deflate; server_max_window_bits=11"),
            "server_max_window_bits=11",
        ),
        (CASES["7692:7.1.2.1-2"], 101, extension("permessage-deflate"), "not confirmed"),
    ],
)
def test_a_wrong_response_is_found(
    case: Case, status: int, fields: list[tuple[str, str]], words: str
) -> None:
    assert words in rejects(lambda: verdict.response(case, status, fields))


BYE = Frame(0x88, b"\x03\xe8")
GOOD = plain("Hello")


def test_right_frames_and_events_pass() -> None:
    verdict.sent(ECHOED, [GOOD, BYE], None, False)
    verdict.sent(ECHOED, [Frame(0x01, b"Hel"), Frame(0x80, b"lo"), BYE], None, False)
    verdict.sent(ECHOED, [ponged("the tail"), GOOD, BYE], None, True)
    verdict.told(ECHOED, [{"type": "websocket.receive", "text": "Hello"}, disconnect(1000)])
    verdict.told(CASES["5.1-1"], [disconnect(1002, "any reason")])


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [GOOD],
        [BYE],
        [GOOD, GOOD, BYE],
        [BYE, GOOD],
        [Frame(0x82, b"Hello"), BYE],
        [Frame(0x01, b"Hello"), BYE],
        [Frame(0xC1, b"Hello"), BYE],
        [Frame(0x91, b"Hello"), BYE],
        [Frame(0x80, b"Hello"), BYE],
        [Frame(0x83, b"Hello"), BYE],
        [GOOD, Frame(0x88, b"\x03\xe9")],
        [GOOD, Frame(0x88, b"")],
        [GOOD, Frame(0x88, b"\x03")],
        [GOOD, Frame(0x88, b"\x03\xe8a reason")],
        [GOOD, BYE, BYE],
        [GOOD, ponged(), BYE],
        [GOOD, Frame(0x89, b""), BYE],
        [GOOD, Frame(0x8A, b"x" * 126), BYE],
    ],
)
def test_wrong_frames_are_found(frames: list[Frame]) -> None:
    rejects(lambda: verdict.sent(ECHOED, frames, None, False))


@pytest.mark.parametrize(
    "events",
    [
        None,
        [],
        [disconnect(1000)],
        [{"type": "websocket.receive", "text": "Hello"}],
        [{"type": "websocket.receive", "bytes": b"Hello"}, disconnect(1000)],
        [{"type": "websocket.receive", "text": "Hello"}, disconnect(1005)],
        [{"type": "websocket.receive", "text": "Hello"}, disconnect(1000, "x")],
        [{"type": "websocket.receive", "text": "Hello"}, disconnect(1000), disconnect(1000)],
    ],
)
def test_wrong_events_are_found(events: list[Event] | None) -> None:
    rejects(lambda: verdict.told(ECHOED, events))


def test_wrong_octets_are_found() -> None:
    assert "masked" in rejects(lambda: verdict.split(b"\x81\x80\0\0\0\0"))
    assert "shortest" in rejects(lambda: verdict.split(b"\x81\x7e\x00\x05Hello"))
    assert "shortest" in rejects(lambda: verdict.split(b"\x81\x7f" + bytes(6) + b"\xff\xff"))
    assert verdict.split(b"\x81\x05Hello\x88\x02\x03") == ([GOOD], b"\x88\x02\x03")
    far = verdict.Inflater({"server_max_window_bits": "9"})
    noise = bytes(range(256)) * 2 + bytes(range(255, -1, -1)) * 2
    rejects(lambda: far.message(Deflater(15).message(noise + noise[:512])))
    kept = verdict.Inflater({"server_no_context_takeover": None})
    deflater = Deflater()
    assert kept.message(deflater.message("Hello Hello")) == b"Hello Hello"
    rejects(lambda: kept.message(deflater.message("Hello Hello")))


def test_closed_without_a_reason_stands_for_any() -> None:
    assert CASES["5.1-1"].sent == (Closed(1002),)
    verdict.sent(CASES["5.1-1"], [Frame(0x88, b"\x03\xeaany")], None, False)
    rejects(lambda: verdict.sent(CASES["5.1-1"], [Frame(0x88, b"\x03\xe8any")], None, False))
