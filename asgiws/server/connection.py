"""What is made for each accepted connection.

Rules of this file: it ties the parts together and does nothing itself. Every connection begins with HTTP.
"""

from __future__ import annotations

import asyncio

from asgiws.asgi.http import HTTPDriver
from asgiws.asgi.runtime import Runtime
from asgiws.asgi.upgrade import upgrade
from asgiws.server.stream import Stream
from asgiws.server.ticker import Ticker


class Connection(Stream, asyncio.BufferedProtocol):
    """A stream that the event loop knows as a protocol with buffers of its own."""

    __slots__ = ()

    def __init__(self, runtime: Runtime, ticker: Ticker) -> None:
        super().__init__(runtime, ticker, HTTPDriver(runtime, upgrade))


class CountedConnection(Stream, asyncio.BufferedProtocol):
    """One that is counted, and turned away when it is one too many."""

    __slots__ = ("_admission", "_http", "_is_refused")

    def __init__(self, runtime: Runtime, ticker: Ticker) -> None:
        self._http = HTTPDriver(runtime, upgrade)
        self._admission = runtime.admission
        super().__init__(runtime, ticker, self._http)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        refusal = self._admission.enter(self.client)
        self._is_refused = refusal is not None
        if refusal is not None:
            self._http.refuse_connection(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_refused:
            self._admission.leave_refused()
        else:
            self._admission.leave(self.client)
        super().connection_lost(exc)
