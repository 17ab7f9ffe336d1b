"""Waiting in `receive()` and `send()`: a small future-like object that can step its task at once.

Rules of this file:
- `wake()` runs the waiting task's next step inside the caller. It may only be called from a callback of the
  event loop (a read, a timer), never while a task is running: asyncio refuses to enter a task from within
  another one. Everything that runs as part of an application's task uses `wake_soon()`.
- A wake-up calls the task back not with the Waiter but with a future of asyncio's own that is done and carries
  nothing either: a task accesses such a future directly, but any other object through the name of its method,
  which took an eighth of the instructions of a message.
- A Waiter carries no value. The woken task looks for itself, so a wake-up that arrives together with a
  cancellation loses nothing.
- The object implements exactly what `asyncio.Task` requires of a future, so that `create_task(receive())`,
  `wait_for`, `asyncio.timeout` and anyio's cancel scopes work on top of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

from asgiws.bridge import steps

PENDING, DONE, CANCELLED = 0, 1, 2


class Waiter:
    """A one-shot wake-up: `await waiter` returns after `wake()` or `wake_soon()`.

    One task awaits it. Cancelling that task cancels the waiter, which then ignores wake-ups.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "_loop", "_message", "_state")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._state = PENDING
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._message: Any = None

    def wake(self) -> None:
        """Step the waiting task now. Only from a callback of the event loop (see the rules above)."""
        if self._state != PENDING:
            return
        self._state = DONE
        callback = self._callback
        if callback is not None:
            self._callback = None
            context = self._context
            self._context = None
            if context is None:
                callback(_WOKEN)
            else:
                steps.call(context, callback, _WOKEN)

    def wake_soon(self) -> None:
        """Step the waiting task in the event loop's next turn; safe from anywhere in the loop's thread."""
        if self._state == PENDING:
            self._state = DONE
            self._schedule(_WOKEN)

    def _schedule(self, future: Any) -> None:
        callback = self._callback
        if callback is not None:
            self._callback = None
            context = self._context
            self._context = None
            self._loop.call_soon(callback, future, context=context)

    # What asyncio.Task requires of a future.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        if self._state != PENDING:
            self._loop.call_soon(callback, self, context=context)
            return
        if self._callback is not None:
            raise RuntimeError("a Waiter can be awaited by one task only")
        self._callback = callback
        self._context = context

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        if self._callback is None or self._callback != callback:
            return 0
        self._callback = None
        self._context = None
        return 1

    def cancel(self, msg: Any = None) -> bool:
        if self._state != PENDING:
            return False
        self._state = CANCELLED
        self._message = msg
        self._schedule(self)
        return True

    def done(self) -> bool:
        return self._state != PENDING

    def cancelled(self) -> bool:
        return self._state == CANCELLED

    def result(self) -> None:
        if self._state == CANCELLED:
            if self._message is None:
                raise asyncio.CancelledError
            raise asyncio.CancelledError(self._message)
        if self._state == PENDING:
            raise asyncio.InvalidStateError("the Waiter has not been woken")

    def exception(self) -> None:
        self.result()

    # The awaitable is its own iterator: it yields itself once, to the task, and is then exhausted.

    def __await__(self) -> Generator[Any, Any, None]:
        return self  # type: ignore[return-value]  # the part of a generator that `await` uses

    def __iter__(self) -> Waiter:
        return self

    def __next__(self) -> Waiter:
        if self._state == PENDING:
            self._asyncio_future_blocking = True
            return self
        self.result()
        raise StopIteration


class _NoLoop:
    """The event loop of a future that needs none."""

    def get_debug(self) -> bool:
        return False


_WOKEN: asyncio.Future[None] = asyncio.Future(loop=_NoLoop())  # type: ignore[arg-type]  # all it asks for
_WOKEN.set_result(None)
