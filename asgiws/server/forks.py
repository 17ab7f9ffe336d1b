"""Processes that the application forks: they keep nothing of the server.

Rules of this file:
- Code that takes a resource of the process, such as a signal or a descriptor, registers here how a fork gives
  it up. In the child it is given up at once, whatever the child goes on to do.
- Only the child's own copies are touched. In particular, both processes share one and the same epoll object: if
  the child removes a descriptor from it, the parent is not told about that descriptor any more.
- A fork never serves. One that returns from the application's code into the server ends right there, with the
  exit code that it wants, and without a clean-up: everything that could be cleaned up is the parent's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from asgiws import logs
from asgiws.asgi.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("asgiws.error")

_undo: list[Callable[[], object]] = []
#: For each thread that forks: the signals that were blocked before.
_mask = threading.local()


def in_child(undo: Callable[[], object]) -> Callable[[], None]:
    """Call `undo` in each process that is forked from now on, until the returned function is called."""
    _undo.append(undo)

    def forget() -> None:
        if undo in _undo:  # a fork has already forgotten it
            _undo.remove(undo)

    return forget


def _before() -> None:
    """Block signals. Python would drop those that arrive in a fork before it begins."""
    _mask.before = (
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()) if _undo else None
    )


def _after() -> None:
    """In both processes; in the child, after the handlers are its own."""
    before = getattr(_mask, "before", None)
    if before is not None:
        _mask.before = None
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """In the child."""
    undo = _undo.copy()
    _undo.clear()  # a fork of this process gives up what this process will have taken
    if undo:
        undo.append(_wake_nobody)
    for step in undo:
        try:
            step()
        except Exception:  # noqa: PERF203  # continue with the others
            logger.exception("Exception in a process that was forked")
    _after()


def _wake_nobody() -> None:
    """A signal would wake the parent's event loop. From Python 3.12 on, asyncio prevents that as well."""
    signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_begin)


def let_go(descriptors: Iterable[int]) -> None:
    """Close the parent's descriptors. Their numbers stay in use, so that code that still has one of them writes
    to /dev/null, and not into a file that the child has opened."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in descriptors:
        os.dup2(nothing, fd, inheritable=False)
    os.close(nothing)


def leave(loop: asyncio.AbstractEventLoop, thread: int) -> None:
    """Make sure that this process, a fork, ends when it returns to `loop`, which runs in that thread."""
    if threading.get_ident() == thread:
        ready: Any = getattr(loop, "_ready", None)
        if hasattr(ready, "rotate"):  # asyncio's own loop: before everything that is ready in it
            loop.call_soon(end)
            ready.rotate(1)
        else:
            # uvloop makes one more turn before it ends with a SystemExit, which has the exit code.
            loop.call_soon(lambda: loop.call_soon(end))
        return
    # It was forked in a thread of a pool, which reports the end of its work to the loop, and then waits for
    # more.
    original = loop.call_soon_threadsafe

    def call_soon_threadsafe(*args: Any, **more: Any) -> Any:
        for error in (sys.exc_info()[1], *args):
            if isinstance(error, SystemExit):
                end(error)
        return original(*args, **more)

    try:
        vars(loop)["call_soon_threadsafe"] = call_soon_threadsafe
    except TypeError:
        pass  # a loop that does not allow it


def end(error: BaseException | None = None) -> NoReturn:
    """End this process, a fork that has returned with `error`, by default the one that is being handled."""
    if error is None:
        error = sys.exc_info()[1]
    code = 1
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            code = error.code or 0
        else:
            logs.tell(str(error.code))
    elif error is not None:
        logger.error("Exception in a process that the application has forked", exc_info=error)
    else:
        logger.error(
            "A process that the application has forked came back to the server, and ends: it should end itself "
            "with os._exit()"
        )
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # noqa: PERF203
            pass
    os._exit(code & 0xFF)


def guarded(app: ASGIApp) -> ASGIApp:
    """`app`, such that no fork returns from it."""
    parent = os.getpid()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as error:
            if os.getpid() != parent:
                end(error)
            raise
        if os.getpid() != parent:
            end()

    return guarded
