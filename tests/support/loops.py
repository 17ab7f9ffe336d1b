"""Runs a test on each event loop that there is."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if sys.platform != "win32":
    try:
        import uvloop
    except ImportError:
        pass
    else:
        LOOPS["uvloop"] = uvloop.new_event_loop


class Loop:
    """An event loop for one test; what the loop would only log fails the test."""

    def __init__(
        self,
        name: str = "",
        debug: bool = False,
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        self.loop = factory() if factory is not None else LOOPS[name]()
        self.loop.set_debug(debug)
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda loop, context: self.complaints.append(context))

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(main)

    def close(self) -> None:
        try:
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()
        if self.complaints:
            pytest.fail(f"the event loop complained: {self.complaints}")


def on_each_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make an async test run on asyncio's own loop and on uvloop."""

    @functools.wraps(test)
    def run(loop_name: str, **arguments: Any) -> None:
        loop = Loop(loop_name)
        try:
            loop.run(test(**arguments))
        finally:
            loop.close()

    signature = inspect.signature(test)
    first = inspect.Parameter("loop_name", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[first, *signature.parameters.values()]
    )
    return pytest.mark.parametrize("loop_name", LOOPS)(run)


async def settle(turns: int = 10) -> None:
    """Let everything run that can run."""
    for _ in range(turns):
        await asyncio.sleep(0)
