from __future__ import annotations

import pytest

from asgiws.http import states

TABLES = [(states.REQUEST, states.REQUEST_STATES), (states.RESPONSE, states.RESPONSE_STATES)]


@pytest.mark.parametrize(("table", "names"), TABLES)
def test_every_state_is_in_the_table_by_its_number(
    table: dict[int, dict[int, int]], names: tuple[str, ...]
) -> None:
    assert sorted(table) == list(range(len(names)))
    for number, name in enumerate(names):
        assert getattr(states, name) == number
    for row in table.values():
        assert set(row.values()) <= set(table)


@pytest.mark.parametrize(("table", "names"), TABLES)
def test_every_state_is_reached_from_the_first(
    table: dict[int, dict[int, int]], names: tuple[str, ...]
) -> None:
    reached = {0}
    while True:
        more = {state for start in reached for state in table[start].values()} - reached
        if not more:
            break
        reached |= more
    assert reached == set(table)


@pytest.mark.parametrize(
    ("table", "event", "end"),
    [
        (states.REQUEST, states.CLOSE, states.CLOSED),
        (states.RESPONSE, states.END, states.ENDED),
    ],
)
def test_every_state_can_end(table: dict[int, dict[int, int]], event: int, end: int) -> None:
    assert {row[event] for row in table.values()} == {end}
    assert table[end] == {event: end}
