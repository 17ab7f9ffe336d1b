"""The servers that run in this process, for code that has no scope at hand.

Rules of this file: a server is present from before its application is started until after it was stopped. A
process that was forked has none.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import NamedTuple

from asgiws.services.topics import Topics


class Present(NamedTuple):
    """A server: its process, its event loop, and its topics, None if they are off."""

    pid: int
    loop: asyncio.AbstractEventLoop
    topics: Topics | None


_present: list[Present] = []


def enter(loop: asyncio.AbstractEventLoop, topics: Topics | None) -> Callable[[], None]:
    """A server is present until what is returned is called."""
    one = Present(os.getpid(), loop, topics)
    _present.append(one)
    return lambda: _present.remove(one)


def find() -> Present | None:
    """The server of the running event loop, or else the one that was started last."""
    if not _present:
        return None
    pid = os.getpid()
    here = [one for one in _present if one.pid == pid]
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        here = [one for one in here if one.loop is loop] or here
    return here[-1] if here else None
