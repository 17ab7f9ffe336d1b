"""HTTP requests as the application sees them: request, response, disconnect (ASGI HTTP 2.5).

Rules of this file:
- The protocol's state is HTTPConnection's. An HTTPCycle keeps the application's side of one
  request: the body that waits for `receive()`, who waits there, and which message `send()` expects
  next.
- Events are pulled in `_pump` alone. It runs from the loop's callbacks, where the application may
  be stepped at once, or from within a task of the application, where it must not be; `now` says
  which.
- An application is called once all that the read brought of its request was taken, and runs within
  that read: a request that came whole is served from one `receive()`, and a body that is malformed in
  the same read is refused before anybody has acted on it.
- Requests are served in order, one at a time: the next head is not parsed before the response is
  complete and the peer has taken most of what was written.
- A connection ends in `_close` or `_cut` alone, and a response is complete in `response_done`
  alone. Every response of which something was sent gets its line in the access log: there, in
  `_cut`, or in `connection_lost`.
- No callback of the application is run within an `except` block: its tracebacks would show our
  exception as the context of its own.
- A turn of the loop begins TURN requests of one connection, or takes as many pieces of a body, at most. What a
  read brought beyond waits for the next turn, in which the other connections have theirs.

Half-close. A client that shuts down its sending side behind a whole request still gets its
response: `send()` works on until the connection is lost. But nearly every such end of stream is a
client that has gone, and what tells the two apart is a write: one that has gone resets the
connection. So it counts as gone once it has taken nothing for ALONE seconds, with nothing on its way
to it; then `receive()` gives `http.disconnect`, and `--http-cancel-after` begins to count, until the
client takes something after all. Where reading is paused, the kernel tells of the end (`hung_up`);
what is there of the body is given out first. Behind half a request the end is an error (RFC 9112 8):
400.

No body. A response to HEAD, and a 204 or 304, is complete for its client once its head is out: the
connection goes on with the next request. To the application it is `http.disconnect`, and what it
sends further is thrown away, until the client asks for something else or goes: then `send()` raises.
So there is one such application on a connection at most, and none that outlives it unaware.

The last answer. Whoever is refused gets a text that says why, with `Connection: close`;
`Outlet.close` then keeps listening for a moment, so that the answer is not lost to a reset (RFC
9112 9.6).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from asgiws.asgi.errors import (
    ApplicationError,
    ClientDisconnected,
    comes_from_disconnect,
)
from asgiws.asgi.types import Headers, Message
from asgiws.bridge.calls import begin_row
from asgiws.bridge.exchange import Exchange
from asgiws.bridge.outlet import Driver, Outlet
from asgiws.bridge.wakeup import Waiter
from asgiws.drivers import files
from asgiws.drivers.forwarding import forwarding
from asgiws.drivers.health import Health
from asgiws.drivers.scope import http_scope
from asgiws.drivers.taking import Taking
from asgiws.http.connection import (
    CLOSED,
    NEED_DATA,
    PAUSED,
    EndOfRequest,
    HTTPConnection,
)
from asgiws.http.errors import (
    Forbidden,
    HTTPError,
    InvalidResponse,
    RequestTimeout,
    ServiceUnavailable,
)
from asgiws.http.head import RequestHead
from asgiws.http.hosts import HostFilter
from asgiws.http.limits import Limits
from asgiws.http.parsers import make_parser
from asgiws.http.response import ResponseDefaults, as_pairs
from asgiws.services.admission import RETRY_AFTER
from asgiws.services.budget import SHARE
from asgiws.services.runtime import Runtime, access_logger, logger, peer_name
from asgiws.websocket import octets
from asgiws.websocket.turn import REQUESTS, Turn

#: Seconds that a client has to send its first request, or the rest of a request's head, once the server stops.
LAST_REQUEST = 2.0

#: Seconds in which a client that has ended its side takes nothing, until it counts as gone.
ALONE = 1.0

#: Bytes of a request body that may wait for `receive()` before reading pauses: uvicorn 64 KiB.
#: `receive()` takes all of them at once, so there is no low mark.
HIGH_WATER = 64 * 1024

#: Pieces of a body below this many octets are joined to one while they wait: by themselves they would take
#: many times their size.
JOIN_BELOW = 1024

#: Pipelined requests of one connection that are begun, and pieces of a body that are taken, before other
#: connections have their turn.
TURN = 32

#: The same where all connections together have used up the turn's work.
LEAST = 4

# As the compiled module compares with them.
_HIGH_WATER = HIGH_WATER
_SHARE = SHARE

_TOO_MUCH = ServiceUnavailable(
    "too much is on its way to the application", "limit_incoming", RETRY_AFTER
)

#: What the connection is waiting for: its first byte, its next request, the rest of a head, the rest of a
#: body, or the application; ALONE: and the client has ended its side, and may have gone.
_NEW, _IDLE, _HEAD, _UPLOAD, _BUSY, _ALONE = range(6)

# Which message of the application is expected next.
# _LOST: the peer has gone before the response was complete. _SURPLUS: the response is complete for the
# client, since it has no body, and the application goes on with it.
_START, _BODY, _FILE, _TRAILERS, _DONE, _LOST, _SURPLUS = range(7)
_EXPECTED = {
    _START: "no response was started; http.response.start is expected",
    _BODY: "the response was started; http.response.body is expected",
    _FILE: "a file is being sent; nothing is expected until send() returns",
    _TRAILERS: "the body is complete; http.response.trailers is expected",
    _DONE: "the response is complete; nothing is expected",
    _SURPLUS: "the rest of the response, which has no body, is expected",
}

#: The messages that bring a piece of the body.
_BODIES = ("http.response.body", "http.response.pathsend", "http.response.zerocopysend")

_TEXT: Headers = [(b"content-type", b"text/plain; charset=utf-8")]
_TEXT_AND_CLOSE: Headers = [*_TEXT, (b"connection", b"close")]

Upgrade = Callable[[RequestHead, Outlet, "HTTPDriver"], "Driver | None"]


class _Shared:
    """What the HTTP drivers of one worker have in common, made from its configuration."""

    __slots__ = (
        "access_log",
        "cancels",
        "defaults",
        "forwarding",
        "health",
        "hosts",
        "limit_concurrency",
        "limit_pipelined",
        "limits",
        "parser",
        "timeout_head",
        "timeout_keep_alive",
        "timeout_send",
        "timeout_upload",
        "turn",
    )

    def __init__(self, runtime: Runtime) -> None:
        config = runtime.config
        self.parser = make_parser(config.http)
        self.turn: Turn = runtime.turn
        self.limits = Limits(
            request_line=config.limit_request_line,
            header_bytes=config.limit_header_bytes,
            header_count=config.limit_header_count,
            request_body=-1 if config.limit_request_body is None else config.limit_request_body,
        )
        self.hosts = HostFilter(config.allowed_hosts) if config.allowed_hosts else None
        self.defaults = ResponseDefaults(
            config.headers, b"asgiws" if config.server_header else b"", config.date_header
        )
        self.access_log = config.access_log
        self.cancels = runtime.http_reaper is not None
        self.health = None if config.health_path is None else Health(config.health_path)
        self.forwarding = forwarding(config, runtime.trusted)
        self.timeout_head = config.timeout_request_head
        self.timeout_upload = config.timeout_request_body
        self.timeout_keep_alive = config.timeout_keep_alive
        self.timeout_send = config.timeout_send
        self.limit_concurrency = config.limit_concurrency is not None
        self.limit_pipelined = config.limit_pipelined


class HTTPDriver(Driver):
    """Serves the HTTP requests of one connection.

    `upgrade` is asked when a request wants to become a WebSocket: it gives the driver that takes
    over, or None when it has answered by itself, through `respond`. `http` is the protocol's state;
    while `upgrade` runs, and for the driver that takes over, its sending methods answer that
    request.
    """

    __slots__ = (
        "_asked",
        "_budget",
        "_client",
        "_counted",
        "_cycle",
        "_deadline",
        "_eof",
        "_head",
        "_last",
        "_phase",
        "_pumping",
        "_reading_paused",
        "_shared",
        "_surplus",
        "_taken",
        "_taking",
        "_uncalled",
        "_upgrade",
        "http",
        "outlet",
        "runtime",
    )

    outlet: Outlet

    def __init__(self, runtime: Runtime, upgrade: Upgrade) -> None:
        if runtime.http is None:
            runtime.http = _Shared(runtime)
        self.runtime = runtime
        self._shared: _Shared = runtime.http
        self.http = HTTPConnection(self._shared.parser, self._shared.defaults, self._shared.limits)
        self._upgrade = upgrade
        self._cycle: HTTPCycle | None = None
        #: The one before, where the application goes on with a response that has no body.
        self._surplus: HTTPCycle | None = None
        #: What the peer had taken of what was written, when that was looked at last.
        self._taken = 0
        #: The peer sends no more.
        self._eof = False
        #: The application was not called yet for the cycle.
        self._uncalled = False
        self._head: RequestHead | None = None
        self._pumping = False
        #: How many requests may still be begun in this turn of the loop.
        self._budget = 0
        self._reading_paused = False
        self._phase = _NEW
        #: The next request is the last one.
        self._last = False
        #: When the wait in progress ends, and when the outlet was asked to call `check`; 0.0 for
        #: never.
        self._deadline = 0.0
        self._asked = 0.0
        self._client: str | None = None
        #: From when the client seemed to be idle for the first time.
        self._taking: Taking | None = None
        #: What the worker's budget has of it.
        self._counted = 0

    # From the outlet

    def connected(self, outlet: Outlet) -> None:
        self.outlet = outlet
        outlet.watch_sending(self._shared.timeout_send)
        if self._shared.timeout_head:
            self._set_deadline(outlet.loop.time() + self._shared.timeout_head)

    def receive_data(self, data: bytearray, start: int, end: int) -> None:
        self.http.receive_data(octets.to_bytes(data, start, end))
        self.proceed()

    def proceed(self) -> None:
        self._budget = TURN if self._shared.turn.left > 0 else LEAST
        self._pump(True)

    def receive_eof(self) -> None:
        self._eof = True
        self.http.receive_eof()
        self.proceed()
        self._watch_client()

    def connection_lost(self) -> None:
        self.http.closing = True  # no further request is begun
        self._log_incomplete()
        # The cycle stays: what has arrived of the body is still given out, the unparsed rest too.
        cycle = self._cycle
        if cycle is not None:
            cycle.disconnect(True)
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
            error = RequestTimeout("the request body did not come on", "timeout_request_body")
            self._refuse(error, True)
        elif self._takes_the_response():
            self._set_deadline(now + self._shared.timeout_keep_alive)
            return self._deadline
        else:
            self._close()
        return 0.0

    def _takes_the_response(self) -> bool:
        """True while a slow client still reads the last response: it is not idle yet."""
        if self._phase != _IDLE:
            return False
        if self._taking is None:
            self._taking = Taking()
        return self._taking.look(self.outlet)

    def hung_up(self) -> None:
        self._watch_client()

    def stalled(self) -> None:
        seconds = self._shared.timeout_send
        self.runtime.notices.tell(
            "timeout_send", self.client(), f"cut off: took nothing for {seconds:g} seconds"
        )
        self._log_incomplete()
        cycle, self._cycle = self._cycle, None
        self.outlet.abort()
        if cycle is not None:
            cycle.disconnect(True)

    def shutdown(self) -> None:
        if self._cycle is None and (self._phase == _NEW or self._phase == _HEAD):
            # Its client was let in and is to be served; who only connects holds up nobody for long.
            self._last = True
            moment = self.outlet.loop.time() + LAST_REQUEST
            if self._deadline == 0.0 or moment < self._deadline:
                self._set_deadline(moment)
            return
        self.http.closing = True
        if self._cycle is None:
            self._close()

    def lasts(self) -> bool:
        return False  # a request ends, and a connection between two of them may end at any time

    # Whether the client is there

    def _watch_client(self) -> None:
        """The client has ended its side: see whether it takes what is sent to it."""
        if self._cycle is not None:
            self._taken, _ = self.outlet.taken()
            self._phase = _ALONE
            self._set_deadline(self.outlet.loop.time() + ALONE)

    def _look_for_client(self, now: float) -> None:
        cycle = self._cycle
        if cycle is None or not (self._eof or self._reading_paused):
            self._phase = _BUSY  # its end is still to be read
            return
        taken, outstanding = self.outlet.taken()
        is_there = taken != self._taken or outstanding > 0
        self._taken = taken
        self._set_deadline(now + ALONE)
        if is_there:
            cycle.found()
        else:
            cycle.alone(self._eof)

    def _end_surplus(self, now: bool) -> None:
        cycle = self._surplus
        if cycle is not None:
            self._surplus = None
            cycle.disconnect(now)

    # What arrives

    def _pump(self, now: bool) -> None:
        """Take events until there are none, or nothing is to be done with them yet."""
        if self._pumping:
            return  # called by what an event led to: the loop below goes on
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
        # Only now, so that `receive()` gives all that came in this read, and its end with it.
        cycle = self._cycle
        if cycle is not None:
            cycle.tell(now)
        if self._counted or cycle is not None or self.http.buffered() > _SHARE:
            self._recount()

    def _recount(self) -> None:
        """Tell the worker's budget of what is held for the application, where it has changed. What a call
        holds whose client has gone is its own."""
        held = self.http.buffered()
        if self._cycle is not None:
            held += self._cycle.queued
        if held <= _SHARE or self.outlet.is_closing():
            held = 0
        if held != self._counted:
            self._counted = held
            self.runtime.budget.set(self, held)

    def let_go(self) -> None:
        """All connections together hold too much, and this one most of it."""
        cycle = self._cycle
        self._refuse(_TOO_MUCH, False)
        if cycle is not None:
            cycle.drop_body()
        self._recount()

    def _take_event(self, now: bool) -> bool:
        """Act on the next event; false when the pump is to stop."""
        cycle = self._cycle
        if cycle is not None:
            if cycle.queued >= _HIGH_WATER:
                if self._uncalled:
                    self._call(cycle)
                    return True
                self._stop_clock()
                self._pause_reading()
                return False
        elif self.outlet.is_closing():
            return False
        elif self.outlet.write_paused:
            # The peer sends requests and does not read the responses: `writable` goes on.
            self._pause_if_flooded()
            return False
        elif not now and self.http.buffered():
            self._pause_if_flooded()
            self.outlet.proceed_soon(self)
            return False
        # The last request that is begun is read to its end where that is there.
        if self._budget <= (0 if cycle is None else -1) and self.http.buffered():
            self._shared.turn.take(REQUESTS)
            self._pause_reading()  # or the loop would go on reading from this connection
            self.outlet.proceed_soon(self)
            return False
        event = self.http.next_event()
        if event is NEED_DATA:
            if self._uncalled:
                assert cycle is not None
                self._call(cycle)
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
        # A request that was answered in place of the application gives no more events.
        assert cycle is not None
        if type(event) is bytes:
            self._budget -= 1
            cycle.feed(event)
        else:
            assert type(event) is EndOfRequest
            self._stop_clock()
            cycle.end(event.trailers)
            if self._uncalled:
                self._call(cycle)
        return True

    def _begin(self, head: RequestHead) -> bool:
        """Serve a request; false when the connection is no longer ours."""
        self._phase = _BUSY
        self._deadline = 0.0
        self._budget -= 1
        self._head = head
        if self._surplus is not None:
            self._end_surplus(False)
        if self._last:
            self.http.closing = True
        if self._shared.health is not None:
            answer = self._shared.health.answer(head, self.runtime.ready)
            if answer is not None:
                self._head = None  # for no line in the access log
                self.respond(*answer)
                return True
        if head.has_forwarded and self._shared.forwarding is not None:
            self._shared.forwarding.apply(head, self.outlet)
        hosts = self._shared.hosts
        if hosts is not None and not hosts.allows(head.get(b"host")):
            self.reject(Forbidden("this host is not served here", "allowed_hosts"))
            return True
        if self._shared.limit_concurrency:
            runtime = self.runtime
            refusal = runtime.admission.request(len(runtime.connections), len(runtime.tasks))
            if refusal is not None:
                self.reject(refusal)
                return True
        # RFC 9110 7.8: an Upgrade may be ignored, and is: every other protocol's, and one behind a
        # body, which would stand between the handshake and the WebSocket's first byte.
        if (
            head.upgrade
            and b"websocket" in head.upgrade
            and head.method == "GET"
            and not head.has_body()
        ):
            session = self._upgrade(head, self.outlet, self)
            if session is not None:
                self._resume_reading()
                self.outlet.hand_over(session, self.http.take_tail())
                return False
            return True
        self._cycle = HTTPCycle(self, head)
        self._uncalled = True
        if self._eof:
            self._watch_client()
        return True

    def _call(self, cycle: HTTPCycle) -> None:
        """Call the application."""
        self._uncalled = False
        task = self.runtime.spawn(cycle, False)
        if self._shared.cancels and task is not None:
            cycle.runs_as(task)

    def _wait_for_data(self) -> None:
        """Start the clock for what is to come, unless it is running."""
        if self._cycle is not None:
            # Each piece starts it anew. A client that waits for `100 Continue` is not to blame.
            if self._shared.timeout_upload and not self.http.expects_continue:
                self._phase = _UPLOAD
                self._set_deadline(self.outlet.loop.time() + self._shared.timeout_upload)
            return
        if self.http.has_partial_head():
            if self._phase != _HEAD:
                if self._phase != _NEW and self._shared.timeout_head:
                    self._set_deadline(self.outlet.loop.time() + self._shared.timeout_head)
                self._phase = _HEAD
        elif self._phase == _BUSY:
            self._phase = _IDLE
            self._set_deadline(self.outlet.loop.time() + self._shared.timeout_keep_alive)

    def _stop_clock(self) -> None:
        """The client is not to blame for what is waited for now."""
        if self._phase == _UPLOAD:
            self._phase = _BUSY
            self._deadline = 0.0

    def _set_deadline(self, when: float) -> None:
        self._deadline = when
        if self._asked == 0.0 or when < self._asked:
            self._asked = when
            self.outlet.check_at(when)

    def _pause_if_flooded(self) -> None:
        """Read on, to notice when the peer goes, unless it sends far ahead of what is served."""
        if self.http.buffered() >= self._shared.limit_pipelined:
            self._pause_reading()
        else:
            self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self.outlet.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self.outlet.resume_reading()

    def _refuse(self, error: HTTPError, now: bool) -> None:
        """Answer what cannot be served, and end the connection."""
        if not self.outlet.is_closing():
            self._tell(error)
        cycle = self._cycle
        self._cycle = None
        self._uncalled = False
        if self.http.response_started():
            self._cut()
        else:
            self.outlet.write(self.http.error_response(error))
            self._close()
        if cycle is not None:
            cycle.disconnect(now)

    # What is answered

    def refuse_connection(self, error: HTTPError) -> None:
        """Answer before anything was asked, and end the connection."""
        self._tell(error)
        self.outlet.write(self.http.error_response(error))
        # It takes nobody's place, and must not stay for it: there is no upload to wait for.
        self._deadline = 0.0
        self.outlet.close(linger=False)

    def reject(self, error: HTTPError) -> None:
        """Answer the request in progress, which is one that shall not reach the application."""
        self._tell(error)
        self.respond(
            error.status, [*_TEXT_AND_CLOSE, *error.headers], error.message.encode() + b"\n"
        )

    def _tell(self, error: HTTPError) -> None:
        """Log it: a request that is malformed is the client's matter, a limit that was met the operator's."""
        self.runtime.notices.tell(
            error.limit or f"status {error.status}",
            self.client(),
            f"request refused: {error.status}, {error.message}",
            logging.WARNING if error.limit else logging.INFO,
        )

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer the request in progress with a whole response, in place of the application.

        Only while none of another response was sent.
        """
        self.http.start_response(status, headers)
        self.write(self.http.send_body(body, False))
        self.response_done()

    def write(self, pieces: list[bytes]) -> None:
        """Write what HTTPConnection gave."""
        if len(pieces) == 1:
            self.outlet.write(pieces[0])
        elif pieces:
            self.outlet.writelines(pieces)

    def response_done(self) -> None:
        """The response in progress is complete: log it, and go on with the connection."""
        self._log_access()
        self._cycle = None
        if self._phase == _ALONE:
            self._phase = _UPLOAD
        self._stop_clock()  # what is left of the body is waited for as the next request is
        self._pump(False)

    def head_done(self, cycle: HTTPCycle) -> None:
        """The response in progress is complete, since it has no body; the application of `cycle` goes on."""
        self._surplus = cycle
        self.response_done()

    def lost_done(self, cycle: HTTPCycle) -> None:
        """The application has ended, whose client had gone: nobody asks for what has arrived of the body."""
        if self._cycle is cycle:
            self._cycle = None

    def surplus_done(self, cycle: HTTPCycle) -> None:
        """It has come to an end as well."""
        if self._surplus is cycle:
            self._surplus = None

    def _log_incomplete(self) -> None:
        """Log the response in progress, which ends here, if any of it was sent."""
        if self._head is not None and self.http.response_started():
            self._log_access()

    def _log_access(self) -> None:
        head = self._head
        if head is not None and self._shared.access_log:
            origin = head.origin
            root_path = self.runtime.config.root_path if origin is None else origin.root_path
            access_logger.info(
                '%s - "%s %s HTTP/%s" %d',
                self.client(),
                head.method,
                root_path + head.target.decode("ascii"),
                head.http_version,
                self.http.status(),
            )
        self._head = None

    def client(self) -> str:
        """The client's name for a log line: of the request in progress, or else of the connection."""
        return self.name_of_client(self._head)

    def name_of_client(self, head: RequestHead | None) -> str:
        """The same for that request."""
        if head is not None and head.origin is not None:
            return peer_name(head.origin.client)
        if self._client is None:
            self._client = peer_name(self.outlet.client)
        return self._client

    def body_counts_no_more(self) -> None:
        """The application has got the body that was there."""
        if self._counted:
            self._recount()

    def body_taken(self) -> None:
        """The application took the body that was there: go on reading."""
        if self._reading_paused:
            self._pump(False)

    def body_asked_for(self) -> None:
        """The client was told to go on and send the body."""
        self._wait_for_data()

    def fail(self) -> None:
        """The application ended without a complete response: 500, or a cut where one was begun."""
        if self.http.response_started():
            self._cycle = None
            self._cut()
        else:
            self.respond(500, _TEXT_AND_CLOSE, b"Internal Server Error")

    def cancel(self) -> None:
        """The application was cancelled before its response was complete."""
        self._cycle = None
        self._cut()

    def _cut(self) -> None:
        """End the connection within a response, so that the client can tell."""
        self._log_incomplete()
        if self.http.ends_with_connection():
            self.outlet.abort()  # an orderly end would look like the response's
        else:
            self.outlet.close()

    def _close(self) -> None:
        self._deadline = 0.0
        self.outlet.close()


class HTTPCycle(Exchange):
    """One request and its response, as the application sees them."""

    __slots__ = (
        "_disconnected",
        "_driver",
        "_ended",
        "_final_taken",
        "_head",
        "_hearer",
        "_just_lost",
        "_outlet",
        "_pieces",
        "_stage",
        "_task",
        "_told",
        "_trailers",
        "_trailers_due",
        "_trailers_out",
        "_waiters",
        "queued",
    )

    def __init__(self, driver: HTTPDriver, head: RequestHead) -> None:
        self._driver = driver
        self._outlet = driver.outlet
        self._head = head
        #: The body that waits for `receive()`, and how many bytes it is.
        self._pieces: list[bytes | bytearray] | None = None
        self.queued = 0
        #: The request was read to its end; the application has got the last of it.
        self._ended = False
        self._final_taken = False
        self._trailers: Headers | None = None
        #: The application's trailers, until there are no more to come.
        self._trailers_out: Headers | None = None
        #: The application has announced some.
        self._trailers_due = False
        #: The peer counts as gone, and the application has heard of it.
        self._disconnected = False
        self._told = False
        #: It was lost in this turn of the loop, and the task that has heard of it.
        self._just_lost = False
        self._hearer: asyncio.Task[Any] | None = None
        #: The application's task, where it may have to be cancelled.
        self._task: asyncio.Task[None] | None = None
        self._stage = _START
        self._waiters: list[Waiter] | None = None

    # From the driver

    def feed(self, data: bytes) -> None:
        """A piece of the body; `tell` follows."""
        pieces = self._pieces
        if pieces is None:
            self._pieces = [data]
        elif len(data) >= JOIN_BELOW:
            pieces.append(data)
        elif type(pieces[-1]) is bytearray:
            pieces[-1] += data
        else:
            pieces.append(bytearray(data))
        self.queued += len(data)

    def end(self, trailers: Headers) -> None:
        """The request is complete; `tell` follows."""
        self._ended = True
        if trailers:
            self._trailers = trailers

    def drop_body(self) -> None:
        """What of the body waits for the application is not there for it any more."""
        self._pieces = None
        self.queued = 0

    def tell(self, now: bool) -> None:
        """Wake who waits for the body, if there is some."""
        if self._waiters and (self._pieces or (self._ended and not self._final_taken)):
            self._wake(now)

    def runs_as(self, task: asyncio.Task[None]) -> None:
        """The application's task, which has not ended in its first step."""
        self._task = task
        if self._disconnected:
            self._reap()

    def alone(self, eof: bool) -> None:
        """The peer sends no more, and nearly always has gone (see the top of the file). With `eof`, all that it
        sent has been read."""
        if eof or self._ended:
            self._disconnected = True
            self._wake(True)
        self._reap()

    def found(self) -> None:
        """The peer takes what is sent to it."""
        self._forget()

    def disconnect(self, now: bool) -> None:
        """The peer has gone, or is not listened to any more, before the response was complete."""
        self._stage = _LOST
        self._disconnected = True
        if self._waiters:
            self._just_lost = True
            self._outlet.loop.call_soon(self.settle)
            self._wake(now)
        self._reap()

    def settle(self) -> None:
        """The turn of the loop is over in which the peer was lost."""
        self._just_lost = False
        self._hearer = None

    def _reap(self) -> None:
        """Have the application cancelled in time."""
        reaper = self._driver.runtime.http_reaper
        if reaper is not None and self._task is not None:
            reaper.add(self._task, self._driver.name_of_client(self._head))

    def _forget(self) -> bool:
        """Have it cancelled no more; true when it was."""
        reaper = self._driver.runtime.http_reaper
        return reaper is not None and self._task is not None and reaper.discard(self._task)

    def _wake(self, now: bool) -> None:
        waiters = self._waiters
        if waiters is not None:
            self._waiters = None
            for waiter in waiters:
                if now:
                    waiter.wake()
                else:
                    waiter.wake_soon()

    # The application

    def begin(self) -> Awaitable[None]:
        begin_row()
        runtime = self._driver.runtime
        return runtime.app(http_scope(runtime, self._head, self._outlet), self.receive, self.send)

    def ended(self, error: BaseException | None) -> None:
        """See to it that the request gets an answer."""
        driver = self._driver
        was_reaped = self._task is not None and self._forget()
        self._task = None
        if self._stage == _SURPLUS:
            driver.surplus_done(self)
        elif self._stage == _LOST:
            driver.lost_done(self)
        if error is None:
            if self._stage < _DONE and self._told:
                self._stage = _DONE
                driver.cancel()
            elif self._stage < _DONE:
                begun = "completing its" if driver.http.response_started() else "a"
                logger.error(
                    "ASGI application returned without %s response: %s", begun, self._name()
                )
                self._fail()
        elif driver.runtime.is_passing(error) or (
            was_reaped and isinstance(error, asyncio.CancelledError)
        ):
            if self._stage < _DONE:
                if not was_reaped:
                    logger.warning(
                        "ASGI application was cancelled before its response was complete: %s",
                        self._name(),
                    )
                self._stage = _DONE
                driver.cancel()
            raise error
        else:
            self._crashed(error)

    def _crashed(self, error: BaseException) -> None:
        if self._stage == _LOST and comes_from_disconnect(error):
            logger.info(
                "ASGI application ended with %s: the client has gone: %s",
                type(error).__name__,
                self._name(),
            )
            return
        logger.error("Exception in ASGI application: %s", self._name(), exc_info=error)
        if self._stage < _DONE:
            self._fail()

    def _fail(self) -> None:
        self._stage = _DONE
        self._wake(False)
        self._driver.fail()

    def _name(self) -> str:
        return f"{self._head.method} {self._head.target.decode('ascii')}"

    def next_message(self) -> Message | None:
        """The next event: the body, all of it that is there, until `more_body` is false; then
        `http.disconnect`, once the response is complete or the peer has gone."""
        if self._stage == _DONE or self._stage == _SURPLUS:
            return {"type": "http.disconnect"}
        if self._pieces or (self._ended and not self._final_taken):
            return self._take_body()
        if self._disconnected:
            self._told = True
            if self._just_lost:
                self._hearer = asyncio.current_task()
            return {"type": "http.disconnect"}
        if self._driver.http.expects_continue and not self._ended:
            interim = self._driver.http.send_continue()
            if interim:
                self._outlet.write(interim)
                self._driver.body_asked_for()
        return None

    def wait(self) -> Waiter:
        """Wait for the next event."""
        waiter = Waiter(self._outlet.loop)
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        return waiter

    def give_up(self, waiter: Waiter) -> None:
        """A receive() was cancelled."""
        if self._waiters is not None and waiter in self._waiters:
            self._waiters.remove(waiter)

    def _take_body(self) -> Message:
        pieces = self._pieces
        if pieces is None:
            body = b""
        else:
            # The first one is never joined to another.
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)  # type: ignore[assignment]
            self._pieces = None
            self.queued = 0
            self._driver.body_counts_no_more()
        message: dict[str, Any] = {
            "type": "http.request",
            "body": body,
            "more_body": not self._ended,
        }
        if self._ended:
            self._final_taken = True
            if self._trailers is not None:
                message["trailers"] = self._trailers
        else:
            self._driver.body_taken()
        return message

    def send_now(self, message: Message) -> Coroutine[Any, Any, None] | None:
        """`send`, or its beginning: what there is to wait for then."""
        stage = self._stage
        if stage == _LOST:
            return self._too_late() if self._is_late() else None
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            raise ApplicationError(
                f"send() takes a message with a 'type', not {message!r:.80}"
            ) from None
        try:
            if kind == "http.response.body" and stage == _BODY:
                self._send_body(message)
            elif kind == "http.response.start" and stage == _START:
                self._start(message)
                return None
            elif stage == _SURPLUS:
                self._throw_away(kind, message)
                return None
            elif kind == "http.response.pathsend" and stage == _BODY:
                return self._send_path(message)
            elif kind == "http.response.zerocopysend" and stage == _BODY:
                return self._send_part(message)
            elif kind == "http.response.trailers" and stage == _TRAILERS:
                self._send_trailers(message)
            elif kind == "http.response.early_hint" and stage <= _BODY:
                self._send_early_hint(message)
            else:
                raise ApplicationError(f"{kind!r} was sent, but {_EXPECTED[stage]}")
        except InvalidResponse as error:
            raise ApplicationError(f"{kind}: {error}") from error
        return self._drained() if self._outlet.write_paused else None

    async def _drained(self) -> None:
        """The rest of `send` once all was written."""
        outlet = self._outlet
        if outlet.write_paused:
            await outlet.drain()
            if self._stage < _DONE and outlet.is_closing():
                self._stage = _LOST  # `connection_lost` follows
            if self._stage == _LOST and self._is_late():
                await self._too_late()

    def _is_late(self) -> bool:
        """True when `send()` is to raise, since the client has gone. The first one in the turn of the loop in
        which that is told to another task is thrown away: frameworks cancel a stream when they hear of it, and
        within its own `await` it cleans up at once. An exception that comes first, out of a task group, would
        hold it in a cycle of references.
        """
        if self._just_lost and asyncio.current_task() is not self._hearer:
            self._just_lost = False
            return False
        return True

    async def _too_late(self) -> None:
        # Who sends on, whatever is raised, must not hold the loop.
        await asyncio.sleep(0)
        raise ClientDisconnected("the client has gone")

    def _start(self, message: Message) -> None:
        try:
            status = message["status"]
        except KeyError:
            raise ApplicationError("http.response.start has no 'status'") from None
        trailers = bool(_get(message, "trailers", False))
        self._driver.http.start_response(status, _get(message, "headers", ()), trailers)
        self._trailers_due = trailers
        self._stage = _BODY

    def _send_body(self, message: Message) -> None:
        data = _get(message, "body", b"")
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise ApplicationError(
                    f"the 'body' of http.response.body is bytes, not {type(data).__name__}"
                )
            data = bytes(data)  # it is kept while the peer does not read, and must not change
        more = bool(_get(message, "more_body", False))
        driver = self._driver
        driver.write(driver.http.send_body(data, more))
        if not more or not driver.http.sends_body():
            self._body_done(more)

    def _body_done(self, more: bool) -> None:
        """The body is complete; for the client at least, where there is none and the application has `more`."""
        http = self._driver.http
        expects_trailers = http.expects_trailers()
        if more or (expects_trailers and not http.sends_body()):
            http.end_bodiless()
            self._stage = _SURPLUS
            if self._waiters:
                self._wake(False)
            self._driver.head_done(self)
        elif expects_trailers:
            self._stage = _TRAILERS
        else:
            self._done()

    def _throw_away(self, kind: Any, message: Message) -> None:
        """The rest of a response whose body is not sent: see when it ends."""
        if kind in _BODIES:
            # A file is the whole body.
            more = kind != "http.response.pathsend" and message.get("more_body", False)
            is_last = not (more or self._trailers_due)
        elif kind == "http.response.trailers" and self._trailers_due:
            is_last = not message.get("more_trailers", False)
        elif kind == "http.response.early_hint":
            is_last = False
        else:
            raise ApplicationError(f"{kind!r} was sent, but {_EXPECTED[_SURPLUS]}")
        if is_last:
            self._stage = _DONE
            self._driver.surplus_done(self)

    def _done(self) -> None:
        self._stage = _DONE
        if self._waiters:
            self._wake(False)
        self._driver.response_done()

    async def _send_path(self, message: Message) -> None:
        """`http.response.pathsend`: the file is the whole body."""
        path = message.get("path")
        if not isinstance(path, str):
            raise ApplicationError("http.response.pathsend has no 'path' that is text")
        # Nothing else may be sent from here on, for opening takes a while.
        self._stage = _FILE
        try:
            file, size = await files.open_whole(self._outlet.loop, path)
        except ApplicationError:
            await self._check_file_stage()
            self._stage = _BODY
            raise
        except asyncio.CancelledError:
            if self._stage == _FILE:
                self._stage = _BODY
            raise
        with file:
            await self._check_file_stage()
            await self._send_file(message, file, size, False)

    async def _send_part(self, message: Message) -> None:
        """`http.response.zerocopysend`: a part of an open file is a piece of the body."""
        if not self._outlet.sends_files():
            raise ApplicationError("http.response.zerocopysend is not offered on this connection")
        part = files.Part(message)
        self._stage = _FILE
        await self._send_file(message, part, part.size, bool(message.get("more_body", False)))
        part.move_on()

    async def _send_file(self, message: Message, file: Any, size: int, more: bool) -> None:
        """Send so much of `file` as a piece of the body. When that fails on the way, the response stays
        incomplete."""
        http = self._driver.http
        try:
            start = http.start_file(size, more)
        except InvalidResponse as error:
            self._stage = _BODY
            raise ApplicationError(f"{message['type']}: {error}") from error
        if start:
            self._outlet.write(start)
        if http.sends_body() and size:
            await self._send_octets(message, file, size)
        end = http.end_file(size, more)
        if end:
            self._outlet.write(end)
        if more and http.sends_body():
            self._stage = _BODY
        else:
            self._body_done(more)
        await self._drained()

    async def _send_octets(self, message: Message, file: Any, size: int) -> None:
        """Send what was announced."""
        kind = message["type"]
        try:
            sent = await self._outlet.send_file(file, size)
        except OSError as error:
            await self._check_file_stage()
            raise ApplicationError(f"{kind}: {error}") from error
        await self._check_file_stage()
        if sent != size:
            raise ApplicationError(
                f"{kind}: the file became shorter while it was sent: {sent} bytes of {size}"
            )

    async def _check_file_stage(self) -> None:
        """Raise what ends a `send()` whose response has ended while it waited."""
        if self._stage == _FILE and self._outlet.is_closing():
            self._stage = _LOST  # `connection_lost` follows
        if self._stage == _LOST:
            await self._too_late()
        if self._stage != _FILE:
            raise ApplicationError("a file was being sent, and the application has ended meanwhile")

    def _send_trailers(self, message: Message) -> None:
        """`http.response.trailers`; they leave together, when there are no more to come."""
        trailers = as_pairs(message.get("headers", ()))
        if self._trailers_out is not None:
            trailers = self._trailers_out + trailers
        if message.get("more_trailers", False):
            self._trailers_out = trailers
            return
        end = self._driver.http.send_trailers(trailers)
        if end:
            self._outlet.write(end)
        self._done()

    def _send_early_hint(self, message: Message) -> None:
        """`http.response.early_hint`: 103 with a Link field for each of its links (RFC 8297). Once the head of
        the response was sent, with the first of the body, there is no place for it, and nothing is sent."""
        links = message.get("links", ())
        try:
            headers = [(b"link", bytes(memoryview(link))) for link in links]
        except TypeError:
            raise ApplicationError("the 'links' of http.response.early_hint are bytes") from None
        data = self._driver.http.informational(103, headers)
        if data:
            self._outlet.write(data)


def _get(message: Message, key: str, default: Any) -> Any:
    """`message.get(key, default)`, where nearly every message is a dict."""
    if type(message) is dict:
        plain: dict[str, Any] = message
        return plain.get(key, default)
    return message.get(key, default)
