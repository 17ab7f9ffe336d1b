"""Writing a response: its head, and its body with the appropriate framing.

Rules of this file:
- Nothing that an application sends goes on the wire unchecked: names are tokens, values have no
  control characters, so neither a CR nor an LF from the application can end a line.
- The framing is ours. An application's Content-Length is kept and compared with what it sends; its
  `Transfer-Encoding: chunked` is dropped, since the coding is applied here; `Connection` options
  other than `close` and `keep-alive` are passed on.
- The head is sent together with the first piece of the body: only then is it known whether the body
  is a single piece, which then gets a Content-Length.
- Pieces of COALESCE bytes and more are not copied to be joined with their framing.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from asgiws.http import grammar, scan
from asgiws.http.body import FORBIDDEN_TRAILERS
from asgiws.http.date import DateCache
from asgiws.http.errors import InvalidResponse
from asgiws.http.head import Headers, list_members

#: From this size on, a body is passed on separately from its head instead of being copied after it.
COALESCE = 16 * 1024
_COALESCE = COALESCE  # as a C integer for the compiled module

HeaderPairs = Iterable[Iterable[bytes]]

REASONS: dict[int, bytes] = {status.value: status.phrase.encode() for status in HTTPStatus}
STATUS_LINES: dict[int, bytes] = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b""))
    for status in range(100, 1000)
}

# What a header field of the application means for the framing.
_CONTENT_LENGTH, _TRANSFER_ENCODING, _CONNECTION, _DATE, _DEFAULT = range(1, 6)
_MEANINGFUL = {
    b"content-length": _CONTENT_LENGTH,
    b"transfer-encoding": _TRANSFER_ENCODING,
    b"connection": _CONNECTION,
    b"date": _DATE,
}

_FRAMING = (b"content-length", b"transfer-encoding", b"connection")


def encode_fields(pairs: Headers) -> bytes:
    """The field lines of `pairs`. Raises InvalidResponse for anything that must not be sent."""
    block = scan.field_block(pairs)
    if block is None:
        block = scan.field_block(_checked(pairs))
        assert block is not None
    return block


def _checked(pairs: Headers) -> Headers:
    """`pairs` with buffers other than `bytes` converted to bytes. Raises InvalidResponse with the reason."""
    checked = []
    for pair in pairs:
        try:
            name, value = [
                part if type(part) is bytes else memoryview(part).tobytes() for part in pair
            ]
        except TypeError:
            raise InvalidResponse("header names and values are pairs of bytes") from None
        if grammar.token.fullmatch(name) is None:
            raise InvalidResponse(f"the header name {name[:80]!r} is not a token")
        if grammar.field_value.fullmatch(value) is None:
            raise InvalidResponse(
                f"the value of the header {name[:80]!r} has a control character in it"
            )
        checked.append((name, value))
    return checked


class ResponseDefaults:
    """The header fields that every response of a server gets, unless the application sends its own.

    `headers` are those that the configuration adds; `server` is the value of the Server field, b"" for
    none. Raises InvalidResponse for a header that cannot be sent.
    """

    __slots__ = ("_block", "_date", "_dated", "_dated_block", "_pairs", "meanings", "with_date")

    def __init__(
        self,
        headers: Headers | None = None,
        server: bytes = b"asgiws",
        with_date: bool = True,
        date: DateCache | None = None,
    ) -> None:
        self._pairs = [(name.lower(), value) for name, value in headers or ()]
        names = {name for name, _ in self._pairs}
        if server and b"server" not in names:
            self._pairs.append((b"server", server))
        self.with_date = with_date and b"date" not in names
        self._date = date or DateCache()
        self._block = encode_fields(self._pairs)
        #: The block followed by a date, and that date.
        self._dated_block = b""
        self._dated = b""
        #: The names that need attention in a response.
        self.meanings = {**_MEANINGFUL, **{name: _DEFAULT for name, _ in self._pairs}}
        for name in _FRAMING:
            if name in names:
                raise InvalidResponse(f"{name.decode()} cannot be set for every response")

    def block(self, date: bool) -> bytes:
        """The field lines if a response overrides none; `date` is false if it has its own."""
        if date and self.with_date:
            value = self._date.value()
            if value is not self._dated:
                self._dated = value
                self._dated_block = b"%bdate: %b\r\n" % (self._block, value)
            return self._dated_block
        return self._block

    def block_without(self, names: set[bytes], date: bool) -> bytes:
        """The same without the fields with those names."""
        block = encode_fields([pair for pair in self._pairs if pair[0] not in names])
        if date and self.with_date:
            block += b"date: %b\r\n" % self._date.value()
        return block


class ResponseWriter:
    """Makes the bytes of one response after another, on one connection.

    It knows nothing of the request and the state of the connection: `connection.py` tells it what it
    needs and calls it in the right order.
    """

    __slots__ = (
        "_common",
        "_defaults",
        "_extra",
        "_fields",
        "_remaining",
        "bodiless",
        "chunked",
        "close",
        "http10",
        "status",
        "trailers",
    )

    def __init__(self, defaults: ResponseDefaults) -> None:
        self._defaults = defaults
        #: The field lines of the application, and of every response.
        self._fields = b""
        self._common = b""
        self._extra: list[bytes] = []
        self.status = 0
        #: True if no body is sent, whatever the application sends (HEAD, 204, 304).
        self.bodiless = False
        #: True if the body is sent in the chunked coding; decided when the head is made.
        self.chunked = False
        #: True if the connection ends with this response.
        self.close = False
        self.http10 = False
        self.trailers = False
        #: What is left of the Content-Length that the application set, -1 without one.
        self._remaining = -1

    def start(
        self,
        status: int,
        headers: HeaderPairs,
        method: str,
        http10: bool,
        close: bool,
        trailers: bool,
    ) -> None:
        """Take the head of a final response to a request with that method.

        `close` says that the connection ends after it in any case, `trailers` that trailers follow
        the body (which HTTP/1.0 cannot have). Raises InvalidResponse, and then has no lasting
        effect.
        """
        code = status if type(status) is int else as_status(status)
        if not 200 <= code <= 999:
            raise InvalidResponse(
                f"the status of a response is an int from 200 to 999, not {status!r}"
            )
        self.status = code
        self.http10 = http10
        self.close = close
        self.trailers = trailers
        self.bodiless = method == "HEAD" or code == 204 or code == 304
        self.chunked = False
        self._remaining = -1
        self._extra = []
        self._fields = self._take_headers(headers)

    def _take_headers(self, headers: HeaderPairs) -> bytes:
        """The field lines of the application, except those of the framing."""
        meanings = self._defaults.meanings
        pairs: Headers = []
        date = True
        overridden: set[bytes] | None = None
        try:
            for pair in headers:
                given, value = pair
                name = scan.lowered(given)
                meaning = meanings.get(name)
                if meaning is not None:
                    if meaning == _DATE:
                        date = False
                    elif meaning == _DEFAULT:
                        if overridden is None:
                            overridden = set()
                        overridden.add(name)
                    elif not self._take_framing(meaning, value):
                        continue
                if name is given and type(pair) is tuple:
                    pairs.append(pair)
                else:
                    pairs.append((name, value))
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InvalidResponse):
                raise
            raise InvalidResponse(
                "headers are an iterable of (name, value) pairs of bytes"
            ) from None
        if overridden is None:
            self._common = self._defaults.block(date)
        else:
            self._common = self._defaults.block_without(overridden, date)
        return encode_fields(pairs)

    def _take_framing(self, meaning: int, value: bytes) -> bool:
        """Record a field that frames the message; true if it is sent as it is."""
        if meaning == _CONTENT_LENGTH:
            if self._remaining >= 0:
                raise InvalidResponse("more than one Content-Length")
            self._remaining = scan.number(value)
            if self._remaining < 0:
                raise InvalidResponse("the Content-Length is not a number")
            # RFC 9110 8.6: not in a 204. Trailers need the chunked coding, which excludes it.
            return self.status != 204 and (not self.trailers or self.http10)
        if meaning == _TRANSFER_ENCODING:
            if value.strip(b" \t").lower() != b"chunked":
                raise InvalidResponse(
                    "the only Transfer-Encoding is chunked, and the server applies it"
                )
            return False
        for option in list_members([value]):
            if option == b"close":
                self.close = True
            elif option != b"keep-alive":
                if grammar.token.fullmatch(option) is None:
                    raise InvalidResponse("a Connection option is not a token")
                self._extra.append(option)
        return False

    def _head(self, size: int) -> bytes:
        """The head, for a body of `size` bytes in total, or -1 if that is not known yet."""
        framing = b""
        if self.bodiless:
            if self._remaining < 0 and size > 0 and self.status != 204 and self.status != 304:
                framing = (
                    b"content-length: %d\r\n" % size
                )  # what a GET would have had (RFC 9110 8.6)
        elif self.trailers and not self.http10:
            self.chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        elif self._remaining < 0:
            if size >= 0:
                framing = b"content-length: %d\r\n" % size
                self._remaining = size
            elif self.http10:
                self.close = True  # RFC 9112 6.3 (8): the end of the connection ends the body
            else:
                self.chunked = True
                framing = b"transfer-encoding: chunked\r\n"
        if self.close or self.http10 or self._extra:
            framing += self._connection_field()
        return scan.joined(STATUS_LINES[self.status], self._fields, self._common, framing, b"\r\n")

    def _connection_field(self) -> bytes:
        options = list(self._extra)
        if self.close:
            options.append(b"close")
        elif self.http10:
            options.append(b"keep-alive")  # RFC 9112 9.3: what a 1.0 client needs to see
        return encode_fields([(b"connection", b", ".join(options))])

    def is_close_delimited(self) -> bool:
        """True if the body in progress ends with the connection."""
        return not self.bodiless and not self.chunked and self._remaining < 0

    def check_length(self, count: int, more: bool) -> None:
        """Compare `count` more bytes of body with the Content-Length. Raises InvalidResponse."""
        if self._remaining < 0 or self.bodiless:
            return
        if count > self._remaining:
            raise InvalidResponse("the body is longer than its Content-Length")
        if not more and count < self._remaining:
            raise InvalidResponse("the body is shorter than its Content-Length")

    def body(self, data: bytes, more: bool, first: bool) -> list[bytes]:
        """The pieces to send for `data`, with the head if it is the `first`.

        Raises InvalidResponse if the Content-Length does not allow it; then nothing is sent.
        """
        size = len(data)
        if self._remaining >= 0:
            self.check_length(size, more)
        head = b""
        if first:
            head = self._head(-1 if more else size)
        if self.bodiless:
            return [head] if head else []
        if self._remaining >= 0:
            self._remaining -= size
        if not self.chunked:
            return _join(head, data, b"")
        end = b"" if more or self.trailers else b"0\r\n\r\n"
        if size == 0:
            return _join(head, end, b"")
        return _join(b"%b%x\r\n" % (head, size), data, b"\r\n" + end)

    def file_start(self, size: int, more: bool, first: bool) -> bytes:
        """The data before `size` bytes of a file, which end the body unless there is `more`."""
        self.check_length(size, more)
        head = self._head(-1 if more else size) if first else b""
        if self.bodiless:
            return head
        if self._remaining >= 0:
            self._remaining -= size
        if not self.chunked or size == 0:
            return head
        return b"%b%x\r\n" % (head, size)

    def file_end(self, size: int, more: bool) -> bytes:
        """The data after them."""
        if self.bodiless or not self.chunked:
            return b""
        return (b"\r\n" if size else b"") + (b"" if more or self.trailers else b"0\r\n\r\n")

    def trailer_end(self, pairs: Headers, send: bool) -> bytes:
        """The last chunk with the trailer section (RFC 9112 7.1.2), empty unless `send`."""
        check_trailers(pairs)
        if not self.chunked or self.bodiless:
            return b""
        return b"0\r\n%b\r\n" % (encode_fields(pairs) if send else b"")

    def informational(self, status: int, headers: HeaderPairs) -> bytes:
        """An interim response (RFC 9110 15.2): the fields given, and no others."""
        pairs = as_pairs(headers)
        check_no_framing(pairs)
        return b"%b%b\r\n" % (STATUS_LINES[status], encode_fields(pairs))

    def switch_protocols(self, headers: HeaderPairs) -> bytes:
        """The 101 that ends HTTP on this connection, with the default fields (RFC 9110 15.2.2)."""
        pairs = as_pairs(headers)
        check_no_framing(pairs)
        names = {name for name, _ in pairs}
        return b"%bconnection: Upgrade\r\n%b%b\r\n" % (
            STATUS_LINES[101],
            encode_fields(pairs),
            self._defaults.block_without(names, b"date" not in names),
        )


def as_status(status: object) -> int:
    """`status` as a plain int, for example an `HTTPStatus`; -1 for anything else."""
    return int(status) if isinstance(status, int) and not isinstance(status, bool) else -1


def as_pairs(headers: HeaderPairs) -> Headers:
    """`headers` as lower-cased (name, value) pairs. Raises InvalidResponse if they are not pairs."""
    try:
        return [(name.lower(), value) for name, value in headers]
    except (TypeError, ValueError, AttributeError):
        raise InvalidResponse("headers are an iterable of (name, value) pairs of bytes") from None


def check_no_framing(pairs: Headers) -> None:
    """RFC 9110 8.6, RFC 9112 6.1: a 1xx response has no body, and no field may frame one."""
    for name, _ in pairs:
        if name in _FRAMING:
            raise InvalidResponse(f"{name.decode()} is not allowed in an interim response")


def check_trailers(pairs: Headers) -> None:
    """RFC 9110 6.5.1: a sender must not put fields of framing and routing into trailers."""
    encode_fields(pairs)
    for name, _ in pairs:
        if name in FORBIDDEN_TRAILERS:
            raise InvalidResponse(f"{name.decode()} is not allowed in trailers")


def _join(before: bytes, data: bytes, after: bytes) -> list[bytes]:
    """The pieces of a write: one if `data` is small, else `data` uncopied between its framing."""
    if len(data) < _COALESCE:
        joined = before + data + after
        return [joined] if joined else []
    pieces = [before, data, after]
    return [piece for piece in pieces if piece]
