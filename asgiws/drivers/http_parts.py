"""What the HTTP drivers of one worker have in common.

Rules of this file: `server/wiring.py` creates it from the configuration, once, and it never changes.
"""

from __future__ import annotations

import logging

from asgiws.common.turn import Turn
from asgiws.drivers.gate import Gate
from asgiws.http.errors import HTTPError
from asgiws.http.limits import Limits
from asgiws.http.parsers import make_parser
from asgiws.http.response import ResponseDefaults
from asgiws.services.runtime import Runtime

#: Seconds that a client has to send its first request, or the rest of a head, once the server is stopping.
LAST_REQUEST = 2.0


class HTTPParts:
    """The parts and the limits of one worker's HTTP."""

    __slots__ = (
        "access_log",
        "cancels",
        "defaults",
        "gate",
        "limit_pipelined",
        "limits",
        "notices",
        "parser",
        "runtime",
        "timeout_head",
        "timeout_keep_alive",
        "timeout_send",
        "timeout_upload",
        "turn",
    )

    def __init__(self, runtime: Runtime) -> None:
        config = runtime.config
        self.runtime = runtime
        self.parser = make_parser(config.http)
        self.turn: Turn = runtime.turn
        self.limits = Limits(
            request_line=config.limit_request_line,
            header_bytes=config.limit_header_bytes,
            header_count=config.limit_header_count,
            request_body=-1 if config.limit_request_body is None else config.limit_request_body,
        )
        self.defaults = ResponseDefaults(
            config.headers, b"asgiws" if config.server_header else b"", config.date_header
        )
        self.gate = Gate(runtime)
        self.notices = runtime.notices
        self.access_log = config.access_log
        self.cancels = runtime.http_reaper is not None
        self.timeout_head = config.timeout_request_head
        self.timeout_upload = config.timeout_request_body
        self.timeout_keep_alive = config.timeout_keep_alive
        self.timeout_send = config.timeout_send
        self.limit_pipelined = config.limit_pipelined

    def tell(self, client: str, error: HTTPError) -> None:
        """Log a refusal: a malformed request concerns only the client, a limit that was reached concerns the
        operator."""
        self.notices.tell(
            error.limit or f"status {error.status}",
            client,
            f"request refused: {error.status}, {error.message}",
            logging.WARNING if error.limit else logging.INFO,
        )
