"""asgiws/drivers/taking.py: whether a peer takes what is sent to it."""

from __future__ import annotations

from asgiws.bridge.outlet import Outlet
from asgiws.drivers.taking import Taking


class Figures(Outlet):
    """An outlet of which nothing is asked but what its peer has taken."""

    def __init__(self) -> None:
        self.now = (0, 0)

    def taken(self) -> tuple[int, int]:
        return self.now


def test_a_peer_takes_what_there_is_and_then_the_rest() -> None:
    outlet, taking = Figures(), Taking()
    assert not taking.look(outlet)
    outlet.now = (0, 100)
    assert not taking.look(outlet)  # it has some to take, and takes nothing
    outlet.now = (60, 40)
    assert taking.look(outlet)
    outlet.now = (100, 0)
    assert taking.look(outlet)  # the last of it has come only since the last look
    assert not taking.look(outlet)


def test_what_was_taken_at_once_puts_nothing_off() -> None:
    outlet, taking = Figures(), Taking()
    taking.look(outlet)
    outlet.now = (100, 0)
    assert not taking.look(outlet)


def test_a_peer_is_there_while_it_takes_some_or_has_some_to_take() -> None:
    outlet, taking = Figures(), Taking()
    outlet.now = (100, 0)
    taking.is_there(outlet)
    assert not taking.is_there(outlet)
    outlet.now = (100, 50)
    assert taking.is_there(outlet)
    assert taking.is_there(outlet)  # it may not take it, but what is on its way would fail
    outlet.now = (150, 0)
    assert taking.is_there(outlet)
    assert not taking.is_there(outlet)
