"""The work that one turn of the event loop may take, shared by all connections of a worker.

Rules of this file:
- Work is counted in units: a frame is one, whatever it contains, and inflated data has its own price.
- The first SMALL units of each feed belong to the connection and are not counted: a client that sends little
  never waits for clients that send much.
- Further units are taken from `left`. If none are left, the connection continues in the event loop's next turn;
  so does a connection that has used SLICE units, even if more are left.
- What takes longest is what the application does with the messages. So a connection that has reached its own
  limit of messages or requests in a turn pays a fixed price for them, and if nothing is left that limit is
  lower.
- `begins` is called when a turn's first unit is taken; the code that provided it calls `renew` once the event
  loop has turned.
"""

from __future__ import annotations

from collections.abc import Callable

#: A frame takes a tenth of a microsecond, or three microseconds in the pure build.
SMALL = 64
SLICE = 1024
UNITS = 8192

#: The cost of a call of the inflater in addition to its output, and how many octets of output are a unit.
INFLATE = 32
INFLATED = 128

#: The price of as many messages, or requests, as one connection may have in a turn.
MESSAGES = 512
REQUESTS = 2048

# The same as a C integer for the compiled module.
_UNITS = UNITS


def _nobody() -> None:
    """There is no event loop."""


class Turn:
    """What is left of this turn's work."""

    __slots__ = ("_begins", "left")

    def __init__(self, begins: Callable[[], object] = _nobody) -> None:
        self._begins = begins
        self.left = UNITS

    def take(self, units: int) -> None:
        """Work was done beyond a connection's own share."""
        if self.left == _UNITS:
            self._begins()
        self.left -= units

    def renew(self) -> None:
        """The event loop has turned."""
        self.left = _UNITS
