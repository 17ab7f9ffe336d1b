"""The fast path of the grammar, for incoming request heads and outgoing field lines.

Rules of this file:
- It is a twin, one of the files where the pure and the compiled build differ: this source serves the pure
  build, by the regular expressions of `grammar.py`, and `scan.pxd` gives the compiled modules the same
  functions, inlined, in C. The file itself is never compiled. A change of one is a change of both;
  `tests/unit/http/test_scan.py` holds them together.
- A no says nothing of the reason: `grammar.py` and `response.py` find that out.
"""

from __future__ import annotations

from typing import Any

from asgiws.http import grammar


def end_of_head(data: bytes, start: int) -> int:
    """Where the blank line that ends a head begins, after `start`; -1 if there is none."""
    return data.find(b"\r\n\r\n", start)


def piece(data: bytes, start: int, end: int) -> bytes:
    """`data[start:end]`, which is all present."""
    return data[start:end]


def request_head(data: bytes, start: int, end: int) -> tuple[int, int, int] | None:
    """Match `data[start:end]` with a whole request head (RFC 9112 2.1), which ends in a blank line.

    Returns where the method and the target end, and the number of field lines; None if it does not match.
    """
    match = grammar.request_head.fullmatch(data, start, end)
    if match is None:
        return None
    return match.end(1), match.end(2), data.count(b"\r\n", start, end) - 2


def number(value: bytes) -> int:
    """A decimal number of at most 18 digits; -1 for anything else."""
    return int(value) if type(value) is bytes and value.isdigit() and len(value) <= 18 else -1


def joined(one: bytes, two: bytes, three: bytes, four: bytes, five: bytes) -> bytes:
    """The five concatenated."""
    return b"".join((one, two, three, four, five))


def lowered(name: Any) -> Any:
    """`name` in lower case: the same object if it is `bytes` without upper-case letters. Raises
    AttributeError if it is neither bytes nor text."""
    if type(name) is bytes:
        lower = name.lower()
        return name if lower == name else lower
    return name.lower()


def field_block(pairs: list[tuple[bytes, bytes]]) -> bytes | None:
    """The field lines of (name, value) pairs (RFC 9112 5).

    None if a name is not a token, a value contains a control character, or one of them is not `bytes`.
    """
    for name, value in pairs:
        if type(name) is not bytes or type(value) is not bytes:
            return None
        if grammar.token.fullmatch(name) is None or grammar.field_value.fullmatch(value) is None:
            return None
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])
