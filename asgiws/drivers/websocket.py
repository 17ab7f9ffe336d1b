"""One WebSocket as the application sees it: connect, receive, send, disconnect (ASGI WebSocket 2.5).

Rules of this file:
- The protocol's state is `WebSocketConnection.state`, and changes by its table only.
- The parts of a session have files of their own: `opening.py` until the handshake is accepted, `reading.py`
  from the octets to the events, `inbox.py` for the events and who waits for them, `websocket/keepalive.py`
  for the clocks of an open connection, `outgoing.py` for what the application sends, `subscriptions.py` for
  topics, `journal.py` for the log. What is here brings them together, and brings the connection to its end.
- `_act` carries out what a transition asks for, but for the answer to the handshake, which is written first.
  It is the one place that puts `websocket.disconnect` into the inbox.
- What is held for the application is told to the worker's budget (`recount`) whenever something came, was
  taken or dropped; above UNCOUNTED, so that small messages cost a comparison.
- The client's end takes effect once the application had its turn to answer what came before it: when it waits
  in `receive()` again, when it returns, or after ANSWER_GRACE seconds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from asgiws.asgi.errors import ApplicationError, ClientDisconnected, comes_from_disconnect
from asgiws.asgi.types import Message, Scope
from asgiws.bridge.outlet import Outlet
from asgiws.common import octets
from asgiws.drivers.inbox import Inbox
from asgiws.drivers.journal import Journal
from asgiws.drivers.opening import ACCEPTED, REFUSED, Answer, Opening
from asgiws.drivers.outgoing import close_arguments, frames, refuse_late
from asgiws.drivers.reading import Reading
from asgiws.drivers.session import Serve, Session
from asgiws.drivers.subscriptions import Subscriptions
from asgiws.drivers.taking import Taking
from asgiws.drivers.topic_messages import KINDS
from asgiws.services.budget import UNCOUNTED
from asgiws.services.runtime import Runtime, logger
from asgiws.websocket import close
from asgiws.websocket.connection import CLOSING, CONNECTING, OPEN, WebSocketConnection
from asgiws.websocket.deflate import Deflate
from asgiws.websocket.events import Close
from asgiws.websocket.handshake import Handshake
from asgiws.websocket.keepalive import IDLE, OLD, PING, PROBE, SILENT, KeepAlive
from asgiws.websocket.states import FINAL, Effect, Trigger

#: Seconds that the application has to answer earlier messages once the client has ended the connection.
ANSWER_GRACE = 2.0

# As the compiled module compares with it.
_UNCOUNTED = UNCOUNTED

_LIMIT_INCOMING = "limit_incoming"

# Effects as plain numbers.
_SEND_CLOSE = int(Effect.SEND_CLOSE)
_START_DEADLINE = int(Effect.START_DEADLINE)
_END_TCP = int(Effect.END_TCP)
_DISCONNECT = int(Effect.DISCONNECT)


class WebSocketSession(Session):
    """Drives one connection from its opening handshake to its end."""

    def __init__(
        self, runtime: Runtime, scope: Scope, handshake: Handshake, answer: Answer
    ) -> None:
        config = runtime.config
        self._runtime = runtime
        self._outlet: Outlet = _NO_OUTLET
        self._journal = Journal(runtime, scope)
        self._ws = WebSocketConnection(runtime.fanout)
        #: What is known until the handshake was accepted; None from then on.
        self._opening: Opening | None = Opening(scope, handshake, answer)
        self._inbox = Inbox(runtime.loop, config.ws_queue_high, config.ws_queue_low)
        self._inbox.put_event({"type": "websocket.connect"})
        self._reading = Reading(self._ws, self._inbox, runtime.turn, self._journal)
        #: For a ping or a close frame that may be behind much that a slow peer has still to read.
        self._taking: Taking | None = None
        #: The application's task, for who may have to cancel it.
        self._task: asyncio.Task[None] | None = None
        #: The application got a message and has not come back to wait for the next.
        self._owes_turn = False
        #: When the wait for that turn ends, or the one for the client's close frame once ours was sent.
        self._end_by = 0.0
        self._closed_by_app = False
        #: The option whose limit made the connection fail; None where the log has told of it already.
        self._limit: str | None = ""
        #: What the worker's budget has of it.
        self._counted = 0
        #: What it does with topics; None until it does.
        self._topics: Subscriptions | None = None

    # From the outlet.

    def connected(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._reading.begin(outlet)
        opening = self._opening
        assert opening is not None
        scope = opening.take_scope()
        runtime = self._runtime
        runtime.admission.websockets += 1
        runtime.admission.websocket_calls += 1
        config = runtime.config
        outlet.watch_sending(config.ws_send_timeout)
        task = runtime.spawn(Serve(self, self._inbox, scope), True)
        if task is not None and runtime.ws_reaper is not None:
            self._task = task
        if self._ws.state == CONNECTING and config.ws_handshake_timeout:
            opening.due = outlet.loop.time() + config.ws_handshake_timeout
            outlet.check_at(opening.due)

    def receive_data(self, data: bytearray, start: int, end: int) -> None:
        reading = self._reading
        reading.receive(data, start, end)
        if reading.keepalive is None:
            self.recount()
            return
        if reading.overran:
            self._end_lost()
        self._deliver(True)

    def proceed(self) -> None:
        reading = self._reading
        if reading.keepalive is not None and reading.kept is not None:
            if reading.proceed():
                self._go_on()
            self._deliver(True)

    def receive_eof(self) -> None:
        # A WebSocket has no half-closed state: without a close frame this is an abnormal closure (7.1.5).
        # With one, the client may still read our answer.
        reading = self._reading
        if reading.keepalive is not None and reading.kept is not None:
            reading.take_last()
            self._deliver(True)
        if reading.kept is None and reading.client_end is None:
            self._end_lost()

    def connection_lost(self) -> None:
        reading = self._reading
        self._runtime.admission.websockets -= 1
        if reading.keepalive is not None and reading.kept is not None:
            reading.take_last()
        if reading.client_end is not None:
            self._end()
        else:
            self._act(self._ws.apply(Trigger.LOST))
        reading.drop()
        self.recount()

    def writable(self) -> None:
        self._reading.writable()
        if self._topics is not None:
            self._topics.writable()

    def check(self, now: float) -> float:
        state = self._ws.state
        if state == OPEN:
            return self._check_open(now)
        if state == CONNECTING:
            return self._check_opening(now)
        if state == CLOSING:
            if now < self._end_by:
                return self._end_by
            if self._takes_what_was_sent():  # and cannot have seen our close frame for so long
                self._end_by = now + self._runtime.config.ws_close_timeout
                return self._end_by
            self._act(self._ws.apply(Trigger.DEADLINE))
        return 0.0

    def hung_up(self) -> None:
        # What is still to be read is no more than the kernel holds: take it, and the end behind it.
        if not self._outlet.reading:
            self._outlet.resume_reading()

    def stalled(self) -> None:
        if self._ws.state == OPEN:
            seconds = self._runtime.config.ws_send_timeout
            self.end_slow(f"took nothing for {seconds:g} seconds", "ws_send_timeout")
        elif self._ws.state == CONNECTING:
            self._outlet.abort()  # within a denial response

    def shutdown(self) -> None:
        opening = self._opening
        if opening is None:
            config = self._runtime.config
            self.close(config.drain_code, config.drain_reason)
        elif self._ws.state == CONNECTING and not opening.denial:
            # A denial response comes to its end by itself, and the connection with it.
            self._refuse(503, "the server is shutting down")

    def lasts(self) -> bool:
        return True

    # What has come.

    def _deliver(self, now: bool) -> None:
        """Hand out what came, `now` or soon; then end the connection, or go on with what is kept."""
        reading = self._reading
        self._inbox.wake_if_any(now)
        if reading.client_end is not None:
            waiting = self._owes_turn or self._inbox.has_messages()
            if waiting and self._ws.state == OPEN and not self._inbox.is_closed:
                if not self._end_by:
                    self._end_by = self._outlet.loop.time() + ANSWER_GRACE
                    self._outlet.check_at(self._end_by)
            else:
                self._end()
        elif reading.kept is not None and not reading.is_full():
            self._outlet.proceed_soon(self)
        self.recount()

    def _go_on(self) -> None:
        """Go on with what was kept, then with reading."""
        if self._reading.kept is not None:
            self._outlet.proceed_soon(self)
        elif not self._outlet.reading:
            self._outlet.resume_reading()

    def recount(self) -> None:
        """Tell of what is held for the application, where it has changed."""
        held = self._reading.held()
        if held <= _UNCOUNTED or (self._inbox.is_closed and self._ws.state > CLOSING):
            held = 0  # or it waits for nobody, and goes with the session
        if held != self._counted:
            self._counted = held
            self._runtime.budget.set(self, held)

    def let_go(self) -> None:
        """All connections together hold too much, and this one most of it."""
        self._journal.notice(
            _LIMIT_INCOMING,
            f"WebSocket ended: it held most of all, {self._counted} bytes on their way to the application",
        )
        self._inbox.drop_messages()
        opening = self._opening
        if opening is None:
            if self._ws.state <= CLOSING:
                self._fail(close.TRY_AGAIN_LATER, "too much unfinished", None)
        elif opening.denial:
            self._act(self._ws.apply(Trigger.LOST))
            self._outlet.abort()
        elif self._ws.state == CONNECTING:
            self._refuse(503, "too much was sent before the handshake was answered")
        self._reading.drop()
        self.recount()

    # Deadlines.

    def _takes_what_was_sent(self) -> bool:
        """See Taking: true when what was written last has not been there for as long as the last look is
        ago."""
        if self._taking is None:
            self._taking = Taking()
        return self._taking.look(self._outlet)

    def _check_opening(self, now: float) -> float:
        opening = self._opening
        assert opening is not None
        if opening.is_late(now):
            self._journal.late()
            self._refuse(503, "the application did not answer in time")
        return opening.due

    def _check_open(self, now: float) -> float:
        if self._reading.client_end is not None:
            if now < self._end_by:
                return self._end_by
            self._end()
            return 0.0
        keepalive = self._reading.keepalive
        assert keepalive is not None
        todo = keepalive.check(now, self._outlet.reading, self._takes_what_was_sent)
        if todo & PING or (todo & PROBE and not self._outlet.write_paused):
            self._outlet.write(self._ws.ping(keepalive.payload()))
        if todo & SILENT:
            self._fail(close.INTERNAL_ERROR, "keepalive ping timeout", "ws_ping_timeout")
        elif todo & OLD:
            self.close(close.GOING_AWAY, "connection age")
        elif todo & IDLE:
            self.close(close.GOING_AWAY, "idle timeout")
        return keepalive.next_look() if self._ws.state == OPEN else self._end_by

    # The end.

    def _fail(self, code: int, reason: str, limit: str | None) -> None:
        """Fail the connection from our side, for the limit that an option sets: a close frame, and no waiting
        for the client's. None where the log has told of it. If the client has ended the connection already, its
        code stands."""
        self._take_effect(self._reading.client_end or Close(code, reason, True, limit))

    def end_slow(self, what: str, limit: str) -> None:
        """The client does not read: do what ws_slow_consumer says."""
        policy = self._runtime.config.ws_slow_consumer
        if policy == "wait":
            return
        self._journal.notice(limit, f"slow consumer: {what}")
        if policy == "close":
            self._fail(close.TRY_AGAIN_LATER, "slow consumer", "ws_slow_consumer")
        else:
            self._act(self._ws.apply(Trigger.LOST))
            self._outlet.abort()

    def _end_lost(self) -> None:
        """The client has ended its side without a close frame: the connection is over, whatever it may read."""
        self._act(self._ws.apply(Trigger.LOST))
        self._outlet.close(linger=False)

    def _end(self) -> None:
        """Let the client's end of the connection take effect."""
        end = self._reading.client_end
        assert end is not None
        self._take_effect(end)

    def _take_effect(self, end: Close) -> None:
        self._reading.client_end = None
        self._limit = end.limit
        trigger = Trigger.FAILURE if end.failed else Trigger.CLOSE_FRAME
        self._act(self._ws.apply(trigger, end.code, end.reason), end.code, end.reason)

    def close(self, code: int, reason: str) -> None:
        """Close from our side."""
        self._act(self._ws.apply(Trigger.CLOSE), code, reason)
        if self._reading.client_end is not None:
            self._end()  # the client's close frame is there already

    def _refuse(self, status: int, reason: str) -> None:
        opening = self._opening
        assert opening is not None
        self._outlet.writelines(opening.refuse(status, reason))
        self._journal.handshake(status)
        self._act(self._ws.apply(Trigger.CLOSE))

    def _act(self, effect: int, code: int = 0, reason: str = "") -> None:
        """Carry out what a transition asks for; `code` and `reason` are those of the close frame to send."""
        outlet = self._outlet
        if effect & _SEND_CLOSE:
            outlet.write(self._ws.close_frame(code, reason))
        if effect & _START_DEADLINE:
            self._takes_what_was_sent()  # the first look is at what is in front of the close frame
            self._end_by = outlet.loop.time() + self._runtime.config.ws_close_timeout
            outlet.check_at(self._end_by)
            self._go_on()
        if effect & _END_TCP:
            # What a client sends behind its close frame must not reset the connection: it would lose ours.
            if self._ws.expected:
                outlet.await_rest(self._ws.expected)
            outlet.close(linger=False)
        if effect & _DISCONNECT:
            ws = self._ws
            if self._topics is not None:
                topics, self._topics = self._topics, None
                topics.end()
            if self._opening is None:
                self._journal.end(ws, self._limit)
            self._inbox.put_event(
                {
                    "type": "websocket.disconnect",
                    "code": ws.close_code,
                    "reason": ws.close_reason,
                }
            )
            self._reading.drop()
            self.recount()
            self._inbox.wake(False)
            reaper = self._runtime.ws_reaper
            if reaper is not None and self._task is not None:
                reaper.add(self._task, self._journal.client())

    # The application's side.

    def ended(self, error: BaseException | None) -> None:
        """The application has ended: turn that into the connection's end (the close-code contract)."""
        reaper = self._runtime.ws_reaper
        was_reaped = reaper is not None and self._task is not None and reaper.discard(self._task)
        self._task = None
        if error is None:
            if self._ws.state == CONNECTING:
                self._journal.unanswered()
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
        self._runtime.admission.websocket_calls -= 1
        self._inbox.is_closed = True
        if self._ws.state <= CLOSING:  # else websocket.disconnect is in there, for who still asks
            self._inbox.clear()
        self.recount()
        opening = self._opening
        if self._ws.state == CONNECTING:
            assert opening is not None
            if opening.has_begun():
                # Cut short, so that the client does not take half a response for a whole one.
                opening.denial = 0
                self._act(self._ws.apply(Trigger.LOST))
                self._outlet.abort()
            else:
                self._refuse(500, "Internal Server Error")
            return
        if self._reading.client_end is not None and self._ws.state == OPEN:
            self._end()
            return
        self._go_on()
        self.close(code, reason)

    def next_message(self) -> Message | None:
        """The next event, None when there is none yet. Raises ApplicationError when there will be none."""
        inbox = self._inbox
        while inbox.is_empty():
            if inbox.is_over:
                raise ApplicationError(
                    "receive() was called after websocket.disconnect; nothing comes after it"
                )
            self._owes_turn = False
            if self._reading.client_end is None:
                return None
            self._end()
        event: Any = inbox.take()
        kind = type(event)
        if kind is str:
            self._took(octets.memory(event))
            return {"type": "websocket.receive", "text": event}
        if kind is bytes:
            self._took(octets.memory(event))
            return {"type": "websocket.receive", "bytes": event}
        if kind is tuple:
            event, size, told = event
            if told is not None:
                told()
            self._took(size)
            return event  # type: ignore[no-any-return]
        if event["type"] == "websocket.disconnect":
            inbox.is_over = True
            inbox.wake_all()  # nothing comes for them any more: they must hear of it
        message: Message = event
        return message

    def _took(self, size: int) -> None:
        self._owes_turn = True
        has_room = self._inbox.received(size)
        if self._counted:
            self.recount()
        if has_room and (self._reading.kept is not None or not self._outlet.reading):
            self._go_on()
        self._inbox.wake_if_any(False)

    def begin_send(self, message: Message) -> Coroutine[Any, Any, None] | None:
        """Take a message from the application; what there is to wait for then."""
        outlet = self._outlet
        topics = self._topics
        if outlet.write_paused or (topics is not None and topics.echoes):
            return self._send_slowly(message)
        rest = self._write_message(message)
        return self._drained(message) if outlet.write_paused else rest

    async def _send_slowly(self, message: Message) -> None:
        """`send` while the client does not take what was written, or takes nothing more; or while a message
        that was published before is still to come back."""
        if type(message) is dict and message.get("type") in KINDS and self._ws.state == OPEN:
            rest = self._write_message(message)  # which does not wait for this client
            if rest is not None:
                await rest
            return
        if self._topics is not None and self._topics.echoes:
            await self._topics.settled()
        if self._outlet.write_paused and self._ws.state == OPEN:
            await self._make_room(message)
        self._see_end()
        self._write_message(message)
        await self._drained(message)

    async def _drained(self, message: Message) -> None:
        """The rest of `send` once the message was written."""
        if self._outlet.write_paused:
            await self._outlet.drain()
            self._see_end()
            if self._ws.state in FINAL and message["type"] == "websocket.send":
                self._refuse_message("websocket.send")  # it was lost meanwhile

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
            self.end_slow(f"{limit} bytes wait to be sent", "ws_max_outbound")
            if self._ws.state != OPEN:
                return
            await outlet.drain()

    def _write_message(self, message: Message) -> Coroutine[Any, Any, None] | None:
        """Take a message from the application, without waiting; what there is to wait for."""
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            raise ApplicationError(
                f"send() needs a dict with a 'type', not {message!r:.80}"
            ) from None
        if kind == "websocket.send" and self._ws.state == OPEN:
            if self._reading.keepalive is not None:
                self._reading.keepalive.active = True
            chunks = frames(self._ws, message)
            if len(chunks) == 1:
                self._outlet.write(chunks[0])
            else:
                self._outlet.writelines(chunks)
        elif self._ws.state == CONNECTING:
            self._send_answer(kind, message)
        elif kind == "websocket.close":
            self._close_by_app(message)
        else:
            return self._take_other(kind, message)
        return None

    def _take_other(self, kind: str, message: Message) -> Coroutine[Any, Any, None] | None:
        """Take a message about topics, or refuse it."""
        service = self._runtime.topics
        if service is not None and self._ws.state == OPEN and kind in KINDS:
            if self._topics is None:
                self._topics = Subscriptions(self, service)
            return self._topics.take(kind, message)
        self._refuse_message(kind)
        return None

    def _close_by_app(self, message: Message) -> None:
        """The application closes the connection, unless it is over."""
        if self._ws.state == OPEN:
            code, reason = close_arguments(message)
            self._closed_by_app = True
            self.close(code, reason)

    def _refuse_message(self, kind: str) -> None:
        """Raise what is wrong with a message of that kind now."""
        opening = self._opening
        was_answered = opening is None or opening.outcome == REFUSED
        refuse_late(self._ws, kind, was_answered, self._closed_by_app)

    def _send_answer(self, kind: str, message: Message) -> None:
        """The application's answer to the opening handshake."""
        opening = self._opening
        assert opening is not None
        if kind == "websocket.accept" and self._outlet.is_closing():
            raise ClientDisconnected("the client has gone before its handshake was accepted")
        pieces = opening.answer(kind, message, self._runtime.compression)
        if opening.outcome == ACCEPTED:
            self._open(opening.deflate, pieces)
            return
        self._outlet.writelines(pieces)
        if opening.outcome == REFUSED:
            self._journal.handshake(opening.status)
            self._act(self._ws.apply(Trigger.CLOSE))

    def _open(self, deflate: Deflate | None, answer: list[bytes]) -> None:
        """The handshake was accepted."""
        config = self._runtime.config
        self._ws.open(config.ws_max_size, deflate, config.ws_max_fragments, self._runtime.turn)
        self._ws.apply(Trigger.ACCEPT)
        self._opening = None
        self._outlet.writelines(answer)
        self._journal.handshake(101)
        # Chance, so that connections that began together do not end together.
        keepalive = KeepAlive(self._runtime.ws_times, self._outlet.loop.time(), random.random())
        when = keepalive.next_look()
        if when:
            self._outlet.check_at(when)
        reading = self._reading
        was_keeping = reading.kept is not None
        reading.accepted(keepalive)
        if was_keeping:
            if self._outlet.eof and reading.client_end is None:
                self._end_lost()
            elif reading.kept is None:
                self._go_on()
            self._deliver(False)


_NO_OUTLET = Outlet()
