"""The memory of a worker for what is on its way to the application, under one limit.

Rules of this file:
- What counts, in octets: a message that is not complete, with what it has inflated to; what was read and not
  taken yet; and messages and bodies that wait for `receive()`. Each connection tells of its own.
- A connection that holds no more than SHARE is not counted and never closed for it: small messages pass,
  whatever others hold. So a worker holds at most the limit, and SHARE for each connection.
- Above the limit the connection that holds most is told to let go of it, then the next, until the limit is
  kept. It need not be the one that has just grown.
- What was counted is taken off again as it was counted: a holder tells of each change, its end as well.
"""

from __future__ import annotations

from typing import Protocol

#: Octets that a connection may hold without being counted.
SHARE = 16384


class Holder(Protocol):
    """Who holds memory."""

    def let_go(self) -> None:
        """End the connection, and hold nothing any more."""


class Budget:
    """What all connections of a worker hold; `limit` is in octets, 0 is none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._holders: dict[Holder, int] = {}

    def set(self, holder: Holder, size: int) -> None:
        """`holder` holds `size` octets from now on, of which there are more than SHARE, or 0."""
        before = self._holders.pop(holder, 0)
        if size:
            self._holders[holder] = size
        self.held += size - before
        if size > before and self.limit:
            while self.held > self.limit:
                self._free()

    def _free(self) -> None:
        """Have the one that holds most let go of it."""
        holder = max(self._holders, key=self._holders.__getitem__)
        try:
            holder.let_go()
        finally:
            # It has told of it, and what it could not let go of must not have others closed in its place.
            self.held -= self._holders.pop(holder, 0)
