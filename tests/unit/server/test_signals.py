"""Signals are counted while the watch is entered, and given back as they were."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

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
