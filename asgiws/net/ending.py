"""How long a connection that we have closed is still looked after.

Rules of this file:
- Time and figures in, the next look or the end out: no loop, no socket.
- A peer that was refused in the middle of something is let finish it before our side ends (`Passing`).
- There is one measure of progress: what the peer's kernel has acknowledged. A peer that takes LEAST_TAKEN
  octets in each FLUSH seconds, or all that is left, is never cut off.
- Once it has taken all, it is listened to for LINGER seconds more, and for LINGER_MOST as long as it sends: it
  may be in the middle of an upload, and reads our answer behind that. A socket that is closed with octets
  unread resets the connection, and a reset can destroy the answer on its way (RFC 9112, 9.6).
"""

from __future__ import annotations

#: Seconds in which a peer has to take LEAST_TAKEN octets of what was written before the close. A window
#: that was full opens by a sixteenth of the peer's buffer at a time, which may be some hundred thousand
#: octets.
FLUSH = 30.0

#: The same for a peer that is closed because it took nothing: it may come back for the reason.
LAST_CHANCE = 10.0

#: What counts as next to nothing, when a peer is slow to take what is sent to it: in octets, for each period.
LEAST_TAKEN = 4096

#: Seconds that a peer which has taken everything is listened to, since it was heard of last, and in all.
LINGER = 2.0
LINGER_MOST = 30.0

#: Seconds without an octet of what a peer is in the midst of, after which no more of it is waited for, and
#: seconds that it is waited for in all.
QUIET = 0.5
QUIET_MOST = 10.0


class Passing:
    """What a peer is in the midst of sending, `size` octets more, although nobody wants it: there are clients
    that break on an end of ours while they are writing."""

    __slots__ = ("_by", "_most", "_size")

    def __init__(self, size: int, now: float) -> None:
        self._size = size
        self._by = now + QUIET
        self._most = now + QUIET_MOST

    def first_look(self) -> float:
        """When to ask `next_look` first."""
        return self._by

    def took(self, count: int, now: float) -> bool:
        """So many octets have come; whether that was all."""
        self._size -= count
        self._by = min(now + QUIET, self._most)
        return self._size <= 0

    def next_look(self, now: float) -> float:
        """When to look again, 0.0 when no more of it is waited for."""
        return 0.0 if now >= self._by else self._by


class Ending:
    """The end of one connection, from the close of our side on.

    `now` is in seconds, `taken` is how many octets the peer has acknowledged so far. `has_stalled` says that it
    had its time to take some, and is closed for having taken nothing.
    """

    __slots__ = ("_flush_by", "_heard", "_linger_by", "_most", "_owes", "_taken")

    def __init__(self, now: float, taken: int, has_stalled: bool = False) -> None:
        self._taken = taken
        self._flush_by = now + (LAST_CHANCE if has_stalled else FLUSH)
        #: Whether it had some to take at the last look.
        self._owes = False
        self._heard = False
        self._linger_by = now + LINGER
        self._most = now + LINGER_MOST

    def first_look(self) -> float:
        """When to ask `next_look` first."""
        return self._linger_by

    def heard(self) -> None:
        """The peer has sent something."""
        self._heard = True

    def hurry(self, now: float) -> None:
        """A peer that goes on sending is listened to for LINGER seconds more: it had its time, or the server
        stops."""
        self._most = min(self._most, now + LINGER)

    def next_look(self, now: float, taken: int, outstanding: int) -> float:
        """When to look again, 0.0 for the end; `outstanding` octets are still on their way to the peer."""
        if outstanding:
            self._owes = True
            if taken - self._taken >= LEAST_TAKEN:
                self._taken = taken
                self._flush_by = now + FLUSH
            elif now >= self._flush_by:
                return 0.0
            return min(now + LINGER, self._flush_by)
        if self._owes:
            # It has just taken the last of it.
            self._owes = False
            self._linger_by = now + LINGER
            self._most = max(self._most, now + LINGER)
        elif self._heard:
            self._heard = False
            self._linger_by = min(now + LINGER, self._most)
        return 0.0 if now >= self._linger_by else self._linger_by
