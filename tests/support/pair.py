"""A connection of the server over a real socket, without a server, for the tests of sockets and transports.

Rules of this file: a file of tests that imports `whose_transport` is run with each of the transports.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asgiws.bridge.outlet import Driver, Outlet
from asgiws.config import Config
from asgiws.net.connection import Connection
from asgiws.net.handshakes import Handshaking
from asgiws.net.loop_io import LoopIO
from asgiws.net.poller import AVAILABLE, Poller
from asgiws.net.ticker import Ticker
from asgiws.net.tls_transport import TLSTransport
from asgiws.net.transport import SocketTransport
from asgiws.services.runtime import Runtime


class Recorder(Driver):
    """Notes what it is told; `react` runs when data comes, as an application's step would."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.changed = asyncio.Event()
        self.outlet: Outlet
        self.react: Any = None
        self.next_check = 0.0

    def note(self, event: Any) -> None:
        self.events.append(event)
        self.changed.set()

    def connected(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.note("connected")

    def receive_data(self, data: bytearray, start: int, end: int) -> None:
        self.note(bytes(data[start:end]))
        if self.react is not None:
            self.react()

    def receive_eof(self) -> None:
        self.note("eof")

    def connection_lost(self) -> None:
        self.note("lost")

    def writable(self) -> None:
        self.note("writable")

    def check(self, now: float) -> float:
        self.note("check")
        return self.next_check

    def shutdown(self) -> None:
        self.note("shutdown")

    def stalled(self) -> None:
        self.note("stalled")

    def hung_up(self) -> None:
        self.note("hung up")

    async def until(self, event: Any) -> None:
        async with asyncio.timeout(10) if hasattr(asyncio, "timeout") else _no_timeout():
            while event not in self.events:
                self.changed.clear()
                await self.changed.wait()


class _no_timeout:
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *error: object) -> None: ...


class ProtocolConnection(Connection, asyncio.BufferedProtocol):
    """As `server.connection.Connection`, with a driver of the test's."""


#: Whose transport a connection has without TLS.
OURS, LOOPS_OWN = "our transport", "the loop's transport"

_transport = LOOPS_OWN


@pytest.fixture(autouse=True, params=[OURS, LOOPS_OWN] if AVAILABLE else [LOOPS_OWN])
def whose_transport(request: pytest.FixtureRequest) -> str:
    global _transport
    _transport = request.param
    return _transport


def transport() -> str:
    """Whose transport the test is run with."""
    return _transport


class Pair:
    """A connection with its recorder, and the peer's end as a socket."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.driver = Recorder()
        self.loop = asyncio.get_running_loop()
        self.runtime = Runtime(cast(Any, None), Config("main:app"), self.loop, None)
        self.ticker = Ticker(self.loop)
        self.io = LoopIO(self.runtime.call_soon)

    def make_poller(self) -> Poller:
        return Poller(self.loop, self.io.outbox)

    def make_transport(self, fd: int) -> SocketTransport:
        if self.tls is None:
            return SocketTransport(self.loop, self.poller, fd, self.connection)
        certificates = SimpleNamespace(context=self.tls, handshake_timeout=10.0)
        self.pending: set[Any] = set()
        self.handshaking = Handshaking(
            self.loop, self.ticker, certificates, self.pending, self.runtime.notices
        )
        return TLSTransport(self.loop, self.poller, fd, self.connection, self.handshaking)

    async def open(self, send_buffer: int = 0) -> Pair:
        listener = socket.create_server(("127.0.0.1", 0))
        self.peer = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        listener.close()
        if send_buffer:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, send_buffer)
        self.peer.setblocking(False)
        accepted.setblocking(False)
        self.fd = accepted.fileno()
        self.transport: Any
        if _transport == OURS:
            self.poller = self.make_poller()
            self.connection = ProtocolConnection(self.runtime, self.ticker, self.io, self.driver)
            self.transport = self.make_transport(accepted.detach())
            self.transport.start(self.peer.getsockname(), None, socket.AF_INET)
        else:
            self.transport, self.connection = await self.loop.connect_accepted_socket(
                lambda: ProtocolConnection(self.runtime, self.ticker, self.io, self.driver),
                accepted,
                ssl=self.tls,
            )
        return self

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = await self.loop.sock_recv(self.peer, size - len(data))
            if not piece:
                break
            data += piece
        return data

    async def until_all_is_taken(self) -> None:
        """Until the peer's kernel has acknowledged it, the end of our side with it."""
        while self.connection.taken()[1]:
            await asyncio.sleep(0.01)

    async def read_to_end(self) -> bytes:
        data = b""
        while piece := await self.loop.sock_recv(self.peer, 65536):
            data += piece
        return data

    async def say(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.peer, data)
        await self.driver.until(data)

    async def close(self) -> None:
        self.connection.abort()
        self.peer.close()
        await self.driver.until("lost")
        self.ticker.close()
