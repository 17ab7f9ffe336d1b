"""Whether a peer takes what is sent to it, from one look to the next.

Rules of this file: a slow but steady peer has taken some of what was on its way at each look, so anything
queued behind it (a ping, a close frame, the end of a response) reached the peer later than the clock suggests.
What counts is what the peer's kernel has acknowledged (`Outlet.taken`).
"""

from __future__ import annotations

from asgiws.bridge.outlet import Outlet


class Taking:
    """What one deadline knows about its peer."""

    __slots__ = ("_owes", "_taken")

    def __init__(self) -> None:
        self._taken = 0
        #: Whether something was still on its way to the peer at the last look.
        self._owes = False

    def look(self, outlet: Outlet) -> bool:
        """True if the peer has taken some data since the last look, and some was on its way to it then or is
        now: whatever is queued behind all of it arrived after the last look, or has yet to arrive."""
        owed = self._owes
        return self._has_moved(outlet) and (owed or self._owes)

    def is_there(self, outlet: Outlet) -> bool:
        """True if the peer has taken some data since the last look, or some is on its way to it. Only if
        neither is the case can the peer have gone unnoticed: sending data to a peer that has gone would
        fail."""
        return self._has_moved(outlet) or self._owes

    def _has_moved(self, outlet: Outlet) -> bool:
        taken, outstanding = outlet.taken()
        self._owes = outstanding > 0
        has_moved = taken != self._taken
        self._taken = taken
        return has_moved
