"""One HTTP request and its response, as the application sees them (ASGI HTTP 2.5).

Rules of this file:
- It keeps the application's side of one request: the body that waits for `receive()`, who waits there, and
  which message `send()` expects next. What the client sees is the Carrier's to do; which version of HTTP that
  speaks is not known here.
- No callback of the application is run within an `except` block: its tracebacks would show our exception as
  the context of its own.

No body. A response to HEAD, and a 204 or 304, is complete for its client once its head is out: the
connection goes on with the next request. To the application it is `http.disconnect`, and what it
sends further is thrown away, until the client asks for something else or goes: then `send()` raises.
So there is one such application on a connection at most, and none that outlives it unaware.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

from asgiws.asgi.errors import (
    ApplicationError,
    ClientDisconnected,
    comes_from_disconnect,
)
from asgiws.asgi.types import Headers, Message
from asgiws.bridge.calls import begin_row
from asgiws.bridge.exchange import Exchange
from asgiws.bridge.wakeup import Waiter
from asgiws.common.pieces import add as add_piece
from asgiws.common.pieces import join as join_pieces
from asgiws.drivers.carrier import Carrier
from asgiws.drivers.file_response import FILES, FileResponse
from asgiws.http.errors import InvalidResponse
from asgiws.http.head import RequestHead
from asgiws.http.response import as_pairs
from asgiws.services.runtime import Runtime, logger

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
_BODIES = ("http.response.body", *FILES)


class HTTPExchange(Exchange):
    """One request and its response, as the application sees them."""

    __slots__ = (
        "_carrier",
        "_disconnected",
        "_ended",
        "_final_taken",
        "_head",
        "_hearer",
        "_just_lost",
        "_pieces",
        "_runtime",
        "_stage",
        "_task",
        "_told",
        "_trailers",
        "_trailers_due",
        "_trailers_out",
        "_waiters",
        "queued",
    )

    def __init__(self, runtime: Runtime, carrier: Carrier, head: RequestHead) -> None:
        self._runtime = runtime
        self._carrier = carrier
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

    # From the driver.

    def feed(self, data: bytes) -> None:
        """A piece of the body; `tell` follows."""
        pieces = self._pieces
        if pieces is None:
            self._pieces = [data]
        else:
            add_piece(pieces, data)
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
        """The peer sends no more, and nearly always has gone (see `http.py`). With `eof`, all that it
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
            self._runtime.loop.call_soon(self.settle)
            self._wake(now)
        self._reap()

    def settle(self) -> None:
        """The turn of the loop is over in which the peer was lost."""
        self._just_lost = False
        self._hearer = None

    def _reap(self) -> None:
        """Have the application cancelled in time."""
        reaper = self._runtime.http_reaper
        if reaper is not None and self._task is not None:
            reaper.add(self._task, self._carrier.client())

    def _forget(self) -> bool:
        """Have it cancelled no more; true when it was."""
        reaper = self._runtime.http_reaper
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

    # The application.

    def begin(self) -> Awaitable[None]:
        begin_row()
        return self._runtime.app(self._carrier.scope(), self.receive, self.send)

    def ended(self, error: BaseException | None) -> None:
        """See to it that the request gets an answer."""
        carrier = self._carrier
        was_reaped = self._task is not None and self._forget()
        self._task = None
        if self._stage >= _LOST:
            carrier.left(self)
        if error is None:
            if self._stage < _DONE and self._told:
                self._stage = _DONE
                carrier.cancel()
            elif self._stage < _DONE:
                begun = "completing its" if carrier.has_started() else "a"
                logger.error(
                    "ASGI application returned without %s response: %s", begun, self._name()
                )
                self._fail()
        elif self._runtime.is_passing(error) or (
            was_reaped and isinstance(error, asyncio.CancelledError)
        ):
            if self._stage < _DONE:
                if not was_reaped:
                    logger.warning(
                        "ASGI application was cancelled before its response was complete: %s",
                        self._name(),
                    )
                self._stage = _DONE
                carrier.cancel()
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
        self._carrier.fail()

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
        if not self._ended:
            self._carrier.ask_for_body()
        return None

    def wait(self) -> Waiter:
        """Wait for the next event."""
        waiter = Waiter(self._runtime.loop)
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
            body = join_pieces(pieces)
            self._pieces = None
            self.queued = 0
        more = not self._ended
        message: dict[str, Any] = {"type": "http.request", "body": body, "more_body": more}
        if not more:
            self._final_taken = True
            if self._trailers is not None:
                message["trailers"] = self._trailers
        self._carrier.body_taken(more)
        return message

    def begin_send(self, message: Message) -> Coroutine[Any, Any, None] | None:
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
            elif kind in FILES and stage == _BODY:
                return self._send_file(message)
            elif kind == "http.response.trailers" and stage == _TRAILERS:
                self._send_trailers(message)
            elif kind == "http.response.early_hint" and stage <= _BODY:
                self._send_early_hint(message)
            else:
                raise ApplicationError(f"{kind!r} was sent, but {_EXPECTED[stage]}")
        except InvalidResponse as error:
            raise ApplicationError(f"{kind}: {error}") from error
        return self._drained() if self._carrier.is_full() else None

    async def _drained(self) -> None:
        """The rest of `send` once all was written."""
        carrier = self._carrier
        if carrier.is_full():
            await carrier.drain()
            if self._stage < _DONE and carrier.is_closing():
                self._stage = _LOST  # `disconnect` follows
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
        self._carrier.start(status, _get(message, "headers", ()), trailers)
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
        carrier = self._carrier
        carrier.send(data, more)
        if not more or not carrier.sends_body():
            self._body_done(more)

    def _body_done(self, more: bool) -> None:
        """The body is complete; for the client at least, where there is none and the application has `more`."""
        carrier = self._carrier
        expects_trailers = carrier.expects_trailers()
        if more or (expects_trailers and not carrier.sends_body()):
            self._stage = _SURPLUS
            if self._waiters:
                self._wake(False)
            carrier.done_early()
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
            self._carrier.left(self)

    def _done(self) -> None:
        self._stage = _DONE
        if self._waiters:
            self._wake(False)
        self._carrier.done()

    async def _send_file(self, message: Message) -> None:
        """A file as a piece of the body. When that fails on the way, the response stays incomplete."""
        file = FileResponse(self._carrier, message, self._check_file_stage)
        # Nothing else may be sent from here on, for opening takes a while.
        self._stage = _FILE
        try:
            try:
                await file.begin()
            finally:
                if self._stage == _FILE and not file.has_begun:
                    self._stage = _BODY
            await file.send()
            if file.more and self._carrier.sends_body():
                self._stage = _BODY
            else:
                self._body_done(file.more)
            await self._drained()
            file.move_on()
        finally:
            file.close()

    async def _check_file_stage(self) -> None:
        """Raise what ends a `send()` whose response has ended while it waited."""
        if self._stage == _FILE and self._carrier.is_closing():
            self._stage = _LOST  # `disconnect` follows
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
        self._carrier.send_trailers(trailers)
        self._done()

    def _send_early_hint(self, message: Message) -> None:
        """`http.response.early_hint`: 103 with a Link field for each of its links (RFC 8297). Once the head of
        the response was sent, with the first of the body, there is no place for it, and nothing is sent."""
        links = message.get("links", ())
        try:
            headers = [(b"link", bytes(memoryview(link))) for link in links]
        except TypeError:
            raise ApplicationError("the 'links' of http.response.early_hint are bytes") from None
        self._carrier.inform(103, headers)


def _get(message: Message, key: str, default: Any) -> Any:
    """`message.get(key, default)`, where nearly every message is a dict."""
    if type(message) is dict:
        plain: dict[str, Any] = message
        return plain.get(key, default)
    return message.get(key, default)
