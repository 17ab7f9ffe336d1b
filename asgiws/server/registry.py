"""A set that tells when it has become empty, for a server that waits for its connections to end.

Rules of this file: what is in a Registry is added and removed one by one, by `add`, `discard`,
`remove`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("asgiws.error")


class Registry(set[Any]):
    """The open connections, or the running tasks, of one worker.

    `emptied` is called, in the loop, whenever the last one has gone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, emptied: Callable[[], object]) -> None:
        super().__init__()
        self._loop = loop
        self._emptied = emptied
        self._draining = False

    def add(self, item: Any) -> None:
        super().add(item)
        if self._draining:
            # Accepted before the listening socket was closed, and here only now.
            self._loop.call_soon(_shut_down, item)

    def discard(self, item: Any) -> None:
        super().discard(item)
        if not self:
            self._emptied()

    def remove(self, item: Any) -> None:
        super().remove(item)
        if not self:
            self._emptied()

    def shut_down(self) -> None:
        """Call `shutdown()` of each connection, and of those that come later.

        Only from a callback of the loop.
        """
        self._draining = True
        for item in list(self):
            _shut_down(item)


def _shut_down(connection: Any) -> None:
    try:
        connection.shutdown()
    except Exception:
        logger.exception("Exception while a connection was shut down: %r", connection)
