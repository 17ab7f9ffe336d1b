"""The context of what the event loop does for the server later.

Rules of this file:
- A callback runs in the context that it was handed to the loop in, and the server hands it many from within an
  application's step: a deadline, the next turn of a connection. The variables of that application, such as the
  id of its request, would stand in the log lines of others, and live as long as the timer. So whatever the loop
  is to call for the server is handed to it through an OwnContext, made before there was an application.
- Each callback has a copy of its own: an application may run the loop from within itself, and a context cannot
  be entered twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class OwnContext:
    """The context in which this was made."""

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
