"""One limit for a worker's memory for data on its way to the application.

Rules of this file:
- These count, in octets: incomplete messages, including what they have inflated to; data that was read but not
  processed yet; and messages and bodies that wait for `receive()`. Each connection reports its own.
- A connection that holds no more than UNCOUNTED is not counted and never closed for this: small messages pass
  whatever others hold. So a worker holds at most the limit, plus UNCOUNTED for each connection.
- Above the limit, the connection that holds most is told to release it, then the next, until the limit is met.
  It need not be the one that has just grown.
- What was counted is subtracted again as it was counted: a holder reports each change, including its end.
"""

from __future__ import annotations

from typing import Protocol

#: Octets that a connection may hold without being counted.
UNCOUNTED = 16384


class Holder(Protocol):
    """An object that holds memory."""

    def let_go(self) -> None:
        """End the connection, and release everything."""


class Budget:
    """What all connections of a worker hold; `limit` is in octets, 0 means no limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._holders: dict[Holder, int] = {}

    def set(self, holder: Holder, size: int) -> None:
        """From now on, `holder` holds `size` octets: more than UNCOUNTED, or 0."""
        before = self._holders.pop(holder, 0)
        if size:
            self._holders[holder] = size
        self.held += size - before
        if size > before and self.limit:
            while self.held > self.limit:
                self._free()

    def _free(self) -> None:
        """Make the holder that holds most release it."""
        holder = max(self._holders, key=self._holders.__getitem__)
        try:
            holder.let_go()
        finally:
            # It has reported what it released; what it could not release must not close others instead.
            self.held -= self._holders.pop(holder, 0)
