"""When an open WebSocket is pinged, and when it is ended for being silent, idle or old.

Rules of this file:
- Time comes in and actions go out. All moments are seconds of one clock that never goes back; 0.0 stands for
  never.
- A late pong proves nothing while something else explains it: octets came in, nothing is read, or the ping is
  still behind data that the peer is taking.
"""

from __future__ import annotations

from collections.abc import Callable

#: What `KeepAlive.check` asks for: one of these, or the sum of several.
#: PROBE is a ping that is sent only if nothing waits to be sent: where nothing is read, a failed write alone
#: tells of a peer that has gone.
PING, PROBE, SILENT, OLD, IDLE = 1, 2, 4, 8, 16

#: An idle connection is noticed after its timeout, and at most one part in so many later.
IDLE_PARTS = 4

# As the compiled module adds them up.
_PING, _PROBE, _SILENT, _OLD, _IDLE = PING, PROBE, SILENT, OLD, IDLE
_IDLE_PARTS = IDLE_PARTS


class Times:
    """What the connections of a worker have in common: seconds, 0.0 for never."""

    __slots__ = ("age", "age_jitter", "idle", "interval", "timeout")

    def __init__(
        self,
        interval: float = 0.0,
        timeout: float = 0.0,
        idle: float = 0.0,
        age: float = 0.0,
        age_jitter: float = 0.0,
    ) -> None:
        #: From one ping, or its pong, to the next ping; and how long its pong may take.
        self.interval = interval
        self.timeout = timeout
        #: How long there may be no message in either direction.
        self.idle = idle
        #: How long the connection may live, and what chance may add to that.
        self.age = age
        self.age_jitter = age_jitter


class KeepAlive:
    """The clocks of one open connection.

    Set `heard` whenever octets come in, and `active` whenever a message does, or is sent. `chance`, from 0
    to 1, is this connection's share of `Times.age_jitter`.
    """

    __slots__ = (
        "_age_at",
        "_idle_at",
        "_idle_count",
        "_number",
        "_ping_at",
        "_pong_at",
        "_times",
        "active",
        "heard",
    )

    def __init__(self, times: Times, now: float, chance: float) -> None:
        self._times = times
        self._ping_at = now + times.interval if times.interval else 0.0
        self._age_at = now + times.age + chance * times.age_jitter if times.age else 0.0
        self._idle_at = now + times.idle / _IDLE_PARTS if times.idle else 0.0
        #: Until when the pong is waited for.
        self._pong_at = 0.0
        #: How many pings were sent: the latest one's payload.
        self._number = 0
        #: How many looks in a row found no message.
        self._idle_count = 0
        self.active = False
        self.heard = False

    def next_look(self) -> float:
        """When to call `check`, at the latest."""
        when = self._pong_at or self._ping_at
        if when == 0.0 or 0.0 < self._age_at < when:
            when = self._age_at
        if when == 0.0 or 0.0 < self._idle_at < when:
            when = self._idle_at
        return when

    def payload(self) -> bytes:
        """The payload of the ping to send, four octets."""
        return self._number.to_bytes(4, "big")

    def pong(self, payload: bytes, now: float) -> bool:
        """A pong has come. True when it is the one that is waited for: `next_look` has changed."""
        if self._pong_at == 0.0 or payload != self.payload():
            return False  # unsolicited (RFC 6455, 5.5.3), or too late
        self._pong_at = 0.0
        self._ping_at = now + self._times.interval
        return True

    def check(self, now: float, reading: bool, takes: Callable[[], bool]) -> int:
        """What is to be done at `now`.

        `reading` tells whether octets are read at all. `takes` tells whether the peer has taken some of what
        waited for it at the last call of `takes`.
        """
        todo = 0
        times = self._times
        if self._pong_at:
            if now >= self._pong_at:
                if not (self.heard or not reading or takes()):
                    return _SILENT
                self.heard = False
                self._pong_at = now + times.timeout
                if not reading:
                    todo = _PROBE
        elif self._ping_at and now >= self._ping_at:
            self._number = (self._number + 1) & 0xFFFFFFFF
            self._ping_at = now + times.interval
            self.heard = False
            todo = _PING
            if times.timeout:
                takes()  # the first look is at what is in front of the ping
                self._pong_at = now + times.timeout
        if self._age_at and now >= self._age_at:
            return todo | _OLD
        if self._idle_at and now >= self._idle_at:
            self._idle_count = 0 if self.active else self._idle_count + 1
            self.active = False
            self._idle_at = now + times.idle / _IDLE_PARTS
            if self._idle_count >= _IDLE_PARTS:
                todo |= _IDLE
        return todo
