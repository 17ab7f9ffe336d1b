"""The primitives of the pure build. Their compiled twin (`octets.pxd`) has no name at run time: the tests of
messages and of the inbox reach it, and run in both builds.
"""

from __future__ import annotations

import sys

import pytest

from asgiws.common import octets


def test_to_bytes_copies() -> None:
    data = bytearray(b"0123456789")
    piece = octets.to_bytes(data, 2, 5)
    data[:] = bytes(10)
    assert type(piece) is bytes
    assert piece == b"234"
    assert octets.to_bytes(data, 3, 3) == b""


def test_to_text() -> None:
    data = bytearray("xäöü€😀y".encode())
    assert octets.to_text(data, 1, len(data) - 1) == "äöü€😀"
    assert octets.to_text(data, 1, 1) == ""
    with pytest.raises(UnicodeDecodeError):
        octets.to_text(data, 1, 2)


def test_append_and_put_take_their_range_only() -> None:
    data = bytearray(b"0123456789")
    grown = bytearray(b"a")
    octets.append(grown, data, 2, 5)
    octets.append(grown, data, 9, 9)
    assert grown == b"a234"
    target = octets.new_target(5)
    octets.put(target, 3, data, 0, 2)
    octets.put(target, 0, data, 7, 10)
    whole = octets.finish(target)
    assert (type(whole), whole) == (bytes, b"78901")


@pytest.mark.parametrize("at", range(17))
def test_is_ascii_looks_at_its_range_only(at: int) -> None:
    data = bytearray(b"\xff" + b"a" * 17 + b"\xff")
    assert octets.is_ascii(data, 1, 18)
    data[1 + at] = 0x80
    assert not octets.is_ascii(data, 1, 18)
    assert octets.is_ascii(data, 2 + at, 18)


@pytest.mark.parametrize("message", [b"", b"abc", "", "abc", "ä€", "😀"])
def test_memory(message: str | bytes) -> None:
    assert octets.memory(message) == sys.getsizeof(message)
