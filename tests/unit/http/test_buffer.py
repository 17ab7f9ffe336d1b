from __future__ import annotations

from asgiws.http.buffer import ReceiveBuffer


def test_a_whole_read_is_not_copied() -> None:
    buffer = ReceiveBuffer()
    assert buffer.is_empty()
    data = b"x" * 100
    buffer.feed(data)
    assert not buffer.is_empty()
    assert buffer.take(100) is data
    assert buffer.is_empty()


def test_what_was_not_taken_stays_in_front() -> None:
    buffer = ReceiveBuffer()
    buffer.feed(b"abcdef")
    assert buffer.take(2) == b"ab"
    buffer.pos += 1
    buffer.feed(b"ghi")
    assert buffer.take(4) == b"defg"
    assert buffer.take(9) == b"hi"
    assert buffer.take(1) == b""
    buffer.feed(b"jk")
    assert buffer.take(0) == b""
    assert buffer.take(2) == b"jk"
