"""When a worker has served for long enough: at an age, above a size. Requests are counted by its server.

Rules of this file: a worker checks this itself; replacing it is its supervisor's job.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from asgiws.config import Config

if sys.platform != "win32":
    import os
    import resource

#: The fraction of its age by which a worker may be replaced earlier or later, so that not all are at once.
JITTER = 0.1


def resident() -> int:
    """The octets of memory that this process holds (resident set size).

    If the system does not report it, the most that the process ever held; if it reports nothing, 0.
    """
    if sys.platform == "win32":
        return 0
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


class Lifetime:
    """The age and the size of one worker, from now on."""

    def __init__(
        self,
        config: Config,
        clock: Callable[[], float] = time.monotonic,
        resident: Callable[[], int] = resident,
    ) -> None:
        self._clock = clock
        self._resident = resident
        self._born = clock()
        self._max_age = config.max_worker_age * random.uniform(1 - JITTER, 1 + JITTER)
        self._max_size = config.max_worker_rss

    def why_over(self) -> str | None:
        """Why the worker must be replaced, in words; None if it need not be."""
        age = self._clock() - self._born
        if self._max_age and age >= self._max_age:
            return f"it is {age:.3g} s old"
        if self._max_size is not None and (size := self._resident()) > self._max_size:
            return f"it holds {size / 2**20:.0f} MiB of memory"
        return None
