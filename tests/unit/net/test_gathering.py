"""asgiws/net/gathering.py: who gathers, and when it is too much."""

from __future__ import annotations

from asgiws.net.gathering import MOST, Gathering


class Other:
    """A connection that gathers in `gathering`."""

    def __init__(self, gathering: Gathering) -> None:
        self.gathering = gathering
        self.sent: list[bytes] = []

    def uncork(self) -> None:
        self.sent += self.gathering.out
        self.gathering.clear()
        self.gathering.connection = None


def test_pieces_are_kept_in_order_and_counted() -> None:
    gathering = Gathering()
    gathering.begin(Other(gathering))
    assert not gathering.add(b"one")
    assert not gathering.add_all([b"two", b"", b"three"])
    assert (gathering.out, gathering.size) == ([b"one", b"two", b"", b"three"], 11)
    gathering.clear()
    assert (gathering.out, gathering.size) == ([], 0)


def test_it_says_when_it_is_to_be_sent() -> None:
    gathering = Gathering()
    assert not gathering.add(bytes(MOST - 1))
    assert gathering.add(b"x")
    gathering.clear()
    assert not gathering.add(b"x")
    assert gathering.add_all([bytes(MOST // 2), bytes(MOST // 2)])


def test_a_read_within_another_has_that_sent_first() -> None:
    gathering = Gathering()
    outer, inner = Other(gathering), Other(gathering)
    gathering.begin(outer)
    gathering.add(b"from the outer read")
    gathering.begin(inner)
    assert outer.sent == [b"from the outer read"]
    assert gathering.connection is inner
    assert gathering.out == []
