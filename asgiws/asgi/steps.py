"""One step of a coroutine in a context of its own.

Rules of this file: it is the one place of `asgiws/asgi` where the pure and the compiled build differ. This
source serves the pure build, and `steps.pxd` gives the compiled modules the same function, inlined, by the C
API, which needs no exception to tell that a coroutine has ended. The file itself is never compiled. A change of
one is a change of both.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import Context
from typing import Any


def first(context: Context, coroutine: Coroutine[Any, Any, None]) -> tuple[bool, Any]:
    """Run the first step: whether the coroutine waits, and for what. Raises what the coroutine raises."""
    try:
        return True, context.run(coroutine.send, None)
    except StopIteration:
        return False, None
