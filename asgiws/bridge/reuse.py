"""A task that serves several calls of the application, one after the other, where that cannot be told.

Rules of this file:
- A task whose call ended in its first step serves the next one, if nothing can tell: nobody refers to it, waits
  for it, has named or cancelled it, or given it attributes. Only its `get_context()` (Python 3.12) is then the
  worker's and not the call's. It saves a quarter of the instructions of a small request.
- This counts references, and reads fields of asyncio's task that are its own. So it is done on the versions of
  CPython alone on which the tests have been run with it; on any other, each call has a task of its own. To
  take a version in: run the tests on it, then add it to TESTED.
- `ASGIWS_TASK_REUSE=no` turns it off; `auto`, the default, leaves it to TESTED. It is read once.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextvars import Context
from typing import Any
from weakref import getweakrefcount

from asgiws.bridge import steps
from asgiws.bridge.tasks import CAN_STEP, NAME, Job, Runner, start

VARIABLE = "ASGIWS_TASK_REUSE"
MODES = ("auto", "no")

#: The minor versions of CPython on which the tests have been run.
TESTED = frozenset(((3, 10), (3, 11), (3, 12), (3, 13)))

# Found here by one look.
_Task: Any = asyncio.Task
_enter_task = asyncio._enter_task
_leave_task = asyncio._leave_task


def is_tested(implementation: str, version: tuple[int, int], abiflags: str) -> bool:
    """Whether tasks bear it in that Python, named as in `sys`. A free-threaded one (`t`) counts references in
    another way."""
    return implementation == "cpython" and version in TESTED and "t" not in abiflags


def is_wanted(mode: str) -> bool:
    """What the variable says; empty is `auto`. Raises SystemExit, with one line, for what it cannot be."""
    if mode not in ("", *MODES):
        raise SystemExit(f"{VARIABLE}={mode!r} is not one of {', '.join(MODES)}")
    return mode != "no"


#: Whether a task serves several calls in this process.
IS_ON = is_wanted(os.environ.get(VARIABLE, "")) and is_tested(
    sys.implementation.name, sys.version_info[:2], getattr(sys, "abiflags", "")
)


class ReusableRunner(Runner):
    """The coroutine of a task that runs a Job, and another one when that left no traces."""

    __slots__ = ("_references",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        Runner.__init__(self, loop, None)
        #: How many refer to the task while it has no call.
        self._references = 0

    def try_run(self, job: Job, context: Context) -> bool:
        """As `run`. True when the job ended in its first step and left no traces, and the task is free."""
        task = self.task
        assert task is not None
        references: int = steps.references(task)
        weak: int = getweakrefcount(task)
        is_as_before = False
        self.run_first_step(job, context)
        try:
            is_as_before = (
                self.has_ended()
                and self._error is None
                and self._interruption is None
                and references == steps.references(task)
                and weak == getweakrefcount(task)
                and _is_clean(task)
            )
        finally:
            _leave_task(self._loop, task)
        if is_as_before:
            self.rest()
            self._references = steps.references(task)
            return True
        if not self.has_ended():
            task._log_destroy_pending = True  # type: ignore[attr-defined]  # asyncio's own, not in the stubs
        task = None  # an error of the first step has a traceback, and that this frame
        self.go_on(context)
        return False

    def is_free(self) -> bool:
        """True while it can run another call: nobody has taken hold of the task since the last one, as who
        asks for all tasks does, and may cancel them later; and nobody has cancelled it."""
        task = self.task
        assert task is not None
        return (
            self.has_no_call()
            and self._references == steps.references(task)
            and not task.cancelling()
            # A cancellation that was taken back comes all the same, before Python 3.13.
            and not (
                task._must_cancel  # type: ignore[attr-defined]  # as above
                if self._idle is None
                else self._idle.done()
            )
        )


class Spare:
    """Starts calls that may end in their first step, with a task to spare from one that did."""

    __slots__ = ("_context", "_is_on", "_loop", "_runner")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, context: Context, is_on: bool = IS_ON
    ) -> None:
        self._loop = loop
        #: Each task has a copy of it, and each call one of its own.
        self._context = context
        #: Whether there is ever a task to spare.
        self._is_on = is_on and CAN_STEP
        self._runner: ReusableRunner | None = None

    def start(self, job: Job, context: Context) -> asyncio.Task[None] | None:
        """As `tasks.start`."""
        loop = self._loop
        if not self._is_on or loop.get_task_factory() is not None:
            return start(loop, job, context)
        runner = self._runner
        self._runner = None  # the call may run the loop, and the loop begin other calls
        if runner is not None and not runner.is_free():
            runner.end()
            runner = None
        if runner is None:
            runner = ReusableRunner(loop)
            # No variable of ours may hold the task: those who do are counted.
            runner.task = _Task(runner, loop=loop, name=NAME, context=self._context.copy())
            # Nobody misses a task that does nothing.
            runner.task._log_destroy_pending = False  # type: ignore[union-attr]  # C's
        try:
            _enter_task(loop, runner.task)  # type: ignore[arg-type]  # it has one
        except RuntimeError:  # another is running
            self._runner = runner
            return start(loop, job, context)
        if not runner.try_run(job, context):
            return runner.release()
        self._keep(runner)
        return None

    def _keep(self, runner: ReusableRunner) -> None:
        """It has a task to spare, unless another call, which began meanwhile, has left one."""
        if self._runner is None:
            self._runner = runner
        else:
            runner.end()

    def close(self) -> None:
        """End the spare task."""
        if self._runner is not None:
            self._runner.end()
            self._runner = None


def _is_clean(task: asyncio.Task[None]) -> bool:
    """True when a task is as it was made."""
    return (
        task.get_name() is NAME
        and not task.cancelling()
        and not task._must_cancel  # type: ignore[attr-defined]  # as above
        and not task._callbacks
        and not steps.has_attributes(task)
    )
