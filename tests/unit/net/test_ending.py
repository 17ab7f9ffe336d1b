"""asgiws/net/ending.py: how long a closed connection is looked after."""

from __future__ import annotations

from asgiws.net.ending import FLUSH, LAST_CHANCE, LEAST_TAKEN, LINGER, LINGER_MOST, Ending


def test_a_peer_that_has_taken_all_and_says_nothing_is_left_after_a_moment() -> None:
    ending = Ending(100.0, 0)
    assert ending.first_look() == 100.0 + LINGER
    assert ending.next_look(100.0 + LINGER, 500, 0) == 0.0


def test_a_look_that_comes_early_ends_nothing() -> None:
    ending = Ending(100.0, 0)
    assert ending.next_look(100.5, 500, 0) == 100.0 + LINGER


def test_a_steady_peer_is_never_cut_off() -> None:
    ending = Ending(0.0, 0)
    now, taken, left = 0.0, 0, 100 * LEAST_TAKEN
    while left:
        now += FLUSH
        taken += LEAST_TAKEN
        left -= LEAST_TAKEN
        assert ending.next_look(now, taken, left) > now
    # The last of it has just been taken: the peer has its time to close.
    assert ending.next_look(now + LINGER, taken, 0) == 0.0


def test_a_peer_that_takes_next_to_nothing_is_cut_off() -> None:
    ending = Ending(0.0, 1000)
    assert ending.next_look(LINGER, 1000, 5000) == 2 * LINGER
    assert ending.next_look(FLUSH - 1, 1000 + LEAST_TAKEN - 1, 5000) == FLUSH
    assert ending.next_look(FLUSH, 1000 + LEAST_TAKEN - 1, 5000) == 0.0


def test_progress_starts_the_clock_anew() -> None:
    ending = Ending(0.0, 0)
    assert ending.next_look(FLUSH - 1, LEAST_TAKEN, 5000) > 0.0
    assert ending.next_look(2 * FLUSH - 2, LEAST_TAKEN, 5000) == 2 * FLUSH - 1
    assert ending.next_look(2 * FLUSH - 1, LEAST_TAKEN, 5000) == 0.0


def test_a_peer_that_goes_on_sending_is_listened_to_for_longer_but_not_for_ever() -> None:
    ending = Ending(0.0, 0)
    now = looks = 0.0
    while True:
        ending.heard()
        when = ending.next_look(now, 500, 0)
        if when == 0.0:
            break
        looks += 1
        now = when
    assert now == LINGER_MOST
    assert looks >= LINGER_MOST / LINGER


def test_in_a_hurry_nobody_is_listened_to_for_long() -> None:
    ending = Ending(0.0, 0)
    ending.hurry(1.0)
    ending.heard()
    assert ending.next_look(LINGER, 500, 0) == 1.0 + LINGER
    ending.heard()
    assert ending.next_look(1.0 + LINGER, 500, 0) == 0.0


def test_in_a_hurry_a_slow_peer_still_gets_all() -> None:
    ending = Ending(0.0, 0)
    ending.hurry(0.0)
    assert ending.next_look(10 * LINGER, LEAST_TAKEN, 5000) > 0.0
    assert ending.next_look(12 * LINGER, 2 * LEAST_TAKEN, 0) == 13 * LINGER


def test_a_peer_that_is_closed_for_taking_nothing_has_less_time() -> None:
    ending = Ending(0.0, 1000, has_stalled=True)
    assert ending.next_look(LAST_CHANCE, 1000, 5000) == 0.0
    ending = Ending(0.0, 1000, has_stalled=True)
    assert (
        ending.next_look(LAST_CHANCE, 1000 + LEAST_TAKEN, 5000) > LAST_CHANCE
    )  # it takes some after all
