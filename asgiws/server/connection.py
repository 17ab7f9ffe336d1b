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
