"""What a connection gives is in test_connection.py; here is what only the reader shows."""

from __future__ import annotations

import pytest

from asgiws.http.buffer import ReceiveBuffer
from asgiws.http.errors import BadRequest
from asgiws.http.head_reader import HeadReader
from asgiws.http.limits import DEFAULT_LIMITS, Limits

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_the_head_is_cut_off_at_its_end() -> None:
    buffer = ReceiveBuffer()
    reader = HeadReader(DEFAULT_LIMITS)
    buffer.feed(b"\r\n" + HEAD + b"tail")
    assert reader.read(buffer) == HEAD
    assert buffer.take(9) == b"tail"


@pytest.mark.parametrize("cut", range(len(HEAD)))
def test_in_two_reads(cut: int) -> None:
    buffer = ReceiveBuffer()
    reader = HeadReader(DEFAULT_LIMITS)
    for _ in range(2):  # the reader starts anew behind each head
        buffer.feed(HEAD[:cut])
        assert reader.read(buffer) is None
        buffer.feed(HEAD[cut:])
        assert reader.read(buffer) == HEAD


def test_a_higher_minor_version_is_written_as_1_1() -> None:
    buffer = ReceiveBuffer()
    buffer.feed(b"GET /HTTP/1.3 HTTP/1.3\r\nX: HTTP/1.3\r\n\r\n")
    head = HeadReader(DEFAULT_LIMITS).read(buffer)
    assert head == b"GET /HTTP/1.3 HTTP/1.1\r\nX: HTTP/1.3\r\n\r\n"


def test_a_line_is_checked_as_soon_as_it_has_ended() -> None:
    buffer = ReceiveBuffer()
    reader = HeadReader(DEFAULT_LIMITS)
    buffer.feed(b"GET / HTTP/1.1\r\nBad Name: x\r")
    assert reader.read(buffer) is None
    buffer.feed(b"\n")
    with pytest.raises(BadRequest, match="in the name in header line 1"):
        reader.read(buffer)


def test_a_long_but_allowed_head_is_looked_at_line_by_line() -> None:
    """Its request line and its fields are within their limits, together they are above the one."""
    limits = Limits(request_line=60, header_bytes=60)
    data = b"GET /" + b"a" * 40 + b" HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20 + b"\r\n\r\n"
    assert len(data) > 60
    buffer = ReceiveBuffer()
    buffer.feed(data)
    assert HeadReader(limits).read(buffer) == data
