"""The end of the connections, on a clock of the test's."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.server.drain import Drain, count_lasting, spread, window
from asgiws.server.registry import Registry


class Timer:
    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self.when = when
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """A loop's clock, timers and callbacks, which `go` moves on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        self.timers.append(Timer(when, call))
        return self.timers[-1]

    def call_soon(self, call: Callable[..., object], *arguments: object) -> Timer:
        return self.call_at(self.now, lambda: call(*arguments))

    def go(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            self.timers = [timer for timer in self.timers if not timer.cancelled]
            due = [timer for timer in self.timers if timer.when <= end]
            if not due:
                break
            first = min(due, key=lambda timer: timer.when)
            self.timers.remove(first)
            self.now = max(self.now, first.when)
            first.call()
        self.now = end


class Connection:
    def __init__(self, bench: Bench, lasts: bool = True) -> None:
        self.bench = bench
        self.does_last = lasts
        #: Where there are several conversations on it.
        self.several: tuple[Connection, ...] = ()
        self.ends: list[float] = []

    def conversations(self) -> Collection[Any]:
        return self.several or (self,)

    def lasts(self) -> bool:
        return self.does_last

    def shutdown(self) -> None:
        self.ends.append(self.bench.clock.now - 1000.0)


class Bench:
    def __init__(self, window: float, *lasting: bool) -> None:
        self.clock = Clock()
        self.registry = Registry(lambda: None)
        self.connections = [Connection(self, lasts) for lasts in lasting]
        for connection in self.connections:
            self.registry.add(connection)
        loop: Any = self.clock
        self.drain = Drain(loop, self.registry, window)

    def ends(self) -> list[float]:
        return [end for connection in self.connections for end in connection.ends]


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_the_moments_are_spread_evenly_and_each_is_in_its_part(count: int) -> None:
    part = 5.0 / count
    moments = spread(count, 5.0)
    assert len(moments) == count
    assert all(index * part <= moment <= (index + 1) * part for index, moment in enumerate(moments))
    assert spread(count, 5.0, lambda: 0.0) == pytest.approx(
        [index * part for index in range(count)]
    )


def test_no_moments_for_nobody() -> None:
    assert spread(0, 5.0) == []


def test_what_lasts_is_ended_over_the_window_and_the_rest_at_once() -> None:
    bench = Bench(10.0, *[True] * 100, False, False)
    bench.drain.begin()
    assert bench.connections[-1].ends == bench.connections[-2].ends == [0.0]
    for second in range(1, 11):
        bench.clock.go(1.0)
        assert len(bench.ends()) - 2 == second * 10
    assert all(len(connection.ends) == 1 for connection in bench.connections)
    assert bench.clock.timers == []


def test_the_order_is_not_that_of_their_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(10.0, True, True, True)
    connections = bench.connections[::-1]

    def shuffle(items: list[Any]) -> None:
        items.sort(key=lambda item: connections.index(item[1]))

    monkeypatch.setattr(random, "shuffle", shuffle)
    bench.drain.begin()
    bench.clock.go(10.0)
    assert bench.ends() == sorted(bench.ends(), reverse=True)


def test_without_a_window_all_end_at_once() -> None:
    bench = Bench(0.0, True, True, False)
    bench.drain.begin()
    assert bench.ends() == [0.0] * 3


def test_who_leaves_by_itself_is_left_to_it() -> None:
    bench = Bench(10.0, True, True)
    bench.drain.begin()
    bench.registry.discard(bench.connections[0])
    bench.clock.go(10.0)
    assert bench.connections[0].ends == []
    assert len(bench.connections[1].ends) == 1


@pytest.mark.parametrize("after", [3.0, 11.0])
def test_one_that_comes_later_has_its_moment_in_what_is_left(after: float) -> None:
    bench = Bench(10.0, True)
    bench.drain.begin()
    bench.clock.go(after)
    late = Connection(bench)
    bench.registry.add(late)
    assert late.ends == []  # in a callback, and not within what made it
    bench.clock.go(10.0)
    (end,) = late.ends
    assert after <= end <= max(after, 10.0)


def test_a_request_that_becomes_a_websocket_meanwhile_is_ended_as_one() -> None:
    bench = Bench(10.0, False)
    (connection,) = bench.connections
    bench.drain.begin()
    assert connection.ends == [0.0]
    connection.does_last = True
    bench.registry.add(connection)
    bench.clock.go(10.0)
    assert len(connection.ends) == 2


def test_one_that_comes_and_goes_is_not_asked() -> None:
    bench = Bench(10.0)
    bench.drain.begin()
    late = Connection(bench)
    bench.registry.add(late)
    bench.registry.discard(late)
    bench.clock.go(10.0)
    assert late.ends == []


def test_once_closed_it_ends_nobody() -> None:
    bench = Bench(10.0, True)
    bench.drain.begin()
    bench.drain.close()
    bench.registry.add(Connection(bench))
    bench.clock.go(10.0)
    assert bench.ends() == []
    assert bench.clock.timers == []


def test_all_are_ended_though_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(0.0, True, True, True)

    def fails() -> Any:
        raise ValueError("stubborn")

    bench.connections[0].shutdown = fails  # type: ignore[method-assign]
    bench.connections[1].lasts = fails  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR, "asgiws.error"):
        bench.drain.begin()
    assert bench.ends() == [0.0, 0.0]
    assert caplog.text.count("ValueError: stubborn") == 2


def test_the_window_ends_before_what_is_open_is_cut_off() -> None:
    assert window(Config("a:b"), 28.0) == 5.0
    assert window(Config("a:b", timeout_graceful_shutdown=4), 3.6) == 2.0
    assert window(Config("a:b"), 1.0) == 0.9
    assert window(Config("a:b", drain_window=0), 28.0) == 0.0
    assert window(Config("a:b", drain_window=20), 28.0) == 20.0
    assert window(Config("a:b", drain_window=30), 28.0) == pytest.approx(25.2)
    assert window(Config("a:b", drain_window=20), -1.0) == 0.0


async def test_on_a_real_loop() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    class One:
        def lasts(self) -> bool:
            return True

        def shutdown(self) -> None:
            ended.set()

    registry = Registry(lambda: None)
    registry.add(One())
    Drain(loop, registry, 0.05).begin()
    await asyncio.wait_for(ended.wait(), 30)


def test_each_of_several_conversations_on_a_connection_has_its_own_moment() -> None:
    bench = Bench(10.0, True, True)
    shared, alone = bench.connections
    shared.several = tuple(Connection(bench, lasts) for lasts in (True, True, True, False))
    assert count_lasting(bench.registry) == 4
    bench.drain.begin()
    assert [one.ends for one in shared.several] == [[], [], [], [0.0]]
    bench.clock.go(10.0)
    ends = [*(one.ends[0] for one in shared.several[:3]), *alone.ends]
    assert len(ends) == len(set(ends)) == 4
    assert shared.ends == []
    parts = sorted(int(end / 2.5) for end in ends)
    assert parts == [0, 1, 2, 3]


def test_conversations_of_a_connection_that_has_gone_are_left_alone() -> None:
    bench = Bench(10.0, True)
    (connection,) = bench.connections
    connection.several = (Connection(bench), Connection(bench))
    bench.drain.begin()
    bench.registry.discard(connection)
    bench.clock.go(10.0)
    assert [one.ends for one in connection.several] == [[], []]


def test_one_that_cannot_say_what_it_carries_is_ended_itself(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(10.0, True)
    (connection,) = bench.connections
    monkeypatch.setattr(connection, "conversations", lambda: 1 / 0)
    bench.drain.begin()
    bench.clock.go(10.0)
    assert len(connection.ends) == 1
    assert "was asked what it carries" in caplog.text
