"""What the connections of one worker hold back for a moment, so that it leaves in fewer and faster system
calls.

Rules of this file:
- Outside a read, the first write of a turn of the event loop leaves at once, and those that follow it in
  the same turn leave together at its end: an application that writes once per turn is never delayed; one
  that writes a batch, such as tokens or ticks, takes two system calls for it.
- While the Poller serves ready sockets (`serving`), the answers of several connections are sent one after the
  other, once some of them are there or have waited for a moment. Each answer that is sent may wake its reader:
  alternating between the application and the network takes the processor longer than doing much of one and then
  much of the other.
- An application may run the loop from within the step that is in progress (nest_asyncio). A turn of the
  loop that ends meanwhile ends the serving as well: nothing is held back while somebody waits within it.
- It knows which connections hold something, and sends nothing itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

#: How many connections send what they hold in one turn of the loop.
BATCH = 512


class Holder(Protocol):
    """A connection that holds something back."""

    def send_held(self) -> None:
        """Send it, if it is still there. Raises nothing."""


class Outbox:
    """The connections that hold something back.

    `number` identifies the turn of the loop. `call_soon` has a function called once the loop has turned.
    """

    __slots__ = ("_call_soon", "_holders", "_is_scheduled", "number", "serving")

    def __init__(self, call_soon: Callable[[Callable[[], object]], object]) -> None:
        self._call_soon = call_soon
        self._is_scheduled = False
        self._holders: deque[Holder] = deque()
        self.number = 1
        #: Whether ready sockets are being served, so that answers are held back: set by the Poller, which calls
        #: `send_some` afterwards.
        self.serving = False

    def wrote(self) -> None:
        """A connection has written outside a read for the first time in this turn, or is going to hold
        something back: have `end_turn` called."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._call_soon(self.end_turn)

    def hold(self, connection: Holder) -> None:
        """The connection holds something back from now on: in a turn in which it has called `wrote`, or while
        sockets are served."""
        self._holders.append(connection)

    def size(self) -> int:
        """How many connections hold something back."""
        return len(self._holders)

    def send_some(self) -> None:
        """Have connections send what they hold: all of them, or the first BATCH."""
        holders = self._holders
        for _ in range(min(len(holders), BATCH)):
            holders.popleft().send_held()

    def end_turn(self) -> None:
        """The event loop has turned."""
        self._is_scheduled = False
        self.number += 1
        self.serving = False  # it still is if the loop runs within the step that is in progress
        self.send_some()
        if self._holders:
            self.wrote()
