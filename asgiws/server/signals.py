"""Signals: those that end a server, and the one that makes it reload its certificates.

Rules of this file:
- They are handled in the main thread only. The last taker that gives a signal back restores the earlier
  handler: several servers may live in one process, and each is told.
- The handler is Python's own (`signal.signal`), not the event loop's: it also runs while the application
  blocks the loop, so that a second signal ends even such a process.
- A process that the application forks has the handlers that were there before, and tells none of our takers.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from asgiws.asgi.errors import ProcessEnds
from asgiws.server import forks

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)

Taker = Callable[[int], object]

#: The functions that are told of a signal, and the handler that was there before.
_takers: dict[int, list[Taker]] = {}
_previous: dict[int, Any] = {}
#: Signals that ended servers and were not passed on yet.
_caught: list[int] = []
_forget: Callable[[], object] = bool


class Forced(ProcessEnds):
    """A second signal has ended the process. The code is 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def take(number: int, taker: Taker) -> bool:
    """Call `taker` for each signal with that number, in the handler; false if that is not possible:
    outside the main thread, and if the current handler was not set from Python and could not be restored."""
    global _forget
    if threading.current_thread() is not threading.main_thread():
        return False
    if number not in _takers:
        previous = signal.getsignal(number)
        if previous is None:
            return False
        if not _takers:
            _caught.clear()
            _forget = forks.in_child(_give_all_back)
        signal.signal(number, _handle)
        _previous[number] = previous
        _takers[number] = []
    _takers[number].append(taker)
    return True


def give_back(number: int, taker: Taker) -> None:
    """Do not call `taker` any more. The last one restores the earlier handler."""
    takers = _takers.get(number, [])
    if taker not in takers:
        return  # this is a fork, which has given all of them back
    takers.remove(taker)
    if not takers:
        del _takers[number]
        signal.signal(number, _previous.pop(number))
        if not _takers:
            _forget()


def is_taken(number: int) -> bool:
    """Whether the handler is ours."""
    return signal.getsignal(number) is _handle


def pass_on() -> None:
    """Pass the signals that have ended servers on to the handlers that were there before, after the last of
    those servers has ended."""
    for number in [number for number in _caught if number not in _takers]:
        _caught.remove(number)
        if callable(signal.getsignal(number)):
            signal.raise_signal(number)


def _handle(number: int, frame: FrameType | None) -> None:
    forced: Forced | None = None
    for taker in tuple(_takers.get(number, ())):
        try:
            taker(number)
        except Forced as error:  # noqa: PERF203  # the others are to be told first
            forced = error
    if forced is not None:
        raise forced


def _give_all_back() -> None:
    """In a fork."""
    for number, previous in _previous.items():
        if is_taken(number):
            signal.signal(number, previous)
    _takers.clear()
    _previous.clear()
    _caught.clear()


class HangupWatch:
    """While it is entered, SIGHUP calls `caught` in a callback of the event loop, instead of ending the
    process.

    The signal stays ignored if it was ignored (nohup), and stays with the program's own handler, if there is
    one, unless `insists`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, caught: Callable[[], object], insists: bool = False
    ) -> None:
        self._loop = loop
        self._caught = caught
        self._insists = insists
        self._number: int | None = getattr(signal, "SIGHUP", None)  # Windows has none

    def __enter__(self) -> HangupWatch:
        if self._number is not None:
            current = signal.getsignal(self._number)
            is_free = is_taken(self._number) or current == signal.SIG_DFL
            if is_free or (self._insists and current != signal.SIG_IGN):
                take(self._number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._number is not None:
            give_back(self._number, self._handle)

    def _handle(self, number: int) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._caught)


class SignalWatch:
    """While it is entered, SIGINT and SIGTERM are counted instead of ending the process.

    The first calls `first(number)`, each later one `again(number)`, in a callback of the event loop. If
    the first has not been handled by then, because the loop is blocked, the later one also raises
    Forced in whatever is running. That may not be enough: an application may be running within a
    read, and a loop treats any exception from a read as the end of that connection.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        first: Callable[[int], None],
        again: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._first = first
        self._again = again
        self._count = 0
        self._answered = False

    def __enter__(self) -> SignalWatch:
        for number in SIGNALS:
            take(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number in SIGNALS:
            give_back(number, self._handle)

    def _handle(self, number: int) -> None:
        if self._loop.is_closed():
            return  # nobody has reached its end
        self._count += 1
        if self._count == 1:
            if number not in _caught:
                _caught.append(number)
            self._loop.call_soon_threadsafe(self._answer, number)
        else:
            self._loop.call_soon_threadsafe(self._again, number)
            if not self._answered:
                raise Forced(number)

    def _answer(self, number: int) -> None:
        self._answered = True
        self._first(number)
