"""What is created for each accepted connection, and what the connections of a worker have in common.

Rules of this file: it connects the parts and does nothing itself. Every connection begins with HTTP, or with
the PROXY protocol and then HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asgiws.asgi.types import Address
from asgiws.bridge.outlet import Driver
from asgiws.drivers.http import HTTPDriver
from asgiws.drivers.http_parts import HTTPParts
from asgiws.drivers.proxy_protocol import ProxyProtocolDriver
from asgiws.drivers.upgrade import upgrade
from asgiws.net.connection import Connection
from asgiws.net.loop_io import LoopIO
from asgiws.net.ticker import Ticker
from asgiws.services.runtime import Runtime, peer_name


class ServedConnection(Connection, asyncio.BufferedProtocol):
    """A stream that the event loop treats as a protocol with its own buffers."""

    __slots__ = ()


class CountedConnection(Connection, asyncio.BufferedProtocol):
    """A connection that is counted, and rejected, by `http`, if there are too many: with the PROXY
    protocol, once it has named the client."""

    __slots__ = (
        "_admission",
        "_counted",
        "_http",
        "_is_named_later",
        "_is_refused",
        "_notices",
        "_refusal",
    )

    def __init__(
        self, runtime: Runtime, ticker: Ticker, io: LoopIO, driver: Driver, http: HTTPDriver
    ) -> None:
        #: The driver, which rejects it if necessary, until that is decided.
        self._http: HTTPDriver | None = http
        self._admission = runtime.admission
        self._notices = runtime.notices
        self._is_named_later = runtime.config.proxy_protocol
        #: The address that it is counted for, and the error that the driver must reject it with.
        self._counted: Address | None = None
        self._refusal: Any = None
        #: Whether it was rejected; None until it is counted.
        self._is_refused: bool | None = None
        super().__init__(runtime, ticker, io, driver)

    def expected(self, client: Address | None) -> bool:
        self._enter(client)
        if self._refusal is None or not self._admission.is_crowded():
            return True
        self._turn_away(client)
        return False

    def unmade(self) -> None:
        self._leave()

    def begun(self) -> None:
        super().begun()
        if self._is_refused is None:
            self._enter(None if self._is_named_later else self.client)
        if not self._is_named_later:
            self._refuse()

    def introduce(self, client: Address, server: Address) -> None:
        super().introduce(client, server)
        self._leave()
        self._enter(client)

    def hand_over(self, driver: Driver, tail: bytes) -> None:
        super().hand_over(driver, tail if self._refusal is None else b"")
        self._refuse()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._http = None
        super().connection_lost(exc)

    def _enter(self, client: Address | None) -> None:
        self._counted = client
        self._refusal = self._admission.enter(client)
        self._is_refused = self._refusal is not None

    def _leave(self) -> None:
        is_refused, self._is_refused = self._is_refused, None
        if is_refused:
            self._admission.leave_refused()
        elif is_refused is not None:
            self._admission.leave(self._counted)

    def _refuse(self) -> None:
        # Nothing else needs it, and it refers to this object.
        http, self._http = self._http, None
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            assert http is not None
            http.refuse_connection(refusal)

    def _turn_away(self, client: Address | None) -> None:
        """Reject a client without a response: so many are being answered already that it would cost too
        much."""
        refusal, self._refusal = self._refusal, None
        assert refusal is not None
        what = f"connection closed: {refusal.message}"
        self._notices.tell(refusal.limit or "", peer_name(client), what)
        self._leave()


def first_driver(runtime: Runtime, http: HTTPDriver) -> Driver:
    """The driver of a connection at its start."""
    return ProxyProtocolDriver(runtime, http) if runtime.config.proxy_protocol else http


def connection_factory(
    runtime: Runtime, ticker: Ticker, io: LoopIO, polls: bool = False
) -> Callable[[], Connection]:
    """A function that creates the connections of one worker, which have `io` in common, and what is created
    here. With `polls`, they are for our own transports only."""
    parts = HTTPParts(runtime)
    counts = runtime.admission.counts_connections

    def make() -> Connection:
        http = HTTPDriver(parts, upgrade)
        driver = first_driver(runtime, http)
        if counts:
            return CountedConnection(runtime, ticker, io, driver, http)
        # A class of Python's own costs more, and only the event loop's transports need it.
        return (Connection if polls else ServedConnection)(runtime, ticker, io, driver)

    return make
