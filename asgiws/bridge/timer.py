"""The server's timer for deadlines, which knows that the event loop may have stood still.

Rules of this file:
- A timer that fires more than STALL seconds late shows that the event loop stood still: an application blocked
  it, or the process or the whole machine was paused. What has arrived meanwhile is unread, and the clients may
  have been paused as well, so no client is judged by a deadline that passed meanwhile: it is postponed by GRACE
  seconds. Each deadline is postponed once, so that an event loop that stalls again and again does not postpone
  it forever.
- It is armed in the server's own context (`contexts.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from asgiws.bridge.contexts import OwnContext

logger = logging.getLogger("asgiws.error")

#: Seconds of delay from which the event loop counts as having stood still.
STALL = 1.0

#: Seconds by which the deadlines that passed meanwhile are postponed.
GRACE = 1.0


class Timer:
    """Calls `due` with the time, and with the moment up to which deadlines have passed.

    The first may be later than the second: what was due in between must wait. `tells` says whether a stall is
    logged.
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
        #: When it is due.
        self._expected = 0.0
        #: When it was late last, and until when it has waited since.
        self._stalled = float("-inf")
        self._not_before = 0.0

    def arm(self, when: float) -> None:
        """Fire at `when` (`loop.time()`, seconds), and not at the time set before."""
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
            # Deadlines that the previous stall postponed have had their time.
            due = self._stalled
            self._stalled = now
            self._not_before = now + GRACE
            if self._tells:
                logger.warning(
                    "The event loop stood still for %.1f seconds or more: usually the application has "
                    "blocked it (with work that belongs in a thread), or this process or machine was paused",
                    late,
                )
        self._due(now, due)
