"""What the user sees while measurements go.

Rules of this file:
- On a terminal one line that is written over: how many of how many, a bar, the time that is left.
  Elsewhere a line for each scenario.
- The time left comes from what the measurements took so far.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

_CLEAR = "\r\x1b[K"
_WIDTH = 24


class Progress:
    """The progress of `total` measurements."""

    def __init__(
        self, stream: TextIO, total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._total = total
        self._clock = clock
        self._live = stream.isatty()
        self._begun = clock()
        self._done = 0
        self._scenario = ""

    def begin(self, scenario: str, server: str, number: int) -> None:
        """A measurement begins."""
        if self._live:
            full = _WIDTH * self._done // self._total
            bar = "#" * full + "." * (_WIDTH - full)
            self._write(
                f"{_CLEAR}[{bar}] {self._done}/{self._total}  {self._left()}"
                f"  {scenario}  {server}  round {number}"
            )
        elif scenario != self._scenario:
            self._write(f"{self._done}/{self._total}  {self._left()}  {scenario}\n")
        self._scenario = scenario

    def end(self) -> None:
        """It is done, well or not."""
        self._done += 1

    def finish(self) -> None:
        """All is over; the terminal's line is gone."""
        if self._live:
            self._write(_CLEAR)

    def _left(self) -> str:
        if not self._done:
            return "time left unknown"
        each = (self._clock() - self._begun) / self._done
        seconds = round(each * (self._total - self._done))
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
