"""Applications that go on although their client has gone.

Rules of this file: one timer for all, since all have the same time: who came first goes first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

logger = logging.getLogger("asgiws.error")


class Reaper:
    """Cancels tasks `delay` seconds after they were handed over, unless they have ended by then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        self._loop = loop
        self._delay = delay
        self._waiting: deque[tuple[float, asyncio.Task[None], str]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, task: asyncio.Task[None], who: str) -> None:
        """`task` serves `who`, who has gone."""
        self._waiting.append((self._loop.time() + self._delay, task, who))
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._waiting[0][0], self._reap)

    def _reap(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._waiting:
            when, task, who = self._waiting[0]
            if not task.done():
                if when > now:
                    self._arm()
                    return
                logger.info(
                    "%s - application cancelled, %g seconds after its client had gone "
                    "(ws_cancel_after)",
                    who,
                    self._delay,
                )
                task.cancel()
            self._waiting.popleft()
