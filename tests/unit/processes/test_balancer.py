"""Which worker takes a client, with workers of the test's and a clock of its own."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import partial

import pytest

from asgiws.processes.balancer import FEW, MOST, PATIENCE, WorkerBalancer
from asgiws.processes.scoreboard import CLOSED, Scoreboard, make_memory


class Workers:
    """Workers on one board; `counts` are their connections."""

    def __init__(self, board: Scoreboard, *counts: int) -> None:
        self.board = board
        self.counts = list(counts)
        self.now = 0.0
        self.balancers = []
        for index, count in enumerate(counts):
            row = board.give_out()
            board.beat(row)
            board.set_connections(row, count)
            self.balancers.append(
                WorkerBalancer(
                    board, row, partial(self.counts.__getitem__, index), lambda: self.now
                )
            )

    def accepts(self) -> list[bool]:
        return [balancer.may_accept() for balancer in self.balancers]


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    fd = make_memory()
    board = Scoreboard(fd)
    yield board
    board.close()
    os.close(fd)


def test_who_holds_the_fewest_accepts(board: Scoreboard) -> None:
    assert Workers(board, 3, 2, 2).accepts() == [False, True, True]


def test_one_alone_always_accepts(board: Scoreboard) -> None:
    workers = Workers(board, 5)
    assert workers.accepts() == [True]
    board.give_out()  # a worker that is still starting
    assert workers.accepts() == [True]


def test_among_many_it_may_be_a_little_ahead(board: Scoreboard) -> None:
    workers = Workers(board, 640, 650, 651)
    assert workers.accepts() == [True, True, False]


def test_who_accepts_no_more_does_not_count(board: Scoreboard) -> None:
    workers = Workers(board, 9, 0)
    board.set_connections(1, CLOSED)
    assert workers.balancers[0].may_accept()


def test_the_own_number_is_told_to_the_others(board: Scoreboard) -> None:
    workers = Workers(board, 0, 5)
    workers.counts[0] = 6
    workers.balancers[0].may_accept()
    assert workers.balancers[1].may_accept()


def test_nobody_waits_for_a_worker_that_does_not_come(board: Scoreboard) -> None:
    workers = Workers(board, 5, 0)
    balancer = workers.balancers[0]
    assert not balancer.may_accept()
    workers.now += PATIENCE / 2
    assert not balancer.may_accept()
    workers.now += PATIENCE / 2
    assert [balancer.may_accept() for _ in range(FEW + 1)] == [True] * FEW + [False]
    workers.now += PATIENCE
    assert balancer.may_accept()


def test_one_that_catches_up_is_left_more_time_and_not_all(board: Scoreboard) -> None:
    workers = Workers(board, 50, 0)
    balancer = workers.balancers[0]
    looks = 0
    while not balancer.may_accept():
        workers.counts[1] += 1
        board.set_connections(1, workers.counts[1])
        workers.now += 1 / 16  # less than its patience
        looks += 1
    assert looks == MOST * 16


def test_its_patience_begins_anew_when_it_has_had_its_turn(board: Scoreboard) -> None:
    workers = Workers(board, 5, 0)
    balancer = workers.balancers[0]
    assert not balancer.may_accept()
    workers.now += PATIENCE
    workers.counts[1] = 5
    assert [workers.balancers[1].may_accept(), balancer.may_accept()] == [True, True]
    workers.counts[1] = 0
    workers.balancers[1].may_accept()
    assert not balancer.may_accept()


@pytest.mark.parametrize("speeds", [(1, 1, 1, 1), (10, 3, 2, 1)])
def test_ten_thousand_are_spread_evenly_though_one_is_faster(
    board: Scoreboard, speeds: tuple[int, ...]
) -> None:
    """Workers wake in any order, the fast ones more often, and take what they may."""
    workers = Workers(board, 0, 0, 0, 0)
    wakes = random.Random(1)
    while sum(workers.counts) < 10_000:
        (index,) = wakes.choices(range(4), speeds)
        for _ in range(64):
            if not workers.balancers[index].may_accept():
                break
            workers.counts[index] += 1
    assert max(workers.counts) <= 1.05 * min(workers.counts)
