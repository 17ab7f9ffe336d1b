"""The limits of a request.

Rules of this file: every limit on what a peer may make the HTTP code keep has a name here; sizes are in
bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

#: nginx 8 KiB (large_client_header_buffers), Apache 8190 (LimitRequestLine), hypercorn 16 KiB for
#: the head.
MAX_REQUEST_LINE = 8 * 1024
#: Go 1 MiB, Node 16 KiB, nginx 32 KiB (4 x 8), granian 408 KiB, h11 16 KiB; cookies need room.
MAX_HEADER_BYTES = 64 * 1024
#: Apache 100 (LimitRequestFields), Twisted 500, hyper 100.
MAX_HEADER_COUNT = 100
#: RFC 9112 2.2: "at least one empty line" before the request line should be ignored.
MAX_LEADING_EMPTY_LINES = 4
#: A chunk-size line with its extensions (RFC 9112 7.1.1 requires a limit): Go 4096, hyper 16 KiB in
#: total.
MAX_CHUNK_LINE = 1024
#: How much of a request body that the application left unread is read and discarded before the
#: connection is closed instead: Go 256 KiB, nginx unlimited within its lingering_timeout.
MAX_DRAIN = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one server; one object for all connections."""

    #: The request line with its CRLF; beyond: 414.
    request_line: int = MAX_REQUEST_LINE
    #: All header lines with their CRLFs; beyond: 431. Trailers have the same limit; beyond: 431.
    header_bytes: int = MAX_HEADER_BYTES
    #: The number of header lines; beyond: 431. The same for trailers.
    header_count: int = MAX_HEADER_COUNT
    #: The body, after its transfer coding was decoded; beyond: 413. -1 for any size.
    request_body: int = -1
    leading_empty_lines: int = MAX_LEADING_EMPTY_LINES
    chunk_line: int = MAX_CHUNK_LINE
    drain: int = MAX_DRAIN


DEFAULT_LIMITS = Limits()
