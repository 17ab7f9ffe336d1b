"""The shared timer: when entries are ticked, how often, and what it costs."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.bridge.timer import GRACE, STALL
from asgiws.net.ticker import GRAIN, Ticker

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Timer:
    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """Stands for the event loop: time passes when the test says so.

    `early` is how much too early timers fire, as they may by the resolution of a loop's clock.
    """

    def __init__(self, now: float = 1000.0, early: float = 0.0) -> None:
        self.now = now
        self.early = early
        self.timers: list[tuple[float, int, Timer]] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        self.made += 1
        timer = Timer(when, partial(contextvars.copy_context().run, callback))
        heapq.heappush(self.timers, (when, self.made, timer))
        return timer

    def armed(self) -> list[float]:
        return [when for when, _, timer in self.timers if not timer.cancelled]

    def advance(self, until: float) -> None:
        limit = self.made + 100_000
        while self.timers and self.timers[0][0] - self.early <= until:
            assert self.made < limit, "armed again and again"
            when, _, timer = heapq.heappop(self.timers)
            if not timer.cancelled:
                self.now = max(self.now, when - self.early)
                timer.callback()
                self.early = 0.0
        self.now = until


class Entry:
    """Notes when it is ticked; `then` gives the moments that it asks for next."""

    def __init__(self, *then: Any) -> None:
        self.bucket = 0
        self.then = list(then)
        self.ticks: list[float] = []

    def tick(self, now: float) -> float:
        self.ticks.append(now)
        if not self.then:
            return 0.0
        answer = self.then.pop(0)
        return answer(now) if callable(answer) else answer


def make(clock: Clock) -> Ticker:
    return Ticker(clock)  # type: ignore[arg-type]


@given(
    st.lists(
        st.floats(0, 100, allow_nan=False).map(lambda delay: 1000.0 + delay),
        min_size=1,
        max_size=50,
    )
)
def test_entries_are_ticked_once_in_time_and_never_early(moments: list[float]) -> None:
    clock = Clock()
    ticker = make(clock)
    entries = [Entry() for _ in moments]
    for entry, when in zip(entries, moments, strict=True):
        ticker.schedule(entry, when)
    assert len(ticker) == len(entries)
    clock.advance(1101.0)
    for entry, when in zip(entries, moments, strict=True):
        assert len(entry.ticks) == 1
        assert when <= entry.ticks[0] + 1e-9
        assert entry.ticks[0] < when + GRAIN + 1e-9
    assert len(ticker) == 0
    assert clock.armed() == []


def test_a_timer_that_fires_early_ticks_nobody_early() -> None:
    clock = Clock(early=0.005)
    ticker = make(clock)
    entry = Entry()
    ticker.schedule(entry, 1005.0)
    clock.advance(1004.998)
    assert entry.ticks == []
    clock.advance(1005.2)
    assert len(entry.ticks) == 1
    assert entry.ticks[0] >= 1005.0


def test_an_earlier_request_moves_an_entry_and_a_later_one_is_forgotten() -> None:
    clock = Clock()
    ticker = make(clock)
    entry = Entry()
    ticker.schedule(entry, 1020.0)
    ticker.schedule(entry, 1010.0)
    ticker.schedule(entry, 1030.0)
    assert len(ticker) == 1
    clock.advance(1100.0)
    assert entry.ticks == [pytest.approx(1010.0, abs=GRAIN)]


def test_the_answer_of_a_tick_is_the_next_moment() -> None:
    clock = Clock()
    ticker = make(clock)
    entry = Entry(1020.0, 1021.0)
    ticker.schedule(entry, 1010.0)
    clock.advance(1100.0)
    assert entry.ticks == [pytest.approx(when, abs=GRAIN) for when in (1010, 1020, 1021)]


def test_an_entry_that_asks_for_now_is_ticked_in_the_next_bucket_only() -> None:
    clock = Clock()
    ticker = make(clock)
    entry = Entry(*[lambda now: now] * 3)
    ticker.schedule(entry, 1000.0)
    clock.advance(1000.0)
    assert len(entry.ticks) == 1
    clock.advance(1000.0 + GRAIN)
    assert len(entry.ticks) == 2
    clock.advance(1001.0)
    assert len(entry.ticks) == 4


def test_what_fell_due_in_a_stall_is_put_off_and_then_ticked_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    ticker = make(clock)
    entries = [Entry(lambda now: now) for _ in range(100)]
    for number, entry in enumerate(entries):
        ticker.schedule(entry, 1000.0 + number)
    later = Entry()
    ticker.schedule(later, 1200.5)
    clock.now = 1200.0  # the loop was blocked
    clock.advance(1200.0)
    assert [entry.ticks for entry in [*entries, later]] == [[]] * 101
    assert caplog.messages == [
        "The event loop stood still for 200.0 seconds or more: usually the application has blocked it "
        "(with work that belongs in a thread), or this process or machine was paused"
    ]
    asked = Entry()
    ticker.schedule(asked, 1200.0)  # nor is anybody else ticked in the grace
    clock.advance(1200.0 + GRACE - GRAIN)
    assert [entry.ticks for entry in [*entries, later, asked]] == [[]] * 102
    clock.advance(1200.0 + GRACE)
    assert [len(entry.ticks) for entry in [*entries, later, asked]] == [1] * 102
    assert len(ticker) == 100
    assert len(caplog.messages) == 1


def test_a_loop_that_stalls_all_the_time_puts_nothing_off_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    ticker = make(clock)
    first, second = Entry(), Entry()
    ticker.schedule(first, 1001.0)
    ticker.schedule(second, 1008.0)
    for now in (1005.0, 1010.0, 1015.0):
        clock.now = now
        clock.advance(now)
    assert first.ticks == [1010.0]  # not in the firing that ended the stall in which it fell due
    assert second.ticks == [1015.0]
    assert len(caplog.messages) == 3


def test_a_timer_that_is_a_little_late_is_no_stall(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    ticker = make(clock)
    entry, past = Entry(), Entry()
    ticker.schedule(entry, 1001.0)
    clock.now = 1001.0 + STALL
    clock.advance(clock.now)
    assert entry.ticks == [1001.0 + STALL]
    ticker.schedule(past, 900.0)  # asked for late, and not served late
    clock.advance(clock.now)
    assert len(past.ticks) == 1
    assert caplog.messages == []


def test_deadlines_are_met_while_an_entry_runs_the_loop() -> None:
    """As its application may: those in its own bucket, and those that fall due meanwhile, have their turn."""
    clock = Clock()
    ticker = make(clock)

    def run_the_loop(now: float) -> float:
        ticker.schedule(asked, now)
        clock.advance(now + 10.0)
        seen.append([len(entry.ticks) for entry in others])
        return now

    asked = Entry()
    others = [*[Entry(lambda now: now + 1.0) for _ in range(5)], Entry(), asked]
    outer = Entry(run_the_loop)
    seen: list[list[int]] = []
    for entry in (*others[:5], outer):
        ticker.schedule(entry, 1001.0)
    ticker.schedule(others[5], 1005.0)
    clock.advance(1002.0)
    assert seen == [[2] * 5 + [1, 1]]
    clock.advance(1050.0)
    assert len(outer.ticks) == 2
    assert len(ticker) == 0
    assert clock.armed() == []


def test_entries_are_ticked_in_the_context_of_the_server() -> None:
    """And not in that of an application that has asked for a deadline."""
    clock = Clock()
    ticker = make(clock)
    seen: list[str] = []

    class Looks(Entry):
        def tick(self, now: float) -> float:
            seen.append(variable.get())
            return 0.0

    def application() -> None:
        variable.set("an application's")
        ticker.schedule(Looks(), 1001.0)

    contextvars.copy_context().run(application)
    clock.advance(1002.0)
    assert seen == ["unset"]


def test_a_discarded_entry_is_not_ticked() -> None:
    clock = Clock()
    ticker = make(clock)
    kept, gone = Entry(), Entry()
    ticker.schedule(gone, 1005.0)
    ticker.schedule(kept, 1005.0)
    ticker.discard(gone)
    ticker.discard(gone)
    assert gone.bucket == 0
    clock.advance(1100.0)
    assert (len(kept.ticks), len(gone.ticks)) == (1, 0)


def test_an_entry_may_discard_and_schedule_others_within_its_tick() -> None:
    clock = Clock()
    ticker = make(clock)
    others = [Entry() for _ in range(10)]
    late = Entry()

    def discard_all(now: float) -> float:
        for other in others:
            ticker.discard(other)
        ticker.schedule(late, now + 1)
        return 0.0

    first = Entry(discard_all)
    ticker.schedule(first, 1005.0)
    for other in others:
        ticker.schedule(other, 1005.05)
    ticker.schedule(late, 1050.0)
    clock.advance(1010.0)
    assert all(not other.ticks for other in others)
    assert len(late.ticks) == 1
    assert len(ticker) == 0


def test_an_entry_that_discards_itself_is_gone() -> None:
    clock = Clock()
    ticker = make(clock)
    entry = Entry()
    entry.then = [lambda now: ticker.discard(entry) or 0.0]
    ticker.schedule(entry, 1001.0)
    clock.advance(1100.0)
    assert len(entry.ticks) == 1
    assert clock.armed() == []


def test_an_exception_in_one_tick_is_logged_and_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(now: float) -> float:
        raise ValueError("in a tick")

    clock = Clock()
    ticker = make(clock)
    entries = [Entry(), Entry(fail), Entry(1010.0)]
    for entry in entries:
        ticker.schedule(entry, 1005.0)
    with caplog.at_level(logging.ERROR, "asgiws.error"):
        clock.advance(1020.0)
    assert [len(entry.ticks) for entry in entries] == [1, 1, 2]
    assert "in a tick" in caplog.text
    assert len(ticker) == 0


def test_one_timer_is_armed_and_none_when_nobody_waits() -> None:
    clock = Clock()
    ticker = make(clock)
    assert clock.armed() == []
    entries = [Entry() for _ in range(50)]
    for number, entry in enumerate(entries):
        ticker.schedule(entry, 1050.0 - number)
        assert clock.armed() == [pytest.approx(1050.0 - number, abs=GRAIN)]
    for entry in entries:
        ticker.discard(entry)
    assert clock.armed() == []
    ticker.schedule(entries[0], 1060.0)
    assert clock.armed() == [pytest.approx(1060.0, abs=GRAIN)]


def test_close_forgets_all() -> None:
    clock = Clock()
    ticker = make(clock)
    entry = Entry()
    ticker.schedule(entry, 1005.0)
    ticker.close()
    ticker.close()
    assert (len(ticker), entry.bucket, clock.armed()) == (0, 0, [])
    clock.advance(1100.0)
    assert entry.ticks == []


def test_many_entries_share_few_timers() -> None:
    """20,000 connections with a ping every 20 s: what counts is the number of calls of the loop."""
    clock = Clock()
    ticker = make(clock)
    entries = [Entry(*[lambda now: now + 20.0] * 2) for _ in range(20_000)]
    for number, entry in enumerate(entries):
        ticker.schedule(entry, 1000.0 + number / 1000)
    clock.advance(1100.0)
    assert all(len(entry.ticks) == 3 for entry in entries)
    assert clock.made < 2 * 60 / GRAIN + 100


def test_the_clock_may_begin_at_zero() -> None:
    clock = Clock(now=0.0)
    ticker = make(clock)
    entry = Entry(lambda now: now)
    ticker.schedule(entry, 0.0)
    clock.advance(0.5)
    assert len(entry.ticks) == 2


@pytest.mark.parametrize("factory", ["asyncio", "uvloop"])
def test_with_a_real_loop(factory: str) -> None:
    make_loop = asyncio.SelectorEventLoop
    if factory == "uvloop":
        make_loop = pytest.importorskip("uvloop").new_event_loop
    loop = make_loop()
    done = loop.create_future()

    class Last(Entry):
        def tick(self, now: float) -> float:
            super().tick(now)
            if len(self.ticks) == 3:
                done.set_result(None)
                return 0.0
            return now + 0.15

    entry = Last()
    start = loop.time()
    try:
        ticker = Ticker(loop)
        ticker.schedule(entry, start + 0.2)
        loop.run_until_complete(asyncio.wait_for(done, 30))
    finally:
        loop.close()
    assert entry.ticks[0] >= start + 0.2
    assert entry.ticks[1] >= entry.ticks[0] + 0.15
    assert entry.ticks[2] >= entry.ticks[1] + 0.15
