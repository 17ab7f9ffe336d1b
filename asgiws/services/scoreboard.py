"""A table in shared memory on which each worker writes how it is, for the others and for the supervisor.

Rules of this file:
- A row belongs to one worker at a time, which alone writes to it; the supervisor gives it out, and wipes it
  when the worker has ended. Each cell is one aligned machine word, so nobody reads half of one.
- Reading costs no system call: it is done at each accept.
- Moments are milliseconds of `time.monotonic()`, which all processes of a machine share.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time

#: Workers that there may be at once: twice the most, for each may have a successor beside it.
ROWS = 1024

#: What stands for the number of connections of a worker that does not accept.
CLOSED = -1

#: Milliseconds without a beat after which a worker is not reckoned with when connections are shared out.
STALE = 3000

#: What stands for the moment of the last beat in a row that is given out and has none.
_NO_BEAT = -1

_SIZE = 8 * (1 + 2 * ROWS)


class Scoreboard:
    """The table in the memory behind the file descriptor `fd`, which it leaves to the caller."""

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, _SIZE)
        #: First how many rows are in use, then all beats, then all numbers of connections.
        self._words = memoryview(self._memory).cast("q")

    def close(self) -> None:
        self._words.release()
        self._memory.close()

    # The supervisor's.

    def give_out(self) -> int:
        """The number of a row that nobody has; its worker has given no beat yet."""
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
        """Seconds since the last beat of `row`; 0.0 before the first and after the last."""
        beat = self._words[1 + row]
        return 0.0 if beat <= 0 else max(now() - beat, 0) / 1000

    def connections(self, row: int) -> int:
        """How many connections the worker of `row` holds open; 0 where it does not accept."""
        return max(self._words[1 + ROWS + row], 0)

    # The workers'.

    def beat(self, row: int) -> None:
        """The worker of `row` is alive."""
        self._words[1 + row] = now()

    def rest(self, row: int) -> None:
        """The worker of `row` gives no more beats, and needs none to be taken for alive: it is ending."""
        self._words[1 + row] = _NO_BEAT

    def set_connections(self, row: int, count: int) -> None:
        """The worker of `row` holds `count` connections open; CLOSED says that it accepts no more."""
        self._words[1 + ROWS + row] = count

    def least(self, row: int) -> int | None:
        """The fewest connections that another worker than that of `row` has which accepts and is alive.

        None when there is no other.
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
    """The moment as it stands on the board."""
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
