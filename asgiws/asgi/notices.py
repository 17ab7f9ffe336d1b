"""Log lines that a flood cannot multiply.

Rules of this file: the first time that something happens it is logged at once. What happens again
within QUIET seconds is counted, and the count logged when they are over.
"""

from __future__ import annotations

import asyncio
import logging

logger = logging.getLogger("asgiws.error")

#: Seconds without a further line.
QUIET = 10.0


class Notices:
    """The notices of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._again: dict[str, int] = {}

    def tell(self, kind: str, who: str, what: str, level: int = logging.WARNING) -> None:
        """Log what happened to the client `who`. `kind` is what counts as the same: the option whose limit
        was met, or what was wrong."""
        count = self._again.get(kind)
        if count is None:
            self._again[kind] = 0
            logger.log(level, "%s - %s (%s)", who, what, kind)
            self._loop.call_later(QUIET, self._end_quiet, kind, level)
        else:
            self._again[kind] = count + 1

    def _end_quiet(self, kind: str, level: int) -> None:
        count = self._again.pop(kind)
        if count:
            logger.log(level, "%d more within %g seconds (%s)", count, QUIET, kind)
