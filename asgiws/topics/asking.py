"""What publishers and subscribers ask for, as applications say it: checked, and turned into values.

Rules of this file: functions without state. What is wrong is a TypeError or a ValueError that says so, and
names the limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from asgiws.topics import names
from asgiws.topics.message import KEPT, Keep, Position

#: Characters of the longest key.
MAX_KEY = 255

#: The most messages that a topic may be asked to keep, and for how many seconds.
MAX_KEPT = 10**6
MAX_SECONDS = 10 * 366 * 86400.0

#: `since` for everything that the topic keeps.
ALL = "kept"

topic = names.check


def payload(data: Any, limit: int) -> str | bytes:
    """The text or bytes of a message, as a plain `str` or `bytes`, of at most `limit` octets."""
    if isinstance(data, str):
        text = data if type(data) is str else str.__str__(data)
        try:
            size = len(text) if text.isascii() else len(text.encode())
        except UnicodeEncodeError as error:
            raise ValueError(f"text that cannot be sent as UTF-8: {error}") from None
        _check_size(size, limit)
        return text
    octets = data if type(data) is bytes else memoryview(data).tobytes()
    _check_size(len(octets), limit)
    return octets


def key(value: Any) -> str | None:
    """What `overflow="latest"` goes by."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"'key' must be a str, not {type(value).__name__}")
    if len(value) > MAX_KEY:
        raise ValueError(f"'key' has at most {MAX_KEY} characters, and this one {len(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"'key' cannot be sent as UTF-8: {error}") from None
    return str.__str__(value)


def keep(value: Any) -> Keep | None:
    """What history a topic is to keep: `{"messages": 100, "seconds": 60}`."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or set(value) != {"messages", "seconds"}:
        raise ValueError(f"'keep' needs a dict with 'messages' and 'seconds', not {value!r:.80}")
    messages, seconds = value["messages"], value["seconds"]
    if type(messages) is not int or not 1 <= messages <= MAX_KEPT:
        raise ValueError(
            f"'messages' of 'keep' is a number from 1 to {MAX_KEPT}, not {messages!r:.80}"
        )
    if type(seconds) not in (int, float) or not 0 < seconds <= MAX_SECONDS or math.isnan(seconds):
        raise ValueError(
            f"'seconds' of 'keep' is a number above 0, up to {MAX_SECONDS:.0f}, not {seconds!r:.80}"
        )
    return Keep(messages, float(seconds))


def since(value: Any) -> Position | None:
    """Where a subscriber was: `{"epoch": "...", "offset": 7}`, or "kept" for everything that is kept."""
    if value is None:
        return None
    if value == ALL:
        return KEPT
    if not isinstance(value, Mapping) or not {"epoch", "offset"} <= set(value):
        raise ValueError(
            f"'since' needs a dict with 'epoch' and 'offset', or {ALL!r}, not {value!r:.80}"
        )
    epoch, offset = value["epoch"], value["offset"]
    if not isinstance(epoch, str) or not epoch or len(epoch) > MAX_KEY:
        raise ValueError(f"'epoch' of 'since' is a str that the server gave, not {epoch!r:.80}")
    if type(offset) is not int or not 0 <= offset < 2**62:
        raise ValueError(f"'offset' of 'since' is a number from 0 on, not {offset!r:.80}")
    return Position(epoch, offset)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(f"a message has at most {limit} bytes (max_message), and this one {size}")
