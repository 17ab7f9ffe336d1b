"""Whether a peer takes what is sent to it, from one look to the next.

Rules of this file: a peer that is slow and steady has taken some of what was on its way at each look, and
what stands behind that, a ping or a close frame or the end of a response, has not been there for as long as
the clock says. What counts is what its kernel has acknowledged (`Outlet.taken`).
"""

from __future__ import annotations

from asgiws.bridge.outlet import Outlet


class Taking:
    """What one deadline knows of its peer."""

    __slots__ = ("_owes", "_taken")

    def __init__(self) -> None:
        self._taken = 0
        #: Whether the peer had some more to take at the last look.
        self._owes = False

    def look(self, outlet: Outlet) -> bool:
        """True when the peer took some of what was written since the last look, and had some to take at that or
        has some now: what is behind all of it has been there for less than that time, or is not yet."""
        owed = self._owes
        return self._has_moved(outlet) and (owed or self._owes)

    def is_there(self, outlet: Outlet) -> bool:
        """True when the peer took some since the last look, or has some to take: only who did neither can have
        gone unnoticed, since what is on its way to it would fail."""
        return self._has_moved(outlet) or self._owes

    def _has_moved(self, outlet: Outlet) -> bool:
        taken, outstanding = outlet.taken()
        self._owes = outstanding > 0
        has_moved = taken != self._taken
        self._taken = taken
        return has_moved
