"""The events that a client's frames result in.

Rules of this file: values only. A text message is a plain `str` and a binary one plain `bytes`; everything else
has its own class.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Ping(NamedTuple):
    payload: bytes


class Pong(NamedTuple):
    payload: bytes


class Close(NamedTuple):
    """The connection ends: with the client's close frame (code 1005 if it contained none), or, if `failed`,
    because the client violated the protocol or a limit; `code` and `reason` are then those to fail with, and
    `limit` is the option that sets the limit: "" for none, None if the log need not mention it."""

    code: int
    reason: str
    failed: bool = False
    limit: str | None = ""


class More(NamedTuple):
    """So much was processed that others should get their turn first. There is more to process, perhaps only the
    rest of what a message inflates to."""


MORE = More()

Event: TypeAlias = "str | bytes | Ping | Pong | Close | More"
