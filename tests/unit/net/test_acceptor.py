"""From a listening socket to connections, over real sockets and both event loops."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from asgiws.net import acceptor as acceptor_module
from asgiws.net.acceptor import Acceptor, accept
from asgiws.net.descriptors import limit
from asgiws.net.outbox import Outbox
from asgiws.net.poller import AVAILABLE, Poller
from asgiws.services.notices import Notices
from tests.support.loops import on_each_loop

needs_epoll = pytest.mark.skipif(not AVAILABLE, reason="there is no epoll here")


class Protocol(asyncio.Protocol):
    """Notes when it is connected and when it is not any more."""

    def __init__(self, events: asyncio.Queue[str]) -> None:
        self.events = events

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.put_nowait("made")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.put_nowait("lost")


class Tls:
    """What `Certificates` is for the acceptor."""

    def __init__(self, context: ssl.SSLContext, handshake_timeout: float = 60.0) -> None:
        self.context = context
        self.handshake_timeout = handshake_timeout


class Bench:
    """A listening socket, and what the connections on it tell."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        self.sock = sock or socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.events: asyncio.Queue[str] = asyncio.Queue()
        self.pending: set[Any] = set()
        self.clients: list[socket.socket] = []
        self.closes: list[Any] = []

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (*self.closes, *self.clients, self.sock):
            one.close()

    async def accept(self, tls: Tls | None = None) -> Any:
        loop = asyncio.get_running_loop()
        make = lambda: Protocol(self.events)  # noqa: E731
        self.closes.append(
            await accept(loop, self.sock, make, tls, self.pending, Notices(loop), 100)
        )
        return self.closes[-1]

    def own(self, tls: Tls | None = None) -> Acceptor:
        """The package's own acceptor, also where uvloop would accept by itself."""
        loop = asyncio.get_running_loop()
        own = Acceptor(
            loop, self.sock, lambda: Protocol(self.events), tls, self.pending, Notices(loop)
        )
        self.sock.listen(100)
        own.start()
        self.closes.append(own)
        return own

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.sock.getsockname(), timeout=30)
        client.setblocking(False)
        self.clients.append(client)
        return client

    async def told(self) -> str:
        return await asyncio.wait_for(self.events.get(), 30)


async def until(condition: Any) -> None:
    async def poll() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(poll(), 30)


async def end_of(client: socket.socket) -> bytes:
    """What a client reads until its connection has ended."""
    received = b""
    try:
        while data := await asyncio.get_running_loop().sock_recv(client, 65536):
            received += data
    except ConnectionResetError:
        pass
    return received


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For the server, and for a client that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("own", [True, False])
@on_each_loop
async def test_each_client_gets_a_connection_until_it_is_closed(own: bool) -> None:
    with Bench() as bench:
        acceptor = bench.own() if own else await bench.accept()
        for _ in range(3):
            bench.connect()
            assert await bench.told() == "made"
        acceptor.close()
        acceptor.close()
        await until(lambda: not bench.pending)
        assert bench.events.empty()


@on_each_loop
async def test_a_handshake_is_pending_until_it_is_done(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = contexts
    with Bench() as bench:
        await bench.accept(Tls(server))
        sock = bench.connect()
        await until(lambda: bench.pending)
        assert bench.events.empty()
        _, writer = await asyncio.open_connection(
            sock=sock, ssl=client, server_hostname="localhost"
        )
        assert await bench.told() == "made"
        await until(lambda: not bench.pending)
        writer.close()
        assert await bench.told() == "lost"


@on_each_loop
async def test_a_handshake_that_is_cancelled_ends_its_connection(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    with Bench() as bench:
        await bench.accept(Tls(contexts[0]))
        client = bench.connect()
        await until(lambda: bench.pending)
        for task in bench.pending:
            task.cancel()
        assert await asyncio.wait_for(end_of(client), 30) == b""
        await until(lambda: not bench.pending)
        assert bench.events.empty()


@on_each_loop
async def test_what_is_no_tls_is_one_line_and_the_end_of_that_client_alone(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asgiws.error")
    server, client = contexts
    with Bench() as bench:
        await bench.accept(Tls(server))
        wrong = bench.connect()
        wrong.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(end_of(wrong), 30)
        await until(lambda: not bench.pending)
        address = "{}:{}".format(*wrong.getsockname())
        (record,) = caplog.records
        assert record.getMessage() == (
            f"{address} - TLS handshake failed: it speaks HTTP without TLS (TLS handshake)"
        )
        assert record.exc_info is None
        _, writer = await asyncio.open_connection(
            sock=bench.connect(), ssl=client, server_hostname="localhost"
        )
        assert await bench.told() == "made"
        writer.close()
        assert await bench.told() == "lost"


@on_each_loop
async def test_who_leaves_in_the_handshake_is_no_news(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asgiws.error")
    with Bench() as bench:
        await bench.accept(Tls(contexts[0]))
        client = bench.connect()
        await until(lambda: bench.pending)
        client.close()
        await until(lambda: not bench.pending)
        assert not caplog.records


@on_each_loop
async def test_who_does_not_finish_the_handshake_in_time_is_dropped_and_told(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asgiws.error")
    with Bench() as bench:
        await bench.accept(Tls(contexts[0], 0.05))
        client = bench.connect()
        assert await asyncio.wait_for(end_of(client), 30) == b""
        await until(lambda: not bench.pending)
        (record,) = caplog.records
        address = "{}:{}".format(*client.getsockname())
        assert record.getMessage() == (
            f"{address} - TLS handshake failed: it took longer than 0.05 seconds (ssl_handshake_timeout)"
        )


@on_each_loop
async def test_each_handshake_is_under_the_context_of_its_time(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], tmp_path: Path
) -> None:
    server, client = contexts
    authority = trustme.CA()
    fresh = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(fresh)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    tls = Tls(server)
    writers = []
    with Bench() as bench:
        await bench.accept(tls)
        for context, trust in ((server, client), (fresh, trusting)):
            tls.context = context
            _, writer = await asyncio.open_connection(
                sock=bench.connect(), ssl=trust, server_hostname="localhost"
            )
            assert await bench.told() == "made"
            writers.append(writer)
        # The first one is still open.
        for writer in writers:
            writer.close()
            assert await bench.told() == "lost"


@pytest.mark.parametrize("polls", [False, pytest.param(True, marks=needs_epoll)])
@on_each_loop
async def test_a_fault_of_ours_is_logged_and_ends_that_connection_alone(
    polls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with Bench() as bench:
        own = bench.own()
        if polls:
            own._poller = Poller(
                asyncio.get_running_loop(), Outbox(asyncio.get_running_loop().call_soon)
            )
            bench.closes.append(own._poller)
        make, own._make = own._make, lambda: 1 / 0  # type: ignore[assignment, return-value]
        assert await asyncio.wait_for(end_of(bench.connect()), 30) == b""
        await until(lambda: caplog.records)
        assert "ZeroDivisionError" in caplog.text
        own._make = make
        own._poller = None
        bench.connect()
        assert await bench.told() == "made"


class Refusing:
    """The system refuses to accept for some time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, refusals: int) -> None:
        self.number = number
        self.refusals = refusals
        self._accept = acceptor_module.accept_client
        monkeypatch.setattr(acceptor_module, "accept_client", self.accept)
        monkeypatch.setattr(acceptor_module, "RETRY", 0.01)

    def accept(self, listening: socket.socket) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise OSError(self.number, "No room")
        return self._accept(listening)


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (errno.ENOBUFS, "No client is accepted for now: No room"),
        (
            errno.EMFILE,
            "Out of file descriptors: no client is accepted until some are free; the limit is "
            f"{limit()} (ulimit -n)",
        ),
    ],
)
@on_each_loop
async def test_a_system_that_refuses_is_one_line_and_who_waits_is_accepted_later(
    number: int, line: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asgiws.error")
    system = Refusing(monkeypatch, number, 3)
    with Bench() as bench:
        bench.own()
        bench.connect()
        assert await bench.told() == "made"
        # It is over when the system had room for all who waited, and not before.
        over = "Connections are accepted again"
        assert [record.getMessage() for record in caplog.records] == [line, over]
        # Another time is told again.
        system.refusals = 1
        bench.connect()
        assert await bench.told() == "made"
        assert [record.getMessage() for record in caplog.records] == 2 * [line, over]


@on_each_loop
async def test_closed_while_the_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    system = Refusing(monkeypatch, errno.ENOBUFS, many := 1_000_000)
    with Bench() as bench:
        own = bench.own()
        bench.connect()
        await until(lambda: system.refusals < many)
        own.close()
        system.refusals = 0
        await asyncio.sleep(0.05)  # past the moment of the next try, which must not come
        assert bench.events.empty()


@on_each_loop
async def test_a_port_that_is_listened_on_already_is_an_error() -> None:
    with socket.socket() as rival, socket.socket() as sock:
        for one in (rival, sock):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setblocking(False)
        rival.bind(("127.0.0.1", 0))
        sock.bind(rival.getsockname())
        rival.listen()
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError) as caught:
            await accept(loop, sock, asyncio.Protocol, None, set(), Notices(loop), 100)
        assert caught.value.errno == errno.EADDRINUSE
