"""The file descriptors of the process: how many it may have, and the first three.

Rules of this file: each connection takes one. The limit is read anew each time, since anybody may change it.
"""

from __future__ import annotations

import os
import sys

if sys.platform != "win32":
    import resource  # now, for there is no importing once descriptors have run out


def limit() -> int:
    """The soft limit; `sys.maxsize` where there is none."""
    if sys.platform == "win32":
        return sys.maxsize
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """Raise the soft limit to the hard one, for a process of our own. The usual soft limit, 1024, is from the
    days of select(2); where it cannot be raised, it stays."""
    if sys.platform == "win32":
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # macOS refuses an unlimited one


def fill_standard() -> None:
    """Open what is closed of stdin, stdout and stderr (`2>&-`) on nothing, in a process of our own.

    Else the next socket would be the one with that number, and whoever writes to stderr without Python, as
    libraries in C and programs that the application starts, would write to a client.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:  # noqa: PERF203
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest one that is free
            os.set_inheritable(opened, True)
