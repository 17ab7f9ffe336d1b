"""Finding the end of a request head in the data that has arrived, and checking it against grammar and
limits.

Rules of this file:
- No byte is searched twice for the blank line, and no line is checked twice as it arrives, so a head
  that trickles in costs no more than its length. (A head that arrived in pieces is matched once more
  when it is complete.)
- The first error in the order of the bytes is reported, however they were split: a head fed whole and
  one fed byte by byte get the same answer. Errors in a line are found when the line has ended, errors
  of size as soon as the limit is exceeded.
- All offsets are relative to the start of the head, because the buffer moves.
"""

from __future__ import annotations

from asgiws.http import grammar, scan
from asgiws.http.buffer import ReceiveBuffer
from asgiws.http.errors import BadRequest, HeaderFieldsTooLarge, URITooLong
from asgiws.http.limits import Limits
from asgiws.http.semantics import METHODS, check_request_line


class HeadReader:
    """Takes request heads from a buffer, one at a time.

    `method` and `http_version` ("1.1" or "1.0") are those of the last head that was read.
    """

    __slots__ = (
        "_checked",
        "_empty_lines",
        "_header_bytes",
        "_header_count",
        "_line_end",
        "_lines",
        "_request_line",
        "_searched",
        "http_version",
        "limits",
        "method",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._request_line = limits.request_line
        self._header_bytes = limits.header_bytes
        self._header_count = limits.header_count
        self.method = ""
        self.http_version = ""
        self._empty_lines = 0
        self._reset()

    def _reset(self) -> None:
        #: Where the search for the blank line continues.
        self._searched = 0
        #: The end of the last checked line, the end of the request line, and the number of header
        #: lines.
        self._checked = 0
        self._line_end = 0
        self._lines = 0

    def read(self, buffer: ReceiveBuffer) -> bytes | None:
        """The next head with its blank line, or None while it is incomplete. Raises HTTPError."""
        data = buffer.data
        if self._searched == 0:
            self._skip_empty_lines(buffer)
        pos = buffer.pos
        end = scan.end_of_head(data, pos + self._searched)
        if end < 0:
            size = len(data) - pos
            if size and not (size == 1 and data[pos] == 13):
                self._check_lines(data, pos, len(data))
                self._searched = max(size - 3, 0)
            return None
        end += 4
        found = scan.request_head(data, pos, end)
        if found is None:
            self._check_lines(data, pos, end)
            raise AssertionError("the lines were in order, the head was not")
        method_end, target_end, lines = found
        start = target_end + len(b" HTTP/")
        if (
            end - pos > self._header_bytes
            or start + len(b"1.1\r\n") - pos > self._request_line
            or lines > self._header_count
        ):
            self._check_lines(data, pos, end)
        method = scan.piece(data, pos, method_end)
        version = scan.piece(data, start, start + 3)
        check_request_line(method, scan.piece(data, method_end + 1, target_end), version)
        buffer.pos = end
        self._empty_lines = 0
        self._reset()
        self.method = METHODS[method]
        self.http_version = "1.1"
        if version == b"1.1":
            return scan.piece(data, pos, end)
        if version == b"1.0":
            self.http_version = "1.0"
            return data[pos:end]
        # RFC 9110 2.5: a higher minor version is processed as the highest known one.
        return data[pos:start] + b"1.1" + data[start + 3 : end]

    def _skip_empty_lines(self, buffer: ReceiveBuffer) -> None:
        """RFC 9112 2.2: "SHOULD ignore at least one empty line (CRLF)" before the request line."""
        while buffer.data.startswith(b"\r\n", buffer.pos):
            self._empty_lines += 1
            if self._empty_lines > self.limits.leading_empty_lines:
                raise BadRequest("too many empty lines before the request line")
            buffer.pos += 2

    def _check_lines(self, data: bytes, pos: int, end: int) -> None:
        """Check the lines of an incomplete or rejected head that were not checked before."""
        if self._checked == 0:
            grammar.check_first_byte(data, pos)
        while True:
            start = pos + self._checked
            line_end = data.find(b"\n", start, end) + 1
            self._check_size((line_end or end) - pos)
            if line_end == 0 or (line_end - start == 2 and data[start] == 13):
                return
            line = data[start:line_end]
            if self._line_end == 0:
                grammar.check_request_line(line)
                match = grammar.request_line.fullmatch(line)
                assert match is not None
                check_request_line(match.group(1), match.group(2), match.group(3))
                self._line_end = line_end - pos
            else:
                self._lines += 1
                if self._lines > self.limits.header_count:
                    raise HeaderFieldsTooLarge(
                        f"more than {self.limits.header_count} header fields",
                        "limit_header_count",
                    )
                grammar.check_field_line(line, f"header line {self._lines}")
            self._checked = line_end - pos

    def _check_size(self, size: int) -> None:
        """`size` is the size of the head up to the end of a line, or of what has arrived of it."""
        if self._line_end == 0:
            if size > self.limits.request_line:
                raise URITooLong(
                    f"the request line is over {self.limits.request_line} bytes",
                    "limit_request_line",
                )
        elif size - self._line_end > self.limits.header_bytes:
            raise HeaderFieldsTooLarge(
                f"the header fields are over {self.limits.header_bytes} bytes",
                "limit_header_bytes",
            )
