"""One WebSocket as the application sees it: connect, receive, send, disconnect (ASGI WebSocket 2.5).

Rules of this file:
- The protocol's state is `WebSocketConnection.state`, and changes by its table only. What is kept here beside
  it is the application's side: what waits for `receive()` and who waits there.
- `_act` carries out what a transition asks for, but for the answer to the handshake, which is written first.
  It is the one place that puts `websocket.disconnect` into the queue.
- Control frames never wait for the application. Only data counts against the queue's marks, in octets of
  memory.
- A turn of the loop takes TURN_EVENTS events of one connection at most, and none while the queue is above its
  high mark, in the middle of a read too. What is left of the read is kept in `_rest`, and `proceed` goes on
  with it. While the queue is full, what comes is added to `_rest` and searched for control frames (`_ahead`);
  reading pauses when that is above the high mark as well.
- What is held for the application is told to the worker's budget (`_recount`) whenever something came, was
  taken or dropped; above SHARE, so that small messages cost a comparison.
- Once the client has ended its side, all that it sent is taken at once, up to LAST_ROOM times the high mark.
- The end (a close frame, a protocol error) takes effect once the application had its turn to answer what
  came before it: when it waits in `receive()` again, when it returns, or after ANSWER_GRACE seconds.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable
from typing import Any

from asgiws.bridge import slots
from asgiws.services.budget import SHARE
from asgiws.bridge.calls import Call, begin_row
from asgiws.asgi.errors import (
    ApplicationError,
    ClientDisconnected,
    comes_from_disconnect,
)
from asgiws.bridge.outlet import Driver, Outlet
from asgiws.services.runtime import Runtime, access_logger, logger, peer_name
from asgiws.drivers.taking import Taking
from asgiws.bridge.tasks import Job
from asgiws.asgi.types import Address, Message, Scope
from asgiws.bridge.wakeup import Waiter
from asgiws.http.connection import HTTPConnection
from asgiws.websocket import close, octets, opcodes
from asgiws.websocket.connection import CLOSING, CONNECTING, OPEN, WebSocketConnection
from asgiws.websocket.deflate import Deflate
from asgiws.websocket.events import MORE, Close, Ping, Pong
from asgiws.websocket.handshake import Handshake, response
from asgiws.websocket.lookahead import Lookahead, close_event
from asgiws.websocket.states import FINAL, Effect, State, Trigger
from asgiws.websocket.turn import MESSAGES, Turn

#: Seconds that the application has to answer earlier messages once the client has ended the connection.
ANSWER_GRACE = 2.0

#: How many times more than the high mark is taken when the client has ended its side: nothing more comes,
#: and what it sent shall not be lost.
LAST_ROOM = 4

#: How many taken events may stand in front of the queue's list before they are cut off.
COMPACT = 256

#: Messages and control frames of one connection that are taken before the others have their turn.
TURN_EVENTS = 64

#: The same where all connections together have used up the turn's work.
LEAST_EVENTS = 16

#: An idle WebSocket is noticed after its timeout, and at most one part in so many later.
IDLE_PARTS = 4

#: Octets that a client may send behind its handshake before the application has accepted.
HELD_BACK = 65536

# As the compiled module counts and compares with them.
_TURN_EVENTS = TURN_EVENTS
_LEAST_EVENTS = LEAST_EVENTS
_MESSAGES = MESSAGES
_SHARE = SHARE

_LIMIT_INCOMING = "limit_incoming"

# Effects as plain numbers.
_SEND_CLOSE = int(Effect.SEND_CLOSE)
_START_DEADLINE = int(Effect.START_DEADLINE)
_END_TCP = int(Effect.END_TCP)
_DISCONNECT = int(Effect.DISCONNECT)

#: The options that make the server close with a code.
_LIMITS = {
    close.MESSAGE_TOO_BIG: "ws_max_size",
    close.POLICY_VIOLATION: "ws_max_fragments",
    close.INTERNAL_ERROR: "ws_ping_timeout",
    close.TRY_AGAIN_LATER: "ws_slow_consumer",
}

_SERVERS_OWN = (b"upgrade", b"connection", b"content-length", b"transfer-encoding")


class WebSocketSession(Driver):
    """Drives one connection from its opening handshake to its end."""

    def __init__(
        self, runtime: Runtime, scope: Scope, handshake: Handshake, http: HTTPConnection
    ) -> None:
        config = runtime.config
        self._runtime = runtime
        self._loop = runtime.loop
        self._turn: Turn = runtime.turn
        #: For the application alone: an idle connection holds no more of its request than log lines need.
        self._scope: Scope | None = scope
        self._client: Address | None = scope["client"]
        self._raw_path: bytes = scope["raw_path"]
        self._query: bytes = scope["query_string"]
        #: The handshake, and what writes its answer, the 101 or a refusal; None once it was accepted.
        self._handshake: Handshake | None = handshake
        self._http: HTTPConnection | None = http
        http.closing = True
        self._ws = WebSocketConnection(runtime.fanout)
        self._outlet: Outlet = _NO_OUTLET

        #: Messages, as the protocol gives them, and other events as ASGI dictionaries, for `receive()`.
        #: A list and where it begins: empty, as it nearly always is, it takes a tenth of a deque's memory.
        self._queue: list[str | bytes | dict[str, Any] | None] = [{"type": "websocket.connect"}]
        self._head = 0
        self._queued = 0
        self._high: int = config.ws_queue_high
        self._low: int = config.ws_queue_low
        #: Who waits in `receive()`: the first, and the others in order.
        self._waiter: Waiter | None = None
        self._others: deque[Waiter] | None = None
        self._reading_paused = False
        #: What has come and was not taken: before the application accepted, in this turn of the loop, or
        #: because the queue is full.
        self._rest: bytearray | None = None
        #: What looks for control frames in it, and how many of those it has given out already.
        self._ahead: Lookahead | None = None
        self._done_ahead = 0
        #: The client sent no more after that.
        self._eof = False
        #: It will have sent no more once what the kernel holds was read.
        self._hung_up = False

        #: The application got a message and has not come back to wait for the next.
        self._owes_turn = False
        #: The client's end of the connection, waiting for that turn.
        self._terminal: Close | None = None
        self._grace_at = 0.0
        #: When the wait for the peer's close frame ends; before, the one for the application's answer.
        self._close_at = 0.0
        self._age_at = 0.0
        #: When it is looked at whether there were messages, and how often there were none in a row.
        self._idle_at = 0.0
        self._idle_count = 0
        self._active = False
        #: The application's task, for who may have to cancel it.
        self._task: asyncio.Task[None] | None = None

        self._opened = False
        self._app_ended = False
        self._closed_by_app = False
        #: The application refused the handshake itself.
        self._refused_by_app = False
        #: Status of a denial response that was started and is not complete.
        self._denial = 0
        #: `websocket.disconnect` was received by the application.
        self._told = False
        #: What the worker's budget has of it; and whether the log knows already which limit ended it.
        self._counted = 0
        self._limit_told = False

        self._ping_interval: float = config.ws_ping_interval or 0.0
        self._ping_timeout: float = config.ws_ping_timeout or 0.0
        self._ping_at = 0.0
        self._pong_at = 0.0
        self._pings = 0
        self._heard = False
        #: For a ping or a close frame that may be behind much that a slow peer has still to read.
        self._taking: Taking | None = None
        #: The latest ping that could not be answered yet: the peer does not read (5.5.3 lets us answer the
        #: most recent one only).
        self._unanswered: bytes | None = None

    # From the outlet.

    def connected(self, outlet: Outlet) -> None:
        self._outlet = outlet
        scope = self._scope
        assert scope is not None
        self._scope = None
        runtime = self._runtime
        runtime.admission.websockets += 1
        config = runtime.config
        outlet.watch_sending(config.ws_send_timeout)
        task = runtime.spawn(_Serve(self, scope), True)
        if task is not None and runtime.ws_reaper is not None:
            self._task = task
        if self._ws.state == CONNECTING and config.ws_handshake_timeout:
            self._close_at = self._loop.time() + config.ws_handshake_timeout
            outlet.check_at(self._close_at)

    def receive_data(self, data: bytearray, start: int, end: int) -> None:
        self._heard = True
        if self._ws.state == CONNECTING:
            self._keep(data, start, end)
            self._recount()
            return
        if self._rest is not None:
            self._keep(data, start, end)
            self._deliver(True)
            return
        self._ws.feed(data, start, end)
        if self._pump(_TURN_EVENTS if self._turn.left > 0 else _LEAST_EVENTS):
            self._keep(data, end - self._ws.unread(), end)
        self._deliver(True)

    def proceed(self) -> None:
        if self._rest is None or self._ws.state == CONNECTING:
            return
        if not self._pump(_TURN_EVENTS if self._turn.left > 0 else _LEAST_EVENTS):
            self._finish_rest()
        elif self._is_full():
            self._look_ahead(0)
        self._deliver(True)

    def receive_eof(self) -> None:
        # A WebSocket has no half-closed state: without a close frame this is an abnormal closure (7.1.5).
        # With one, the client may still read our answer.
        self._eof = True
        if self._rest is not None and self._ws.state != CONNECTING:
            self._take_last()
            self._deliver(True)
        if self._rest is None and self._terminal is None:
            self._end_lost()

    def connection_lost(self) -> None:
        self._runtime.admission.websockets -= 1
        if self._rest is not None and self._ws.state != CONNECTING:
            self._take_last()
        if self._terminal is not None:
            self._end()
        else:
            self._act(self._ws.apply(Trigger.LOST))
        self._rest = None
        self._recount()

    def writable(self) -> None:
        if self._unanswered is not None:
            self._outlet.write(self._ws.pong(self._unanswered))
            self._unanswered = None

    def check(self, now: float) -> float:
        state = self._ws.state
        if state == CLOSING:
            if now < self._close_at:
                return self._close_at
            if self._takes_what_was_sent():  # and cannot have seen our close frame for so long
                self._close_at = now + self._runtime.config.ws_close_timeout
                return self._close_at
            self._act(self._ws.apply(Trigger.DEADLINE))
        elif state == CONNECTING:
            return self._check_handshake(now)
        elif self._terminal is not None:
            if state == OPEN:
                if now < self._grace_at:
                    return self._grace_at
                self._end()
        elif state == OPEN:
            when: float = 0.0
            if self._ping_interval:
                when = self._check_ping(now)
            if self._ws.state == OPEN and self._age_at:
                when = _sooner(when, self._check_age(now))
            if self._ws.state == OPEN and self._idle_at:
                when = _sooner(when, self._check_idle(now))
            return when if self._ws.state == OPEN else self._close_at
        return 0.0

    def hung_up(self) -> None:
        # What is still to be read is no more than the kernel holds: take it, and the end behind it.
        self._hung_up = True
        if self._reading_paused:
            self._reading_paused = False
            self._outlet.resume_reading()

    def stalled(self) -> None:
        if self._ws.state == OPEN:
            seconds = self._runtime.config.ws_send_timeout
            self._end_slow(f"took nothing for {seconds:g} seconds", "ws_send_timeout")
        elif self._ws.state == CONNECTING:
            self._outlet.abort()  # within a denial response

    def shutdown(self) -> None:
        if self._ws.state == CONNECTING:
            if not self._denial:  # else it comes to its end, and the connection with it
                self._refuse(503, "the server is shutting down")
        else:
            config = self._runtime.config
            self._close(config.drain_code, config.drain_reason)

    def lasts(self) -> bool:
        return True

    # Octets to events.

    def _is_full(self) -> bool:
        """True when the application is to take messages first. After our close frame none are kept."""
        return self._queued > self._high and self._ws.state == OPEN

    def _pump(self, budget: int) -> bool:
        """Take at most `budget` events out of what was fed, into the queue, and no more than the turn has work
        for; answer pings. A `budget` below 0 takes all.

        Returns true when it stopped although there is more.
        """
        ws = self._ws
        queue = self._queue
        while True:
            if budget == 0:
                self._turn.take(_MESSAGES)
                return ws.is_behind()
            if self._is_full():
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
                if ws.state == OPEN and not self._app_ended:
                    queue.append(event)  # type: ignore[arg-type]
                    self._queued += octets.memory(event)  # type: ignore[arg-type]
                    self._active = True
            elif kind is Ping or kind is Pong:
                # `kind` is the event's type, which mypy does not follow.
                if self._done_ahead:
                    self._done_ahead -= 1
                elif kind is Ping:
                    self._answer_ping(event.payload)  # type: ignore[union-attr]
                else:
                    self._take_pong(event.payload)  # type: ignore[union-attr]
            elif kind is Close:
                self._terminal = event  # type: ignore[assignment]

    def _keep(self, data: bytearray, start: int, end: int) -> None:
        """Keep octets that are not taken now."""
        rest = self._rest
        if rest is None:
            rest = self._rest = bytearray()
        elif self._ws.state != CONNECTING:
            del rest[: len(rest) - self._ws.unread()]
        rest += data[start:end]
        if self._ws.state == CONNECTING:
            if len(rest) >= HELD_BACK:
                self._pause_reading()
            return
        self._ws.feed(rest, 0, len(rest))
        is_full = self._is_full()
        if self._hung_up:
            if len(rest) > LAST_ROOM * self._high:
                self._take_last()
                self._end_lost()
                return
        elif not is_full or len(rest) > self._high:
            self._pause_reading()
        if is_full or self._ahead is not None:
            self._look_ahead(end - start)

    def _look_ahead(self, more: int) -> None:
        """Act on the control frames in what is kept, of which `more` octets have just come."""
        rest = self._rest
        assert rest is not None
        if self._ahead is None:
            self._ahead = Lookahead()
            more = self._ws.unread()
        for opcode, payload in self._ahead.look(rest, more):
            if opcode == opcodes.CLOSE:
                self._take_last()
                if self._terminal is None:  # there was not room for all that came before it
                    self._terminal = close_event(payload)
                return
            self._done_ahead += 1
            if opcode == opcodes.PING:
                self._answer_ping(payload)
            elif opcode == opcodes.PONG:
                self._take_pong(payload)

    def _take_last(self) -> None:
        """The client has ended its side: take all that it sent, as far as there is room for it."""
        # On top of what is queued: a single message may be more than that, and the application not slow at all.
        self._high = self._queued + LAST_ROOM * self._high
        if self._pump(-1):
            logger.info(
                "%s - messages dropped: the client has gone and the application is too slow "
                "(ws_queue_high)",
                self._who()[0],
            )
        self._drop_rest()

    def _drop_rest(self) -> None:
        self._rest = None
        self._ahead = None
        self._done_ahead = 0
        self._ws.feed(_NOTHING, 0, 0)  # so that it refers to the kept octets no more

    def _finish_rest(self) -> None:
        """What was kept is taken."""
        self._drop_rest()
        self._go_on()

    def _recount(self) -> None:
        """Tell of what is held for the application, where it has changed."""
        held = self._queued + self._ws.held()
        if self._rest is not None:
            held += len(self._rest)
        if held <= _SHARE or (self._app_ended and self._ws.state > CLOSING):
            held = 0  # or it waits for nobody, and goes with the session
        if held != self._counted:
            self._counted = held
            self._runtime.budget.set(self, held)

    def let_go(self) -> None:
        """All connections together hold too much, and this one most of it."""
        who = self._who()[0]
        self._runtime.notices.tell(
            _LIMIT_INCOMING,
            who,
            f"WebSocket ended: it held most of all, {self._counted} bytes on their way to the application",
        )
        self._drop_messages()
        if self._ws.state != CONNECTING:
            if self._ws.state <= CLOSING:
                self._limit_told = True
                self._fail(close.TRY_AGAIN_LATER, "too much unfinished")
        elif self._denial:
            self._act(self._ws.apply(Trigger.LOST))
            self._outlet.abort()
        else:
            self._refuse(503, "too much was sent before the handshake was answered")
        self._drop_rest()
        self._recount()

    def _drop_messages(self) -> None:
        """Let go of the messages that wait for `receive()`; other events stay."""
        queue = self._queue
        queue[:] = [event for event in queue[self._head :] if type(event) is dict]
        self._head = 0
        self._queued = 0

    def _deliver(self, now: bool) -> None:
        """Hand out what came, `now` or soon; then end the connection, or pause, or ask for another turn."""
        if self._waiter is not None and self._queue:
            waiter = self._next_waiter()
            if now:
                waiter.wake()
            else:
                waiter.wake_soon()
        if self._terminal is not None:
            # The last in the queue is a dict only when nothing but websocket.connect waits there.
            waiting = self._queue and type(self._queue[-1]) is not dict
            if (waiting or self._owes_turn) and self._ws.state == OPEN and not self._app_ended:
                if not self._grace_at:
                    self._grace_at = self._loop.time() + ANSWER_GRACE
                    self._outlet.check_at(self._grace_at)
            else:
                self._end()
        elif self._rest is not None and not self._is_full():
            self._outlet.proceed_soon(self)
        self._recount()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._outlet.pause_reading()

    def _go_on(self) -> None:
        """Go on with what was kept, then with reading."""
        if self._rest is not None:
            self._outlet.proceed_soon(self)
        elif self._reading_paused:
            self._reading_paused = False
            self._outlet.resume_reading()

    # Who waits in receive().

    def _wait_in_line(self, waiter: Waiter) -> None:
        if self._waiter is None:
            self._waiter = waiter
        elif self._others is None:
            self._others = deque((waiter,))
        else:
            self._others.append(waiter)

    def _next_waiter(self) -> Waiter:
        """Take the first one out of the line; there is one."""
        waiter = self._waiter
        assert waiter is not None
        self._waiter = self._others.popleft() if self._others else None
        return waiter

    def _wake_next_soon(self) -> None:
        if self._waiter is not None:
            self._next_waiter().wake_soon()

    # Pings.

    def _answer_ping(self, payload: bytes) -> None:
        if self._outlet.write_paused:
            self._unanswered = payload
        else:
            # After our own close frame too: only the client's relieves us of it (5.5.2).
            self._outlet.write(self._ws.pong(payload))

    def _take_pong(self, payload: bytes) -> None:
        if self._pong_at and payload == self._pings.to_bytes(4, "big"):
            self._pong_at = 0.0
            self._ping_at = self._loop.time() + self._ping_interval
            self._outlet.check_at(self._ping_at)

    def _check_ping(self, now: float) -> float:
        if self._pong_at:
            if now < self._pong_at:
                return self._pong_at
            if self._heard or self._reading_paused or self._takes_what_was_sent():
                # A pong cannot overtake a long message, we cannot see it while we do not read, and the ping
                # itself may be behind much that a slow peer has still to read.
                self._heard = False
                self._pong_at = now + self._ping_timeout
                if self._reading_paused and not self._outlet.write_paused:
                    # While we do not read, only a write that fails tells us of a peer that has gone.
                    self._outlet.write(self._ws.ping(self._pings.to_bytes(4, "big")))
                return self._pong_at
            self._fail(close.INTERNAL_ERROR, "keepalive ping timeout")
            return 0.0
        if now >= self._ping_at:
            self._pings = (self._pings + 1) & 0xFFFFFFFF
            if self._ping_timeout:
                self._takes_what_was_sent()  # the first look is at what is in front of the ping
            self._outlet.write(self._ws.ping(self._pings.to_bytes(4, "big")))
            self._heard = False
            self._ping_at = now + self._ping_interval
            if self._ping_timeout:
                self._pong_at = now + self._ping_timeout
                return self._pong_at
        return self._ping_at

    def _takes_what_was_sent(self) -> bool:
        """See Taking: true when what was written last has not been there for as long as the last look is
        ago."""
        if self._taking is None:
            self._taking = Taking()
        return self._taking.look(self._outlet)

    # Other deadlines.

    def _check_handshake(self, now: float) -> float:
        if self._denial or not self._close_at:
            return 0.0  # the answer is on its way
        if now < self._close_at:
            return self._close_at
        self._close_at = 0.0
        who, path = self._who()
        self._runtime.notices.tell(
            "ws_handshake_timeout",
            who,
            f'"WebSocket {path}": the application did not answer in time',
        )
        self._refuse(503, "the application did not answer in time")
        return 0.0

    def _check_age(self, now: float) -> float:
        if now >= self._age_at:
            self._close(close.GOING_AWAY, "connection age")
        return self._age_at

    def _check_idle(self, now: float) -> float:
        if now >= self._idle_at:
            self._idle_count = 0 if self._active else self._idle_count + 1
            self._active = False
            if self._idle_count == IDLE_PARTS:
                self._close(close.GOING_AWAY, "idle timeout")
            self._idle_at = now + self._runtime.config.ws_idle_timeout / IDLE_PARTS
        return self._idle_at

    def _start_clocks(self) -> None:
        """The WebSocket is open."""
        config = self._runtime.config
        now = self._loop.time()
        when: float = 0.0
        if self._ping_interval:
            when = self._ping_at = now + self._ping_interval
        if config.ws_max_age:
            self._age_at = now + config.ws_max_age + random.random() * config.ws_max_age_jitter
            when = _sooner(when, self._age_at)
        if config.ws_idle_timeout:
            self._idle_at = now + config.ws_idle_timeout / IDLE_PARTS
            when = _sooner(when, self._idle_at)
        if when:
            self._outlet.check_at(when)

    # The end.

    def _fail(self, code: int, reason: str) -> None:
        """Fail the connection from our side: a close frame, and no waiting for the client's."""
        self._terminal = Close(code, reason, True)
        self._end()

    def _end_slow(self, what: str, limit: str) -> None:
        """The client does not read: do what ws_slow_consumer says."""
        policy = self._runtime.config.ws_slow_consumer
        if policy == "wait":
            return
        self._runtime.notices.tell(limit, self._who()[0], f"slow consumer: {what}")
        if policy == "close":
            self._fail(close.TRY_AGAIN_LATER, "slow consumer")
        else:
            self._act(self._ws.apply(Trigger.LOST))
            self._outlet.abort()

    def _end_lost(self) -> None:
        """The client has ended its side without a close frame: the connection is over, whatever it may read."""
        self._act(self._ws.apply(Trigger.LOST))
        self._outlet.close(linger=False)

    def _end(self) -> None:
        """Let what the client ended the connection with take effect."""
        terminal = self._terminal
        assert terminal is not None
        self._terminal = None
        trigger = Trigger.FAILURE if terminal.failed else Trigger.CLOSE_FRAME
        self._act(
            self._ws.apply(trigger, terminal.code, terminal.reason), terminal.code, terminal.reason
        )

    def _close(self, code: int, reason: str) -> None:
        """Close from our side."""
        self._act(self._ws.apply(Trigger.CLOSE), code, reason)
        if self._terminal is not None:
            self._end()  # the client's close frame is there already

    def _refuse(self, status: int, reason: str) -> None:
        assert self._http is not None
        self._http.start_response(status, [(b"content-type", b"text/plain; charset=utf-8")])
        self._outlet.writelines(self._http.send_body(reason.encode() + b"\n", False))
        self._log_handshake(status)
        self._act(self._ws.apply(Trigger.CLOSE))

    def _act(self, effect: int, code: int = 0, reason: str = "") -> None:
        """Carry out what a transition asks for; `code` and `reason` are those of the close frame to send."""
        outlet = self._outlet
        if effect & _SEND_CLOSE:
            outlet.write(self._ws.close_frame(code, reason))
        if effect & _START_DEADLINE:
            self._takes_what_was_sent()  # the first look is at what is in front of the close frame
            self._close_at = self._loop.time() + self._runtime.config.ws_close_timeout
            outlet.check_at(self._close_at)
            self._go_on()
        if effect & _END_TCP:
            # What a client sends behind its close frame must not reset the connection: it would lose ours.
            if self._ws.expected:
                outlet.await_rest(self._ws.expected)
            outlet.close(linger=False)
        if effect & _DISCONNECT:
            ws = self._ws
            if self._opened:
                self._log_end()
            event = {
                "type": "websocket.disconnect",
                "code": ws.close_code,
                "reason": ws.close_reason,
            }
            self._queue.append(event)
            self._rest = None
            self._ahead = None
            self._recount()
            self._wake_next_soon()
            reaper = self._runtime.ws_reaper
            if reaper is not None and self._task is not None:
                reaper.add(self._task, self._who()[0])

    def _log_handshake(self, status: int) -> None:
        if self._runtime.config.access_log:
            access_logger.info('%s - "WebSocket %s" %d', *self._who(), status)

    def _log_end(self) -> None:
        if self._runtime.config.access_log:
            who, path = self._who()
            ws = self._ws
            access_logger.info('%s - "WebSocket %s" closed %d', who, path, ws.close_code)
        if self._ws.state == State.FAILED and not self._limit_told:
            code, reason = self._ws.close_code, self._ws.close_reason
            self._runtime.notices.tell(
                _LIMITS.get(code, f"close code {code}"),
                self._who()[0],
                f"WebSocket failed with {code}: {reason}",
                logging.INFO,
            )

    def _who(self) -> tuple[str, str]:
        path = self._raw_path.decode("latin-1")
        return (
            peer_name(self._client),
            f"{path}?{self._query.decode('latin-1')}" if self._query else path,
        )

    # The application's side.

    def call(self, scope: Scope) -> Awaitable[None]:
        """Call the application."""
        return self._runtime.app(scope, self.receive, self.send)

    def ended(self, error: BaseException | None) -> None:
        """The application has ended: turn that into the connection's end (the close-code contract)."""
        reaper = self._runtime.ws_reaper
        was_reaped = reaper is not None and self._task is not None and reaper.discard(self._task)
        self._task = None
        if error is None:
            if self._ws.state == CONNECTING and not self._app_ended:
                logger.error(
                    "ASGI application returned without answering the WebSocket handshake of %s",
                    self._who()[1],
                )
            self._finish(close.NORMAL, "")
        elif self._runtime.is_passing(error) or (
            was_reaped and isinstance(error, asyncio.CancelledError)
        ):
            self._finish(close.INTERNAL_ERROR, "")
            raise error
        else:
            if comes_from_disconnect(error):
                # It did not catch what send() told it: the client left first, which is nobody's fault.
                logger.debug("ASGI application ended: the client has gone")
            else:
                logger.error("Exception in ASGI application", exc_info=error)
            self._finish(close.INTERNAL_ERROR, "internal error")

    def _finish(self, code: int, reason: str) -> None:
        """The application has ended."""
        self._app_ended = True
        if self._ws.state <= CLOSING:  # else websocket.disconnect is in there, for who still asks
            self._queue.clear()
            self._head = 0
            self._queued = 0
        self._recount()
        if self._ws.state == CONNECTING:
            assert self._http is not None
            if self._http.response_started():
                # Cut short, so that the client does not take half a response for a whole one.
                self._denial = 0
                self._act(self._ws.apply(Trigger.LOST))
                self._outlet.abort()
            else:
                self._refuse(500, "Internal Server Error")
            return
        if self._terminal is not None and self._ws.state == OPEN:
            self._end()
            return
        self._go_on()
        self._close(code, reason)

    def receive(self) -> Receive:
        """The next event for the application."""
        return slots.new(Receive, self, None)

    def next_message(self) -> Message | None:
        """The next event, None when there is none yet. Raises ApplicationError when there will be none."""
        while not self._queue:
            if self._told:
                raise ApplicationError(
                    "receive() was called after websocket.disconnect; nothing comes after it"
                )
            self._owes_turn = False
            if self._terminal is None:
                return None
            self._end()
        event: Any = self._take()
        kind = type(event)
        if kind is str:
            self._took(event)
            return {"type": "websocket.receive", "text": event}
        if kind is bytes:
            self._took(event)
            return {"type": "websocket.receive", "bytes": event}
        if event["type"] == "websocket.disconnect":
            self._told = True
            while self._waiter is not None:  # nothing comes for them any more: they must hear of it
                self._next_waiter().wake_soon()
        message: Message = event
        return message

    def _take(self) -> Any:
        """The first event of the queue, which is not empty."""
        queue = self._queue
        head = self._head
        event = queue[head]
        head += 1
        if head == len(queue):
            queue.clear()
            head = 0
        else:
            queue[head - 1] = None
            if head == COMPACT:
                del queue[:head]
                head = 0
        self._head = head
        return event

    def _took(self, event: Any) -> None:
        self._owes_turn = True
        self._queued -= octets.memory(event)
        if self._counted:
            self._recount()
        if self._queued <= self._low and (self._reading_paused or self._rest is not None):
            self._go_on()
        if self._waiter is not None and self._queue:
            self._next_waiter().wake_soon()

    def wait(self) -> Waiter:
        """Wait for the next event, behind those who wait already."""
        waiter = Waiter(self._loop)
        self._wait_in_line(waiter)
        return waiter

    def give_up(self, waiter: Waiter) -> None:
        """A receive() was cancelled: what it was woken for is the next one's."""
        if waiter is self._waiter:
            self._next_waiter()
        elif self._others and waiter in self._others:
            self._others.remove(waiter)
        elif self._queue:
            self._wake_next_soon()

    def send(self, message: Message) -> Send:
        """Take a message from the application; waits while the client does not read.

        Raises ClientDisconnected when the client has gone, ApplicationError for a message that is malformed
        or not allowed now.
        """
        return slots.new(Send, self, message)

    def must_wait(self) -> bool:
        """True while the client does not take what was written."""
        return self._outlet.write_paused

    async def send_slowly(self, message: Message) -> None:
        """`send` while the client does not take what was written, or takes nothing more."""
        if self._outlet.write_paused and self._ws.state == OPEN:
            await self._make_room(message)
        self._see_end()
        self.send_now(message)
        await self.drained(message)

    async def drained(self, message: Message) -> None:
        """The rest of `send` once the message was written."""
        if self._outlet.write_paused:
            await self._outlet.drain()
            self._see_end()
            if self._ws.state in FINAL and message["type"] == "websocket.send":
                self._send_late("websocket.send", message)  # it was lost meanwhile

    def _see_end(self) -> None:
        """The connection may be over without our having been told yet: the next `send` is to say so."""
        if self._outlet.is_closing() and self._ws.state not in FINAL:
            self._act(self._ws.apply(Trigger.LOST))

    async def _make_room(self, message: Message) -> None:
        """Wait until there is room for another message, or end the connection for want of it."""
        limit = self._runtime.config.ws_max_outbound
        outlet = self._outlet
        while outlet.write_paused and outlet.unsent() >= limit and not outlet.is_closing():
            if type(message) is dict and message.get("type") == "websocket.close":
                return
            self._end_slow(f"{limit} bytes wait to be sent", "ws_max_outbound")
            if self._ws.state != OPEN:
                return
            await outlet.drain()

    def send_now(self, message: Message) -> None:
        """`send` without waiting."""
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            raise ApplicationError(
                f"send() needs a dict with a 'type', not {message!r:.80}"
            ) from None
        if kind == "websocket.send" and self._ws.state == OPEN:
            self._active = True
            chunks = self._frames(message)
            if len(chunks) == 1:
                self._outlet.write(chunks[0])
            else:
                self._outlet.writelines(chunks)
        elif self._ws.state == CONNECTING:
            self._send_answer(kind, message)
        else:
            self._send_late(kind, message)

    def _frames(self, message: Message) -> list[bytes]:
        """What to write for a `websocket.send`."""
        if type(message) is dict:
            plain: dict[str, Any] = message
            text = plain.get("text")
            data = plain.get("bytes")
        else:
            text = message.get("text")
            data = message.get("bytes")
        try:
            if data is None and text is not None:
                return self._ws.text(text if type(text) is str else _text(text))
            if text is None and data is not None:
                return self._ws.binary(_octets(data))
        except (AttributeError, TypeError, ValueError) as error:
            raise ApplicationError(f"websocket.send with a malformed payload: {error}") from None
        raise ApplicationError("websocket.send needs one of 'text' and 'bytes', and not both")

    def _send_late(self, kind: str, message: Message) -> None:
        """What the application sends in an open connection beside messages, or when it is over."""
        state = self._ws.state
        if kind == "websocket.close":
            if state == OPEN:
                code, reason = _close_arguments(message)
                self._closed_by_app = True
                self._close(code, reason)
            return
        name = State(state).name
        if not self._opened and not self._refused_by_app:
            raise ClientDisconnected("the connection has ended before its handshake was answered")
        if kind != "websocket.send" or state == State.REFUSED:
            expected = "websocket.send or websocket.close" if state == OPEN else "nothing more"
            raise ApplicationError(
                f"unexpected message {kind!r} in state {name}: expected {expected}"
            )
        if self._closed_by_app:
            raise ApplicationError(
                f"websocket.send after websocket.close, in state {name}: expected nothing more"
            )
        how = f" (code {self._ws.close_code})" if state in FINAL else ""
        raise ClientDisconnected(f"the WebSocket is {name.lower()}{how}: cannot send")

    def _send_answer(self, kind: str, message: Message) -> None:
        """The application's answer to the opening handshake."""
        assert self._http is not None
        try:
            if self._denial:
                self._send_denial_body(kind, message)
            elif kind == "websocket.accept":
                self._accept(message)
            elif kind == "websocket.close":
                self._refused_by_app = True
                self._refuse(403, "the application refused the WebSocket")
            elif kind == "websocket.http.response.start":
                status = message["status"]
                headers = [
                    (_octets(name), _octets(value)) for name, value in message.get("headers", ())
                ]
                self._http.start_response(status, headers)
                self._denial = status
            else:
                raise ApplicationError(
                    f"unexpected message {kind!r} in state CONNECTING: expected websocket.accept, "
                    "websocket.close or websocket.http.response.start"
                )
        except (KeyError, TypeError, ValueError) as error:
            raise ApplicationError(f"malformed {kind}: {error}") from None

    def _accept(self, message: Message) -> None:
        if self._outlet.is_closing():
            raise ClientDisconnected("the client has gone before its handshake was accepted")
        assert self._handshake is not None
        assert self._http is not None
        config = self._runtime.config
        subprotocol = message.get("subprotocol")
        compression = self._runtime.compression
        headers, parameters = response(self._handshake, subprotocol, compression)
        for name, value in message.get("headers") or ():
            lowered = _octets(name).lower()
            if lowered.startswith(b"sec-websocket-") or lowered in _SERVERS_OWN:
                # It would speak for the protocol: two subprotocols or extensions fail the connection, and
                # a 101 with a framed body is none (RFC 9110, 8.6; RFC 9112, 6.1).
                raise ApplicationError(
                    f"header {lowered.decode('latin-1')} of websocket.accept is the server's to send"
                )
            headers.append((lowered, _octets(value)))
        data = self._http.switch_protocols(headers)
        deflate = None if parameters is None else Deflate(parameters, compression)
        self._ws.open(config.ws_max_size, deflate, config.ws_max_fragments, self._turn)
        self._ws.apply(Trigger.ACCEPT)
        self._opened = True
        self._handshake = None
        self._http = None
        self._outlet.write(data)
        self._log_handshake(101)
        self._close_at = 0.0
        self._start_clocks()
        rest = self._rest
        if rest is not None:
            self._ws.feed(rest, 0, len(rest))
            if self._eof:
                self._take_last()
                if self._terminal is None:
                    self._end_lost()
            elif not self._pump(_TURN_EVENTS if self._turn.left > 0 else _LEAST_EVENTS):
                self._finish_rest()
            elif self._is_full():
                self._look_ahead(0)
            self._deliver(False)

    def _send_denial_body(self, kind: str, message: Message) -> None:
        assert self._http is not None
        if kind != "websocket.http.response.body":
            raise ApplicationError(
                f"unexpected message {kind!r} within a denial response: "
                "expected websocket.http.response.body"
            )
        more = bool(message.get("more_body", False))
        self._outlet.writelines(self._http.send_body(_octets(message.get("body", b"")), more))
        if not more:
            self._log_handshake(self._denial)
            self._denial = 0
            self._refused_by_app = True
            self._act(self._ws.apply(Trigger.CLOSE))


class _Serve(Job):
    """The application's call for a session."""

    __slots__ = ("_scope", "_session")

    def __init__(self, session: WebSocketSession, scope: Scope) -> None:
        self._session = session
        self._scope: Scope | None = scope

    def begin(self) -> Awaitable[None]:
        scope = self._scope
        assert scope is not None
        self._scope = None  # the application's to keep, or not
        begin_row()
        return self._session.call(scope)

    def ended(self, error: BaseException | None) -> None:
        self._session.ended(error)


class Receive(Call):
    """A `receive()` of a session's."""

    __slots__ = ()

    def advance(self) -> Message | None:
        session: WebSocketSession = self._owner
        message = session.next_message()
        if message is None:
            self._waiter = session.wait()
        return message

    def takes(self) -> bool:
        return True

    def abandon(self, waiter: Waiter) -> None:
        session: WebSocketSession = self._owner
        session.give_up(waiter)


class Send(Call):
    """A `send()` of a session's."""

    __slots__ = ()

    def advance(self) -> None:
        session: WebSocketSession = self._owner
        if session.must_wait():
            self._coroutine = session.send_slowly(self._message)
            return
        session.send_now(self._message)
        if session.must_wait():
            self._coroutine = session.drained(self._message)


slots.install(Receive)
slots.install(Send)


def _sooner(one: float, other: float) -> float:
    """The earlier of two moments, of which 0.0 stands for never."""
    return other if one == 0.0 or 0.0 < other < one else one


def _text(text: Any) -> str:
    """A subclass of `str`, such as a template's safe string, as what it is. Raises TypeError for all else."""
    if not isinstance(text, str):
        raise TypeError(f"'text' is a str, not {type(text).__name__}")
    return str.__str__(text)


def _octets(data: Any) -> bytes:
    """`data` as bytes. Raises TypeError for what holds none: `bytes(5)` would make five of them."""
    return data if type(data) is bytes else memoryview(data).tobytes()


def _close_arguments(message: Message) -> tuple[int, str]:
    code = message.get("code")
    reason = message.get("reason")
    code = close.NORMAL if code is None else code
    reason = "" if reason is None else reason
    try:
        close.serialise(code, reason)
    except (AttributeError, TypeError, ValueError) as error:
        raise ApplicationError(f"malformed websocket.close: {error}") from None
    return code, reason


_NO_OUTLET = Outlet()
_NOTHING = bytearray()
