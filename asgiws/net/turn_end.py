"""What is written outside a read: the first write of a turn of the event loop leaves at once, and those that
follow it in the same turn leave together at its end.

Rules of this file:
- There is one TurnEnd per worker. It knows which connections hold something back, and sends nothing itself.
- An application that writes once per turn is never delayed; one that writes a batch, such as tokens or ticks,
  takes two system calls for it.
- At the end of a turn, at most BATCH connections send what they hold before the loop's other work gets its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

#: How many connections send what they hold in one turn.
BATCH = 512


class Holder(Protocol):
    """A connection that holds something back."""

    def send_held(self) -> None:
        """Send it. Raises nothing."""


class TurnEnd:
    """The connections of one worker that hold something back until the turn of the loop is over.

    `number` identifies the turn. `call_soon` has a function called once the loop has turned.
    """

    __slots__ = ("_call_soon", "_holders", "_is_scheduled", "number")

    def __init__(self, call_soon: Callable[[Callable[[], object]], object]) -> None:
        self._call_soon = call_soon
        self._is_scheduled = False
        self._holders: deque[Holder] = deque()
        self.number = 1

    def wrote(self) -> None:
        """A connection has written for the first time in this turn."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._call_soon(self.end)

    def hold(self, connection: Holder) -> None:
        """The connection holds something back from now on. It must have called `wrote` in this turn."""
        self._holders.append(connection)

    def end(self) -> None:
        """The event loop has turned."""
        self._is_scheduled = False
        self.number += 1
        holders = self._holders
        for _ in range(min(len(holders), BATCH)):
            holders.popleft().send_held()
        if holders:
            self.wrote()
