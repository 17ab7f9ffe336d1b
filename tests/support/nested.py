"""An event loop that is run from within itself, as nest_asyncio does it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class NestableLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop; a turn of it may run in the middle of another one."""

    _ready: Any
    _scheduled: Any
    _selector: Any

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        timeout = None
        if ready:
            timeout = 0
        elif scheduled:
            timeout = max(0, scheduled[0].when() - self.time())
        self._process_events(self._selector.select(timeout))  # type: ignore[attr-defined]
        while scheduled and scheduled[0].when() <= self.time():
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        for _ in range(len(ready)):
            if not ready:
                break  # a turn within this one has taken them
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()


def run_nested(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run the loop from within one of its tasks until `coroutine` has ended."""
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
