"""The task of an application's call, with its first step run at once.

Rules of this file:
- A task per call, always: `current_task()`, its cancellation and its context are the call's own. A task whose
  call ended in its first step may serve the next one, if nothing can tell: nobody refers to it, waits for it,
  has named or cancelled it, or given it attributes (`_is_clean`). Only its `get_context()` (Python 3.12) is
  then the worker's and not the call's.
- The first step runs inside the caller, so that an answer that waits for nothing leaves in the read that
  brought its request. It is run here, with the task entered as the current one (`_enter_task`, from "Extending
  asyncio" in Python's documentation), and what it came to is given to the task when the loop steps it. From
  Python 3.12 on, asyncio's own eager start does that for a new task. Before 3.11 a task cannot be given its
  context, and starts in the loop's next turn.
- A loop with a task factory of its own is left to it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Coroutine
from contextvars import Context
from types import CoroutineType
from typing import Any
from weakref import getweakrefcount

from asgiws.asgi import steps
from asgiws.asgi.wakeup import Waiter

#: The name of each task: one that asyncio makes for itself would cost more than it tells.
NAME = "asgiws"

# Found here by one look. The stubs of the first know nothing of what depends on Python's version.
_Task: Any = asyncio.Task
_current_task = asyncio.current_task
_enter_task = asyncio._enter_task
_leave_task = asyncio._leave_task

#: Whether a task can be stepped here; see the rules.
_STEPS = sys.version_info >= (3, 11)
_IS_EAGER = sys.version_info >= (3, 12)

# What a Runner gives to its task next: the first step of a call, the future that it waits for, what else it
# yielded (None, for the next turn), whatever comes, its end, or nothing until it is given another call.
_FIRST, _WAITS, _YIELDED, _RUNS, _ENDED, _IDLE = range(6)


class Job:
    """A call of the application: what a task is for."""

    __slots__ = ()

    def begin(self) -> Awaitable[Any]:
        """Call the application: what is to be awaited. Runs as the task, in the call's context, as `ended`."""
        raise NotImplementedError

    def ended(self, error: BaseException | None) -> None:
        """The application has ended, with `error` or in peace. What this raises ends the task."""
        raise NotImplementedError


class Runner:
    """The coroutine of a task, which runs a Job, and another one when that left no traces."""

    __slots__ = (
        "_context",
        "_coroutine",
        "_error",
        "_idle",
        "_job",
        "_loop",
        "_references",
        "_state",
        "_thrown",
        "_yielded",
        "task",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, job: Job | None) -> None:
        self._loop = loop
        self._job = job
        #: The call's, where the task's own is another.
        self._context: Context | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._state = _IDLE if job is None else _FIRST
        self._yielded: Any = None
        self._error: BaseException | None = None
        #: What the next step is to raise in the call.
        self._thrown: BaseException | None = None
        #: What the task waits for while there is no call.
        self._idle: _Idle | None = None
        #: How many refer to the task while it is idle.
        self._references = 0
        self.task: asyncio.Task[None] | None = None

    # From `start` and Spare, where no task is running.

    def run(self, job: Job, context: Context) -> bool:
        """Begin `job` in `context`, as the task that was entered; true when it ended in its first step, and
        left no traces."""
        task = self.task
        assert task is not None
        self._job = job
        self._state = _FIRST
        references: int = steps.references(task)
        weak: int = getweakrefcount(task)
        is_as_before = False
        try:
            steps.call(context, _STEP, self)
            is_as_before = (
                references == steps.references(task)
                and weak == getweakrefcount(task)
                and _is_clean(task)
            )
        except BaseException as error:
            self._error = error
            self._state = _ENDED
        finally:
            _leave_task(self._loop, task)
        if self._state == _RUNS:
            self._context = context
            if getattr(self._yielded, "_asyncio_future_blocking", None):
                # The mark is between a future and the task that takes it at once. Until ours does, others may
                # begin to wait for the same future.
                self._yielded._asyncio_future_blocking = False
                self._state = _WAITS
            else:
                self._state = _YIELDED
            task._log_destroy_pending = True  # type: ignore[attr-defined]  # asyncio's own, not in the stubs
        elif is_as_before:
            self._state = _IDLE
            self._references = steps.references(task)
            return True
        if self._idle is not None:
            self._idle.wake_soon()
        return False

    def is_free(self) -> bool:
        """True while it can run another call: nobody has taken hold of the task since the last one, as who
        asks for all tasks does, and may cancel them later."""
        task = self.task
        assert task is not None
        return (
            self._state == _IDLE
            and self._references == steps.references(task)
            and not task.cancelling()
            and (self._idle is None or not self._idle.done())
        )

    def is_waiting(self) -> bool:
        """True while the call waits for a future that the task does not know of yet."""
        return self._state == _WAITS

    def cancel_future(self, message: Any) -> bool:
        """Cancel that future, as the task would."""
        # By its message anyio's scopes know their own cancellation.
        return bool(self._yielded.cancel() if message is None else self._yielded.cancel(message))

    def end(self) -> None:
        """There will be no other call: end the task, which is idle."""
        self._state = _ENDED
        if self._idle is not None:
            self._idle.wake_soon()

    def has_ended(self) -> bool:
        """True when there is nothing left to do for the task."""
        return self._state >= _ENDED

    def step(self) -> None:
        """One step of the call, as the task and in its context. Raises what `Job.ended` raises."""
        error: BaseException | None = None
        try:
            coroutine = self._coroutine
            if coroutine is None:
                assert self._job is not None
                begun = self._job.begin()
                if type(begun) is not CoroutineType:
                    begun = _awaited(begun)
                coroutine = self._coroutine = begun
            thrown, self._thrown = self._thrown, None
            if thrown is None:
                self._yielded = steps.send(coroutine)
            else:
                self._yielded = _thrown_into(coroutine, thrown)
            if self._yielded is not coroutine:
                self._state = _RUNS
                return
        except BaseException as caught:
            error = caught
        try:
            self._finish(error)
        finally:
            error = None  # its traceback holds this frame, and all that the application had

    def _finish(self, error: BaseException | None) -> None:
        job = self._job
        assert job is not None
        self._job = None
        self._coroutine = None
        self._yielded = None
        self._state = _ENDED
        job.ended(error)

    def _advance(self) -> Any:
        """A step, in the task: what the call waits for. Raises StopIteration at its end."""
        if self._context is None:
            self.step()
        else:
            steps.call(self._context, _STEP, self)
        if self._state == _ENDED:
            raise StopIteration
        return self._yielded

    # What the task asks of a coroutine.

    def __next__(self) -> Any:
        state = self._state
        if state == _WAITS and self._idle is not None and self._yielded.done():
            # While the task was taking over. An ordinary one would have been woken by now.
            state = self._state = _RUNS
            self._idle = None
        if state in (_RUNS, _FIRST):
            return self._advance()
        if state == _ENDED:
            error = self._error
            self._error = None
            if error is not None:
                raise error
            raise StopIteration
        if state == _IDLE:
            waiter = self._idle = _Idle(self._loop)
            waiter.runner = self
            waiter._asyncio_future_blocking = True
            return waiter
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
        return self.__next__()  # a task sends nothing but None

    def throw(self, error: BaseException) -> Any:
        """Cancelled: as a task that is told so while it waits, or when it has ended."""
        state = self._state
        if state == _WAITS:
            # With the message, by which anyio's scopes know their own cancellation.
            if self._yielded.cancel(*error.args):
                return self.__next__()
        elif state == _ENDED:
            return self.__next__()
        elif self._coroutine is None:
            self._state = _ENDED  # idle: somebody cancels whatever task there is
            raise error
        self._thrown = error
        return self._advance()

    def close(self) -> None:
        self._error = None
        self._state = _ENDED
        if self._coroutine is not None:
            self._coroutine.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)  # cr_frame and the like, for who looks at the task


Coroutine.register(Runner)


class _Idle(Waiter):
    """What the task of a Runner waits for between two calls, and until it has taken over the second."""

    __slots__ = ("runner",)

    runner: Runner

    def cancel(self, msg: Any = None) -> bool:
        if self.runner.is_waiting():
            return self.runner.cancel_future(msg)
        return super().cancel(msg)


class Spare:
    """Starts calls that may end in their first step, with a task to spare from one that did."""

    __slots__ = ("_context", "_loop", "_runner")

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self._loop = loop
        #: That of the tasks; each call has its own.
        self._context = context
        self._runner: Runner | None = None

    def start(self, job: Job, context: Context) -> asyncio.Task[None] | None:
        """As `start`."""
        loop = self._loop
        if not _STEPS or loop.get_task_factory() is not None:
            return start(loop, job, context)
        runner = self._runner
        if runner is not None and not runner.is_free():
            runner.end()
            runner = None
        if runner is None:
            runner = Runner(loop, None)
            # No variable of ours may hold the task: those who do are counted.
            runner.task = _Task(runner, loop=loop, name=NAME, context=self._context)
            # Nobody misses a task that does nothing.
            runner.task._log_destroy_pending = False  # type: ignore[union-attr]  # C's
            self._runner = runner
        try:
            _enter_task(loop, runner.task)  # type: ignore[arg-type]  # it has one
        except RuntimeError:  # another is running
            return start(loop, job, context)
        if runner.run(job, context):
            if self._runner is not runner:
                runner.end()  # the call has led to another, whose task is to spare now
            return None
        self._runner = None
        return None if runner.has_ended() else runner.task

    def close(self) -> None:
        """End the spare task."""
        if self._runner is not None:
            self._runner.end()
            self._runner = None


def start(loop: asyncio.AbstractEventLoop, job: Job, context: Context) -> asyncio.Task[None] | None:
    """Run `job` as a task with that context, its first step at once where that can be done: not from within
    another task. Returns the task, None when it has ended already."""
    if not _can_step(loop):
        return context.run(loop.create_task, _run(job))
    if _IS_EAGER:
        task: asyncio.Task[None] = _Task(
            Runner(loop, job), loop=loop, context=context, name=NAME, eager_start=True
        )
        return None if task.done() else task
    runner = Runner(loop, None)
    made: asyncio.Task[None] = _Task(runner, loop=loop, name=NAME, context=context)
    runner.task = made
    _enter_task(loop, made)
    if runner.run(job, context):
        runner.end()
    runner._context = None  # it is the task's own
    return None if runner.has_ended() else made


def _can_step(loop: asyncio.AbstractEventLoop) -> bool:
    return _STEPS and _current_task(loop) is None and loop.get_task_factory() is None


async def _run(job: Job) -> None:
    """`job` for a task like any other."""
    error: BaseException | None = None
    try:
        await job.begin()
    except BaseException as caught:
        error = caught
    try:
        job.ended(error)
    finally:
        error = None  # its traceback holds this frame, and all that the application had


async def _awaited(awaitable: Awaitable[Any]) -> None:
    await awaitable


def _step(runner: Runner) -> None:
    runner.step()


def _thrown_into(coroutine: Coroutine[Any, Any, Any], error: BaseException) -> Any:
    """As `steps.send`, with an exception."""
    try:
        return coroutine.throw(error)
    except StopIteration:
        return coroutine


# As an object, which a compiled function is not by itself.
_STEP = _step


def _is_clean(task: asyncio.Task[None]) -> bool:
    """True when a task is as it was made."""
    return (
        task.get_name() is NAME
        and not task.cancelling()
        and not task._must_cancel  # type: ignore[attr-defined]  # as above
        and not task._callbacks
        and not steps.has_attributes(task)
    )
