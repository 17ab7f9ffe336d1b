"""Bodies in the chunked transfer coding, beside a plain reader of the RFC's grammar.

The input: an octet of flags (1: small limits), one that says how the wire is cut, and the wire.

What must hold:
- Nothing but HTTPError comes out.
- The body, the trailers, the error and the place where the body ends do not hang on the cut.
- What is accepted is what the grammar of RFC 9112, 7.1 says it is, to the octet.
- What is kept while more is asked for is within the limits.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from tests.fuzz.targets.wire import cut, options
from tests.support.builds import Build, both

BUILDS = both("asgiws.http")

_SIZE = re.compile(rb"([0-9A-Fa-f]+)([ \t]*;[^\r\n]*)?\r\n")


class Outcome(NamedTuple):
    """`left` is what of the wire stands behind the body; `ends` is "complete", "open", or the error."""

    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...]
    left: bytes
    ends: str


def read(build: Build, pieces: list[bytes], small: bool) -> Outcome:
    limits = build["limits"].DEFAULT_LIMITS
    if small:
        limits = build["limits"].Limits(
            chunk_line=12, header_bytes=40, header_count=2, request_body=30
        )
    reader: Any = build["body"].ChunkedBody(limits)
    buffer: Any = build["buffer"].ReceiveBuffer()
    body = b""
    for index, piece in enumerate(pieces):
        buffer.feed(piece)
        try:
            while not reader.complete:  # what stands behind is not this reader's
                data = reader.read(buffer)
                if not data:
                    break
                body += data
        except build["errors"].HTTPError as error:
            # What was not looked at hangs on the cut.
            return Outcome(body, (), b"", f"{error.status} {error.message}")
        if reader.complete:
            left = buffer.take(len(buffer.data)) + b"".join(pieces[index + 1 :])
            return Outcome(body, tuple(reader.trailers), left, "complete")
        kept = len(buffer.data) - buffer.pos
        assert kept <= max(limits.chunk_line, limits.header_bytes), "more is kept than allowed"
    assert not small or len(body) <= 30
    return Outcome(body, tuple(reader.trailers), b"", "open")


def by_the_grammar(wire: bytes) -> tuple[bytes, bytes] | None:
    """(body, what is left behind the last chunk's line) of a chunked body, None when it is none."""
    body = b""
    while match := _SIZE.match(wire):
        size = int(match[1], 16)
        wire = wire[match.end() :]
        if size == 0:
            return body, wire
        if wire[size : size + 2] != b"\r\n":
            return None
        body += wire[:size]
        wire = wire[size + 2 :]
    return None


def target(data: bytes) -> None:
    (flags, how), wire = options(data, 2)
    small = bool(flags & 1)
    pieces = cut(wire, how)
    outcome, *others = (read(build, pieces, small) for build in BUILDS)
    for other in others:
        assert other == outcome, f"the builds differ: {other} and {outcome}"
    whole = read(BUILDS[0], [wire], small)
    assert whole == outcome, f"the cut shows: {whole} and {outcome}"
    if outcome.ends == "complete":
        plain = by_the_grammar(wire)
        assert plain is not None, "what is no chunked body was accepted"
        body, behind = plain
        assert outcome.body == body
        assert behind.endswith(outcome.left)
        section = behind[: len(behind) - len(outcome.left)]
        assert section == b"\r\n" or (
            section.endswith(b"\r\n\r\n") and b"\n\r\n" not in section[:-3]
        )
        for name, value in outcome.trailers:
            assert name == name.lower()
            assert re.search(
                re.escape(name) + rb":[ \t]*" + re.escape(value), section, re.IGNORECASE
            )
