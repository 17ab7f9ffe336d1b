"""TLS sessions that clients resume: with any worker, and after a new certificate.

The clients are Python's ssl and OpenSSL's s_client. How many sessions were resumed is what they say themselves.
"""

from __future__ import annotations

import re
import shutil
import signal
import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.pki import Authority, replace
from tests.support.raw import Raw
from tests.support.server import RunningServer, serve

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs workers and SIGHUP")

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
each_version = pytest.mark.parametrize("version", VERSIONS)
READY = re.compile(r"Worker \d+ \((\d+)\) is ready")
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def options(authority: Authority, *more: str) -> tuple[str, ...]:
    return ("--ssl-certfile", authority.certificate, "--ssl-keyfile", authority.key, *more)


class Visit(NamedTuple):
    """One connection: the process that has served it, whether it has resumed a session, the session that it
    got, and the server's certificate."""

    pid: int
    resumed: bool
    session: ssl.SSLSession | None
    certificate: bytes | None


class Visitor:
    """A client, all of whose connections stay open, so that the next one meets another worker."""

    def __init__(self, stack: ExitStack, server: RunningServer, context: ssl.SSLContext) -> None:
        self.stack = stack
        self.server = server
        self.context = context

    def visit(self, session: ssl.SSLSession | None = None) -> Visit:
        raw = self.stack.enter_context(Raw.connect(self.server))
        sock = self.context.wrap_socket(raw.sock, server_hostname="localhost", session=session)
        raw.sock = sock
        pid = raw.request(REQUEST).json()[0]
        certificate = sock.getpeercert(True)
        return Visit(pid, bool(sock.session_reused), sock.session, certificate)


def trust(authority: Authority, version: str) -> ssl.SSLContext:
    context = authority.client()
    context.maximum_version = VERSIONS[version]
    return context


@each_version
def test_every_worker_resumes_the_session_of_another(authority: Authority, version: str) -> None:
    with (
        serve("workers_app:app", *options(authority, "--workers", "3")) as server,
        ExitStack() as stack,
    ):
        visitor = Visitor(stack, server, trust(authority, version))
        first = visitor.visit()
        assert not first.resumed
        met = {first.pid}
        while len(met) < 3:
            again = visitor.visit(first.session)
            assert again.resumed
            met.add(again.pid)
        text = server.stderr()
    assert "Sessions are resumed" not in text


@each_version
def test_sessions_outlive_workers_that_are_replaced(authority: Authority, version: str) -> None:
    with (
        serve("workers_app:app", *options(authority, "--workers", "2")) as server,
        ExitStack() as stack,
    ):
        visitor = Visitor(stack, server, trust(authority, version))
        first = visitor.visit()
        authority.renew()
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Replaced 2 workers")
        fresh = READY.findall(server.stderr())[2:]
        again = first
        while str(again.pid) not in fresh:  # one that was told to stop may still accept
            again = visitor.visit(first.session)
            assert again.resumed


@each_version
def test_a_renewed_certificate_ends_no_session(authority: Authority, version: str) -> None:
    with serve("workers_app:app", *options(authority)) as server, ExitStack() as stack:
        visitor = Visitor(stack, server, trust(authority, version))
        first = visitor.visit()
        authority.renew()
        server.wait_for_log("was reloaded")
        assert visitor.visit(first.session).resumed
        # It is the new certificate that others are shown.
        shown = visitor.visit()
        assert not shown.resumed
        assert shown.certificate != first.certificate


def test_an_authority_that_is_trusted_no_longer_ends_them(
    authority: Authority, tmp_path: Path
) -> None:
    asking = ("--ssl-ca-certs", authority.roots, "--ssl-cert-reqs", "required")
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    with serve("workers_app:app", *options(authority, *asking)) as server, ExitStack() as stack:
        visitor = Visitor(stack, server, authority.client(authority.issue(common_name="device")))
        session = visitor.visit().session
        assert visitor.visit(session).resumed
        replace(authority.roots, Path(other.roots).read_bytes())
        server.wait_for_log("was reloaded")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            visitor.visit(session)
        server.wait_for_log("its certificate was refused")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@each_version
def test_openssls_client_resumes(authority: Authority, tmp_path: Path, version: str) -> None:
    file = str(tmp_path / "session")
    with serve("workers_app:app", *options(authority, "--workers", "2")) as server:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}"]
        command += ["-CAfile", authority.roots, "-servername", "localhost", "-ign_eof"]
        command += [f"-tls{version.replace('.', '_')}"]

        def run(*more: str) -> str:
            done = subprocess.run(
                [*command, *more],
                input=REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
                stdout=subprocess.PIPE,
                check=True,
                timeout=30,
            )
            return done.stdout.decode()

        assert f"New, TLSv{version}" in run("-sess_out", file)
        for _ in range(6):
            assert f"Reused, TLSv{version}" in run("-sess_in", file)
        if version == "1.2":  # where s_client connects six times by itself
            assert run("-reconnect").count("Reused, TLSv1.2") == 5
