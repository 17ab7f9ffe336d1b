"""Primitives on plain bytes: copying, comparing and decoding a range of them.

Rules of this file:
- It is a twin, one of the files where the pure and the compiled build differ: this source serves the pure
  build, and `octets.pxd` gives the compiled modules the same functions, inlined, in C. The file itself is never
  compiled. A change of one is a change of both; `tests/unit/common/test_octets.py` holds them together.
- Positions are octets into `data`; the caller guarantees 0 <= start <= end <= len(data).
"""

from __future__ import annotations


def to_bytes(data: bytearray, start: int, end: int) -> bytes:
    """The octets from `start` to `end` as `bytes`."""
    return bytes(data[start:end])


def append(target: bytearray, data: bytearray, start: int, end: int) -> None:
    """Append the octets from `start` to `end` to `target`."""
    target += memoryview(data)[start:end]


def new_target(size: int) -> bytearray:
    """Room for `size` octets, all of which must be set with `put` before `finish`; the compiled twin creates
    the `bytes` object itself, with its octets not set yet."""
    return bytearray(size)


def put(target: bytearray, at: int, data: bytearray, start: int, end: int) -> None:
    """Copy the octets from `start` to `end` into `target`, from `at` on."""
    target[at : at + end - start] = data[start:end]


def finish(target: bytearray) -> bytes:
    """The assembled octets, as `bytes`."""
    return bytes(target)


def is_ascii(data: bytearray, start: int, end: int) -> bool:
    """True if no octet from `start` to `end` has its highest bit set."""
    return data[start:end].isascii()


def to_text(data: bytearray, start: int, end: int) -> str:
    """The octets from `start` to `end` decoded as UTF-8. Raises UnicodeDecodeError."""
    return data[start:end].decode()


def memory(message: str | bytes) -> int:
    """The number of octets of memory that a message takes."""
    return message.__sizeof__()
