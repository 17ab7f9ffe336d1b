"""Processes that the application forks: what they keep of the server, which is nothing.

Rules of this file:
- Whoever takes something of the process's, as a signal or a descriptor, says here how a fork gives it up. In
  the child it is given up at once, whatever the child goes on to do.
- Only the child's own copies are touched. An epoll object, above all, is one and the same in both processes:
  what the child takes out of it, the parent does not hear of any more.
- A fork never serves. One that comes back from the application's code into the server ends there and then, with
  the exit code that it wants, and without a clean-up: all that there is to clean up is the parent's.
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
#: For each thread that forks: the signals that were held back before.
_mask = threading.local()


def in_child(undo: Callable[[], object]) -> Callable[[], None]:
    """Have `undo` called in each process that is forked from now on, until what this returns is called."""
    _undo.append(undo)

    def forget() -> None:
        if undo in _undo:  # a fork has forgotten it already
            _undo.remove(undo)

    return forget


def _before() -> None:
    """Hold back signals. Python forgets those that come to a fork before it begins."""
    _mask.before = (
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()) if _undo else None
    )


def _after() -> None:
    """In both processes; in the child, once the handlers are its own."""
    before = getattr(_mask, "before", None)
    if before is not None:
        _mask.before = None
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """In the child."""
    undo = _undo.copy()
    _undo.clear()  # what a fork of this one has to give up is what this one will have taken
    if undo:
        undo.append(_wake_nobody)
    for step in undo:
        try:
            step()
        except Exception:  # noqa: PERF203  # the others all the same
            logger.exception("Exception in a process that was forked")
    _after()


def _wake_nobody() -> None:
    """It is the parent's loop that a signal would wake. From Python 3.12 on, asyncio sees to it as well."""
    signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_begin)


def let_go(descriptors: Iterable[int]) -> None:
    """Let go of descriptors that are the parent's. Their numbers stay taken, so that whoever still has one of
    them writes to nobody, and not into a file that the child has opened."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in descriptors:
        os.dup2(nothing, fd, inheritable=False)
    os.close(nothing)


def leave(loop: asyncio.AbstractEventLoop, thread: int) -> None:
    """See to it that this process, a fork, ends when it comes back to `loop`, which runs in that thread."""
    if threading.get_ident() == thread:
        ready: Any = getattr(loop, "_ready", None)
        if hasattr(ready, "rotate"):  # asyncio's own loop: before all that is ready in it
            loop.call_soon(end)
            ready.rotate(1)
        else:
            # uvloop's does one more turn before it ends with a SystemExit, which has the exit code.
            loop.call_soon(lambda: loop.call_soon(end))
        return
    # It was forked in a thread of a pool, which tells the loop of the end of its work, and then waits for more.
    original = loop.call_soon_threadsafe

    def call_soon_threadsafe(*args: Any, **more: Any) -> Any:
        for error in (sys.exc_info()[1], *args):
            if isinstance(error, SystemExit):
                end(error)
        return original(*args, **more)

    try:
        vars(loop)["call_soon_threadsafe"] = call_soon_threadsafe
    except TypeError:
        pass  # a loop that cannot be told


def end(error: BaseException | None = None) -> NoReturn:
    """End this process, a fork that has come back with `error`, by default the one that is being handled."""
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
            "A process that the application has forked came back to the server, and ends: it is to end itself, "
            "with os._exit()"
        )
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # noqa: PERF203
            pass
    os._exit(code & 0xFF)


def guarded(app: ASGIApp) -> ASGIApp:
    """`app`, out of which no fork comes back."""
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
