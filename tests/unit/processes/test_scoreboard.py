"""The table in shared memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from asgiws.processes import scoreboard as module
from asgiws.processes.scoreboard import CLOSED, ROWS, STALE, Scoreboard, make_memory


@pytest.fixture
def memory() -> Iterator[int]:
    fd = make_memory()
    yield fd
    os.close(fd)


@pytest.fixture
def board(memory: int) -> Iterator[Scoreboard]:
    board = Scoreboard(memory)
    yield board
    board.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    moment = [50_000]
    monkeypatch.setattr(module, "now", lambda: moment[0])
    return moment


def test_two_see_the_same(memory: int, board: Scoreboard) -> None:
    other = Scoreboard(memory)
    row = board.give_out()
    other.set_connections(row, 5)
    assert board.connections(row) == 5
    other.close()


def test_another_process_sees_the_same(memory: int, board: Scoreboard) -> None:
    row = board.give_out()
    code = (
        f"from asgiws.processes.scoreboard import Scoreboard; board = Scoreboard({memory}); "
        f"board.beat({row}); board.set_connections({row}, 7)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, pass_fds=[memory], timeout=60)
    assert board.connections(row) == 7
    assert 0.0 <= board.silence(row) < 60.0


def test_rows_are_given_out_and_taken_back(board: Scoreboard) -> None:
    assert [board.give_out() for _ in range(3)] == [0, 1, 2]
    board.set_connections(1, 9)
    board.take_back(1)
    assert board.connections(1) == 0
    assert board.give_out() == 1
    assert board.give_out() == 3
    for row in range(4, ROWS):
        assert board.give_out() == row
    with pytest.raises(RuntimeError):
        board.give_out()


def test_silence_begins_with_the_first_beat(board: Scoreboard, clock: list[int]) -> None:
    row = board.give_out()
    clock[0] += 10_000
    assert board.silence(row) == 0.0
    board.beat(row)
    clock[0] += 2500
    assert board.silence(row) == 2.5
    board.rest(row)
    clock[0] += 2500
    assert board.silence(row) == 0.0
    assert board.give_out() != row
    board.take_back(row)
    assert board.silence(row) == 0.0


def test_the_least_is_that_of_the_others_who_accept_and_live(
    board: Scoreboard, clock: list[int]
) -> None:
    rows = [board.give_out() for _ in range(4)]
    assert board.least(0) is None
    for row, count in zip(rows, (1, 5, 3, 4), strict=True):
        board.set_connections(row, count)
        assert board.least(0) is (None if row < 2 else board.least(0))
        board.beat(row)
    assert board.least(0) == 3
    assert board.least(2) == 1
    board.set_connections(2, CLOSED)
    assert board.connections(2) == 0
    assert board.least(0) == 4
    board.take_back(3)
    assert board.least(0) == 5
    clock[0] += STALE + 1
    assert board.least(0) is None


def test_memory_where_there_is_no_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    before = set(os.listdir(tempfile.gettempdir()))
    fd = make_memory()
    board = Scoreboard(fd)
    row = board.give_out()
    board.set_connections(row, 3)
    assert board.connections(row) == 3
    board.close()
    os.close(fd)
    after = {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("asgiws-")}
    assert after <= before
