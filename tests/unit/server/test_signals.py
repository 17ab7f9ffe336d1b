"""Signals are counted while the watch is entered, and given back as they were."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from asgiws.server import signals
from asgiws.server.signals import Forced, HangupWatch, SignalWatch


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.SelectorEventLoop()
    yield loop
    loop.close()


def watch(loop: asyncio.AbstractEventLoop) -> tuple[SignalWatch, list[Any]]:
    calls: list[Any] = []
    return (
        SignalWatch(
            loop, lambda n: calls.append(("first", n)), lambda n: calls.append(("again", n))
        ),
        calls,
    )


def turn(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(asyncio.sleep(0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_and_again(loop: asyncio.AbstractEventLoop, number: int) -> None:
    watching, calls = watch(loop)
    with watching:
        signal.raise_signal(number)
        assert calls == []  # not within the handler, but in the loop
        turn(loop)
        assert calls == [("first", number)]
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        turn(loop)
        assert calls[1:] == [("again", signal.SIGTERM), ("again", signal.SIGINT)]


def test_a_blocked_loop_is_ended_by_the_second_signal(loop: asyncio.AbstractEventLoop) -> None:
    watching, calls = watch(loop)
    with watching:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Forced) as caught:
            signal.raise_signal(signal.SIGTERM)
        assert caught.value.code == 128 + signal.SIGTERM
        assert calls == []
        turn(loop)


def test_a_waiting_loop_wakes_up(loop: asyncio.AbstractEventLoop) -> None:
    event = asyncio.Event()
    watching = SignalWatch(loop, lambda _: event.set(), lambda _: None)
    main = threading.main_thread().ident
    assert main is not None

    def send() -> None:
        time.sleep(0.05)  # the loop waits in its selector by then, or not yet: both must do
        signal.pthread_kill(main, signal.SIGTERM)

    with watching:
        thread = threading.Thread(target=send)
        thread.start()
        loop.run_until_complete(asyncio.wait_for(event.wait(), 30))
        thread.join()


def test_the_handlers_of_before_are_put_back(loop: asyncio.AbstractEventLoop) -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:
        interrupt = signal.getsignal(signal.SIGINT)
        watching, calls = watch(loop)
        with watching:
            pass
        signal.raise_signal(signal.SIGTERM)
        assert got == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) is interrupt
        assert calls == []
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_from_outside_of_python_are_left(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    watching, _ = watch(loop)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda _: None)
        with watching:
            patch.undo()
            assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_nothing_is_touched(loop: asyncio.AbstractEventLoop) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def enter() -> None:
        with watch(loop)[0]:
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_hangup_is_a_call_in_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    calls: list[str] = []
    before = signal.getsignal(signal.SIGHUP)
    with HangupWatch(loop, lambda: calls.append("reload")):
        for number in (1, 2):
            signal.raise_signal(signal.SIGHUP)
            assert len(calls) == number - 1
            turn(loop)
            assert len(calls) == number
    assert signal.getsignal(signal.SIGHUP) is before


def test_several_are_told_and_the_last_one_gives_back(loop: asyncio.AbstractEventLoop) -> None:
    before = signal.getsignal(signal.SIGTERM)
    (one, ones), (other, others) = watch(loop), watch(loop)
    one.__enter__()
    other.__enter__()
    signal.raise_signal(signal.SIGTERM)
    turn(loop)
    assert ones == others == [("first", signal.SIGTERM)]
    one.__exit__()
    one.__exit__()
    signal.raise_signal(signal.SIGTERM)
    turn(loop)
    assert ones == [("first", signal.SIGTERM)]
    assert others == [("first", signal.SIGTERM), ("again", signal.SIGTERM)]
    assert signals.is_taken(signal.SIGTERM)
    other.__exit__()
    assert signal.getsignal(signal.SIGTERM) is before


def test_all_are_told_before_a_blocked_loop_is_left(loop: asyncio.AbstractEventLoop) -> None:
    (one, ones), (other, others) = watch(loop), watch(loop)
    with one, other:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Forced):
            signal.raise_signal(signal.SIGTERM)
        turn(loop)
    assert ones == others == [("first", signal.SIGTERM), ("again", signal.SIGTERM)]


def test_a_loop_that_was_closed_meanwhile_is_not_told() -> None:
    closed = asyncio.SelectorEventLoop()
    watching, calls = watch(closed)
    with watching, HangupWatch(closed, lambda: calls.append("reload")):
        closed.close()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
    assert calls == []


@pytest.mark.parametrize(
    ("insists", "before", "is_taken"),
    [
        (False, signal.SIG_DFL, True),
        (True, signal.SIG_DFL, True),
        (False, signal.SIG_IGN, False),
        (True, signal.SIG_IGN, False),
        (False, lambda *_: None, False),
        (True, lambda *_: None, True),
    ],
)
def test_which_hangup_is_taken(
    loop: asyncio.AbstractEventLoop, insists: bool, before: Any, is_taken: bool
) -> None:
    original = signal.signal(signal.SIGHUP, before)
    try:
        with HangupWatch(loop, lambda: None, insists):
            assert signals.is_taken(signal.SIGHUP) == is_taken
            with HangupWatch(loop, lambda: None):
                assert signals.is_taken(signal.SIGHUP) == is_taken
        assert signal.getsignal(signal.SIGHUP) == before
    finally:
        signal.signal(signal.SIGHUP, original)


def test_a_hangup_elsewhere_than_in_the_main_thread_is_not_taken(
    loop: asyncio.AbstractEventLoop,
) -> None:
    before = signal.getsignal(signal.SIGHUP)
    seen = []

    def enter() -> None:
        with HangupWatch(loop, lambda: None):
            seen.append(signal.getsignal(signal.SIGHUP))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_where_there_is_no_such_signal_nothing_happens(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(signal, "SIGHUP")
    with HangupWatch(loop, lambda: None):
        pass
