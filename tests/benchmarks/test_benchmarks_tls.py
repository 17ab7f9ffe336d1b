"""The load generator over TLS: handshakes, sessions that are resumed, and what is wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.tls import Certificate, make

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!"


class Server:
    """A server of one connection after another: each request gets `answer`. `greeting` is sent before."""

    def __init__(
        self, context: Callable[[], ssl.SSLContext], answer: bytes, greeting: bytes
    ) -> None:
        self.context, self.answer, self.greeting = context, answer, greeting
        self.handshakes = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                self.converse(connection)

    def converse(self, connection: socket.socket) -> None:
        with self.context().wrap_socket(connection, server_side=True) as stream:
            self.handshakes += 1
            if self.greeting:
                stream.sendall(self.greeting)
            while stream.recv(65536):
                if not self.answer:
                    return
                stream.sendall(self.answer)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def context(certificate: Certificate) -> Callable[..., ssl.SSLContext]:
    def made(tickets: int = 2) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        context.num_tickets = tickets
        return context

    return made


@pytest.fixture
def against(openssl: Path) -> Iterator[Callable[..., dict]]:
    """What the load generator prints of a Server, with the handshakes that the server saw."""
    servers: list[Server] = []

    def run(
        mode: str, context: Callable[[], ssl.SSLContext], answer: bytes = OK, greeting: bytes = b""
    ) -> dict:
        server = Server(context, answer, greeting)
        servers.append(server)
        command = [str(openssl), mode, "-T", "-p", str(server.port), "-w", "0", "-t", "0.1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
        said = json.loads(done.stdout)
        assert done.returncode == ("error" in said), done
        return {**said, "handshakes": server.handshakes}

    yield run
    for server in servers:
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        server.thread.join()


@pytest.mark.parametrize("mode", ["handshake", "resume", "http"])
def test_what_is_right_passes(against, context, mode):
    context = context()
    said = against(mode, lambda: context)
    assert "error" not in said
    assert said["messages"] > 1
    if mode == "resume":
        assert said["resumed"] == said["messages"]
        assert said["not_resumed"] == 0
    if mode != "http":
        assert said["handshakes"] >= said["messages"]


def test_a_wrong_body_is_named(against, context):
    said = against("http", context, OK.replace(b"world", b"World"))
    assert said["error"] == "a body that is not the one expected"


def test_a_server_that_talks_of_itself_is_named(against, context):
    said = against("handshake", context, greeting=b"hello")
    assert said["error"] == "the server sent something that nobody asked for"


def test_a_server_without_tickets_is_named(against, context):
    said = against("resume", lambda: context(tickets=0), answer=b"")
    assert said["error"] == "the server sent no ticket"


def test_tickets_that_are_refused_are_named(against, context):
    # Each connection has a context, and so a key for its tickets, of its own.
    assert against("resume", context)["error"].startswith("tickets are refused")


def test_another_version_of_tls_is_named(against, context):
    old = context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert against("handshake", lambda: old)["error"].startswith("the TLS handshake failed: ")
