"""How long to wait before a process that died is started again.

Rules of this file: time is the caller's. The first death after a sound run costs no wait; each further one
twice as much as the one before, up to a maximum.
"""

from __future__ import annotations

#: A process that has run for this many seconds was sound: the next one is started without delay.
SOUND = 10.0

#: The most seconds to wait.
MOST = 30.0


class BackOff:
    """`first` is how many seconds the second death in a row costs."""

    def __init__(self, first: float) -> None:
        self.first = first
        self._deaths = 0

    def ran(self, seconds: float) -> None:
        """The process that has died ran for so many seconds."""
        if seconds >= SOUND:
            self._deaths = 0

    def next(self, at_least: float = 0.0) -> float:
        """Count a death. Returns the seconds to wait."""
        wait = 0.0 if self._deaths == 0 else self.first * 2 ** min(self._deaths - 1, 10)
        self._deaths += 1
        return min(max(wait, at_least), MOST)
