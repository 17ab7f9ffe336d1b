"""All deadlines of one worker, on one timer of the event loop.

Rules of this file:
- Time is divided into buckets of GRAIN seconds. A deadline is in the bucket that ends at or after it, so an
  entry is ticked up to GRAIN seconds late and never early.
- An entry is in at most one bucket; its attribute `bucket` holds the number of that bucket, 0 for none. An
  earlier request moves it; a later one is ignored, because `tick` returns the next time anyway.
- One timer is armed, for the earliest bucket; none if there is no entry. An empty bucket stays until its time,
  so each number is in the heap once, and the heap's length is limited by how far away the last deadline is.
- What falls due while the event loop is blocked is postponed, and the stall is logged (`bridge/timer.py`).
"""

from __future__ import annotations

import asyncio
import logging
from heapq import heappop, heappush
from math import ceil, floor
from typing import Protocol

from asgiws.bridge.timer import Timer

logger = logging.getLogger("asgiws.error")

#: Seconds in a bucket. Deadlines of connections are seconds or more: a sixteenth makes no difference. It is a
#: power of two so that bucket numbers and times convert exactly: with rounding, a timer could fire at a time
#: that does not count as reached yet, and be armed for it again and again.
GRAIN = 0.0625


class Entry(Protocol):
    """What is scheduled. `bucket` belongs to the Ticker; it must be 0 initially."""

    bucket: int

    def tick(self, now: float) -> float:
        """The requested time has come. `now` is `loop.time()` in seconds; returns the time of the next call, or
        0.0 for none."""
        ...


class Ticker:
    """The deadlines of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._buckets: dict[int, set[Entry]] = {}
        self._heap: list[int] = []
        self._count = 0
        self._timer = Timer(loop, self._fire, True)
        #: The bucket that the timer is armed for; 0 while it is not armed.
        self._armed = 0
        #: The first bucket that may be filled: while buckets fire, those before it are being emptied.
        self._least = 1

    def __len__(self) -> int:
        """How many entries are waiting."""
        return self._count

    def schedule(self, entry: Entry, when: float) -> None:
        """Call the `tick` of `entry` at `when` (`loop.time()`, seconds) or up to GRAIN seconds later."""
        number = max(ceil(when / GRAIN), self._least)
        current = entry.bucket
        if current:
            if current <= number:
                return
            self._buckets[current].remove(entry)
        else:
            self._count += 1
        entry.bucket = number
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = set()
            heappush(self._heap, number)
        bucket.add(entry)
        self._arm()

    def discard(self, entry: Entry) -> None:
        """Forget `entry`. Does nothing if it is not waiting."""
        if entry.bucket:
            self._buckets[entry.bucket].remove(entry)
            entry.bucket = 0
            self._count -= 1
            if not self._count:
                self.close()

    def close(self) -> None:
        """Forget all entries and disarm the timer."""
        for bucket in self._buckets.values():
            for entry in bucket:
                entry.bucket = 0
            bucket.clear()
        self._buckets.clear()
        self._heap.clear()
        self._count = 0
        self._armed = 0
        self._timer.cancel()

    def _arm(self) -> None:
        number = self._heap[0] if self._heap else 0
        if number != self._armed:
            self._armed = number
            if number:
                self._timer.arm(number * GRAIN)
            else:
                self._timer.cancel()

    def _fire(self, now: float, due: float) -> None:
        # A loop may call up to its clock's resolution too early, and what fell due while it was blocked is
        # postponed: the timer is merely armed again then.
        last = floor(due / GRAIN) if due > 0.0 else 0
        least, self._least = self._least, floor(now / GRAIN) + 1
        heap, buckets = self._heap, self._buckets
        self._armed = 0
        # Now and not at the end: an entry's application may run the loop, with everything that is due in it.
        self._arm()
        while heap and heap[0] <= last:
            number = heap[0]
            bucket = buckets[number]
            while bucket:
                entry = bucket.pop()
                entry.bucket = 0
                self._count -= 1
                try:
                    when = entry.tick(now)
                    if when > 0.0:
                        self.schedule(entry, when)
                except Exception:
                    logger.exception("Exception in the tick of %r", entry)
            if heap and heap[0] == number:
                heappop(heap)
                del buckets[number]
        self._least = least
        self._arm()
