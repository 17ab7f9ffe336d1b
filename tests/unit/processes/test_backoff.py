"""How long to wait before a process is started again."""

from __future__ import annotations

from asgiws.processes.backoff import MOST, SOUND, BackOff


def test_each_death_in_a_row_costs_more() -> None:
    back_off = BackOff(0.5)
    waits = [back_off.next() for _ in range(40)]
    assert waits[:8] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, MOST]
    assert set(waits[7:]) == {MOST}


def test_a_sound_run_is_a_new_beginning() -> None:
    back_off = BackOff(0.5)
    back_off.next()
    back_off.ran(SOUND - 0.1)
    assert back_off.next() == 0.5
    back_off.ran(SOUND)
    assert [back_off.next(), back_off.next()] == [0.0, 0.5]


def test_a_wait_may_have_a_least() -> None:
    back_off = BackOff(0.25)
    assert [back_off.next(at_least=0.5) for _ in range(4)] == [0.5, 0.5, 0.5, 1.0]
