"""Bodies within requests are in test_connection.py; here are the readers by themselves."""

from __future__ import annotations

import pytest

from asgiws.http.body import BodyReader, ChunkedBody, LengthBody
from asgiws.http.buffer import ReceiveBuffer
from asgiws.http.errors import BadRequest
from asgiws.http.limits import DEFAULT_LIMITS


def test_length() -> None:
    buffer = ReceiveBuffer()
    body = LengthBody(5)
    assert body.read(buffer) == b""
    buffer.feed(b"abc")
    assert body.read(buffer) == b"abc"
    assert not body.complete
    buffer.feed(b"defg")
    assert body.read(buffer) == b"de"
    assert body.complete
    assert buffer.take(9) == b"fg"


def test_chunks_of_one_read_come_in_one_piece() -> None:
    buffer = ReceiveBuffer()
    body = ChunkedBody(DEFAULT_LIMITS)
    buffer.feed(b"2\r\nab\r\n1\r\nc\r\n5\r\nde")
    assert body.read(buffer) == b"abcde"
    assert body.read(buffer) == b""
    buffer.feed(b"fgh\r\n0\r\nA: 1\r\n\r\ntail")
    assert body.read(buffer) == b"fgh"
    assert body.complete
    assert body.trailers == [(b"a", b"1")]
    assert buffer.take(9) == b"tail"


def test_a_large_chunk_is_not_copied() -> None:
    buffer = ReceiveBuffer()
    body = ChunkedBody(DEFAULT_LIMITS)
    buffer.feed(b"10000\r\n")
    assert body.read(buffer) == b""
    data = b"x" * 0x8000
    buffer.feed(data)
    assert body.read(buffer) is data


def test_good_data_comes_before_the_fault_behind_it() -> None:
    buffer = ReceiveBuffer()
    body = ChunkedBody(DEFAULT_LIMITS)
    buffer.feed(b"2\r\nab\r\n1\r\nc\r\nx\r\n")
    assert body.read(buffer) == b"abc"
    for _ in range(2):
        with pytest.raises(BadRequest, match="malformed"):
            body.read(buffer)


@pytest.mark.parametrize("size", [b"4000000000000000", b"ffffffffffffffff"])
def test_a_size_that_no_one_means(size: bytes) -> None:
    buffer = ReceiveBuffer()
    buffer.feed(size + b"\r\n")
    with pytest.raises(BadRequest, match="too large"):
        ChunkedBody(DEFAULT_LIMITS).read(buffer)


def test_forbidden_trailers_are_dropped() -> None:
    buffer = ReceiveBuffer()
    body = ChunkedBody(DEFAULT_LIMITS)
    buffer.feed(b"0\r\nHOST: x\r\nTransfer-Encoding: chunked\r\nCookie: a\r\nOk: 1\r\n\r\n")
    body.read(buffer)
    assert body.trailers == [(b"ok", b"1")]


def test_the_interface_reads_nothing() -> None:
    with pytest.raises(NotImplementedError):
        BodyReader().read(ReceiveBuffer())
