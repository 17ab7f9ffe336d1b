"""How many file descriptors the process may have: each connection takes one.

Rules of this file: the limit is read anew each time, since anybody may change it.
"""

from __future__ import annotations

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
