"""A table in shared memory in which each worker reports its state to the others and to the supervisor.

Rules of this file:
- A row belongs to one worker at a time, and only that worker writes to it; the supervisor assigns it, and
  clears it when the worker has ended. Each cell is one aligned machine word, so nobody reads half of one.
- Reading costs no system call: it happens at each accept.
- Times are milliseconds of `time.monotonic()`, which all processes of a machine share.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time

#: The number of rows: twice the most workers, since each may have a successor at the same time, and one for
#: the hub process.
ROWS = 1025

#: The number of connections in the row of a worker that does not accept.
CLOSED = -1

#: Milliseconds without a heartbeat after which a worker is ignored when connections are balanced.
STALE = 3000

#: The time of the last heartbeat in a row that is assigned and has none yet.
_NO_BEAT = -1

_SIZE = 8 * (1 + 2 * ROWS)


class Scoreboard:
    """The table in the memory behind the file descriptor `fd`, which it leaves to the caller."""

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, _SIZE)
        #: First the number of rows in use, then all heartbeats, then all numbers of connections.
        self._words = memoryview(self._memory).cast("q")

    def close(self) -> None:
        self._words.release()
        self._memory.close()

    # For the supervisor.

    def give_out(self) -> int:
        """The number of a free row; its worker has sent no heartbeat yet."""
        words = self._words
        for row in range(ROWS):
            if words[1 + row] == 0:
                words[1 + row] = _NO_BEAT
                words[1 + ROWS + row] = CLOSED
                words[0] = max(words[0], row + 1)
                return row
        raise RuntimeError("more workers than rows")

    def take_back(self, row: int) -> None:
        """The worker of `row` has ended."""
        words = self._words
        words[1 + ROWS + row] = CLOSED
        words[1 + row] = 0
        while words[0] and words[words[0]] == 0:
            words[0] -= 1

    def silence(self, row: int) -> float:
        """Seconds since the last heartbeat of `row`; 0.0 before the first and after the last."""
        beat = self._words[1 + row]
        return 0.0 if beat <= 0 else max(now() - beat, 0) / 1000

    def connections(self, row: int) -> int:
        """The number of open connections of the worker of `row`; 0 if it does not accept."""
        return max(self._words[1 + ROWS + row], 0)

    # For the workers.

    def beat(self, row: int) -> None:
        """The worker of `row` is alive."""
        self._words[1 + row] = now()

    def rest(self, row: int) -> None:
        """The worker of `row` sends no more heartbeats, and counts as alive without them: it is ending."""
        self._words[1 + row] = _NO_BEAT

    def set_connections(self, row: int, count: int) -> None:
        """The worker of `row` holds `count` connections open; CLOSED means that it no longer accepts."""
        self._words[1 + ROWS + row] = count

    def least(self, row: int) -> int | None:
        """The fewest connections of any worker, other than that of `row`, that accepts and is alive.

        None if there is no other.
        """
        words = self._words
        used = words[0]
        counts = words[1 + ROWS : 1 + ROWS + used].tolist()
        beats = words[1 : 1 + used].tolist()
        limit = now() - STALE
        least = None
        for other, count in enumerate(counts):
            if count < 0 or other == row or beats[other] < limit:
                continue
            if least is None or count < least:
                least = count
        return least


def now() -> int:
    """The current time as it is written on the board."""
    return time.monotonic_ns() // 1_000_000


def make_memory() -> int:
    """A file descriptor of zeroed memory for a Scoreboard, without a name in any directory."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("asgiws")
    else:
        fd, path = tempfile.mkstemp(prefix="asgiws-")
        os.unlink(path)
    os.ftruncate(fd, _SIZE)
    return fd
