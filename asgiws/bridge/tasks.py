"""The task of an application's call, whose first step runs at once.

Rules of this file:
- A task per call: `current_task()`, its cancellation and its context are the call's own. `reuse.py` has a task
  serve several calls; nothing here depends on that.
- The first step runs inside the caller, so that an answer that waits for nothing leaves in the read that
  brought its request. It is run here, with the task entered as the current one (`_enter_task`, from "Extending
  asyncio" in Python's documentation), and what it came to is given to the task when the loop steps it. From
  Python 3.12 on, asyncio's own eager start does that for a new task. Before 3.11 a task cannot be given its
  context, and starts in the loop's next turn.
- The application may run the loop from within its first step (nest_asyncio), and the loop then steps the task
  whose step that is: it is told to wait until the step is over. So what such a task has for its own is never
  entered meanwhile: its context is not that of the call, and not that of another task either.
- A loop with a task factory of its own is left to it.
- A call leaves no cycle of references: an application that has turned the garbage collector off must not grow.
  A Runner lets go of all that it has when the call ends. A frame that an exception passes must not name it when
  it is left, since the traceback holds the frame.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Coroutine
from contextvars import Context
from types import CoroutineType
from typing import Any

from asgiws.bridge import steps
from asgiws.bridge.wakeup import Waiter

#: The name of each task: generating one for each, as asyncio does, would cost more than it is worth.
NAME = "asgiws"

# The same object for the compiled module, which looks it up nowhere; so is _CAN_STEP.
_NAME = NAME

# Looked up once. The type stubs of the first do not know the attributes that depend on Python's version.
_Task: Any = asyncio.Task
_current_task = asyncio.current_task
_enter_task = asyncio._enter_task
_leave_task = asyncio._leave_task

#: Whether a task can be stepped here; see the rules.
CAN_STEP = sys.version_info >= (3, 11)
_CAN_STEP = CAN_STEP
_IS_EAGER = sys.version_info >= (3, 12)

#: Whether `uncancel()` revokes a cancellation that has not been delivered to the task yet.
_RESCINDS = sys.version_info >= (3, 13)

# What a Runner gives to its task next: the first step of a call, nothing until the first step that runs here is
# over, the future that the call waits for, what else it yielded (None, for the next turn), whatever comes, its
# end, or nothing until it is given a call.
_FIRST, _BEGINS, _WAITS, _YIELDED, _RUNS, _ENDED, _IDLE = range(7)


class Job:
    """A call of the application, which a task runs."""

    __slots__ = ()

    def begin(self) -> Awaitable[Any]:
        """Call the application and return what is to be awaited. Runs as the task, in the call's context; so
        does `ended`."""
        raise NotImplementedError

    def ended(self, error: BaseException | None) -> None:
        """The application has ended, with `error` or without one. An exception raised here ends the task."""
        raise NotImplementedError


class Runner:
    """The coroutine of a task, which runs a Job: the one that it is made with, or that of `run`."""

    __slots__ = (
        "_context",
        "_coroutine",
        "_error",
        "_idle",
        "_interruption",
        "_job",
        "_loop",
        "_state",
        "_thrown",
        "_yielded",
        "task",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, job: Job | None) -> None:
        self._loop = loop
        self._job = job
        #: The call's context, if it is not the task's own.
        self._context: Context | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._state = _IDLE if job is None else _FIRST
        self._yielded: Any = None
        self._error: BaseException | None = None
        #: What the next step must raise in the call.
        self._thrown: BaseException | None = None
        #: A cancellation that was delivered to the task while the first step ran.
        self._interruption: BaseException | None = None
        #: What the task waits for while there is no call, or while its first step runs.
        self._idle: _Idle | None = None
        #: The task, until it has a call that goes on.
        self.task: asyncio.Task[None] | None = None

    # Where no task is running.

    def run(self, job: Job, context: Context) -> None:
        """Begin `job` in `context`, as the task that was entered, and leave that."""
        self.run_first_step(job, context)
        _leave_task(self._loop, self.task)  # type: ignore[arg-type]  # it has one
        self.go_on(context)

    def run_first_step(self, job: Job, context: Context) -> None:
        """Run the first step of `job`. Raises nothing."""
        self._job = job
        self._state = _BEGINS
        try:
            steps.call_inline(context, _step, self)
        except BaseException as error:
            self._error = error
            self._state = _ENDED

    def go_on(self, context: Context) -> None:
        """Give what came of the first step to the task, which has been left."""
        task = self.task
        assert task is not None
        if self._state == _RUNS:
            self._context = context
            if getattr(self._yielded, "_asyncio_future_blocking", None):
                # The mark lasts only until the task takes the future, which is normally at once. Until ours
                # takes it, others may begin to wait for the same future.
                self._yielded._asyncio_future_blocking = False
                self._state = _WAITS
            else:
                self._state = _YIELDED
        elif self._error is None and task._must_cancel:  # type: ignore[attr-defined]  # asyncio's own, not in the stubs
            # Cancelled in its last step: an ordinary task counts as cancelled then.
            self._error = task._make_cancelled_error()  # type: ignore[attr-defined]  # as above
        if self._interruption is not None:
            self._interrupt(task)
        task = None  # an error of the first step has a traceback, which holds this frame
        self._wake_task()

    def _interrupt(self, task: asyncio.Task[None]) -> None:
        """A cancellation that came in the first step takes effect at its end, as in any task."""
        error, self._interruption = self._interruption, None
        assert error is not None
        if _RESCINDS and not task.cancelling():
            return
        if self._state == _ENDED:
            if self._error is None:
                self._error = error
        elif self._state != _WAITS or not self._yielded.cancel(*error.args):
            self._state = _YIELDED
            self._yielded = None
            self._thrown = error

    def release(self) -> asyncio.Task[None] | None:
        """The task, or None if it has nothing left to do: it continues without a reference from its Runner."""
        task, self.task = self.task, None
        return None if self.has_ended() else task

    def has_ended(self) -> bool:
        """True if the task has nothing left to do."""
        return self._state >= _ENDED

    def has_no_call(self) -> bool:
        """True while it waits for a call."""
        return self._state == _IDLE

    def begins(self) -> bool:
        """True while the first step of the call runs here."""
        return self._state == _BEGINS

    def is_waiting(self) -> bool:
        """True while the call waits for a future that the task does not know yet."""
        return self._state == _WAITS

    def cancel_future(self, message: Any) -> bool:
        """Cancel that future, as the task would."""
        # The message is how anyio's scopes recognise their own cancellation.
        return bool(self._yielded.cancel() if message is None else self._yielded.cancel(message))

    def rest(self) -> None:
        """The call has ended, and the task has not: it waits for another call."""
        self._state = _IDLE

    def end(self) -> None:
        """There will be no call: end the task."""
        self._state = _ENDED
        self.task = None
        self._wake_task()

    def _wake_task(self) -> None:
        """The task has something to do, or has ended."""
        idle = self._idle
        if idle is not None:
            if self._state == _ENDED:
                self._idle = None
            idle.wake_soon()

    def step(self) -> None:
        """One step of the call, as the task and in its context. Raises what `Job.ended` raises."""
        error: BaseException | None = None
        thrown, self._thrown = self._thrown, None
        coroutine = self._coroutine
        try:
            if coroutine is None:
                assert self._job is not None
                begun = self._job.begin()
                if type(begun) is not CoroutineType:
                    begun = _awaited(begun)
                coroutine = self._coroutine = begun
            if thrown is None:
                self._yielded = steps.send(coroutine)
            else:
                try:
                    self._yielded = coroutine.throw(thrown)
                except StopIteration:
                    self._yielded = coroutine
            if self._yielded is not coroutine:
                self._state = _RUNS
                return
        except BaseException as caught:
            error = caught
        finally:
            thrown = None  # its traceback holds this frame
        coroutine = begun = None  # type: ignore[assignment]
        job = self._job
        assert job is not None
        self._job = self._coroutine = self._yielded = self._context = None
        self._state = _ENDED
        try:
            _end(job, error)
        finally:
            error = None  # as above, and everything that the application had

    def _advance(self) -> Any:
        """One step, in the task. Returns what the call waits for, unless it ends with the step."""
        if self._context is None:
            self.step()
        else:
            steps.call_inline(self._context, _step, self)
        return self._yielded

    def _wait(self) -> _Idle:
        """What the task must wait for while it has nothing to do."""
        waiter = self._idle = _Idle(self._loop)
        waiter.runner = self
        waiter._asyncio_future_blocking = True
        return waiter

    def _take_error(self) -> BaseException:
        """The exception that ends the task."""
        error, self._error = self._error, None
        assert error is not None
        return error

    # What the task requires of a coroutine.

    def __next__(self) -> Any:
        state = self._state
        if state == _WAITS and self._idle is not None and self._yielded.done():
            # The future was done while the task was taking over. An ordinary task would have been woken by now.
            state = self._state = _RUNS
            self._idle = None
        if state in (_RUNS, _FIRST):
            yielded = self._advance()
            if self._state == _ENDED:
                raise StopIteration  # in this method alone, it costs no exception when compiled
            return yielded
        if state == _ENDED:
            if self._error is None:
                raise StopIteration
            raise self._take_error()
        if state in (_IDLE, _BEGINS):
            return self._wait()
        self._idle = None
        self._state = _RUNS
        if state == _WAITS:
            self._yielded._asyncio_future_blocking = True
        return self._yielded

    def __iter__(self) -> Runner:
        return self

    def __await__(self) -> Runner:
        return self

    def send(self, value: Any) -> Any:
        return self.__next__()  # a task only sends None

    def throw(self, error: BaseException) -> Any:
        """Cancelled, like a task that is cancelled while it waits, or after it has ended."""
        state = self._state
        try:
            if state == _BEGINS:
                self._interruption = error
                return self._wait()
            if state == _WAITS:
                # With the message, by which anyio's scopes recognise their own cancellation.
                if self._yielded.cancel(*error.args):
                    return self.__next__()
            elif state == _ENDED:
                return self.__next__()
            elif self._coroutine is None:
                self._state = _ENDED  # without a call: somebody cancels whatever task there is
                self._idle = None
                raise error
            self._idle = None
            self._thrown = error
            yielded = self._advance()
            if self._state == _ENDED:
                raise StopIteration
            return yielded
        finally:
            error = None  # type: ignore[assignment]  # its traceback holds this frame

    def close(self) -> None:
        self._error = None
        self._state = _ENDED
        if self._coroutine is not None:
            self._coroutine.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(
            self._coroutine, name
        )  # cr_frame and the like, for code that inspects the task


Coroutine.register(Runner)


class _Idle(Waiter):
    """What the task of a Runner waits for without a call, and until it has taken a call over."""

    __slots__ = ("runner",)

    runner: Runner

    def cancel(self, msg: Any = None) -> bool:
        runner = self.runner
        if runner.is_waiting():
            return runner.cancel_future(msg)
        if runner.begins():
            return False  # the task is running, and notes the cancellation itself
        return super().cancel(msg)


def start(loop: asyncio.AbstractEventLoop, job: Job, context: Context) -> asyncio.Task[None] | None:
    """Run `job` as a task with that context. Its first step runs at once if possible, which it is not from
    within another task. Returns the task, or None if it has already ended."""
    if not _can_step(loop):
        return context.run(loop.create_task, _run(job))
    if _IS_EAGER:
        task: asyncio.Task[None] | None = _Task(
            Runner(loop, job), loop=loop, context=context, name=_NAME, eager_start=True
        )
        if task is not None and task.done():
            task = None  # an error that it ends with has a traceback, which holds this frame
        return task
    runner = Runner(loop, None)
    runner.task = _Task(runner, loop=loop, name=_NAME, context=context.copy())
    _enter_task(loop, runner.task)
    runner.run(job, context)
    return runner.release()


def _can_step(loop: asyncio.AbstractEventLoop) -> bool:
    return _CAN_STEP and _current_task(loop) is None and loop.get_task_factory() is None


async def _run(job: Job) -> None:
    """`job` for an ordinary task."""
    error: BaseException | None = None
    try:
        await job.begin()
    except BaseException as caught:
        error = caught
    try:
        _end(job, error)
    finally:
        error = None  # its traceback holds this frame, and everything that the application had


def _end(job: Job, error: BaseException | None) -> None:
    """Tell `job` that it has ended."""
    traceback = None if error is None else error.__traceback__
    try:
        job.ended(error)
    except BaseException as raised:
        if raised is not error:
            raise
        # Without the frames that it was passed on through, which refer to it. Before Python 3.11, a bare
        # `raise` would bring them back.
        raised.__traceback__ = traceback
        raise raised
    finally:
        error = traceback = None


async def _awaited(awaitable: Awaitable[Any]) -> None:
    await awaitable


def _step(runner: Runner) -> None:
    one = runner  # typed, where it is compiled
    one.step()
