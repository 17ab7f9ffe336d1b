"""Log lines that a flood cannot multiply.

Rules of this file: the first occurrence of an event, or the first few, are logged at once. Occurrences within
the next QUIET seconds are counted, and the count is logged when they are over.
"""

from __future__ import annotations

import asyncio
import logging

from asgiws.bridge.contexts import OwnContext

logger = logging.getLogger("asgiws.error")

#: Seconds without another line.
QUIET = 10.0


class Notices:
    """The notices of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._own = OwnContext()
        #: How often each kind has occurred since its first line.
        self._counts: dict[str, int] = {}

    def tell(
        self, kind: str, who: str, what: str, level: int = logging.WARNING, lines: int = 1
    ) -> None:
        """Log what happened to the client `who`. `kind` says what counts as the same event: the option whose
        limit was exceeded, or what was wrong. The first `lines` of a kind are logged, further ones are
        counted."""
        count = self._counts.get(kind, 0)
        self._counts[kind] = count + 1
        if count < lines:
            logger.log(level, "%s - %s (%s)", who, what, kind)
        if count == 0:
            self._own.run(self._loop.call_later, QUIET, self._end_quiet, kind, level, lines)

    def _end_quiet(self, kind: str, level: int, lines: int) -> None:
        more = self._counts.pop(kind) - lines
        if more > 0:
            logger.log(level, "%d more within %g seconds (%s)", more, QUIET, kind)
