"""A step of a coroutine, and a call in its own context.

Rules of this file: it is a twin, one of the files where the pure and the compiled build differ. This source
serves the pure build, and `steps.pxd` gives the compiled modules the same functions, inlined, by the C API,
which needs no exception to tell that a coroutine has ended. The file itself is never compiled. A change of one
is a change of both.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any


def call(context: Context, function: Callable[[Any], object], argument: object) -> None:
    """Call a function of one argument. Raises what it raises."""
    context.run(function, argument)


def call_inline(context: Context, function: Callable[[Any], object], argument: object) -> None:
    """Like `call`; when compiled, for a function that is compiled as well."""
    context.run(function, argument)


def references(thing: object) -> int:
    """The number of references to `thing`; the number itself says little, a change of it much."""
    return sys.getrefcount(thing)


def has_attributes(task: asyncio.Task[Any]) -> bool:
    """Whether anyone has set attributes on it; a task keeps them, but has no `__dict__` that shows them."""
    return any(type(thing) is dict and thing for thing in gc.get_referents(task))


def send(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a step. Returns what the coroutine waits for, or the coroutine itself if it has ended. Raises what
    the coroutine raises."""
    try:
        return coroutine.send(None)
    except StopIteration:
        return coroutine
