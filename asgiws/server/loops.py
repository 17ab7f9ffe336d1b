"""The event loop: which one, and a run of it that always ends.

Rules of this file:
- No event loop policy is read or set: they are deprecated, and a policy of the application does not
  change what `--loop` says.
- What was interrupted may first run to its own end, in the time that it says it needs; a SystemExit of the
  application, or several at once, does not cut that short.
- `run` limits the time of its own clean-up. `asyncio.run` waits without limit for a task that ignores
  its cancellation and for a thread of the default executor that never returns; a server that was told
  to stop must not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from asgiws.asgi.errors import ProcessEnds
from asgiws.config import StartError
from asgiws.server import forks

logger = logging.getLogger("asgiws.error")

#: Seconds for everything that is left to end after the server has ended.
LAST_MOMENT = 1.0

T = TypeVar("T")


class LoopMissing(StartError):
    """The requested event loop is not installed."""


def uvloop_version() -> str | None:
    """The version of uvloop, or None if it is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return str(vars(uvloop)["__version__"])


def choose(name: str) -> str:
    """`uvloop` or `asyncio`, for an option that may be `auto`. Raises LoopMissing."""
    if name == "auto":
        return "asyncio" if uvloop_version() is None else "uvloop"
    if name == "uvloop" and uvloop_version() is None:
        raise LoopMissing("--loop uvloop needs the package uvloop: pip install uvloop")
    return name


def factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The function that creates the event loop with that name. Raises LoopMissing."""
    if choose(name) == "uvloop":
        import uvloop

        return uvloop.new_event_loop  # type: ignore[no-any-return, unused-ignore]
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop
    return asyncio.SelectorEventLoop


def run(main: Callable[[], Coroutine[Any, Any, T]], name: str, patience: float = LAST_MOMENT) -> T:
    """Run the coroutine that `main` creates in a new event loop with that name, and return its result.

    Remaining tasks are cancelled: first that of `main`, which gets `patience` seconds to end, then the others,
    for LAST_MOMENT seconds; threads of the default executor are not waited for here. Raises LoopMissing,
    RuntimeError within a running loop, and what `main` raises.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError(
            "an event loop is already running: await asgiws.Server(config).serve() in it"
        )
    process = os.getpid()
    loop = factory(name)()
    loop.set_exception_handler(_report)
    task = loop.create_task(main())
    try:
        return loop.run_until_complete(task)
    finally:
        if os.getpid() != process:
            forks.end()
        try:
            ending = loop.create_task(_end_tasks(task, patience))
            while not ending.done():
                try:
                    loop.run_until_complete(ending)
                except ProcessEnds:  # noqa: PERF203
                    raise
                except SystemExit:
                    pass  # from another task: the process is already ending
        finally:
            loop.close()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what the event loop reports, except the end of the process, which is not an error.

    It goes to our log: the application's logging configuration may have disabled asyncio's own.
    """
    error = context.get("exception")
    if isinstance(error, SystemExit):
        return
    lines = [context.get("message") or "Unhandled exception in the event loop"]
    lines += [
        f"{key}: {value!r}"
        for key, value in sorted(context.items())
        if key not in ("message", "exception", "source_traceback", "handle_traceback")
    ]
    logger.error("%s", "\n".join(lines), exc_info=error)


async def _end_tasks(main: asyncio.Task[Any], patience: float) -> None:
    loop = asyncio.get_running_loop()
    # An exception that passed through the loop left `main` as it was. It comes first: it ends what it has
    # started.
    if not main.done():
        await _cancel({main}, patience)
    await _cancel(asyncio.all_tasks() - {asyncio.current_task(), main}, LAST_MOMENT)
    try:
        await asyncio.wait_for(loop.shutdown_asyncgens(), LAST_MOMENT)
    except asyncio.TimeoutError:
        pass


async def _cancel(tasks: set[asyncio.Task[Any]], patience: float) -> None:
    """Cancel tasks and give them `patience` seconds; their exceptions are reported."""
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    _, stuck = await asyncio.wait(tasks, timeout=patience)
    for task in tasks - stuck:
        if not task.cancelled() and task.exception() is not None:
            asyncio.get_running_loop().call_exception_handler(
                {
                    "message": "Exception in a task that was left at the end",
                    "exception": task.exception(),
                    "task": task,
                }
            )
