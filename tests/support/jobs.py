"""A Job that is a coroutine, for tests of what runs one."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any

from asgiws.bridge.tasks import Job


class CoroutineJob(Job):
    """Runs `coroutine`; what it raises ends the task."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine

    def begin(self) -> Coroutine[Any, Any, Any]:
        return self.coroutine

    def __del__(self) -> None:
        # A job whose task has never run is no coroutine that somebody forgot to await.
        if inspect.getcoroutinestate(self.coroutine) == inspect.CORO_CREATED:
            self.coroutine.close()

    def ended(self, error: BaseException | None) -> None:
        if error is not None:
            raise error
