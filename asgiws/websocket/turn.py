"""The work that a turn of the loop may take, shared by all connections of a worker.

Rules of this file:
- Work is counted in units: a frame is one, whatever it holds, and what a message inflates to has its own price.
- The first SMALL units of each feed are a connection's own and not counted: whoever sends little never waits
  for those who send much.
- The unit beyond is taken from `left`. Where there is none, the connection goes on in the loop's next turn; so
  does one that has had SLICE units, though there be more.
- What takes longest is what the application does with it. So a connection that has come to its own bound of
  messages or requests in a turn takes a fixed price for them, and where nothing is left that bound is lower.
- `begins` is called when a turn's first unit is taken; whoever gave it calls `renew` once the loop has turned.
"""

from __future__ import annotations

from collections.abc import Callable

#: A frame takes a tenth of a microsecond, or three in the pure build.
SMALL = 64
SLICE = 1024
UNITS = 8192

#: What a call of the inflater costs beside what it makes, and how many octets of that are a unit.
INFLATE = 32
INFLATED = 128

#: The price of as many messages, or requests, as one connection has in a turn.
MESSAGES = 512
REQUESTS = 2048

# As the compiled module compares with it.
_UNITS = UNITS


def _nobody() -> None:
    """No loop turns."""


class Turn:
    """What is left of this turn's work."""

    __slots__ = ("_begins", "left")

    def __init__(self, begins: Callable[[], object] = _nobody) -> None:
        self._begins = begins
        self.left = UNITS

    def take(self, units: int) -> None:
        """Work was done beyond what is a connection's own."""
        if self.left == _UNITS:
            self._begins()
        self.left -= units

    def renew(self) -> None:
        """The loop has turned."""
        self.left = _UNITS
