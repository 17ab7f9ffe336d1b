"""Small pieces are joined while they wait, and the first never is."""

from __future__ import annotations

import sys

import pytest

from asgiws.common.pieces import JOIN_BELOW, add, join


def collected(*given: bytes) -> list[bytes | bytearray]:
    pieces: list[bytes | bytearray] = []
    for piece in given:
        add(pieces, piece)
    return pieces


def test_small_pieces_become_one() -> None:
    many = [b"%d" % number for number in range(10000)]
    pieces = collected(*many)
    assert len(pieces) == 2
    assert sum(map(sys.getsizeof, pieces)) < 2 * len(b"".join(many))
    assert join(pieces) == b"".join(many)


def test_a_large_piece_is_not_copied_and_ends_what_is_joined() -> None:
    large, first = b"x" * JOIN_BELOW, b"first"
    pieces = collected(first, b"a", b"b", large, b"c", b"d")
    assert pieces == [b"first", b"ab", large, b"cd"]
    assert pieces[0] is first
    assert pieces[2] is large
    assert join(pieces) == b"firstab" + large + b"cd"


@pytest.mark.parametrize("size", [1, JOIN_BELOW])
def test_the_only_piece_is_returned_as_it_is(size: int) -> None:
    piece = b"x" * size
    assert join(collected(piece)) is piece


def test_a_piece_that_was_added_does_not_change() -> None:
    second = b"second"
    collected(b"first", second, b"third")
    assert second == b"second"
