"""How connections end, over TCP and over TLS: nothing that was written is cut short, nobody is held up."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgiws.net.ending import LINGER
from asgiws.server import loops
from tests.support.pki import Authority
from tests.support.raw import TEXT, Desk, Raw, frame, unused_name
from tests.support.server import RunningServer, serve

APP = "apps:app"
LOOPS = ["asyncio", *(["uvloop"] if loops.uvloop_version() else [])]
MEGABYTE = 1 << 20


class Place:
    """A server, and how its clients connect."""

    def __init__(self, server: RunningServer, trust: ssl.SSLContext | None) -> None:
        self.server = server
        self.trust = trust
        self.desk = Desk(server, trust)

    def connect(self, receive_buffer: int = 0) -> Raw:
        raw = Raw.connect(self.server, receive_buffer)
        if self.trust is not None:
            raw.sock = self.trust.wrap_socket(
                raw.sock, server_hostname="localhost", suppress_ragged_eofs=False
            )
        return raw


@pytest.fixture(
    scope="module", params=[f"{how} {loop}" for how in ("TCP", "TLS") for loop in LOOPS]
)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    how, loop = request.param.split()
    options: list[str] = ["--loop", loop]
    trust = None
    if how == "TLS":
        authority = Authority(tmp_path_factory.mktemp("pki"))
        config = authority.config()
        assert config.ssl_certfile is not None
        assert config.ssl_keyfile is not None
        options += ["--ssl-certfile", config.ssl_certfile, "--ssl-keyfile", config.ssl_keyfile]
        trust = authority.client()
    with serve(APP, *options) as server:
        yield Place(server, trust)


def end_tcp(raw: Raw) -> None:
    """A FIN, below TLS where there is TLS: what Python's own would do to it ends its TLS for reading too."""
    socket.socket.shutdown(raw.sock, socket.SHUT_WR)


# What was written arrives.


def test_a_client_that_stops_for_longer_than_we_linger_gets_all(place: Place) -> None:
    with place.connect(receive_buffer=16384) as raw:
        size = 8 * MEGABYTE
        raw.send(
            b"GET /sized?x&%d&%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (size, size)
        )
        raw.read_until(b"\r\n\r\n")
        time.sleep(LINGER + 1.5)
        assert len(raw.read_all()) == size


def test_an_early_answer_reaches_a_client_that_uploads_for_longer(place: Place) -> None:
    with place.connect() as raw:
        raw.send(b"POST /hello?early HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        end = time.monotonic() + LINGER + 1.5
        while time.monotonic() < end:
            raw.send(b"u" * 65536)
            time.sleep(0.05)
        assert raw.response().status == 200


def test_a_peer_that_closes_its_side_still_gets_the_answer(place: Place) -> None:
    with place.connect() as raw:
        raw.send(b"GET /hello?half HTTP/1.1\r\nHost: x\r\n\r\n")
        end_tcp(raw)
        assert raw.response().body == b"hello"


# A client that has gone is noticed, however it goes.


@pytest.mark.parametrize("how", ["fin", "close", "reset"])
def test_a_websocket_that_only_sends_is_told_of_a_client_that_goes(place: Place, how: str) -> None:
    name = unused_name()
    raw = place.connect()
    raw.upgrade(f"/push_until_gone?{name}")
    raw.frame()
    if how == "fin":
        end_tcp(raw)
    elif how == "close":
        raw.close()
    else:
        raw.reset()
    while not (notes := place.desk.report(name)["notes"]):
        time.sleep(0.05)
    assert "ClientDisconnected" in notes[0]["kinds"]
    with place.connect() as other:
        assert other.request(b"GET /hello?other HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
    raw.close()


# TLS.


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls(authority: Authority) -> list[str]:
    config = authority.config()
    assert config.ssl_certfile is not None
    assert config.ssl_keyfile is not None
    return ["--ssl-certfile", config.ssl_certfile, "--ssl-keyfile", config.ssl_keyfile]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the event loop does it")
def test_handshakes_are_counted(authority: Authority) -> None:
    with serve(APP, *tls(authority), "--limit-per-ip", "3") as server:
        trust = authority.client()
        silent = [Raw.connect(server) for _ in range(3)]
        with Raw.connect(server) as raw:
            raw.sock = trust.wrap_socket(raw.sock, server_hostname="localhost")
            assert raw.response().status == 429
        silent.pop().close()
        while True:  # until the place is known to be free
            with Raw.connect(server) as raw:
                raw.sock = trust.wrap_socket(raw.sock, server_hostname="localhost")
                if raw.request(b"GET /hello?x HTTP/1.1\r\nHost: x\r\n\r\n").status == 200:
                    break
        for raw in silent:
            raw.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the event loop does it")
def test_a_flood_of_silent_clients_is_closed_without_a_word(authority: Authority) -> None:
    with serve(APP, *tls(authority), "--limit-per-ip", "3") as server:
        silent = [Raw.connect(server) for _ in range(100)]
        server.wait_for_log("too many connections from this address")
        closed = 0
        for raw in silent:
            raw.sock.settimeout(0.05)
            try:
                closed += raw.sock.recv(1) == b""
            except TimeoutError:
                pass
            except ConnectionResetError:
                closed += 1
            raw.close()
        assert closed >= 100 - 3 - 65


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_key_updates_and_renegotiations_change_nothing_for_others(
    authority: Authority, version: str
) -> None:
    """OpenSSL's own client updates its keys (K), or asks for a new handshake, which TLS 1.2 may (R)."""
    with serve(APP, *tls(authority)) as server:
        client = subprocess.Popen(
            ["openssl", "s_client", version, "-connect", f"127.0.0.1:{server.port}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(b"K\n" if version == "-tls1_3" else b"R\n")
            client.stdin.flush()
            expected = b"KEYUPDATE" if version == "-tls1_3" else b"RENEGOTIATING"
            assert any(expected in line for line in client.stdout)
            if version == "-tls1_3":  # with TLS 1.2 it gives up, when it is refused a new handshake
                client.stdin.write(b"GET /hello?k HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                client.stdin.flush()
                assert b"hello" in client.stdout.read()
            client.kill()
        raw = Raw.connect(server)
        raw.sock = authority.client().wrap_socket(raw.sock, server_hostname="localhost")
        with raw:
            raw.upgrade(f"/echo?{unused_name()}")
            raw.send(frame(TEXT, b"still here"))
            assert raw.message() == "still here"
