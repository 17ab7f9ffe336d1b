"""The table of states against the table of the design, cell by cell, and the rules that it must
keep."""

from __future__ import annotations

import pytest

from asgiws.websocket.states import FINAL, TRANSITIONS, Effect, State, Transition, Trigger

CONNECTING, OPEN, CLOSING = State.CONNECTING, State.OPEN, State.CLOSING
REFUSED, FAILED, CLOSED = State.REFUSED, State.FAILED, State.CLOSED

E = Effect
#: What the design's table says; None where it says "error" for the application, or "-": cannot
#: happen. app accepts, app closes, close frame in, protocol error, TCP lost, deadline
DESIGN: dict[State, tuple[tuple[State, Effect] | None, ...]] = {
    CONNECTING: (
        (OPEN, E.SEND_RESPONSE),
        (REFUSED, E.SEND_RESPONSE | E.END_TCP | E.DISCONNECT),
        None,
        None,
        (CLOSED, E.DISCONNECT),
        None,
    ),
    OPEN: (
        None,
        (CLOSING, E.SEND_CLOSE | E.START_DEADLINE),
        (CLOSED, E.SEND_CLOSE | E.END_TCP | E.DISCONNECT),
        (FAILED, E.SEND_CLOSE | E.END_TCP | E.DISCONNECT),
        (CLOSED, E.DISCONNECT),
        None,
    ),
    CLOSING: (
        None,
        (CLOSING, E.NOTHING),
        (CLOSED, E.END_TCP | E.DISCONNECT),
        (FAILED, E.END_TCP | E.DISCONNECT),
        (CLOSED, E.DISCONNECT),
        (CLOSED, E.END_TCP | E.DISCONNECT),
    ),
    **{
        state: (None, *([(state, E.NOTHING)] * 5))  # "error", "ignored", "drop", "drop"
        for state in (REFUSED, FAILED, CLOSED)
    },
}
COLUMNS = (
    Trigger.ACCEPT,
    Trigger.CLOSE,
    Trigger.CLOSE_FRAME,
    Trigger.FAILURE,
    Trigger.LOST,
    Trigger.DEADLINE,
)


def test_the_tables_have_the_same_rows_and_columns() -> None:
    assert set(DESIGN) == set(State)
    assert set(COLUMNS) == set(Trigger)
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert set(FINAL) == {REFUSED, FAILED, CLOSED}


@pytest.mark.parametrize("trigger", Trigger, ids=lambda trigger: trigger.name)
@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_each_cell_is_as_designed(state: State, trigger: Trigger) -> None:
    expected = DESIGN[state][COLUMNS.index(trigger)]
    found = TRANSITIONS.get((state, trigger))
    assert found == (None if expected is None else Transition(*expected))


@pytest.mark.parametrize("pair", TRANSITIONS, ids=lambda pair: f"{pair[0].name}-{pair[1].name}")
def test_disconnect_stands_on_the_ways_into_a_final_state_and_nowhere_else(
    pair: tuple[State, Trigger],
) -> None:
    source, _ = pair
    target, effect = TRANSITIONS[pair]
    assert (Effect.DISCONNECT in effect) is (source not in FINAL and target in FINAL)


def test_there_is_no_way_out_of_a_final_state() -> None:
    assert all(
        target is source and effect is Effect.NOTHING
        for (source, _), (target, effect) in TRANSITIONS.items()
        if source in FINAL
    )


def test_every_other_state_ends_whatever_happens_to_the_connection() -> None:
    for state in (CONNECTING, OPEN, CLOSING):
        assert TRANSITIONS[state, Trigger.LOST].target in FINAL


def test_at_most_one_close_frame_is_sent() -> None:
    # 5.5.1: "After ... sending a Close message, ... MUST NOT send any more data frames"; one close
    # frame each. SEND_CLOSE leaves OPEN for good.
    for (source, _), (target, effect) in TRANSITIONS.items():
        if Effect.SEND_CLOSE in effect:
            assert source is OPEN
            assert target is not OPEN
        assert not (target is OPEN and source not in (CONNECTING, OPEN))
