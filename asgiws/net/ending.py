"""How long a connection that we have closed is kept.

Rules of this file:
- Times and counts go in; the time of the next check, or the end, comes out. No loop, no socket.
- A peer that was refused in the middle of sending something may finish it before our side ends (`Passing`).
- There is one measure of progress: what the peer's kernel has acknowledged. A peer that accepts LEAST_TAKEN
  octets in each FLUSH seconds, or everything that is left, is never cut off.
- Once it has accepted everything, we keep reading from it for LINGER seconds more, or for up to LINGER_MOST as
  long as it sends: it may be in the middle of an upload, and reads our response only after that. Closing a
  socket with unread octets resets the connection, and a reset can destroy the response on its way (RFC 9112,
  9.6).
"""

from __future__ import annotations

#: Seconds in which a peer has to accept LEAST_TAKEN octets of what was written before the close. A full
#: window opens by a sixteenth of the peer's buffer at a time, which may be some hundred thousand octets.
FLUSH = 30.0

#: The same for a peer that is being closed because it accepted nothing: it may come back and read why.
LAST_CHANCE = 10.0

#: What counts as next to nothing if a peer is slow to accept data: octets in each period.
LEAST_TAKEN = 4096

#: Seconds that we keep reading from a peer that has accepted everything: since it last sent something, and in
#: total.
LINGER = 2.0
LINGER_MOST = 30.0

#: Seconds without an octet of what a peer was sending, after which we stop waiting for the rest; and the
#: longest total wait, in seconds.
QUIET = 0.5
QUIET_MOST = 10.0


class Passing:
    """What a peer is still sending although nobody wants it, `size` octets more: some clients break if our side
    ends while they are writing."""

    __slots__ = ("_by", "_most", "_size")

    def __init__(self, size: int, now: float) -> None:
        self._size = size
        self._by = now + QUIET
        self._most = now + QUIET_MOST

    def first_look(self) -> float:
        """When to call `next_look` first."""
        return self._by

    def took(self, count: int, now: float) -> bool:
        """`count` octets have arrived; true if those were the last."""
        self._size -= count
        self._by = min(now + QUIET, self._most)
        return self._size <= 0

    def next_look(self, now: float) -> float:
        """When to check again; 0.0 to stop waiting."""
        return 0.0 if now >= self._by else self._by


class Ending:
    """The end of one connection, from the close of our side on.

    `now` is in seconds, `taken` is how many octets the peer has acknowledged so far. `has_stalled` says that it
    had its time to accept some, and is being closed because it accepted nothing.
    """

    __slots__ = ("_flush_by", "_heard", "_linger_by", "_most", "_owes", "_taken")

    def __init__(self, now: float, taken: int, has_stalled: bool = False) -> None:
        self._taken = taken
        self._flush_by = now + (LAST_CHANCE if has_stalled else FLUSH)
        #: Whether something was on its way to the peer at the last check.
        self._owes = False
        self._heard = False
        self._linger_by = now + LINGER
        self._most = now + LINGER_MOST

    def first_look(self) -> float:
        """When to call `next_look` first."""
        return self._linger_by

    def heard(self) -> None:
        """The peer has sent something."""
        self._heard = True

    def hurry(self, now: float) -> None:
        """Keep reading from a peer that goes on sending for only LINGER seconds more: it had its time, or the
        server is stopping."""
        self._most = min(self._most, now + LINGER)

    def next_look(self, now: float, taken: int, outstanding: int) -> float:
        """When to check again; 0.0 for the end. `outstanding` octets are still on their way to the peer."""
        if outstanding:
            self._owes = True
            if taken - self._taken >= LEAST_TAKEN:
                self._taken = taken
                self._flush_by = now + FLUSH
            elif now >= self._flush_by:
                return 0.0
            return min(now + LINGER, self._flush_by)
        if self._owes:
            # It has just accepted the last of it.
            self._owes = False
            self._linger_by = now + LINGER
            self._most = max(self._most, now + LINGER)
        elif self._heard:
            self._heard = False
            self._linger_by = min(now + LINGER, self._most)
        return 0.0 if now >= self._linger_by else self._linger_by
