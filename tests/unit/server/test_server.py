"""The life of a server within a loop of the test's: its order, its deadlines, and its exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asgiws.asgi.lifespan import StartupFailed
from asgiws.config import Config, ConfigError
from asgiws.net.sockets import BindError
from asgiws.server import server as server_module
from asgiws.server.server import Server, request_limit, run_server
from asgiws.services.topics import Topics
from asgiws.tls import certificates
from asgiws.topics.hub import Hub
from asgiws.topics.local import LocalHub
from tests.support.loops import on_each_loop
from tests.support.pki import Authority


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """A server configures the loggers: what it has changed is put back."""
    tops = [logging.getLogger(name) for name in ("asgiws", "asgiws.error", "asgiws.access")]
    before = [(top, top.handlers[:], top.level, top.propagate) for top in tops]
    yield
    for top, handlers, level, propagate in before:
        top.handlers[:], top.propagate = handlers, propagate
        top.setLevel(level)


class App:
    """Notes what happens to it, in order. A request hangs until `release`."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.changed = asyncio.Event()
        self.release = asyncio.Event()
        self.answer_to = {"lifespan.startup", "lifespan.shutdown"}

    def note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, event: str) -> None:
        async def wait() -> None:
            while event not in self.events:
                self.changed.clear()
                await self.changed.wait()

        await asyncio.wait_for(wait(), 30)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                kind = (await receive())["type"]
                self.note(kind)
                if kind not in self.answer_to:
                    await asyncio.Event().wait()
                await send({"type": kind + ".complete"})
            return
        self.note("request")
        try:
            await self.release.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"done"})
            self.note("answered")
        except asyncio.CancelledError:
            self.note("cancelled")
            raise


def config(app: Any, **options: Any) -> Config:
    return Config(app, **{"port": 0, **options})


@contextlib.asynccontextmanager
async def serving(server: Server, *, signals: bool = False) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(server.serve(install_signal_handlers=signals))
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        yield task
    finally:
        server.should_exit = server.force_exit = True
        await asyncio.wait([task], timeout=30)


async def ask(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.addresses[0]  # type: ignore[str-unpack]
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    return reader, writer


async def is_let_in(server: Server) -> bool:
    try:
        _, writer = await ask(server)
    except ConnectionError:
        return False
    await end(writer)
    return True


async def end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@on_each_loop
async def test_the_application_starts_first_and_stops_last() -> None:
    app = App()
    server = Server(config(app))
    async with serving(server) as task:
        assert app.events == ["lifespan.startup"]
        reader, writer = await ask(server)
        await app.until("request")
        server.should_exit = True
        while await is_let_in(server):
            await asyncio.sleep(0.005)
        assert not task.done()
        app.release.set()
        assert (await asyncio.wait_for(reader.read(), 30)).endswith(b"\r\n\r\ndone")
        await asyncio.wait_for(task, 30)
        await end(writer)
    order = ["lifespan.startup", "request", "answered", "lifespan.shutdown"]
    assert [event for event in order if event in app.events] == order
    assert app.events.index("answered") < app.events.index("lifespan.shutdown")


@on_each_loop
async def test_what_does_not_end_is_cut_off_and_the_application_is_still_told() -> None:
    app = App()
    server = Server(config(app, timeout_graceful_shutdown=0.2))
    async with serving(server) as task:
        reader, writer = await ask(server)
        await app.until("request")
        server.should_exit = True
        await asyncio.wait_for(task, 30)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        await end(writer)
    assert app.events == ["lifespan.startup", "request", "cancelled", "lifespan.shutdown"]


@on_each_loop
async def test_an_end_by_force_asks_nobody() -> None:
    app = App()
    server = Server(config(app, timeout_graceful_shutdown=3600))
    async with serving(server) as task:
        _, writer = await ask(server)
        await app.until("request")
        server.should_exit = True
        await asyncio.sleep(0)
        assert not task.done()
        server.force_exit = True
        await asyncio.wait_for(task, 30)
        await end(writer)
    assert app.events == ["lifespan.startup", "request", "cancelled"]


@on_each_loop
async def test_a_shutdown_of_the_application_that_hangs_ends_in_time() -> None:
    app = App()
    app.answer_to = {"lifespan.startup"}
    server = Server(config(app, timeout_graceful_shutdown=0.2))
    async with serving(server) as task:
        server.should_exit = True
        await asyncio.wait_for(task, 30)
    assert app.events == ["lifespan.startup", "lifespan.shutdown"]
    assert server.end_by is not None
    assert time.monotonic() >= server.end_by


@on_each_loop
async def test_a_client_in_its_handshake_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server_module, "GRACE", 3600.0)
    authority = Authority(tmp_path)
    server = Server(config(App(), timeout_graceful_shutdown=3600, **authority.options))
    async with serving(server) as task:
        client = socket.create_connection(server.addresses[0])  # type: ignore[arg-type]
        client.setblocking(False)
        await asyncio.sleep(0.1)  # it is accepted; were it not, the end would come too early below
        server.should_exit = True
        # Whoever is not counted does not hold the end for so long.
        await asyncio.sleep(0.3)
        assert not task.done()
        reader, writer = await asyncio.open_connection(
            sock=client, ssl=authority.client(), server_hostname="localhost"
        )
        assert await reader.read() == b""
        await end(writer)
        await asyncio.wait_for(task, 30)


async def shown(server: Server, authority: Authority) -> str:
    """The serial number of the certificate that a new client meets."""
    address = server.addresses[0]
    assert not isinstance(address, str)
    _, writer = await asyncio.open_connection(
        *address, ssl=authority.client(), server_hostname="localhost"
    )
    certificate = writer.get_extra_info("peercert")
    await end(writer)
    return str(certificate["serialNumber"])


@pytest.mark.parametrize("how", ["signal", "method", "files"])
@on_each_loop
async def test_a_new_certificate_is_taken_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    monkeypatch.setattr(certificates, "LOOK", 0.05 if how == "files" else 3600.0)
    authority = Authority(tmp_path)
    server = Server(config(App(), **authority.options))
    server.reload_certificates()  # it does not run yet: nothing happens
    async with serving(server, signals=True):
        first = await shown(server, authority)
        authority.renew()
        if how == "signal":
            signal.raise_signal(signal.SIGHUP)
        elif how == "method":
            await asyncio.to_thread(server.reload_certificates)

        async def until_another() -> None:
            while await shown(server, authority) == first:
                await asyncio.sleep(0.02)

        await asyncio.wait_for(until_another(), 30)
        server.should_exit = True


@on_each_loop
async def test_without_tls_a_hangup_is_not_taken() -> None:
    before = signal.getsignal(signal.SIGHUP)
    server = Server(config(App()))
    async with serving(server, signals=True):
        assert signal.getsignal(signal.SIGHUP) is before
        server.reload_certificates()
        server.should_exit = True


@on_each_loop
async def test_where_it_listens_is_known_while_it_does() -> None:
    server = Server(config(App()))
    assert (server.addresses, server.sockets) == ([], [])
    async with serving(server) as task:
        (address,) = server.addresses
        (sock,) = server.sockets
        assert sock.getsockname() == address
        server.should_exit = True
        await asyncio.wait_for(task, 30)
    assert server.sockets == []


@on_each_loop
async def test_it_is_ready_while_it_accepts() -> None:
    app = App()
    server = Server(config(app))
    assert not server.ready
    async with serving(server) as task:
        assert server.ready
        _, writer = await ask(server)
        await app.until("request")
        assert server.open_connections == 1
        server.should_exit = True
        while server.ready:
            await asyncio.sleep(0.005)
        assert server.started
        assert not task.done()
        app.release.set()
        await asyncio.wait_for(task, 30)
        await end(writer)
    assert server.open_connections == 0


class Place:
    """A membership, and what its server has told it."""

    name = "worker 7"
    balancer = None
    secret = b""

    def __init__(self) -> None:
        self.told: list[str] = []

    def make_hub(self, topics: Topics) -> Hub:
        return LocalHub(topics.call_soon, 0)

    def ready(self) -> None:
        self.told.append("ready")

    def stopping(self) -> None:
        self.told.append("stopping")

    def worn_out(self, why: str) -> None:
        self.told.append(why)


@on_each_loop
async def test_a_worker_tells_its_supervisor(capsys: pytest.CaptureFixture[str]) -> None:
    app = App()
    app.release.set()
    place = Place()
    server = Server(config(app, limit_max_requests=2), place)
    async with serving(server) as task:
        assert place.told == ["ready"]
        for told in (["ready"], ["ready", "it has served 2 requests"]):
            reader, writer = await ask(server)
            await reader.readuntil(b"done")
            assert place.told == told
            await end(writer)
        assert not task.done()  # its supervisor stops it, once there is another
        server.should_exit = True
        await asyncio.wait_for(task, 30)
    assert place.told[2:] == ["stopping"]
    text = capsys.readouterr().err
    assert " worker 7: Stopping; " in text
    assert "asgiws running on" not in text


async def test_a_server_by_itself_stops_after_its_requests() -> None:
    app = App()
    app.release.set()
    server = Server(config(app, limit_max_requests=1))
    async with serving(server) as task:
        reader, writer = await ask(server)
        await reader.readuntil(b"done")
        await asyncio.wait_for(task, 30)
        await end(writer)


def test_a_server_is_no_supervisor() -> None:
    with pytest.raises(ConfigError, match=r"workers need asgiws\.run or the command"):
        Server(Config("main:app", workers=2))


# Exit codes.


def serve_until(server: Server, stop: Callable[[Server], None]) -> int:
    """Run the server in its own loop and stop it from a callback of that loop."""

    async def serve_process() -> None:
        task = asyncio.create_task(Server.serve_process(server))
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        if not task.done():
            stop(server)
        await task

    server.serve_process = serve_process  # type: ignore[assignment, method-assign]
    return run_server(server)


async def accepting(scope: Any, receive: Any, send: Any) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": kind + ".complete"})
        if kind == "lifespan.shutdown":
            return


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_is_exit_code_0(number: int) -> None:
    server = Server(config(accepting))
    assert serve_until(server, lambda _: signal.raise_signal(number)) == 0
    assert (server.stopped_by, server.forced_by) == (number, None)


def test_a_second_signal_is_128_and_its_number() -> None:
    def stop(server: Server) -> None:
        signal.raise_signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(0.05, signal.raise_signal, signal.SIGINT)

    async def hangs(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.Event().wait()

    server = Server(config(hangs, timeout_graceful_shutdown=3600))
    assert serve_until(server, stop) == 128 + signal.SIGINT
    assert (server.stopped_by, server.forced_by) == (signal.SIGTERM, signal.SIGINT)


def test_what_cannot_start_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_server(Server(config(accepting, port=port))) == BindError.exit_code == 1
    text = capsys.readouterr().err
    assert text == f"Error: cannot listen on 127.0.0.1:{port}: address already in use\n"


def test_a_start_that_fails_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    assert run_server(Server(config(failing))) == StartupFailed.exit_code == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "Error: the application failed to start"
    assert "The application failed to start: no database" in lines[-2]


def test_a_module_that_raises_shows_its_traceback(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raises_at_import.py").write_text("1 / 0\n")
    server = Server(config("raises_at_import:app", app_dir=str(tmp_path)))
    assert run_server(server) == 1
    text = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero\nError: " in text
    assert text.count("Error: ") == 2


def test_a_parser_that_is_not_installed_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_module.importlib.util, "find_spec", lambda name: None)
    assert run_server(Server(config(accepting, http="h11"))) == 1
    expected = "Error: --http h11 needs the package h11: pip install h11\n"
    assert capsys.readouterr().err == expected


def test_how_many_requests_it_serves() -> None:
    assert request_limit(Config("a:b")) == 0
    assert request_limit(Config("a:b", limit_max_requests=5)) == 5
    config = Config("a:b", limit_max_requests=100, limit_max_requests_jitter=3)
    assert {request_limit(config) for _ in range(500)} == {100, 101, 102, 103}
