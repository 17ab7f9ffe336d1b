"""wss and https with a certificate of the tests' own authority."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from websockets.asyncio.client import connect

from asgiws.server import loops
from tests.support.pki import Certificate
from tests.support.raw import BINARY, TEXT, Desk, Raw, close_frame, frame, unused_name
from tests.support.server import RunningServer, serve

APP = "apps:app"
LOOPS = ["asyncio", *(["uvloop"] if loops.uvloop_version() else [])]
MEGABYTE = 1024 * 1024
BOUND = 60 * MEGABYTE


class Secured:
    """A server with a certificate, and the context of a client that trusts it."""

    def __init__(self, server: RunningServer, trust: ssl.SSLContext) -> None:
        self.server = server
        self.trust = trust
        self.desk = Desk(server, trust)

    def raw(self, receive_buffer: int = 0) -> Raw:
        raw = Raw.connect(self.server, receive_buffer)
        raw.sock = self.trust.wrap_socket(raw.sock, server_hostname="localhost")
        return raw

    def opened(self, path: str, receive_buffer: int = 0) -> Raw:
        raw = self.raw(receive_buffer)
        raw.upgrade(path)
        return raw

    def client(self, path: str, **options: Any) -> connect:
        url = f"wss://localhost:{self.server.port}{path}"
        return connect(
            url, ssl=self.trust, host=self.server.host, proxy=None, max_size=None, **options
        )


@pytest.fixture(scope="module")
def secured(certificate: Certificate) -> Iterator[Secured]:
    with serve(APP, *certificate.options, "--ws-max-size", "32MiB") as server:
        assert server.scheme == "https"
        yield Secured(server, certificate.trust)


def test_scope(secured: Secured, name: str) -> None:
    with secured.opened(f"/listen?{name}") as raw:
        raw.send(close_frame(4000, "bye"))
        assert raw.close_frame() == (4000, "bye")
    report = secured.desk.report(name)
    assert report["scope"]["scheme"] == "wss"
    assert report["scope"]["server"] == ["127.0.0.1", secured.server.port]
    assert report["events"][-1]["code"] == 4000
    assert secured.desk.ask(f"/scope?{unused_name()}")["scheme"] == "https"


def test_zerocopysend_is_not_offered(secured: Secured, name: str) -> None:
    """What is sent must pass through this process to be encrypted."""
    secured.desk.ask(f"/scope?{name}")
    extensions = secured.desk.report(name)["scope"]["extensions"]
    assert "http.response.pathsend" in extensions
    assert "http.response.zerocopysend" not in extensions


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_messages(secured: Secured, name: str, compression: str | None) -> None:
    async with secured.client(f"/echo?{name}", compression=compression) as socket:
        for message in ("", b"", "text", b"x" * 65536, "ü" * MEGABYTE):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.close(4001, "done")
        assert (socket.close_code, socket.close_reason) == (4001, "done")


def test_large_messages_both_ways(secured: Secured, name: str) -> None:
    payload = b"0123456789abcdef" * MEGABYTE
    with secured.opened(f"/echo?{name}") as raw:
        raw.send_frame(BINARY, payload)
        assert raw.frame().payload == payload


async def test_https(secured: Secured) -> None:
    async with httpx.AsyncClient(verify=secured.trust, trust_env=False) as client:
        url = secured.server.url("").replace("127.0.0.1", "localhost")
        answers = await asyncio.gather(*(client.get(f"{url}/hello?x") for _ in range(20)))
        assert {answer.text for answer in answers} == {"hello"}
        response = await client.post(f"{url}/upload?x", content=b"\1" * 3_000_000)
        assert response.json()["sum"] == 3_000_000
        async with client.stream("GET", f"{url}/download?x") as streamed:
            total = 0
            async for piece in streamed.aiter_raw():
                total += len(piece)
        assert total == 200 * MEGABYTE


def test_handshake_in_the_same_record_as_messages(secured: Secured, name: str) -> None:
    with secured.raw() as raw:
        raw.upgrade(f"/echo?{name}", tail=frame(TEXT, b"one") + frame(TEXT, b"two"))
        assert raw.message() == "one"
        assert raw.message() == "two"


@pytest.mark.parametrize("way", ["reset", "close"])
def test_tcp_ends_without_a_goodbye(secured: Secured, name: str, way: str) -> None:
    """No close frame, no close_notify: 1006, and nothing in the log."""
    raw = secured.opened(f"/echo?{name}")
    raw.send_frame(TEXT, b"hello")
    assert raw.message() == "hello"
    getattr(raw, way)()
    report = secured.desk.report(name)
    assert report["events"][-1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_close_notify_without_a_close_frame(secured: Secured, name: str) -> None:
    raw = secured.opened(f"/echo?{name}")
    try:
        raw.sock.unwrap()  # type: ignore[attr-defined]
    except (OSError, ssl.SSLError):
        pass  # the answer to it is the server's own matter
    report = secured.desk.report(name)
    raw.close()
    assert report["events"] == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(3), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(BINARY, b"", length=33 * MEGABYTE), 1009),
        (frame(BINARY, b"x" * 100_000, length=33 * MEGABYTE), 1009),
    ],
    ids=["protocol error", "bad UTF-8", "too big", "too big and under way"],
)
def test_failures_are_told(secured: Secured, name: str, data: bytes, code: int) -> None:
    with secured.opened(f"/echo?{name}") as raw:
        raw.send(data)
        assert raw.close_frame()[0] == code
    assert secured.desk.report(name)["events"][-1]["code"] == code


def test_refusal_is_readable(secured: Secured) -> None:
    with secured.raw() as raw:
        response = raw.request(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert response.status == 400
        assert raw.read_all() == b""


def test_plain_http_to_the_tls_port(secured: Secured) -> None:
    """The client gets no answer that it could take for one, and the server goes on."""
    with Raw.connect(secured.server) as raw:
        raw.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            answer = raw.read_all()
        except ConnectionResetError:
            answer = b""
    assert not answer.startswith(b"HTTP/")
    assert secured.desk.ask(f"/scope?{unused_name()}")["scheme"] == "https"


def test_client_that_does_not_trust_the_certificate(secured: Secured) -> None:
    raw = Raw.connect(secured.server)
    with raw, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(raw.sock, server_hostname="localhost")
    assert secured.desk.ask(f"/scope?{unused_name()}")["scheme"] == "https"


def test_client_leaves_within_the_tls_handshake(secured: Secured) -> None:
    with Raw.connect(secured.server) as raw:
        raw.send(b"\x16\x03\x01")
    assert secured.desk.ask(f"/scope?{unused_name()}")["scheme"] == "https"


@pytest.mark.parametrize("size", [1000, MEGABYTE])
def test_memory_is_bounded_while_the_client_does_not_read(
    secured: Secured, name: str, size: int
) -> None:
    before = secured.desk.memory()
    with secured.opened(f"/flood?{name}&{size}", receive_buffer=65536) as raw:
        progress, same = [], 0
        while same < 5:
            now = secured.desk.ask(f"/progress?{name}")
            same = same + 1 if now and now == progress else 0
            progress = now
        assert progress[0] < BOUND
        assert secured.desk.memory() - before < BOUND
        raw.reset()
    assert secured.desk.report(name)["raised"] == "ClientDisconnected"


async def test_shutdown(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "all.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with serve(APP, "--ssl-certfile", str(pem)) as server:
        async with Secured(server, trust).client(f"/listen?{unused_name()}") as socket:
            server.send_signal(15)
            await socket.wait_closed()
            assert socket.close_code == 1012
            assert socket.close_reason
        assert await asyncio.to_thread(server.wait) == 0


class Handshake:
    """A client in the middle of its TLS handshake: the server has answered and waits for the rest."""

    def __init__(self, server: RunningServer, trust: ssl.SSLContext) -> None:
        self.raw = Raw.connect(server)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trust.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.raw.send(self.outgoing.read())
        self.incoming.write(self.raw.sock.recv(65536))

    def finish(self) -> None:
        self._until(self.tls.do_handshake)
        self.raw.send(self.outgoing.read())

    def end(self) -> bytes:
        """What comes until the server has ended the encrypted stream, as it should be ended."""
        return self._until(lambda: self.tls.read(65536))

    def _until(self, step: Callable[[], Any]) -> Any:
        """Take the step, as often as more must come from the server first."""
        result = None
        is_done = False
        while not is_done:
            with suppress(ssl.SSLWantReadError):
                result = step()
                is_done = True
            if not is_done:
                data = self.raw.sock.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
        return result


@pytest.mark.parametrize("loop", LOOPS)
def test_a_handshake_under_way_is_finished_when_the_server_stops(
    loop: str, certificate: Certificate
) -> None:
    with serve(APP, *certificate.options, "--loop", loop) as server:
        client = Handshake(server, certificate.trust)
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping; 1 connections are open")
        client.finish()
        assert client.end() == b""
        client.raw.close()
        assert server.wait() == 0
    assert "Cut off" not in server.stderr()


@pytest.mark.parametrize("loop", LOOPS)
def test_who_only_connects_does_not_hold_the_end(loop: str, certificate: Certificate) -> None:
    with serve(APP, *certificate.options, "--loop", loop) as server, Raw.connect(server) as silent:
        second = Handshake(server, certificate.trust)  # so the first was accepted before
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping; 2 connections are open")
        assert silent.read_all() == b""
        assert server.wait() == 0
        second.raw.close()
    assert "Cut off" not in server.stderr()
