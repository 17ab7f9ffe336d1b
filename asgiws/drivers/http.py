"""The requests of one HTTP/1.1 connection, in order, and the connection's deadlines.

Rules of this file:
- HTTPConnection has the state of the protocol. For each request, `gate.py` decides where it goes, an
  HTTPExchange is the application's side, and an HTTPCarrier sends the response.
- Events are taken only in `_pump`. It runs from callbacks of the loop, where the application may be stepped at
  once, or from within a task of the application, where it must not be; `now` says which.
- The application is called when everything that the read brought for its request was taken, and runs within
  that read: a request that arrived whole is served from one `receive()`, and a body that is malformed in the
  same read is refused before the application has acted on it.
- Requests are served in order, one at a time: the next head is not parsed before the response is complete and
  the peer has taken most of what was written.
- A connection ends only in `_close`, `cut` and `stalled`.
- The application is never run within an `except` block: its tracebacks would show our exception as the context
  of its own.
- In one turn of the loop, at most TURN requests of one connection are begun, or as many pieces of a body taken.
  The rest of a read waits for the next turn, so that other connections get theirs.

Half-close. A client that shuts down its sending side after a complete request still gets its response: `send()`
works until the connection is lost. But nearly every such end of stream is a client that has gone, and only a
write can tell the two apart: a client that has gone resets the connection. So a client counts as gone once it
has taken nothing for ALONE seconds, with nothing on its way to it; then `receive()` returns `http.disconnect`,
and `--http-cancel-after` begins to count, until the client takes something after all. While reading is paused,
the kernel reports the end (`hung_up`); the part of the body that is there is passed on first. After an
incomplete request the end is an error (RFC 9112, 8): 400.

The last response. A client that is refused gets a text that says why, with `Connection: close`; `Outlet.close`
then keeps reading for a moment, so that the response is not lost to a reset (RFC 9112, 9.6).
"""

from __future__ import annotations

from collections.abc import Callable

from asgiws.bridge.exchange import Exchange
from asgiws.bridge.outlet import Driver, Outlet
from asgiws.common import octets
from asgiws.common.turn import REQUESTS
from asgiws.drivers.exchange import HTTPExchange
from asgiws.drivers.gate import SERVE, UPGRADE
from asgiws.drivers.http_carrier import HTTPCarrier, Pipeline, carry
from asgiws.drivers.http_parts import LAST_REQUEST, HTTPParts
from asgiws.drivers.taking import Taking
from asgiws.http.connection import (
    CLOSED,
    NEED_DATA,
    PAUSED,
    EndOfRequest,
    HTTPConnection,
)
from asgiws.http.errors import HTTPError, RequestTimeout, ServiceUnavailable
from asgiws.http.head import RequestHead
from asgiws.services.admission import RETRY_AFTER
from asgiws.services.budget import UNCOUNTED
from asgiws.services.runtime import peer_name

#: Seconds for which a client that has ended its side must take nothing to count as gone.
ALONE = 1.0

#: Bytes of a request body that may wait for `receive()` before reading pauses; 64 KiB in uvicorn, too.
#: `receive()` takes all of them at once, so there is no low mark.
HIGH_WATER = 64 * 1024

#: How many pipelined requests of one connection are begun, or pieces of a body taken, before other
#: connections get their turn.
TURN = 32

#: The same if all connections together have used up the turn's work.
LEAST = 4

# The same as C integers for the compiled module.
_HIGH_WATER = HIGH_WATER
_UNCOUNTED = UNCOUNTED

_TOO_MUCH = ServiceUnavailable(
    "too much is on its way to the application", "limit_incoming", RETRY_AFTER
)

#: What the connection is waiting for: its first byte, its next request, the rest of a head, the rest of a body,
#: or the application. ALONE: for the application, and the client has ended its side and may have gone.
_NEW, _IDLE, _HEAD, _UPLOAD, _BUSY, _ALONE = range(6)

Upgrade = Callable[[RequestHead, Outlet, HTTPCarrier], "Driver | None"]


class HTTPDriver(Pipeline):
    """Serves the HTTP requests of one connection.

    `upgrade` is called for a request that wants to become a WebSocket: it returns the driver that takes over,
    or None if it has sent a response itself, through the request's carrier.
    """

    __slots__ = (
        "_asked",
        "_budget",
        "_carrier",
        "_client",
        "_counted",
        "_deadline",
        "_exchange",
        "_last",
        "_phase",
        "_pumping",
        "_surplus",
        "_taking",
        "_uncalled",
        "_upgrade",
    )

    def __init__(self, parts: HTTPParts, upgrade: Upgrade) -> None:
        self.runtime = parts.runtime
        self.parts = parts
        self.http = HTTPConnection(self.parts.parser, self.parts.defaults, self.parts.limits)
        self._upgrade = upgrade
        #: The request in progress: its carrier, and the application's side, if it has one.
        self._carrier: HTTPCarrier | None = None
        self._exchange: HTTPExchange | None = None
        #: The previous exchange, while its application is still sending a response that has no body.
        self._surplus: HTTPExchange | None = None
        #: Whether the application has yet to be called for the exchange.
        self._uncalled = False
        self._pumping = False
        #: How many requests may still be begun in this turn of the loop.
        self._budget = 0
        self._phase = _NEW
        #: Whether the next request is the last one.
        self._last = False
        #: When the wait in progress ends, and when the outlet was asked to call `check`; 0.0 for never.
        self._deadline = 0.0
        self._asked = 0.0
        self._client: str | None = None
        #: Whether the client takes what is sent to it; created at the first check.
        self._taking: Taking | None = None
        #: How many octets the worker's budget counts for this connection.
        self._counted = 0

    # From the outlet.

    def connected(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.runtime.admission.http += 1
        outlet.watch_sending(self.parts.timeout_send)
        if self.parts.timeout_head:
            self._set_deadline(outlet.loop.time() + self.parts.timeout_head)

    def receive_data(self, data: bytearray, start: int, end: int) -> None:
        self.http.receive_data(octets.to_bytes(data, start, end))
        self.proceed()

    def proceed(self) -> None:
        self._budget = TURN if self.parts.turn.left > 0 else LEAST
        self._pump(True)

    def receive_eof(self) -> None:
        self.http.receive_eof()
        self.proceed()
        self._watch_client()

    def connection_lost(self) -> None:
        self.http.closing = True  # no further request is begun
        self.runtime.admission.http -= 1
        self._log_incomplete()
        self._carrier = None
        # The exchange stays: what has arrived of the body is still passed on, including the unparsed rest.
        exchange = self._exchange
        if exchange is not None:
            exchange.disconnect(True)
        self._end_surplus(True)
        self._recount()

    def writable(self) -> None:
        self.proceed()

    def check(self, now: float) -> float:
        self._asked = 0.0
        if self._deadline == 0.0:
            return 0.0
        if now < self._deadline:
            self._asked = self._deadline
            return self._deadline
        self._deadline = 0.0
        if self._phase == _ALONE:
            self._look_for_client(now)
        elif self._phase == _HEAD:
            error = RequestTimeout("the request head did not come in time", "timeout_request_head")
            self._refuse(error, True)
        elif self._phase == _UPLOAD:
            error = RequestTimeout("the request body did not come in time", "timeout_request_body")
            self._refuse(error, True)
        elif self._phase == _IDLE and self._takes_what_was_sent():
            # A slow client is still reading the last response: it is not idle yet.
            self._set_deadline(now + self.parts.timeout_keep_alive)
            return self._deadline
        else:
            self._close()
        return 0.0

    def hung_up(self) -> None:
        self._watch_client()

    def stalled(self) -> None:
        seconds = self.parts.timeout_send
        self.runtime.notices.tell(
            "timeout_send", self._who(), f"cut off: took nothing for {seconds:g} seconds"
        )
        self._log_incomplete()
        exchange, self._exchange = self._exchange, None
        self.outlet.abort()
        if exchange is not None:
            exchange.disconnect(True)

    def shutdown(self) -> None:
        if self._exchange is None and (self._phase == _NEW or self._phase == _HEAD):
            # The client was accepted and must be served; one that only connects does not delay the stop much.
            self._last = True
            moment = self.outlet.loop.time() + LAST_REQUEST
            if self._deadline == 0.0 or moment < self._deadline:
                self._set_deadline(moment)
            return
        self.http.closing = True
        if self._exchange is None:
            self._close()

    def lasts(self) -> bool:
        return False  # a request ends, and a connection between two of them may end at any time

    # Whether the client is there.

    def _watch_client(self) -> None:
        """The client has ended its side: check from now on whether it takes what is sent to it."""
        if self._exchange is not None:
            self._taking = Taking()
            self._taking.is_there(self.outlet)
            self._phase = _ALONE
            self._set_deadline(self.outlet.loop.time() + ALONE)

    def _look_for_client(self, now: float) -> None:
        exchange = self._exchange
        outlet = self.outlet
        if exchange is None or (outlet.reading and not outlet.eof):
            self._phase = _BUSY  # its end has yet to be read
            self._taking = None
            return
        assert self._taking is not None
        is_there = self._taking.is_there(outlet)
        self._set_deadline(now + ALONE)
        if is_there:
            exchange.found()
        else:
            exchange.alone(outlet.eof)

    def _takes_what_was_sent(self) -> bool:
        if self._taking is None:
            self._taking = Taking()
        return self._taking.look(self.outlet)

    def _end_surplus(self, now: bool) -> None:
        exchange = self._surplus
        if exchange is not None:
            self._surplus = None
            exchange.disconnect(now)

    # What arrives.

    def _pump(self, now: bool) -> None:
        """Take events until there are none, or none that can be handled yet."""
        if self._pumping:
            return  # called while an event is handled: the loop below goes on
        self._pumping = True
        refused: HTTPError | None = None
        try:
            try:
                while self._take_event(now):
                    pass
            except HTTPError as error:
                refused = error.with_traceback(None)  # which refers to this frame
            if refused is not None:
                self._refuse(refused, now)
        finally:
            self._pumping = False
        # Only now, so that `receive()` returns everything that came in this read, including the end.
        exchange = self._exchange
        if exchange is not None:
            exchange.tell(now)
        if self._counted or exchange is not None or self.http.buffered() > _UNCOUNTED:
            self._recount()

    def _recount(self) -> None:
        """Tell the worker's budget how much is held for the application, if that has changed. Once the client
        has gone, what is held for its call is not counted."""
        held = self.http.buffered()
        if self._exchange is not None:
            held += self._exchange.queued
        if held <= _UNCOUNTED or self.outlet.is_closing():
            held = 0
        if held != self._counted:
            self._counted = held
            self.runtime.budget.set(self, held)

    def let_go(self) -> None:
        """All connections together hold too much, and this one holds most."""
        exchange = self._exchange
        self._refuse(_TOO_MUCH, False)
        if exchange is not None:
            exchange.drop_body()
        self._recount()

    def _take_event(self, now: bool) -> bool:
        """Handle the next event; false if `_pump` must stop."""
        exchange = self._exchange
        if exchange is not None:
            if exchange.queued >= _HIGH_WATER:
                if self._uncalled:
                    self._call(exchange)
                    return True
                self._stop_clock()
                self._pause_reading()
                return False
        elif self.outlet.is_closing():
            return False
        elif self.outlet.write_paused:
            # The peer sends requests and does not read the responses: `writable` continues.
            self._pause_if_flooded()
            return False
        elif not now and self.http.buffered():
            self._pause_if_flooded()
            self.outlet.proceed_soon(self)
            return False
        # The last request that was begun is still read to its end, if that has arrived.
        if self._budget <= (0 if exchange is None else -1) and self.http.buffered():
            self.parts.turn.take(REQUESTS)
            self._pause_reading()  # otherwise the loop would go on reading from this connection
            self.outlet.proceed_soon(self)
            return False
        event = self.http.next_event()
        if event is NEED_DATA:
            if self._uncalled:
                assert exchange is not None
                self._call(exchange)
                return True
            self._resume_reading()
            self._wait_for_data()
            return False
        if event is PAUSED:
            self._pause_if_flooded()
            return False
        if event is CLOSED:
            self._close()
            return False
        if type(event) is RequestHead:
            return self._begin(event)
        # A request that was answered in place of the application has no more events.
        assert exchange is not None
        if type(event) is bytes:
            self._budget -= 1
            exchange.feed(event)
        else:
            assert type(event) is EndOfRequest
            self._stop_clock()
            exchange.end(event.trailers)
            if self._uncalled:
                self._call(exchange)
        return True

    def _begin(self, head: RequestHead) -> bool:
        """Serve a request; false if the connection was handed over."""
        self._phase = _BUSY
        self._deadline = 0.0
        self._budget -= 1
        carrier = self._carrier = carry(self, head)
        if self._surplus is not None:
            self._end_surplus(False)
        if self._last:
            self.http.closing = True
        verdict = self.parts.gate.judge(head, self.outlet)
        if verdict is SERVE:
            self._exchange = HTTPExchange(self.runtime, carrier, head)
            self._uncalled = True
            if self.outlet.eof:
                self._watch_client()
        elif verdict is UPGRADE:
            session = self._upgrade(head, self.outlet, carrier)
            if session is not None:
                self._carrier = None  # it refers to this driver
                self.runtime.admission.http -= 1
                self.http.closing = True  # whatever the answer is, no further request is served
                self._resume_reading()
                self.outlet.hand_over(session, self.http.take_tail())
                return False
        elif isinstance(verdict, HTTPError):
            carrier.reject(verdict)
        else:
            status, headers, body = verdict
            carrier.respond(status, headers, body, False)
        return True

    def _call(self, exchange: HTTPExchange) -> None:
        """Call the application."""
        self._uncalled = False
        task = self.runtime.spawn(exchange, False)
        if self.parts.cancels and task is not None:
            exchange.runs_as(task)

    def _wait_for_data(self) -> None:
        """Start the clock for the data that is still to come, unless it is running."""
        if self._exchange is not None:
            # Each piece restarts it. A client that waits for `100 Continue` is not late.
            if self.parts.timeout_upload and not self.http.expects_continue:
                self._phase = _UPLOAD
                self._set_deadline(self.outlet.loop.time() + self.parts.timeout_upload)
            return
        if self.http.has_partial_head():
            if self._phase != _HEAD:
                if self._phase != _NEW and self.parts.timeout_head:
                    self._set_deadline(self.outlet.loop.time() + self.parts.timeout_head)
                self._phase = _HEAD
        elif self._phase == _BUSY:
            self._phase = _IDLE
            self._set_deadline(self.outlet.loop.time() + self.parts.timeout_keep_alive)

    def _stop_clock(self) -> None:
        """Stop the clock for the body: what we wait for now does not depend on the client."""
        if self._phase == _UPLOAD:
            self._phase = _BUSY
            self._deadline = 0.0

    def _set_deadline(self, when: float) -> None:
        self._deadline = when
        if self._asked == 0.0 or when < self._asked:
            self._asked = when
            self.outlet.check_at(when)

    # Pausing.

    def _pause_if_flooded(self) -> None:
        """Keep reading, to notice when the peer goes, unless it sends far ahead of what is served."""
        if self.http.buffered() >= self.parts.limit_pipelined:
            self._pause_reading()
        else:
            self._resume_reading()

    def _pause_reading(self) -> None:
        if self.outlet.reading:
            self.outlet.pause_reading()

    def _resume_reading(self) -> None:
        if not self.outlet.reading:
            self.outlet.resume_reading()

    # The end.

    def _refuse(self, error: HTTPError, now: bool) -> None:
        """Answer a request that cannot be served, and end the connection."""
        if not self.outlet.is_closing():
            self.parts.tell(self._who(), error)
        exchange, self._exchange = self._exchange, None
        self._uncalled = False
        if self.http.response_started():
            self.cut()
        else:
            self.outlet.write(self.http.error_response(error))
            self._close()
        if exchange is not None:
            exchange.disconnect(now)

    def refuse_connection(self, error: HTTPError) -> None:
        """Answer before any request, and end the connection."""
        self.parts.tell(self.client(), error)
        self.outlet.write(self.http.error_response(error))
        # It is not counted against the limit, and must not stay long: there is no upload to wait for.
        self._close(False)

    def cut(self) -> None:
        self._exchange = None
        self._log_incomplete()
        if self.http.ends_with_connection():
            self.outlet.abort()  # an orderly end would look like the end of the response
        else:
            self.outlet.close()

    def _close(self, linger: bool = True) -> None:
        self._deadline = 0.0
        self.outlet.close(linger)

    def _log_incomplete(self) -> None:
        """Log the response in progress, which ends here, if part of it was sent."""
        carrier = self._carrier
        if carrier is not None and self.http.response_started():
            self._carrier = None
            carrier.log()

    # From the carriers of its requests.

    def client(self) -> str:
        if self._client is None:
            self._client = peer_name(self.outlet.client)
        return self._client

    def _who(self) -> str:
        """The client's name for a log line: that of the request in progress, or else of the connection."""
        return self.client() if self._carrier is None else self._carrier.client()

    def body_asked_for(self) -> None:
        self._wait_for_data()

    def body_taken(self, more: bool) -> None:
        if self._counted:
            self._recount()
        if more and not self.outlet.reading:
            self._pump(False)

    def answered(self) -> None:
        self._carrier = None
        self._exchange = None
        if self._phase == _ALONE:
            self._taking = None
            self._phase = _UPLOAD
        self._stop_clock()  # the rest of the body has the same deadline as the next request
        self._pump(False)

    def answered_early(self) -> None:
        self._surplus = self._exchange
        self.answered()

    def left(self, exchange: Exchange) -> None:
        if self._exchange is exchange:
            self._exchange = None
        elif self._surplus is exchange:
            self._surplus = None
