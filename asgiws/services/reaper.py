"""Applications that continue although their client has gone.

Rules of this file:
- There is one Reaper for each kind of connection, and one timer for all of its tasks, since all have the same
  delay: first come, first served.
- A task is cancelled once, however often it is added: what it does to end may take its time.
- An application that could not end because the event loop stood still gets a moment to do so (`timer.py`).
"""

from __future__ import annotations

import asyncio
import logging

from asgiws.bridge.timer import Timer

logger = logging.getLogger("asgiws.error")


class Reaper:
    """Cancels tasks `delay` seconds after they were added, unless they have ended by then. `option` names the
    option that requests this, for the log."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float, option: str) -> None:
        self._loop = loop
        self._delay = delay
        self._option = option
        #: For each task, when it must end and which client it serves, in the order of the times.
        self._waiting: dict[asyncio.Task[None], tuple[float, str]] = {}
        #: Tasks that were cancelled and have not ended yet.
        self._cancelled: set[asyncio.Task[None]] = set()
        self._timer = Timer(loop, self._reap, False)

    def add(self, task: asyncio.Task[None], who: str) -> None:
        """`task` serves the client `who`, which has gone. A task that is added again keeps its time."""
        if task in self._waiting or task in self._cancelled:
            return
        self._waiting[task] = (self._loop.time() + self._delay, who)
        if len(self._waiting) == 1:
            self._arm()

    def discard(self, task: asyncio.Task[None]) -> bool:
        """`task` ends by itself, or its client is there after all; does nothing if it was not added. True if
        this Reaper has cancelled it."""
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
