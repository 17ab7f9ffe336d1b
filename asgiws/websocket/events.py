"""What a client's frames amount to.

Rules of this file: values only. A text message is a `str` and a binary one `bytes`, as they are; the rest
has a class of its own.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Ping(NamedTuple):
    payload: bytes


class Pong(NamedTuple):
    payload: bytes


class Close(NamedTuple):
    """The connection ends: with the client's close frame (code 1005 when it named none), or, when `failed`,
    because the client broke the protocol or a limit; `code` and `reason` are then those to fail with, and
    `limit` is the option that sets the limit: "" for none, None where it need not be told."""

    code: int
    reason: str
    failed: bool = False
    limit: str | None = ""


class More(NamedTuple):
    """So much was taken that others are to have their turn first. There is more to take, if only of what a
    message inflates to."""


MORE = More()

Event: TypeAlias = "str | bytes | Ping | Pong | Close | More"
