"""What the user sees while the cases go.

Rules of this file:
- On a terminal one line that is written over; elsewhere one line for each section that is done.
- Everything goes to the stream given, and the terminal's line is gone when `finish` returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from conformance.cases import SECTIONS, section

_CLEAR = "\r\x1b[K"


class Progress:
    """The progress of one pass over `total` cases."""

    def __init__(
        self,
        stream: TextIO,
        label: str,
        total: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._label = label
        self._total = total
        self._clock = clock
        self._live = stream.isatty()
        self._begun = self._section_begun = clock()
        self._count = self._section_count = 0
        self._section = ""

    def case(self, case: str) -> None:
        """A case begins."""
        now = section(case)
        if now != self._section:
            self._section_done()
            self._section = now
        self._count += 1
        self._section_count += 1
        if self._live:
            elapsed = int(self._clock() - self._begun)
            self._write(
                f"{_CLEAR}{self._label}  {self._count:3}/{self._total}"
                f"  {elapsed // 60}:{elapsed % 60:02}  {case}  {SECTIONS.get(now, '')}"
            )

    def finish(self) -> None:
        """The pass is over, well or not."""
        self._section_done()
        if self._live:
            self._write(_CLEAR)

    def _section_done(self) -> None:
        if self._section and not self._live:
            seconds = self._clock() - self._section_begun
            name = f"{self._section} {SECTIONS.get(self._section, '')}"
            self._write(
                f"{self._label}  {self._count:3}/{self._total}  section {name}:"
                f" {self._section_count} cases in {seconds:.1f} s\n"
            )
        self._section_begun = self._clock()
        self._section_count = 0

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
