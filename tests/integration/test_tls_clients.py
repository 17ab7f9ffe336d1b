"""TLS clients that are slow, hostile, or leave in the middle: OpenSSL's own, curl, and octets by hand."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.pki import Authority
from tests.support.raw import TEXT, Desk, Raw, frame, unused_name
from tests.support.server import RunningServer, serve

APP = "apps:app"
HELLO = b"GET /hello?x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the event loop does it")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


def options(authority: Authority, *more: str) -> tuple[str, ...]:
    return ("--ssl-certfile", authority.certificate, "--ssl-keyfile", authority.key, *more)


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[RunningServer]:
    with serve(APP, *options(authority)) as running:
        yield running


class Wire:
    """A client whose TLS is in memory, so that each octet on its way is in the test's hands."""

    def __init__(self, server: RunningServer, authority: Authority) -> None:
        self.raw = Raw.connect(server)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = authority.client().wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost"
        )

    def shake(self, octets: int = 65536) -> int:
        """The whole handshake, that many octets at a time. Returns how many were sent."""
        sent = 0
        done = False
        while not done:
            with suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                done = True
            data = self.outgoing.read()
            for start in range(0, len(data), octets):
                self.raw.send(data[start : start + octets])
            sent += len(data)
            if not done:
                self.incoming.write(self.raw.sock.recv(65536))
        return sent

    def write(self, data: bytes) -> bytes:
        """The records of `data`, which are not sent."""
        self.tls.write(data)
        return self.outgoing.read()

    def read(self) -> bytes:
        """All that comes until the end."""
        data = b""
        while True:
            try:
                piece = self.tls.read(65536)
            except ssl.SSLWantReadError:
                more = self.raw.sock.recv(65536)
                if more:
                    self.incoming.write(more)
                else:
                    self.incoming.write_eof()
                continue
            if not piece:
                return data  # close_notify
            data += piece


def is_served(server: RunningServer, authority: Authority) -> bool:
    wire = Wire(server, authority)
    wire.shake()
    wire.raw.send(wire.write(HELLO))
    with wire.raw:
        return wire.read().endswith(b"hello")


# Handshakes.


def test_octet_by_octet(server: RunningServer, authority: Authority) -> None:
    slow = Wire(server, authority)
    assert slow.shake(octets=1) > 300
    for octet in slow.write(HELLO):
        slow.raw.send(bytes((octet,)))
    with slow.raw:
        assert slow.read().endswith(b"hello")


def test_slow_handshakes_delay_nobody(server: RunningServer, authority: Authority) -> None:
    slow = [Wire(server, authority) for _ in range(20)]
    for wire in slow:
        with pytest.raises(ssl.SSLWantReadError):
            wire.tls.do_handshake()
        wire.raw.send(wire.outgoing.read()[:100])
    for _ in range(3):
        assert is_served(server, authority)
    for wire in slow:
        wire.raw.close()


@linux
@pytest.mark.parametrize(
    ("start", "more"),
    [
        # A ClientHello of 131,066 octets, followed by more than that; and records without content.
        (
            b"\x16\x03\x01\x40\x00\x01\x01\xff\xfa" + bytes(16380),
            b"\x16\x03\x01\x40\x00" + bytes(16384),
        ),
        (b"", b"\x16\x03\x01\x00\x00" * 3000),
    ],
    ids=["large", "empty"],
)
def test_a_flood_in_place_of_a_handshake_is_ended(
    server: RunningServer, authority: Authority, start: bytes, more: bytes
) -> None:
    with Raw.connect(server) as raw:
        raw.send(start)

        def flood() -> None:
            for _ in range(1000):
                raw.send(more)

        with pytest.raises(ConnectionError):
            flood()
    server.wait_for_log("TLS handshake failed")
    assert is_served(server, authority)


@linux
def test_handshakes_take_the_places_of_connections(authority: Authority) -> None:
    with serve(APP, *options(authority, "--limit-connections", "3")) as server:
        silent = [Raw.connect(server) for _ in range(2)]
        begun = Wire(server, authority)
        with pytest.raises(ssl.SSLWantReadError):
            begun.tls.do_handshake()
        begun.raw.send(begun.outgoing.read())
        begun.incoming.write(begun.raw.sock.recv(65536))
        refused = Wire(server, authority)
        refused.shake()
        assert b" 503 " in refused.read()
        refused.raw.close()
        begun.shake()  # which has its place
        begun.raw.send(begun.write(HELLO))
        assert begun.read().endswith(b"hello")
        begun.raw.close()
        for raw in silent:
            raw.close()


# Ends.


@pytest.mark.parametrize("cut", [1, 5, 20, -1])
def test_a_record_that_is_cut_short_is_not_delivered(
    server: RunningServer, authority: Authority, cut: int
) -> None:
    name = unused_name()
    wire = Wire(server, authority)
    wire.shake()
    wire.raw.send(
        wire.write(
            f"GET /listen?{name} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
    )
    wire.raw.send(wire.write(frame(TEXT, b"whole")))
    wire.raw.send(wire.write(frame(TEXT, b"cut"))[:cut])
    wire.raw.sock.shutdown(socket.SHUT_WR)
    events = Desk(server, authority.client()).report(name)["events"]
    assert [event["type"] for event in events] == ["websocket.receive", "websocket.disconnect"]
    assert events[0]["text"] == "whole"
    assert events[1]["code"] == 1006
    wire.raw.close()


def test_an_upload_that_is_cut_short_is_no_whole_one(
    server: RunningServer, authority: Authority
) -> None:
    """As somebody in the middle could do it: TCP ends, TLS does not."""
    name = unused_name()
    wire = Wire(server, authority)
    wire.shake()
    head = f"POST /upload?{name} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    wire.raw.send(wire.write(head.encode() + b"u" * 500))
    wire.raw.sock.shutdown(socket.SHUT_WR)
    report = Desk(server, authority.client()).report(name)
    assert report["raised"] == "Gone"
    wire.raw.close()


def test_both_sides_say_that_they_close(server: RunningServer, authority: Authority) -> None:
    with Raw.connect(server) as raw:
        sock = authority.client().wrap_socket(
            raw.sock, server_hostname="localhost", suppress_ragged_eofs=False
        )
        raw.sock = sock
        raw.send(HELLO)
        assert raw.response().body == b"hello"
        assert sock.recv(1) == b""  # close_notify: without it, this would be an SSLEOFError
        sock.unwrap()  # ours


# OpenSSL's client, and curl.


class Dialogue:
    """`openssl s_client` with a server; a line of one letter is a command to it."""

    def __init__(self, server: RunningServer, *more: str) -> None:
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def say(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def wait_for(self, text: bytes) -> None:
        for line in self.stdout:
            if text in line:
                return
        raise AssertionError(f"{text!r} did not come")

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


@needs_openssl
@pytest.mark.parametrize("command", [b"k", b"K"], ids=["its own", "and ours"])
def test_keys_are_updated_within_a_connection(server: RunningServer, command: bytes) -> None:
    with Dialogue(server, "-tls1_3") as client:
        for _ in range(3):
            client.say(command + b"\n")
            client.wait_for(b"KEYUPDATE")
            client.say(b"GET /hello?k HTTP/1.1\r\nHost: x\r\n\r\n")
            client.wait_for(b"HTTP/1.1 200")
            client.wait_for(b"x-hello: 1")


@needs_openssl
def test_a_renegotiation_is_refused(server: RunningServer, authority: Authority) -> None:
    with Dialogue(server, "-tls1_2") as client:
        client.wait_for(b"Verify return code")
        client.say(b"R\n")
        client.wait_for(b"RENEGOTIATING")
        client.wait_for(b"no renegotiation")
        assert client.process.wait(25) != 0
    assert is_served(server, authority)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_uses_its_connection_again(
    server: RunningServer, authority: Authority, version: str, tmp_path: Path
) -> None:
    file = tmp_path / "body"
    file.write_bytes(os.urandom(300_000))
    url = f"https://localhost:{server.port}"
    command = ["curl", "-sS", "--noproxy", "*", "--cacert", authority.roots, "-4"]
    command += ["--tls-max", version, "-w", "%{num_connects}\n"]
    done = subprocess.run(
        [*command, "--data-binary", f"@{file}", f"{url}/upload?x", f"{url}/upload?y"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    decoder = json.JSONDecoder()
    answer, end = decoder.raw_decode(done.stdout.decode())
    assert answer["sum"] == sum(file.read_bytes())
    assert answer["size"] == 300_000
    assert done.stdout.decode()[end:].startswith("1\n")
    assert done.stdout.endswith(b"0\n")  # no new connection for the second one
