"""The heartbeat of a worker.

Rules of this file: it comes from a timer of the worker's event loop, so it stops if the loop is blocked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: The most seconds between two beats, and the number of beats in the time for which a worker may be silent.
INTERVAL = 1.0
PARTS = 5


def interval(timeout: float) -> float:
    """Seconds between two beats, for a worker that may be silent for `timeout` seconds, 0 for any time."""
    return min(INTERVAL, timeout / PARTS) if timeout else INTERVAL


class Heartbeat:
    """Calls `beat` at once and every `seconds` until `close`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, beat: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._beat = beat
        self._work()

    def close(self) -> None:
        """Idempotent."""
        self._timer.cancel()

    def _work(self) -> None:
        # First, so that a beat may close it.
        self._timer = self._loop.call_later(self._seconds, self._work)
        self._beat()
