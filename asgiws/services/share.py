"""Which of several workers that accept on one socket takes a client.

Rules of this file:
- A worker accepts while it holds no more connections than the one that holds the fewest, and TOLERANCE more.
  Otherwise it looks away for PAUSE seconds, in which another takes the client.
- Nobody is kept waiting for long by that: a worker that has looked away for PATIENCE seconds in which the other
  did not get ahead, or for MOST seconds in all, lets in a few all the same. So one whose application blocks
  its loop does not hold up the others; once it has given no beat for a few seconds it does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from asgiws.services.scoreboard import Scoreboard

#: Seconds that a worker leaves who waits to the others.
PAUSE = 0.002

#: Seconds after which it lets in FEW all the same: while the one with the fewest gets no more, and in any case.
PATIENCE = 0.1
MOST = 1.0
FEW = 8

#: A worker may be ahead of the others by one part in so many: 1.6 %.
TOLERANCE = 64


class Share:
    """The part of one worker, that of `row` on the board. `count` gives how many connections it holds."""

    def __init__(
        self,
        board: Scoreboard,
        row: int,
        count: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._row = row
        self._count = count
        self._clock = clock
        #: Since when the worker looks away, None while it does not; since when the fewest are the same, and how
        #: many they are.
        self._since: float | None = None
        self._still_since = 0.0
        self._least = 0
        #: How many it may let in all the same.
        self._few = 0

    def may_accept(self) -> bool:
        """Whether to accept the next client, asked for each when one waits."""
        mine = self._count()
        self._board.set_connections(self._row, mine)
        least = self._board.least(self._row)
        if least is None or mine <= least + least // TOLERANCE:
            self._since = None
            self._few = 0
            return True
        if self._few > 0:
            self._few -= 1
            return True
        now = self._clock()
        if self._since is None:
            self._since = self._still_since = now
            self._least = least
        elif least != self._least:
            self._still_since = now
            self._least = least
        if now - self._still_since >= PATIENCE or now - self._since >= MOST:
            self._since = self._still_since = now
            self._few = FEW - 1
            return True
        return False
