"""Errors of a peer.

Rules of this file: errors of the remote side only, each with the close code to answer with; a caller's own
mistakes are ValueError.
"""

from __future__ import annotations


class ProtocolError(Exception):
    """The peer violated RFC 6455 or RFC 7692, or a limit; `code` is the close code to fail with (7.1.7), and
    `limit` the option that sets the limit, "" if it violated none."""

    def __init__(self, code: int, reason: str, limit: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.limit = limit


class HandshakeError(Exception):
    """The opening handshake cannot be completed (RFC 6455, 4.2): answer with `status` and `headers`."""

    def __init__(
        self, status: int, reason: str, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers or []
