"""The Date header field, generated once a second.

Rules of this file: the clock is a parameter, so that tests can control it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate


class DateCache:
    """The current time as an IMF-fixdate (RFC 9110 5.6.7)."""

    __slots__ = ("_clock", "_second", "_value")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._value = b""

    def value(self) -> bytes:
        """For example b"Sun, 06 Nov 1994 08:49:37 GMT"."""
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._value = formatdate(second, usegmt=True).encode()
        return self._value
