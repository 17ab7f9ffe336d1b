"""The end of what a server that stops has left open when its time is up.

Rules of this file: nothing waits here, and what fails for one connection keeps no other open.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from asgiws.services.runtime import Runtime

logger = logging.getLogger("asgiws.error")


def cut_off(runtime: Runtime, pending: Iterable[asyncio.Task[None]]) -> None:
    """Abort what is still connected, or about to be, and cancel what still runs."""
    runtime.cutting_off = True
    cancel(pending)
    for connection in list(runtime.connections):
        _abort(connection)
    cancel(runtime.tasks)


def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel all of them; one may be taken out of `tasks` meanwhile."""
    for task in list(tasks):
        task.cancel()


def _abort(connection: Any) -> None:
    try:
        connection.abort()
    except Exception:  # the others are to be cut off all the same
        logger.exception("Exception while a connection was cut off: %r", connection)
