"""What the application's `receive()` and `send()` give it to await.

Rules of this file:
- A Call is to its user what the coroutine of an `async def` is: nothing happens before it is awaited, it is
  awaited once, it can be made a task, `throw` and `close` end it, and whoever forgets to await it is warned.
- `advance` does the work, in the frame of who awaits: there is no frame and no generator of its own, which
  would cost more than a small message does. It gives a result at once, or says what it waits for.
- What is rare may go on as a real coroutine (`_coroutine`), and is then stepped through to it.
- Whoever awaits nothing but calls that need not wait still gives the loop its turn: the last of ROW in a row
  yields once, as `asyncio.sleep(0)` does. The row is the worker's. It ends where a call waits, since the task
  that awaits it stops there, and where the application is called.
- A call that takes something yields before it does so: a cancellation that comes with the turn must not lose
  what it took. One that gives something yields behind it, so that nothing of another task's is sent before;
  what it raises comes behind the turn, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from asgiws.bridge.wakeup import Waiter

#: Calls in a row that did not wait, before the loop has its turn.
ROW = 256

# The same, as the compiled module compares with it.
_ROW = ROW

#: How many of the row there were so far.
_row = 0

# _GIVES, _RAISES: it has come to its outcome, which `_message` holds, and the loop has its turn first.
_FRESH, _WAITING, _ENDED, _GIVES, _RAISES = range(5)


def begin_row() -> None:
    """The application is called."""
    global _row
    _row = 0


class Call:
    """One call of `owner`, to be awaited once; `message` is what it sends.

    What follows from it has no attributes of its own, so that the memory of one is used again for the next.
    """

    __slots__ = ("_coroutine", "_message", "_owner", "_state", "_waiter")

    def __init__(self, owner: Any, message: Any) -> None:
        self._owner = owner
        self._message = message
        self._state = _FRESH
        #: What it waits for: one of the two, or none.
        self._waiter: Waiter | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None

    def advance(self) -> Any:
        """Give the result, or wait: set `_waiter`, and be called again once it was woken, or `_coroutine`,
        whose result it is then."""
        raise NotImplementedError

    def takes(self) -> bool:
        """True when it takes something that would be lost with it."""
        return False

    def abandon(self, waiter: Waiter) -> None:
        """It does not wait for `waiter` any more: who waited was cancelled, or has gone."""

    def step(self) -> Any:
        """Run until it waits, for what this returns, or has come to the result; `has_ended` tells which."""
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
            self._state = _ENDED  # unless it waits: it may raise
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
        """Step as the last of a row: unless it waits, the loop has its turn before the outcome."""
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
        """What it has come to before the loop had its turn."""
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

    # What `await` and asyncio ask of a coroutine.

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

    # For who shows it.

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
