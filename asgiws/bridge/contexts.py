"""The context of what the event loop does later for the server.

Rules of this file:
- A callback runs in the context in which it was scheduled, and the server schedules many from within an
  application's step: a deadline, the next turn of a connection. That application's context variables, such as
  the id of its request, would then appear in the log lines of others, and live as long as the timer. So
  everything that the event loop is to call for the server is scheduled through an OwnContext, which is created
  before there is an application.
- Each callback has its own copy: an application may run the event loop from within itself, and a context cannot
  be entered twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class OwnContext:
    """The context in which this object was created."""

    __slots__ = ("_context",)

    def __init__(self) -> None:
        self._context = copy_context()

    def copy(self) -> Context:
        return self._context.copy()

    def run(
        self,
        function: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **options: Arguments.kwargs,
    ) -> Result:
        """Call a function that keeps the context for later: `loop.call_at`, `loop.add_reader`, ..."""
        return self._context.copy().run(function, *arguments, **options)
