"""The file descriptors of the process: how many it may have, and the first three.

Rules of this file: each connection takes one. The limit is read each time: it may be changed from outside.
"""

from __future__ import annotations

import os
import sys

if sys.platform != "win32":
    import resource  # now, because nothing can be imported once descriptors have run out


def limit() -> int:
    """The soft limit; `sys.maxsize` if there is none."""
    if sys.platform == "win32":
        return sys.maxsize
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """Raise the soft limit to the hard limit, in a process of our own. The usual soft limit, 1024, dates from
    the days of select(2). If it cannot be raised, it stays."""
    if sys.platform == "win32":
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # macOS refuses an unlimited soft limit


def fill_standard() -> None:
    """Open stdin, stdout and stderr on the null device if they are closed (`2>&-`), in a process of our own.

    Otherwise the next socket would get that number, and everything that writes to stderr without Python, such
    as C libraries and programs that the application starts, would write to a client.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:  # noqa: PERF203
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            os.set_inheritable(opened, True)
