"""Applications that go on although their client has gone.

Rules of this file: one timer for all, since all have the same time: who came first goes first. An application
that could not end because the event loop stood still has its moment (`timer.py`).
"""

from __future__ import annotations

import asyncio
import logging

from asgiws.asgi.timer import Timer

logger = logging.getLogger("asgiws.error")


class Reaper:
    """Cancels tasks `delay` seconds after they were handed over, unless they have ended by then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        self._loop = loop
        self._delay = delay
        #: For each task when it is to end and whom it serves, in the order of the moments.
        self._waiting: dict[asyncio.Task[None], tuple[float, str]] = {}
        self._timer = Timer(loop, self._reap, False)

    def add(self, task: asyncio.Task[None], who: str) -> None:
        """`task` serves `who`, who has gone."""
        self._waiting[task] = (self._loop.time() + self._delay, who)
        if len(self._waiting) == 1:
            self._arm()

    def discard(self, task: asyncio.Task[None]) -> None:
        """`task` ends by itself; nothing happens when it was not handed over."""
        if self._waiting.pop(task, None) is not None and not self._waiting:
            self._timer.cancel()

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
                    "%s - application cancelled, %g seconds after its client had gone "
                    "(ws_cancel_after)",
                    who,
                    self._delay,
                )
                task.cancel()
            del self._waiting[task]
