"""An event loop that is run from within itself, as nest_asyncio does it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_nested(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run the loop, which is asyncio's own, from within one of its tasks until `coroutine` has ended."""
    loop: Any = asyncio.get_running_loop()
    current = asyncio.current_task()
    assert current is not None
    asyncio._leave_task(loop, current)
    try:
        task: asyncio.Task[Result] = loop.create_task(coroutine)
        while not task.done():
            loop._run_once()
        return task.result()
    finally:
        asyncio._enter_task(loop, current)


async def turns(count: int = 5) -> None:
    """To be run nested: a few turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)
