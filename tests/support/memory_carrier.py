"""A Carrier without a connection: what an exchange asks of it, kept for the tests to look at.

Rules of this file: it behaves as `asgiws.drivers.carrier.Carrier` says and does nothing by itself: what the
client takes, and whether it is there, is the test's to move.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from asgiws.asgi.types import Scope
from asgiws.bridge.exchange import Exchange
from asgiws.drivers.carrier import Carrier
from asgiws.http.errors import InvalidResponse


class MemoryCarrier(Carrier):
    """What carries one request. `calls` are those of the exchange, in order, with what they were given."""

    def __init__(self, has_body: bool = True) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.has_body = has_body
        self.started = False
        self.trailers = False
        self.full = False
        self.closing = False
        #: What the kernel says of a file, and how much of it is sent at most.
        self.file_error: OSError | None = None
        self.file_limit = 1 << 20
        self.has_sendfile = True
        #: What is wrong with everything that is sent.
        self.invalid = ""
        self._drained = asyncio.Event()

    # What a test does.

    def fill(self) -> None:
        """The client takes nothing more."""
        self.full = True
        self._drained.clear()

    def go_on(self, closing: bool = False) -> None:
        """It does again, or it has gone."""
        self.full = self.closing = closing
        self._drained.set()

    # The carrier.

    def scope(self) -> Scope:
        return {"type": "http", "path": "/carried"}

    def client(self) -> str:
        return "client"

    def ask_for_body(self) -> None:
        self.calls.append(("ask for body",))

    def body_taken(self, more: bool) -> None:
        self.calls.append(("body taken", bool(more)))

    def start(self, status: int, headers: Any, trailers: bool) -> None:
        self._check()
        self.trailers = bool(trailers)
        self.calls.append(("start", status, list(headers)))

    def send(self, data: bytes, more: bool) -> None:
        self._check()
        self.started = True
        self.calls.append(("send", data, bool(more)))

    def send_trailers(self, trailers: Any) -> None:
        self._check()
        self.calls.append(("trailers", list(trailers)))

    def inform(self, status: int, headers: Any) -> None:
        self._check()
        self.calls.append(("inform", status, list(headers)))

    def start_file(self, size: int, more: bool) -> None:
        self._check()
        self.started = True
        self.calls.append(("start file", size, bool(more)))

    async def send_file(self, file: Any, size: int) -> int:
        await asyncio.sleep(0)
        if self.file_error is not None:
            raise self.file_error
        data = os.pread(file.fileno(), min(size, self.file_limit), file.tell())
        self.calls.append(("file", data))
        return len(data)

    def end_file(self, size: int, more: bool) -> None:
        self.calls.append(("end file", size, bool(more)))

    def _check(self) -> None:
        if self.invalid:
            raise InvalidResponse(self.invalid)

    def sends_files(self) -> bool:
        return self.has_sendfile

    def has_started(self) -> bool:
        return self.started

    def sends_body(self) -> bool:
        return self.has_body

    def expects_trailers(self) -> bool:
        return self.trailers

    def is_full(self) -> bool:
        return self.full

    async def drain(self) -> None:
        await self._drained.wait()

    def is_closing(self) -> bool:
        return self.closing

    def done(self) -> None:
        self.calls.append(("done",))

    def done_early(self) -> None:
        self.calls.append(("done early",))

    def left(self, exchange: Exchange) -> None:
        self.calls.append(("left", exchange))

    def fail(self) -> None:
        self.calls.append(("fail",))

    def cancel(self) -> None:
        self.calls.append(("cancel",))
