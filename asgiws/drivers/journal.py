"""The log lines about one WebSocket.

Rules of this file: only this file knows how a WebSocket is named in the log, by its client and its path.
Nothing else of the request is kept for that.
"""

from __future__ import annotations

import logging

from asgiws.asgi.types import Scope
from asgiws.services.runtime import Runtime, access_logger, logger, peer_name
from asgiws.websocket.connection import WebSocketConnection
from asgiws.websocket.states import State


class Journal:
    """Writes the log lines for the WebSocket of `scope`."""

    __slots__ = ("_client", "_query", "_raw_path", "_runtime")

    def __init__(self, runtime: Runtime, scope: Scope) -> None:
        self._runtime = runtime
        self._client = scope["client"]
        self._raw_path: bytes = scope["raw_path"]
        self._query: bytes = scope["query_string"]

    def client(self) -> str:
        return peer_name(self._client)

    def path(self) -> str:
        """The path, with its query."""
        path = self._raw_path.decode("latin-1")
        return f"{path}?{self._query.decode('latin-1')}" if self._query else path

    def handshake(self, status: int) -> None:
        """The handshake was answered with that status."""
        if self._runtime.config.access_log:
            access_logger.info('%s - "WebSocket %s" %d', self.client(), self.path(), status)

    def end(self, ws: WebSocketConnection, limit: str | None) -> None:
        """An open connection has ended. If it failed, `limit` is the option that caused the failure, "" for
        none, and None if the failure has already been logged."""
        if self._runtime.config.access_log:
            access_logger.info(
                '%s - "WebSocket %s" closed %d', self.client(), self.path(), ws.close_code
            )
        if ws.state == State.FAILED and limit is not None:
            self.notice(
                limit or f"close code {ws.close_code}",
                f"WebSocket failed with {ws.close_code}: {ws.close_reason}",
                logging.INFO,
            )

    def notice(self, limit: str, what: str, level: int = logging.WARNING) -> None:
        """Log something that a client can cause at will: repeated lines are only counted."""
        self._runtime.notices.tell(limit, self.client(), what, level)

    def dropped(self) -> None:
        """Messages from a client that has gone were dropped."""
        logger.info(
            "%s - messages dropped: the client has gone and the application is too slow "
            "(ws_queue_high)",
            self.client(),
        )

    def late(self) -> None:
        """The application has not answered the handshake in time."""
        what = f'"WebSocket {self.path()}": the application did not answer in time'
        self.notice("ws_handshake_timeout", what)

    def unanswered(self) -> None:
        """The application has returned without answering the handshake."""
        logger.error(
            "ASGI application returned without answering the WebSocket handshake of %s",
            self.path(),
        )
