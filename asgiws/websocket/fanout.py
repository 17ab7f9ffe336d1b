"""A message that goes to many connections is encoded once, and compressed once.

Rules of this file:
- Identity counts: the same `str` or `bytes` object that any connection of the worker sent last. Equal objects
  are not looked for.
- A message is kept while it is the last one, so no more than LIMIT octets of payload are kept.
- Compressed frames are made without a context (`Deflate.compress_alone`) and shared by all connections with the
  same window. The first connection that sends a message compresses it with its own context, like any message:
  only the second connection shows that there are many.
"""

from __future__ import annotations

#: Octets of payload up to which a message is kept.
LIMIT = 1 << 20


class FanOut:
    """The frames of the last message sent, for one worker.

    `plain` are the uncompressed frames, None if they were not made; `compressed` has those for each
    `Deflate.key`.
    """

    __slots__ = ("compressed", "message", "plain")

    def __init__(self) -> None:
        self.message: str | bytes | None = None
        self.plain: list[bytes] | None = None
        self.compressed: dict[int, list[bytes]] | None = None

    def begin(self, message: str | bytes | None, plain: list[bytes] | None) -> None:
        """`message` is now the last one."""
        self.message = message
        self.plain = plain
        self.compressed = None
