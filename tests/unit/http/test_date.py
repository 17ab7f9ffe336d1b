from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

from asgiws.http.date import DateCache


def test_made_once_a_second() -> None:
    now = 784111777.0
    cache = DateCache(lambda: now)
    first = cache.value()
    assert first == b"Sun, 06 Nov 1994 08:49:37 GMT"
    now += 0.9
    assert cache.value() is first
    now += 0.1
    assert cache.value() == b"Sun, 06 Nov 1994 08:49:38 GMT"


def test_the_clock_is_the_system_s() -> None:
    date = parsedate_to_datetime(DateCache().value().decode())
    assert abs(date.timestamp() - time.time()) < 5
