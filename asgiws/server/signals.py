"""The signals that end a server, and the one that has it load its certificates anew.

Rules of this file:
- They are taken in the main thread only, and given back as they were found.
- The handler is Python's own (`signal.signal`), not the loop's: it also runs while the application
  blocks the loop, so that a second signal ends even such a process.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from asgiws.asgi.errors import ProcessEnds

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)


class Forced(ProcessEnds):
    """A second signal has ended the process. The code is 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class HangupWatch:
    """While it is entered, SIGHUP calls `caught` in a callback of the loop, instead of ending the process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, caught: Callable[[], object]) -> None:
        self._loop = loop
        self._caught = caught
        self._number: int | None = getattr(signal, "SIGHUP", None)  # Windows has none
        self._previous: Any = None

    def __enter__(self) -> HangupWatch:
        if self._number is not None and threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(self._number)
            if self._previous is not None:
                signal.signal(self._number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._number is not None and self._previous is not None:
            signal.signal(self._number, self._previous)
            self._previous = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._caught)


class SignalWatch:
    """While it is entered, SIGINT and SIGTERM are counted instead of ending the process.

    The first calls `first(number)`, each later one `again(number)`, in a callback of the loop. When
    the first has not been answered by then, because the loop is blocked, the later one raises
    Forced in whatever runs, too. That may not be enough: what runs may be an application within a
    read, and a loop takes whatever comes out of a read for that connection's end.
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
        self._previous: dict[int, Any] = {}
        self._count = 0
        self._answered = False

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # None stands for a handler that was not set from Python and could not be put back.
                if signal.getsignal(number) is not None:
                    self._previous[number] = signal.signal(number, self._caught)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count == 1:
            self._loop.call_soon_threadsafe(self._answer, number)
        else:
            self._loop.call_soon_threadsafe(self._again, number)
            if not self._answered:
                raise Forced(number)

    def _answer(self, number: int) -> None:
        self._answered = True
        self._first(number)
