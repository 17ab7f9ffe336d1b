"""One HTTP/1.1 connection, as seen by a server: bytes in, events out; calls in, bytes out.

Rules of this file:
- No I/O, no clock, no callbacks. `receive_data` stores; `next_event` returns one event at a time, and
  what was not requested stays unparsed: a pipelined request waits until the response before it is
  complete, and a body that nobody pulls stays in the buffer.
- The states of both sides change only through the tables in `states.py`.
- HTTPError (the peer's error) is raised only by `next_event`, and after it the request side is
  CLOSED. InvalidResponse (the application's error) is raised only by the sending methods, and then
  nothing was sent and no state has changed.
- Whether the connection persists is decided in `_finish_side` and nowhere else.
"""

from __future__ import annotations

from asgiws.http.body import BodyReader, ChunkedBody, LengthBody, check_size
from asgiws.http.buffer import ReceiveBuffer
from asgiws.http.errors import BadRequest, HTTPError, InvalidResponse
from asgiws.http.head import Headers, RequestHead
from asgiws.http.head_reader import HeadReader
from asgiws.http.limits import DEFAULT_LIMITS, Limits
from asgiws.http.parser import HeadParser, ParserRefused
from asgiws.http.response import (
    HeaderPairs,
    ResponseDefaults,
    ResponseWriter,
    as_pairs,
    as_status,
)
from asgiws.http.semantics import explain_refusal, make_head
from asgiws.http.states import (
    BODY,
    CLOSE,
    END,
    GOT_END,
    GOT_HEAD,
    HEAD,
    IMPOSSIBLE,
    NEXT,
    NONE,
    OWED,
    READ,
    REQUESTED,
    RESET,
    ROW,
    SEND,
    SEND_BODY_END,
    SEND_END,
    SENDING,
    SENT,
    START,
    STARTED,
    SWITCH,
    SWITCHED,
    TRAILERS,
    flat,
)
from asgiws.http.states import CLOSED as READ_CLOSED
from asgiws.http.states import REQUEST as REQUEST_TABLE
from asgiws.http.states import RESPONSE as RESPONSE_TABLE

#: The tables of `states.py`, in a form that is fast to look up.
REQUEST = flat(REQUEST_TABLE)
RESPONSE = flat(RESPONSE_TABLE)


class EndOfRequest:
    """A request was read to its end; `trailers` followed its chunked body."""

    __slots__ = ("trailers",)

    def __init__(self, trailers: Headers) -> None:
        self.trailers = trailers

    def __repr__(self) -> str:
        return f"EndOfRequest({self.trailers!r})"


class Signal:
    """An event without content; compared by identity."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def advance(table: bytes, state: int, event: int) -> int:
    """The next state. Raises KeyError for a pair that is not in the table."""
    following = table[state * ROW + event]
    if following == IMPOSSIBLE:
        raise KeyError((state, event))
    return following


#: No event until more bytes arrive.
NEED_DATA = Signal("NEED_DATA")
#: No event until the response is complete.
PAUSED = Signal("PAUSED")
#: Nothing more will come; close the connection after the response, if any, was sent.
CLOSED = Signal("CLOSED")
#: The usual end of a request.
END_OF_REQUEST = EndOfRequest([])

Event = RequestHead | bytes | EndOfRequest | Signal


class HTTPConnection:
    """The state machine of one connection.

    All connections of a worker share `parser` and `defaults`.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_defaults",
        "_drained",
        "_eof",
        "_head",
        "_limits",
        "_parser",
        "_reader",
        "_request",
        "_response",
        "_writer",
        "closing",
        "expects_continue",
    )

    def __init__(
        self, parser: HeadParser, defaults: ResponseDefaults, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._parser = parser
        self._limits = limits
        self._buffer = ReceiveBuffer()
        self._reader = HeadReader(limits)
        self._writer = ResponseWriter(defaults)
        self._request = HEAD
        self._response = NONE
        self._head: RequestHead | None = None
        self._body: BodyReader | None = None
        self._drained = 0
        self._eof = False
        #: Set this to end the connection with the response in progress, or before the next request.
        self.closing = False
        #: True while the client waits for `send_continue` before it sends the body.
        self.expects_continue = False

    # What is read

    def receive_data(self, data: bytes) -> None:
        """Store incoming data, of any length but 0; `next_event` says what it means."""
        if self._request != READ_CLOSED:
            self._buffer.feed(data)

    def receive_eof(self) -> None:
        """The peer sends no more. Complete requests are served; for the rest, see RFC 9112 8."""
        self._eof = True

    def next_event(self) -> Event:
        """The next event, in order: a RequestHead, body bytes (never empty), an EndOfRequest; or a
        Signal.

        Raises HTTPError once; then the response is `error_response(error)`, if no response has
        started.
        """
        state = self._request
        try:
            if state == HEAD:
                return self._read_head()
            if state == BODY:
                return self._read_body()
        except HTTPError:
            self._close_request()
            raise
        return PAUSED if state == READ else CLOSED

    def _read_head(self) -> Event:
        if self.closing:
            return self._close_both()
        head_bytes = None
        if not self._buffer.is_empty():
            head_bytes = self._reader.read(self._buffer)
        if head_bytes is None:
            if not self._eof:
                return NEED_DATA
            if self._buffer.is_empty():
                return self._close_both()
            raise BadRequest("the connection ended within a request head")
        head = self._head = self._parse(head_bytes)
        if head.chunked:
            self._body = ChunkedBody(self._limits)
        elif head.content_length > 0:
            check_size(head.content_length, self._limits)
            self._body = LengthBody(head.content_length)
        else:
            self._body = None
        self.expects_continue = head.expect_continue
        self._drained = 0
        self._request = advance(REQUEST, self._request, GOT_HEAD)
        self._response = advance(RESPONSE, self._response, REQUESTED)
        return head

    def _parse(self, head: bytes) -> RequestHead:
        try:
            target, headers = self._parser.parse(head)
        except ParserRefused:
            raise explain_refusal(head) from None
        return make_head(self._reader.method, target, self._reader.http_version, headers)

    def _read_body(self) -> Event:
        body = self._body
        while body is not None:
            if not body.complete:
                data = body.read(self._buffer)
                if data:
                    self.expects_continue = False
                    if self._response != SENT:
                        return data
                    # The application has answered without reading the body: RFC 9112 9.3 allows
                    # reading on, or closing.
                    self._drained += len(data)
                    if self._drained > self._limits.drain:
                        return self._close_both()
                    continue
            if body.complete:
                break
            if not self._eof:
                return NEED_DATA
            if self._response == SENT:
                return self._close_both()
            raise BadRequest("the connection ended within a request body")
        self._request = advance(REQUEST, self._request, GOT_END)
        self._body = None
        self.expects_continue = False
        if self._response == SENT:
            self._finish_exchange()
            return self.next_event()
        if body is not None and body.trailers:
            return EndOfRequest(body.trailers)
        return END_OF_REQUEST

    def has_partial_head(self) -> bool:
        """True if bytes of a request have arrived, but not its whole head."""
        return self._request == HEAD and not self._buffer.is_empty()

    def buffered(self) -> int:
        """The number of bytes that have arrived and were not taken by `next_event` yet."""
        return len(self._buffer.data) - self._buffer.pos

    def take_tail(self) -> bytes:
        """Leave HTTP after the last request head: returns the data that arrived after it.

        For a request without a body, before its EndOfRequest was taken. The response side keeps
        working, for a rejection or for `switch_protocols`.
        """
        assert self._body is None
        self._request = advance(REQUEST, self._request, SWITCH)
        return self._buffer.take(len(self._buffer.data))

    # What is written

    def response_started(self) -> bool:
        """True once some of the final response to the last request was sent."""
        return self._response > STARTED

    def response_owed(self) -> bool:
        """True from a request's head to the end of its response."""
        return NONE < self._response < SENT

    def send_continue(self) -> bytes:
        """`100 Continue` if the client waits for it, else b"" (RFC 9110 10.1.1)."""
        if not self.expects_continue or self._response > STARTED:
            return b""
        self.expects_continue = False
        return self._writer.informational(100, ())

    def informational(self, status: int, headers: HeaderPairs) -> bytes:
        """An interim response such as 103, before the final one.

        b"" for a 1.0 client, which does not know them (RFC 9110 15.2), and once the head of the final response
        was sent: then it is too late.
        """
        if not NONE < self._response <= SENDING:
            raise InvalidResponse("an interim response comes before the final one")
        code = as_status(status)
        if not 102 <= code <= 199:
            raise InvalidResponse(
                f"the status of an interim response is 102 to 199, not {status!r}"
            )
        data = self._writer.informational(code, headers)
        assert self._head is not None
        is_late = self._response == SENDING
        return b"" if is_late or self._head.http_version == "1.0" else data

    def switch_protocols(self, headers: HeaderPairs) -> bytes:
        """`101 Switching Protocols`, after `take_tail` or right before it; HTTP ends here.

        `headers` name the protocol in Upgrade; Connection and the default fields are added.
        """
        if self._response != OWED:
            raise InvalidResponse("no request waits for a change of protocols")
        data = self._writer.switch_protocols(headers)
        self._response = advance(RESPONSE, self._response, END)
        return data

    def start_response(self, status: int, headers: HeaderPairs, trailers: bool = False) -> None:
        """The head of the response to the last request; it is sent with the first part of the body.

        `headers` are pairs of bytes; `trailers` says that `send_trailers` will follow the body.
        Raises InvalidResponse for anything that cannot be sent. Until something was sent, another
        response may replace it.
        """
        head = self._head
        if head is None or (self._response != OWED and self._response != STARTED):
            raise InvalidResponse("no request waits for a response")
        self._writer.start(
            status,
            headers,
            head.method,
            head.http_version == "1.0",
            # A client that still waits for 100 may or may not send the announced body: ending the
            # connection settles that (RFC 9110 10.1.1).
            not head.keep_alive or self.closing or self.expects_continue,
            trailers,
        )
        self._response = advance(RESPONSE, self._response, START)

    def send_body(self, data: bytes, more: bool) -> list[bytes]:
        """The next bytes of the body, the last ones unless `more`: the pieces to write, in order.

        Raises InvalidResponse if they exceed the Content-Length, or in the end fall short of it.
        """
        self._check_sending()
        pieces = self._writer.body(data, more, self._response == STARTED)
        self._body_sent(more)
        return pieces

    def start_file(self, size: int, more: bool = False) -> bytes:
        """What to write before `size` bytes of a file, which are the rest of the body unless there is `more`.
        Then call `end_file`.

        Do not send the file itself if `sends_body()` is false.
        """
        self._check_sending()
        data = self._writer.file_start(size, more, self._response == STARTED)
        self._response = advance(RESPONSE, self._response, SEND)
        return data

    def end_file(self, size: int, more: bool = False) -> bytes:
        """What to write after it."""
        data = self._writer.file_end(size, more)
        self._body_sent(more)
        return data

    def expects_trailers(self) -> bool:
        """True if the body is complete and `send_trailers` must follow."""
        return self._response == TRAILERS

    def ends_with_connection(self) -> bool:
        """True for a response that ends with the connection (to a 1.0 client, without a length)."""
        return self.response_started() and self._writer.is_close_delimited()

    def sends_body(self) -> bool:
        """False for responses without a body: to HEAD, 204 and 304."""
        return not self._writer.bodiless

    def end_bodiless(self) -> None:
        """A response without a body is complete once its head was sent: nothing more that the application sends
        for it goes on the wire."""
        self._response = advance(RESPONSE, self._response, SEND_END)
        self._finish_side()

    def send_trailers(self, headers: HeaderPairs) -> bytes:
        """The end of a response that was started with `trailers`.

        They are left out unless the client said that it accepts them (`TE: trailers`, RFC 9110
        6.5.1).
        """
        if self._response != TRAILERS:
            raise InvalidResponse("no trailers are expected")
        assert self._head is not None
        send = b"trailers" in self._head.tokens(b"te")
        data = self._writer.trailer_end(as_pairs(headers), send)
        self._response = advance(RESPONSE, self._response, SEND_END)
        self._finish_side()
        return data

    def error_response(self, error: HTTPError) -> bytes:
        """The whole response to a request that is rejected, or b"" if a response has started.

        The connection is then CLOSED on both sides.
        """
        if self.response_started():
            data = b""
        else:
            self._writer.start(
                error.status,
                [(b"content-type", b"text/plain; charset=utf-8"), *error.headers],
                self._head.method if self.response_owed() and self._head is not None else "",
                False,
                True,
                False,
            )
            data = b"".join(self._writer.body(error.message.encode() + b"\n", False, True))
        self._close_both()
        return data

    def status(self) -> int:
        """The status of the response in progress, or of the last one."""
        return self._writer.status

    def _check_sending(self) -> None:
        if self._response != STARTED and self._response != SENDING:
            raise InvalidResponse("no response body is expected")

    def _body_sent(self, more: bool) -> None:
        if more:
            self._response = advance(RESPONSE, self._response, SEND)
        elif self._writer.trailers:
            self._response = advance(RESPONSE, self._response, SEND_BODY_END)
        else:
            self._response = advance(RESPONSE, self._response, SEND_END)
            self._finish_side()

    # The end of an exchange

    def _finish_side(self) -> None:
        """The response is complete."""
        if self._writer.close or self._request == READ_CLOSED or self._request == SWITCHED:
            self._close_both()
        elif self._request == READ:
            self._finish_exchange()
        # else the rest of the body is read first, or abandoned, in `_read_body`

    def _finish_exchange(self) -> None:
        """Request and response are complete: start the next exchange."""
        self._request = advance(REQUEST, self._request, NEXT)
        self._response = advance(RESPONSE, self._response, RESET)
        self._head = None

    def _close_request(self) -> None:
        self._request = advance(REQUEST, self._request, CLOSE)
        self._buffer = ReceiveBuffer()
        self._body = None

    def _close_both(self) -> Signal:
        self._close_request()
        self._response = advance(RESPONSE, self._response, END)
        return CLOSED
