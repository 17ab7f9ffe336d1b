"""A timer of the server's for deadlines, which knows that the event loop may have stood still.

Rules of this file:
- A timer that comes more than STALL seconds late says that the loop did not turn: an application blocked it,
  or the process or the whole machine was paused. What has arrived meanwhile is unread, and the clients may have
  been paused as well, so nobody is judged by a deadline that passed meanwhile: it is put off for GRACE seconds.
  Each deadline is put off once, so that a loop that stalls again and again does not put it off for ever.
- It is armed in the server's own context (`contexts.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from asgiws.bridge.contexts import OwnContext

logger = logging.getLogger("asgiws.error")

#: Seconds late from which on the loop has stood still.
STALL = 1.0

#: Seconds for which the deadlines that passed meanwhile are put off.
GRACE = 1.0


class Timer:
    """Calls `due` with the time, and with the moment up to which deadlines have passed.

    The one may be behind the other: what was due in between is to wait. `tells` says whether a stall is logged.
    """

    __slots__ = (
        "_due",
        "_expected",
        "_handle",
        "_loop",
        "_not_before",
        "_own",
        "_stalled",
        "_tells",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, due: Callable[[float, float], object], tells: bool
    ) -> None:
        self._loop = loop
        self._due = due
        self._tells = tells
        self._own = OwnContext()
        self._handle: asyncio.TimerHandle | None = None
        #: When it is to come.
        self._expected = 0.0
        #: When it came late the last time, and until when it waits since.
        self._stalled = float("-inf")
        self._not_before = 0.0

    def arm(self, when: float) -> None:
        """Come at `when` (`loop.time()`, seconds), and not when it was to come before."""
        self.cancel()
        self._expected = max(when, self._not_before, self._loop.time())
        self._handle = self._own.run(self._loop.call_at, self._expected, self._come)

    def cancel(self) -> None:
        """Idempotent."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _come(self) -> None:
        self._handle = None
        now = self._loop.time()
        due = now
        late = now - self._expected
        if late > STALL:
            # What was put off by the stall before has had its time.
            due = self._stalled
            self._stalled = now
            self._not_before = now + GRACE
            if self._tells:
                logger.warning(
                    "The event loop stood still for %.1f seconds or more: as a rule the application has "
                    "blocked it (work that belongs in a thread), or this process or machine was paused",
                    late,
                )
        self._due(now, due)
