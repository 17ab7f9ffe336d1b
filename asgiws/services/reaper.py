"""Applications that go on although their client has gone.

Rules of this file:
- One Reaper for each kind of connection, and one timer for all of its tasks, since all have the same time: who
  came first goes first.
- A task is cancelled once, however often it is handed over: what it does to end takes its time.
- An application that could not end because the event loop stood still has its moment (`timer.py`).
"""

from __future__ import annotations

import asyncio
import logging

from asgiws.bridge.timer import Timer

logger = logging.getLogger("asgiws.error")


class Reaper:
    """Cancels tasks `delay` seconds after they were handed over, unless they have ended by then. `option` names
    what asks for it, for the log."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float, option: str) -> None:
        self._loop = loop
        self._delay = delay
        self._option = option
        #: For each task when it is to end and whom it serves, in the order of the moments.
        self._waiting: dict[asyncio.Task[None], tuple[float, str]] = {}
        #: Those that were cancelled and have not ended yet.
        self._cancelled: set[asyncio.Task[None]] = set()
        self._timer = Timer(loop, self._reap, False)

    def add(self, task: asyncio.Task[None], who: str) -> None:
        """`task` serves `who`, who has gone. Handed over again, it keeps the moment that it has."""
        if task in self._waiting or task in self._cancelled:
            return
        self._waiting[task] = (self._loop.time() + self._delay, who)
        if len(self._waiting) == 1:
            self._arm()

    def discard(self, task: asyncio.Task[None]) -> bool:
        """`task` ends by itself, or its client is there after all; nothing happens when it was not handed over.
        True when it was cancelled from here."""
        if self._waiting.pop(task, None) is not None and not self._waiting:
            self._timer.cancel()
        if task in self._cancelled:
            self._cancelled.discard(task)
            return True
        return False

    def _arm(self) -> None:
        when, _ = next(iter(self._waiting.values()))
        self._timer.arm(when)

    def _reap(self, now: float, due: float) -> None:
        while self._waiting:
            task, (when, who) = next(iter(self._waiting.items()))
            if not task.done():
                if when > due:
                    self._arm()
                    return
                logger.info(
                    "%s - application cancelled, %g seconds after its client had gone (%s)",
                    who,
                    self._delay,
                    self._option,
                )
                self._cancelled.add(task)
                task.cancel()
            del self._waiting[task]
