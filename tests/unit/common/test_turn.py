"""The work of a turn: what is left of it. How messages take it is in test_messages_turn.py."""

from __future__ import annotations

from asgiws.common.turn import UNITS, Turn


def test_its_units() -> None:
    begun: list[int] = []
    turn = Turn(lambda: begun.append(1))
    turn.take(1)
    turn.take(UNITS)
    assert (turn.left, begun) == (-1, [1])
    turn.renew()
    turn.take(5)
    assert (turn.left, begun) == (UNITS - 5, [1, 1])
