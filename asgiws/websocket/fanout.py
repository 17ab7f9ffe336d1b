"""A message that goes to many connections is encoded once, and compressed once.

Rules of this file:
- What counts is the object: the same `str` or `bytes` that was sent last by any connection of the worker. Equal
  ones are not looked for.
- A message is kept while it is the last one, so no more than LIMIT octets of payload are.
- Compressed frames are made without a context (`Deflate.compress_alone`) and shared by all connections with the
  same window. The first connection that a message is sent on compresses it with its context, as it does
  everything: only the second one shows that there are many.
"""

from __future__ import annotations

#: Octets of payload up to which a message is kept.
LIMIT = 1 << 20


class FanOut:
    """The frames of the message that was sent last, for one worker.

    `plain` are those without compression, None where they were not made; `compressed` has those for each
    `Deflate.key`.
    """

    __slots__ = ("compressed", "message", "plain")

    def __init__(self) -> None:
        self.message: str | bytes | None = None
        self.plain: list[bytes] | None = None
        self.compressed: dict[int, list[bytes]] | None = None

    def begin(self, message: str | bytes | None, plain: list[bytes] | None) -> None:
        """`message` is the last one now."""
        self.message = message
        self.plain = plain
        self.compressed = None
