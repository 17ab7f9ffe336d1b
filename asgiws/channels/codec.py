"""Messages of channels as text, to go from one process to another.

JSON, with bytes as `{"\\0b": "<base64>"}`; a key of a message that begins with NUL gets a second one. Tuples
arrive as lists.

Rules of this file: functions without state. A value that cannot be sent is a TypeError or a ValueError that
says where it is.
"""

from __future__ import annotations

import base64
import json
from typing import Any

_BYTES = "\0b"

#: How deeply values may contain each other.
MAX_DEPTH = 64


def encode(message: dict[str, Any]) -> str:
    """A message as text. Raises TypeError and ValueError."""
    plain = _plain(message, "message", 0)
    return json.dumps(plain, separators=(",", ":"))


def decode(text: str) -> Any:
    """What `encode` was given, as a copy of its own."""
    return json.loads(text, object_hook=_revive)


def _plain(value: Any, where: str, depth: int) -> Any:
    """The value as JSON knows it; `where` says what it is a part of."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {_BYTES: base64.b64encode(value).decode("ascii")}
    if depth >= MAX_DEPTH:
        raise ValueError(f"{where:.200} is nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        return {
            _key(key, where): _plain(one, f"{where}[{key!r:.80}]", depth + 1)
            for key, one in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(one, f"{where}[{at}]", depth + 1) for at, one in enumerate(value)]
    raise TypeError(
        f"{where:.200} cannot be sent to other processes: {value!r:.80} is a {type(value).__name__}, and not "
        "None, a bool, int, float, str, bytes, list, tuple or dict"
    )


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise TypeError(
            f"{where:.200} cannot be sent to other processes: its key {key!r:.80} is a "
            f"{type(key).__name__}, and not a str"
        )
    return "\0" + key if key.startswith("\0") else str.__str__(key)


def _revive(found: dict[str, Any]) -> Any:
    if len(found) == 1 and _BYTES in found:
        return base64.b64decode(found[_BYTES])
    if any(key.startswith("\0") for key in found):
        return {key[1:] if key.startswith("\0") else key: one for key, one in found.items()}
    return found
