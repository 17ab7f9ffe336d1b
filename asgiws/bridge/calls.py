"""The awaitables that the application's `receive()` and `send()` return.

Rules of this file:
- To its user, a Call is like the coroutine of an `async def`: nothing happens before it is awaited, it is
  awaited once, it can be made a task, `throw` and `close` end it, and forgetting to await it causes a warning.
- `advance` does the work, in the frame of the task that awaits: a frame or a generator of its own would cost
  more than a small message does. It returns a result at once, or says what it waits for.
- Rare cases may continue as a real coroutine (`_coroutine`), which is then stepped instead.
- An application that awaits only calls that need not wait still yields to the event loop: the last of ROW in a
  row yields once, like `asyncio.sleep(0)`. The row is the worker's. It ends when a call waits, since the task
  that awaits it stops there, and when the application is called.
- A call that takes something yields before it takes it: a cancellation that arrives during the yield must not
  lose anything. A call that gives something yields afterwards, so that no other task's data is sent before; an
  exception that it raises comes after the yield, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from asgiws.bridge.wakeup import Waiter

#: The number of calls in a row that did not wait before one yields to the event loop.
ROW = 256

# The same value as a C integer for the compiled module.
_ROW = ROW

#: The length of the current row.
_row = 0

# _GIVES, _RAISES: the outcome is known, `_message` holds it, and the event loop gets its turn first.
_FRESH, _WAITING, _ENDED, _GIVES, _RAISES = range(5)


def begin_row() -> None:
    """Called when the application is called."""
    global _row
    _row = 0


class Call:
    """One call on `owner`, to be awaited once; `message` is what it sends.

    Subclasses have no attributes of their own, so that the memory of one is reused for the next.
    """

    __slots__ = ("_coroutine", "_message", "_owner", "_state", "_waiter")

    def __init__(self, owner: Any, message: Any) -> None:
        self._owner = owner
        self._message = message
        self._state = _FRESH
        #: What it waits for: one of the two, or neither.
        self._waiter: Waiter | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None

    def advance(self) -> Any:
        """Return the result, or wait: set `_waiter`, and be called again after it was woken, or set
        `_coroutine`, whose result is then the result."""
        raise NotImplementedError

    def takes(self) -> bool:
        """True if it takes something that would be lost with it."""
        return False

    def abandon(self, waiter: Waiter) -> None:
        """It no longer waits for `waiter`: the task that waited was cancelled, or has gone."""

    def step(self) -> Any:
        """Run until it waits, and return what it waits for, or until the result; `has_ended` says which."""
        global _row
        if self._state >= _ENDED:
            return self._outcome()
        waiter = self._waiter
        if waiter is not None:
            if not waiter.done():
                raise RuntimeError("coroutine is being awaited already")
            self._waiter = None
            if waiter.cancelled():
                self._state = _ENDED
                self.abandon(waiter)
                waiter.result()  # raises CancelledError
        if self._coroutine is None:
            if self._state == _FRESH:
                _row += 1
                if _row >= _ROW:
                    return self._end_row()
            self._state = _ENDED  # unless it waits: `advance` may raise
            result = self.advance()
            waiter = self._waiter
            if waiter is not None:
                _row = 0
                self._state = _WAITING
                waiter._asyncio_future_blocking = True
                return waiter
            if self._coroutine is None:
                return result
        return self._send_on()

    def has_ended(self) -> bool:
        return self._state == _ENDED

    def _end_row(self) -> Any:
        """Step as the last of a row: unless it waits, the event loop gets its turn before the outcome."""
        begin_row()
        if self.takes():
            self._state = _WAITING
            return None
        try:
            self._message = waits_for = self.step()
        except Exception as error:
            self._message = error
            self._state = _RAISES
        else:
            if self._state != _ENDED:
                return waits_for
            self._state = _GIVES
        self._coroutine = None  # it has ended, if there was one
        return None

    def _outcome(self) -> Any:
        """The outcome that was known before the event loop got its turn."""
        state = self._state
        if state == _ENDED:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self._state = _ENDED
        outcome, self._message = self._message, None
        if state == _RAISES:
            try:
                raise outcome
            finally:
                del outcome  # its traceback holds this frame
        return outcome

    def _send_on(self) -> Any:
        """Step the coroutine."""
        coroutine = self._coroutine
        assert coroutine is not None
        self._state = _WAITING
        try:
            waits_for = coroutine.send(None)
            begin_row()
            return waits_for
        except StopIteration as stop:
            self._state = _ENDED
            return stop.value
        except BaseException:
            self._state = _ENDED
            raise

    # What `await` and asyncio require of a coroutine.

    def __await__(self) -> Call:
        return self

    def __iter__(self) -> Call:
        return self

    def __next__(self) -> Any:
        value = self.step()
        if self._state == _ENDED:
            if value is None:
                raise StopIteration
            raise StopIteration(value)
        return value

    def send(self, value: Any) -> Any:
        return self.__next__()

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: object = None,
        traceback: TracebackType | None = None,
    ) -> Any:
        """Raise an exception where it waits; see `coroutine.throw`."""
        if self._state == _ENDED:
            raise RuntimeError("cannot reuse already awaited coroutine")
        error = _exception(kind, value, traceback)
        coroutine = self._coroutine
        try:
            if coroutine is not None:
                try:
                    return coroutine.throw(error)
                except BaseException:
                    self._state = _ENDED
                    raise
            self._stop()
            raise error
        finally:
            # Its traceback holds this frame.
            error = kind = value = traceback = None  # type: ignore[assignment]

    def close(self) -> None:
        """End it where it waits. Idempotent."""
        coroutine = self._coroutine
        if coroutine is not None:
            self._state = _ENDED
            coroutine.close()
        else:
            self._stop()

    def _stop(self) -> None:
        self._state = _ENDED
        self._message = None
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            self.abandon(waiter)

    def __del__(self) -> None:
        if self._state == _FRESH:
            warnings.warn(
                f"coroutine '{type(self).__name__.lower()}' was never awaited",
                RuntimeWarning,
                stacklevel=2,
            )
        elif self._state == _WAITING:
            self.close()

    # For debuggers and other tools that display coroutines.

    def __getattr__(self, name: str) -> Any:
        if name in ("__name__", "__qualname__"):
            return type(self).__name__.lower()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def cr_await(self) -> Any:
        """What it waits for."""
        return self._waiter if self._coroutine is None else self._coroutine


Coroutine.register(Call)


def _exception(
    kind: type[BaseException] | BaseException, value: object, traceback: TracebackType | None
) -> BaseException:
    """The exception that the arguments of `throw` stand for."""
    if isinstance(kind, BaseException):
        error = kind
    elif isinstance(value, BaseException):
        error = value
    elif value is None:
        error = kind()
    else:
        error = kind(*value) if isinstance(value, tuple) else kind(value)
    return error if traceback is None else error.with_traceback(traceback)
