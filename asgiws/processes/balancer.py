"""Which of several workers that accept on one socket takes a client.

Rules of this file:
- A worker accepts while it holds no more connections than the worker with the fewest, plus TOLERANCE. Otherwise
  it ignores the socket for a moment (`acceptor.PAUSE`), in which another worker takes the client.
- That keeps no client waiting for long: a worker that has ignored the socket for PATIENCE seconds in which the
  other made no progress, or for MOST seconds in total, accepts a few anyway. So a worker whose application
  blocks its event loop does not delay the others; once it has sent no heartbeat for a few seconds it does not
  count.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from asgiws.processes.scoreboard import Scoreboard

#: Seconds after which it accepts FEW anyway: while the worker with the fewest gets no more, and in any case.
PATIENCE = 0.1
MOST = 1.0
FEW = 8

#: A worker may be ahead of the others by one part in this many: 1.6 %.
TOLERANCE = 64


class WorkerBalancer:
    """The Balancer of one worker, that of `row` on the board. `count` returns its number of connections."""

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
        #: Since when the worker has ignored the socket, None while it does not; since when the fewest have been
        #: the same, and how many they are.
        self._since: float | None = None
        self._still_since = 0.0
        self._least = 0
        #: How many more it may accept anyway.
        self._few = 0

    def may_accept(self) -> bool:
        """Whether to accept the next client; called for each waiting client."""
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
