"""The task of an application's call, with its first step run at once.

Rules of this file:
- A task per call, always: `current_task()`, its cancellation and its context are the call's own.
- The first step runs inside the caller, so that an answer that waits for nothing leaves in the read that
  brought its request. From Python 3.12 on that is asyncio's own eager start. Python 3.11 has a task per
  `call_soon`; there the first step is run here, with the task entered as the current one (`_enter_task`, from
  "Extending asyncio" in Python's documentation), and what it came to is given to the task when the loop
  steps it for the first time. Before 3.11 a task cannot be given its context, and starts in the loop's next
  turn.
- A loop with a task factory of its own is left to it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

from asgiws.asgi import steps

#: The name of each task: one that asyncio makes for itself would cost more than it tells.
NAME = "asgiws"

# What a Started coroutine will give to its task: the future that it waits for, what else it yielded (None, for
# the next turn), its end, or whatever comes.
_WAITS, _YIELDED, _ENDED, _RUNS = range(4)


class Started:
    """A coroutine whose first step has run; its task takes over from there."""

    __slots__ = ("_coroutine", "_error", "_state", "_yielded")

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._state = _RUNS
        self._yielded: Any = None
        self._error: BaseException | None = None

    def start(
        self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None], context: Context
    ) -> None:
        """Run the first step as `task`, in its context, where no task is running."""
        asyncio._enter_task(loop, task)
        try:
            waits, self._yielded = steps.first(context, self._coroutine)
            self._state = _YIELDED if waits else _ENDED
            if waits and getattr(self._yielded, "_asyncio_future_blocking", None):
                # The mark is between a future and the task that takes it at once. Until ours does, others may
                # begin to wait for the same future.
                self._yielded._asyncio_future_blocking = False
                self._state = _WAITS
        except BaseException as error:
            self._error = error
            self._state = _ENDED
        finally:
            asyncio._leave_task(loop, task)

    def has_ended(self) -> bool:
        """True when the first step was the last."""
        return self._state == _ENDED

    def __next__(self) -> Any:
        if self._state == _RUNS:
            return self._coroutine.send(None)
        state = self._state
        self._state = _RUNS
        if state == _ENDED:
            error = self._error
            if error is None:
                raise StopIteration
            self._error = None
            raise error
        yielded = self._yielded
        self._yielded = None
        if state == _WAITS:
            yielded._asyncio_future_blocking = True
        return yielded

    def __iter__(self) -> Started:
        return self

    __await__ = __iter__

    def send(self, value: Any) -> Any:
        return self.__next__()  # a task sends nothing but None

    def throw(self, error: BaseException) -> Any:
        """Cancelled: as a task that is told so while it waits, or when it has ended."""
        if self._state == _WAITS:
            # With the message, by which anyio's scopes know their own cancellation.
            if self._yielded.cancel(*error.args):
                return self.__next__()
        elif self._state == _ENDED:
            return self.__next__()
        self._state = _RUNS
        self._yielded = None
        return self._coroutine.throw(error)

    def close(self) -> None:
        self._error = None
        self._coroutine.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)  # cr_frame and the like, for who looks at the task


Coroutine.register(Started)


def start(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None], context: Context
) -> asyncio.Task[None] | None:
    """Run `coroutine` as a task with that context, its first step at once where that can be done: not from
    within another task. Returns the task, None when it has ended already."""
    if (
        sys.version_info >= (3, 11)
        and asyncio.current_task(loop) is None
        and loop.get_task_factory() is None
    ):
        if sys.version_info >= (3, 12):
            task = asyncio.Task(coroutine, loop=loop, context=context, name=NAME, eager_start=True)
            return None if task.done() else task
        started = Started(coroutine)
        made: asyncio.Task[None] = asyncio.Task(started, loop=loop, name=NAME, context=context)  # type: ignore
        started.start(loop, made, context)
        return None if started.has_ended() else made
    return context.run(loop.create_task, coroutine)
