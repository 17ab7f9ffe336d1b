"""Reading a request's body from the buffer, according to its framing (RFC 9112 6 and 7).

Rules of this file:
- There is one implementation for both parsers; they never see a body.
- `read` returns what is there, at most one piece per call, and b"" if more must arrive first or the
  body is complete; `complete` says which.
- Each step is bounded: the chunk-size line by `Limits.chunk_line`, trailers like header fields. An
  error is raised as soon as its line has ended or its limit is exceeded.
"""

from __future__ import annotations

from asgiws.http import grammar
from asgiws.http.buffer import ReceiveBuffer
from asgiws.http.errors import BadRequest, ContentTooLarge, HeaderFieldsTooLarge, HTTPError
from asgiws.http.head import Headers
from asgiws.http.limits import Limits

#: RFC 9110 6.5.1: fields for framing, routing, authentication and the like, which must not be sent in a
#: trailer. They are dropped: a recipient "MAY discard" them, and none may reach an application that trusts
#: them.
FORBIDDEN_TRAILERS = frozenset(
    (
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
    )
)


def check_size(size: int, limits: Limits) -> None:
    """Raise ContentTooLarge if a body of `size` bytes exceeds the limit."""
    if 0 <= limits.request_body < size:
        raise ContentTooLarge(
            f"the request body is over {limits.request_body} bytes", "limit_request_body"
        )


class BodyReader:
    """A body that is being received."""

    __slots__ = ("complete", "trailers")

    def __init__(self) -> None:
        self.complete = False
        self.trailers: Headers = []

    def read(self, buffer: ReceiveBuffer) -> bytes:
        """The next bytes of the body, or b"" if there are none now. Raises HTTPError."""
        raise NotImplementedError


class LengthBody(BodyReader):
    """A body of `length` bytes, at least one (RFC 9112 6.2)."""

    __slots__ = ("remaining",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self.remaining = length

    def read(self, buffer: ReceiveBuffer) -> bytes:
        data = buffer.take(self.remaining)
        self.remaining -= len(data)
        if self.remaining == 0:
            self.complete = True
        return data


#: The most chunks that one `read` takes: a read of the socket can hold 40,000 tiny ones.
CHUNKS = 16

# What a ChunkedBody expects next.
_SIZE, _DATA, _DATA_END, _TRAILER = range(4)


class ChunkedBody(BodyReader):
    """A body in the chunked transfer coding (RFC 9112 7.1)."""

    __slots__ = (
        "_expected",
        "_fault",
        "_limits",
        "_remaining",
        "_size",
        "_trailer_bytes",
        "_trailer_lines",
    )

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self._expected = _SIZE
        #: The error that follows the data returned last.
        self._fault: HTTPError | None = None
        self._remaining = 0
        #: The size of all chunks so far.
        self._size = 0
        self._trailer_bytes = 0
        self._trailer_lines = 0

    def read(self, buffer: ReceiveBuffer) -> bytes:
        """The data of the available chunks, at most CHUNKS, in one piece."""
        if self._fault is not None:
            raise self._fault
        pieces: list[bytes] = []
        try:
            while len(pieces) < CHUNKS:
                if self._expected == _DATA:
                    piece = buffer.take(self._remaining)
                    if not piece:
                        break
                    pieces.append(piece)
                    self._remaining -= len(piece)
                    if self._remaining == 0:
                        self._expected = _DATA_END
                elif not self._read_frame(buffer):
                    break
        except HTTPError as error:
            if not pieces:
                raise
            # The valid data before it is returned first, as if it had arrived separately.
            self._fault = error
        if len(pieces) == 1:
            return pieces[0]
        return b"".join(pieces)

    def _read_frame(self, buffer: ReceiveBuffer) -> bool:
        """Read one of the elements around the data; false if more must arrive or none follows."""
        if self._expected == _SIZE:
            return self._read_size(buffer)
        if self._expected == _DATA_END:
            return self._read_data_end(buffer)
        return self._read_trailer(buffer)

    def _read_size(self, buffer: ReceiveBuffer) -> bool:
        """chunk-size [ chunk-ext ] CRLF; extensions are checked and ignored (7.1.1)."""
        line = self._read_line(buffer, self._limits.chunk_line)
        if line is None:
            if len(buffer.data) - buffer.pos > self._limits.chunk_line:
                raise BadRequest(f"a chunk-size line is over {self._limits.chunk_line} bytes")
            return False
        match = grammar.chunk_line.fullmatch(line)
        if match is None:
            raise BadRequest("a chunk-size line is malformed")
        self._remaining = int(match.group(1), 16)
        if self._remaining >> 62:
            raise BadRequest("a chunk is too large")
        self._size += self._remaining
        check_size(self._size, self._limits)
        self._expected = _DATA if self._remaining else _TRAILER
        return True

    def _read_data_end(self, buffer: ReceiveBuffer) -> bool:
        """The CRLF after a chunk's data."""
        data, pos = buffer.data, buffer.pos
        if not data.startswith(b"\r\n", pos):
            if pos == len(data) or (pos + 1 == len(data) and data[pos] == 13):
                return False
            raise BadRequest("a chunk's data does not end in CRLF")
        buffer.pos = pos + 2
        self._expected = _SIZE
        return True

    def _read_trailer(self, buffer: ReceiveBuffer) -> bool:
        """One line of the trailer section (7.1.2); False for the empty line, the end of the body."""
        limit = self._limits.header_bytes - self._trailer_bytes
        line = self._read_line(buffer, limit)
        if line is None:
            if len(buffer.data) - buffer.pos > limit:
                raise HeaderFieldsTooLarge(
                    f"the trailers are over {self._limits.header_bytes} bytes",
                    "limit_header_bytes",
                )
            return False
        if line == b"\r\n":
            self.complete = True
            return False
        self._trailer_lines += 1
        if self._trailer_lines > self._limits.header_count:
            raise HeaderFieldsTooLarge(
                f"more than {self._limits.header_count} trailer fields", "limit_header_count"
            )
        grammar.check_field_line(line, f"trailer line {self._trailer_lines}")
        self._trailer_bytes += len(line)
        for name, value in grammar.field_line.findall(line):
            name = name.lower()
            if name not in FORBIDDEN_TRAILERS:
                self.trailers.append((name, value.rstrip(b" \t")))
        return True

    @staticmethod
    def _read_line(buffer: ReceiveBuffer, limit: int) -> bytes | None:
        """The next line including its LF, if it ends within `limit` bytes."""
        pos = buffer.pos
        end = buffer.data.find(b"\n", pos, pos + limit) + 1
        if end == 0:
            return None
        buffer.pos = end
        return buffer.data[pos:end]
