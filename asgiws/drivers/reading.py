"""From the octets of a WebSocket to what waits for `receive()`.

Rules of this file:
- Control frames never wait for the application. Only data counts against the inbox's marks.
- A turn of the loop takes TURN_EVENTS events of one connection at most, and none while the inbox is full,
  in the middle of a read too. What is left of the read is kept, and `proceed` goes on with it. While the
  inbox is full, what comes is kept as well, and searched for control frames; reading pauses when that is
  above the high mark.
- Once the client has ended its side, all that it sent is taken at once, up to LAST_ROOM times the high mark.
- The client's end is noted (`client_end`), and never acted on: the session does that, when it is time.
"""

from __future__ import annotations

from asgiws.bridge.outlet import Outlet
from asgiws.common.turn import MESSAGES, Turn
from asgiws.drivers.inbox import Inbox
from asgiws.drivers.journal import Journal
from asgiws.websocket.connection import OPEN, WebSocketConnection
from asgiws.websocket.events import MORE, Close, Ping, Pong
from asgiws.websocket.keepalive import KeepAlive
from asgiws.websocket.lookahead import Lookahead, close_event
from asgiws.websocket.opcodes import CLOSE, PING, PONG

#: How many times more than the high mark is taken when the client has ended its side: nothing more comes,
#: and what it sent shall not be lost.
LAST_ROOM = 4

#: Messages and control frames of one connection that are taken before the others have their turn.
TURN_EVENTS = 64

#: The same where all connections together have used up the turn's work.
LEAST_EVENTS = 16

#: Octets that a client may send behind its handshake before the application has accepted.
HELD_BACK = 65536

# As the compiled module counts with them.
_TURN_EVENTS = TURN_EVENTS
_LEAST_EVENTS = LEAST_EVENTS
_MESSAGES = MESSAGES


class Kept:
    """Octets that have come and were not taken, in `data`: before the application has accepted, in this turn of
    the loop, or because the application is slow. While it is slow they are searched for control frames, which
    are met again when the octets are taken in their order."""

    __slots__ = ("ahead", "data", "seen")

    def __init__(self) -> None:
        self.data = bytearray()
        #: What searches, once that has begun; and how many control frames it has found that are still to be
        #: met.
        self.ahead: Lookahead | None = None
        self.seen = 0


class Reading:
    """What comes in on one connection.

    `kept` is None while nothing is kept. `keepalive` is None until the handshake was accepted. `client_end`
    is the client's end of the connection, which has not taken effect. `overran` is set when more has come
    behind the end of the client's side than is kept.
    """

    __slots__ = (
        "_inbox",
        "_journal",
        "_outlet",
        "_turn",
        "_unanswered",
        "_ws",
        "client_end",
        "keepalive",
        "kept",
        "overran",
    )

    def __init__(self, ws: WebSocketConnection, inbox: Inbox, turn: Turn, journal: Journal) -> None:
        self._ws = ws
        self._inbox = inbox
        self._turn = turn
        self._journal = journal
        self._outlet: Outlet = _NO_OUTLET
        self.kept: Kept | None = None
        #: The latest ping that could not be answered yet: the peer does not read (5.5.3 lets us answer the
        #: most recent one only).
        self._unanswered: bytes | None = None
        self.keepalive: KeepAlive | None = None
        self.client_end: Close | None = None
        self.overran = False

    def begin(self, outlet: Outlet) -> None:
        """The connection is there."""
        self._outlet = outlet

    def accepted(self, keepalive: KeepAlive) -> None:
        """The handshake was accepted: take what has come behind it."""
        self.keepalive = keepalive
        kept = self.kept
        if kept is None:
            return
        self._ws.feed(kept.data, 0, len(kept.data))
        if self._outlet.eof:
            self.take_last()
        else:
            self.proceed()

    def receive(self, data: bytearray, start: int, end: int) -> None:
        """Octets have come."""
        keepalive = self.keepalive
        if keepalive is None:
            self._hold_back(data, start, end)
            return
        keepalive.heard = True
        if self.kept is not None:
            self._keep(data, start, end)
            return
        self._ws.feed(data, start, end)
        if self._pump(_TURN_EVENTS if self._turn.left > 0 else _LEAST_EVENTS):
            self._keep(data, end - self._ws.unread(), end)

    def proceed(self) -> bool:
        """Take as much of what is kept as this turn allows; true once nothing is kept any more."""
        if not self._pump(_TURN_EVENTS if self._turn.left > 0 else _LEAST_EVENTS):
            self.drop()
        elif self.is_full():
            self._search(0)
        return self.kept is None

    def take_last(self) -> None:
        """The client has ended its side: take all that it sent, as far as there is room for it."""
        # On top of what waits: a single message may be more than that, and the application not slow at all.
        self._inbox.widen(LAST_ROOM)
        if self._pump(-1):
            self._journal.dropped()
        self.drop()

    def drop(self) -> None:
        """Keep nothing any more."""
        self.kept = None
        self._ws.feed(_NOTHING, 0, 0)  # so that it refers to the kept octets no more

    def is_full(self) -> bool:
        """True when the application is to take messages first. After our close frame none are kept."""
        inbox = self._inbox
        return inbox.octets > inbox.high and self._ws.state == OPEN

    def held(self) -> int:
        """How many octets are held for the application."""
        held = self._inbox.octets + self._ws.held()
        if self.kept is not None:
            held += len(self.kept.data)
        return held

    def writable(self) -> None:
        """The client reads again."""
        if self._unanswered is not None:
            self._outlet.write(self._ws.pong(self._unanswered))
            self._unanswered = None

    def _pump(self, budget: int) -> bool:
        """Take at most `budget` events out of what was fed, into the inbox, and no more than the turn has work
        for; answer pings. A `budget` below 0 takes all.

        Returns true when it stopped although there is more.
        """
        ws = self._ws
        inbox = self._inbox
        keepalive = self.keepalive
        assert keepalive is not None
        while True:
            if budget == 0:
                self._turn.take(_MESSAGES)
                return ws.is_behind()
            if inbox.octets > inbox.high and ws.state == OPEN:
                return ws.is_behind()
            budget -= 1
            event = ws.next_event()
            if event is None:
                return False
            if event is MORE:
                if budget >= 0:
                    return True
                continue
            kind = type(event)
            if kind is str or kind is bytes:
                # After our close frame "data frame in" is dropped; and nobody reads once the app has ended.
                if ws.state == OPEN and not inbox.is_closed:
                    inbox.put(event)  # type: ignore[arg-type]
                    keepalive.active = True
            elif kind is Ping or kind is Pong:
                if self.kept is not None and self.kept.seen:
                    self.kept.seen -= 1
                # `kind` is the event's type, which mypy does not follow.
                elif kind is Ping:
                    self._answer_ping(event.payload)  # type: ignore[union-attr]
                else:
                    self._take_pong(event.payload)  # type: ignore[union-attr]
            elif kind is Close:
                self.client_end = event  # type: ignore[assignment]

    def _hold_back(self, data: bytearray, start: int, end: int) -> None:
        """Keep what has come before the application has accepted."""
        kept = self.kept
        if kept is None:
            kept = self.kept = Kept()
        kept.data += data[start:end]
        if len(kept.data) >= HELD_BACK:
            self._pause()

    def _keep(self, data: bytearray, start: int, end: int) -> None:
        """Keep octets that are not taken now."""
        ws = self._ws
        kept = self.kept
        if kept is None:
            kept = self.kept = Kept()
        else:
            del kept.data[: len(kept.data) - ws.unread()]
        kept.data += data[start:end]
        size = len(kept.data)
        ws.feed(kept.data, 0, size)
        is_full = self.is_full()
        if self._outlet.hung_up:
            if size > LAST_ROOM * self._inbox.high:
                self.take_last()
                self.overran = True
                return
        elif not is_full or size > self._inbox.high:
            self._pause()
        if is_full or kept.ahead is not None:
            self._search(end - start)

    def _search(self, more: int) -> None:
        """Act on the control frames in what is kept, of which `more` octets have just come."""
        kept = self.kept
        assert kept is not None
        if kept.ahead is None:
            kept.ahead = Lookahead()
            more = self._ws.unread()
        for opcode, payload in kept.ahead.look(kept.data, more):
            if opcode == CLOSE:
                self.take_last()
                if self.client_end is None:  # there was not room for all that came before it
                    self.client_end = close_event(payload)
                return
            kept.seen += 1
            if opcode == PING:
                self._answer_ping(payload)
            elif opcode == PONG:
                self._take_pong(payload)

    def _answer_ping(self, payload: bytes) -> None:
        if self._outlet.write_paused:
            self._unanswered = payload
        else:
            # After our own close frame too: only the client's relieves us of it (5.5.2).
            self._outlet.write(self._ws.pong(payload))

    def _take_pong(self, payload: bytes) -> None:
        keepalive = self.keepalive
        assert keepalive is not None
        if keepalive.pong(payload, self._outlet.loop.time()):
            self._outlet.check_at(keepalive.next_look())

    def _pause(self) -> None:
        if self._outlet.reading:
            self._outlet.pause_reading()


_NO_OUTLET = Outlet()
_NOTHING = bytearray()
