"""TLS in operation: certificates of clients, the `tls` extension, new certificates while the server runs.

The clients are real ones: Python's ssl, httpx, websockets, `openssl s_client` and curl where they are there.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from websockets.asyncio.client import connect

from asgiws.server import loops
from tests.support.pki import Authority, replace
from tests.support.raw import Desk, Raw, close_frame, unused_name
from tests.support.server import RunningServer, serve, start

APP = "apps:app"
LOOPS = ["asyncio", *(["uvloop"] if loops.uvloop_version() else [])]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "tls.md"
each_loop = pytest.mark.parametrize("loop", LOOPS)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def options(authority: Authority, *more: str) -> tuple[str, ...]:
    return ("--ssl-certfile", authority.certificate, "--ssl-keyfile", authority.key, *more)


def secured(server: RunningServer, trust: ssl.SSLContext) -> Raw:
    raw = Raw.connect(server)
    raw.sock = trust.wrap_socket(raw.sock, server_hostname="localhost")
    return raw


def shown(server: RunningServer, authority: Authority) -> str:
    """The certificate that a new client is shown, as PEM."""
    with secured(server, authority.client()) as raw:
        der = raw.sock.getpeercert(True)  # type: ignore[attr-defined]
        raw.send(b"GET /hello?x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert raw.read_all().endswith(b"hello")
        return ssl.DER_cert_to_PEM_cert(der)


# The extension


@each_loop
def test_the_tls_extension_in_both_kinds_of_scope(loop: str, authority: Authority) -> None:
    asking = ("--ssl-ca-certs", authority.roots, "--ssl-cert-reqs", "optional")
    with serve(APP, *options(authority, *asking, "--loop", loop)) as server:
        trust = authority.client(authority.issue(common_name="device 7"))
        name = unused_name()
        with secured(server, trust) as raw:
            raw.upgrade(f"/listen?{name}")
            raw.send(close_frame(1000))
            raw.close_frame()
        desk = Desk(server, trust)
        http = desk.ask(f"/scope?{unused_name()}")["extensions"]["tls"]
        assert desk.report(name)["scope"]["extensions"]["tls"] == http
        assert http["server_cert"] == shown(server, authority)
        assert http["client_cert_chain"][0].startswith("-----BEGIN CERTIFICATE-----\n")
        assert http["client_cert_name"].startswith("CN=device 7,OU=")
        assert http["client_cert_error"] is None
        assert http["tls_version"] == 0x0304
        assert http["cipher_suite"] in (0x1301, 0x1302, 0x1303)
        # Who has no certificate is let in, and nothing is said of one.
        none = Desk(server, authority.client()).ask(f"/scope?{unused_name()}")["extensions"]["tls"]
        assert none["client_cert_name"] is None
        assert none["client_cert_chain"] == []


def test_without_tls_there_is_no_extension() -> None:
    with serve(APP) as server:
        assert "tls" not in Desk(server).ask(f"/scope?{unused_name()}")["extensions"]


def test_requests_of_one_connection_are_told_the_same(authority: Authority) -> None:
    with serve(APP, *options(authority)) as server, secured(server, authority.client()) as raw:
        request = f"GET /scope?{unused_name()} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        first, second = (raw.request(request).json()["extensions"]["tls"] for _ in range(2))
        assert first == second
        assert first["tls_version"] == 0x0304


# Who gets in


@each_loop
async def test_a_client_certificate_that_is_required(loop: str, authority: Authority) -> None:
    asking = ("--ssl-ca-certs", authority.roots, "--ssl-cert-reqs", "required")
    with serve(APP, *options(authority, *asking, "--loop", loop)) as server:
        good = authority.client(authority.issue(common_name="me"))
        url = f"https://localhost:{server.port}/hello?x"
        async with httpx.AsyncClient(verify=good, trust_env=False) as client:
            assert (await client.get(url)).text == "hello"
        async with connect(
            f"wss://localhost:{server.port}/echo?{unused_name()}",
            ssl=good,
            host=server.host,
            proxy=None,
        ) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        for trust in (authority.client(), authority.client(Authority.stranger())):
            async with httpx.AsyncClient(verify=trust, trust_env=False) as client:
                with pytest.raises((httpx.TransportError, ssl.SSLError)):  # an alert says so
                    await client.get(url)
        server.wait_for_log(
            r"INFO +127\.0\.0\.1:\d+ - TLS handshake failed: it has sent no certificate \(TLS handshake\)\n"
        )
        server.wait_for_log(
            r"INFO +127\.0\.0\.1:\d+ - TLS handshake failed: its certificate was refused: "
            r"unable to get local issuer certificate \(TLS handshake\)\n"
        )


@each_loop
def test_who_does_not_finish_its_handshake_in_time_is_dropped(
    loop: str, authority: Authority
) -> None:
    late = ("--ssl-handshake-timeout", "200ms", "--loop", loop)
    with serve(APP, *options(authority, *late)) as server:
        with Raw.connect(server) as raw:
            assert raw.read_all() == b""
        server.wait_for_log(
            r"TLS handshake failed: it took longer than 0\.2 seconds \(ssl_handshake_timeout\)\n"
        )


def test_an_old_client_is_refused(authority: Authority) -> None:
    with serve(APP, *options(authority, "--ssl-minimum-version", "TLSv1.3")) as server:
        old = authority.client()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with Raw.connect(server) as raw, pytest.raises(ssl.SSLError):
            old.wrap_socket(raw.sock, server_hostname="localhost")
        server.wait_for_log(r"failed: it offers no TLS version that is allowed \(TLS handshake\)\n")
        shown(server, authority)


# New certificates


@each_loop
async def test_new_files_serve_new_connections_and_open_ones_stay(
    loop: str, authority: Authority
) -> None:
    with serve(APP, *options(authority, "--loop", loop)) as server:
        first = shown(server, authority)
        async with connect(
            f"wss://localhost:{server.port}/echo?{unused_name()}",
            ssl=authority.client(),
            host=server.host,
            proxy=None,
        ) as socket:
            kept = secured(server, authority.client())
            request = f"GET /scope?{unused_name()} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
            assert kept.request(request).json()["extensions"]["tls"]["server_cert"] == first
            authority.renew()
            server.wait_for_log(
                r"The certificate '.*certificate\.pem' was reloaded; it is valid until 3000-"
            )
            assert shown(server, authority) != first
            for message in ("still", "here"):
                await socket.send(message)
                assert await socket.recv() == message
            # It is told of the certificate that it was shown.
            assert kept.request(request).json()["extensions"]["tls"]["server_cert"] == first
            kept.close()
            fresh = Desk(server, authority.client()).ask(f"/scope?{unused_name()}")
            assert fresh["extensions"]["tls"]["server_cert"] == shown(server, authority)


@each_loop
def test_hangup_loads_the_files_and_a_broken_pair_changes_nothing(
    loop: str, authority: Authority
) -> None:
    with serve(APP, *options(authority, "--loop", loop)) as server:
        first = shown(server, authority)
        replace(authority.key, authority.issue().private_key_pem.bytes())
        server.send_signal(signal.SIGHUP)
        server.wait_for_log(
            r"ERROR +Keeping the certificate in use: the key in '.*' does not belong to the "
            r"certificate '.*'\n"
        )
        assert shown(server, authority) == first
        authority.renew()
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("was reloaded")
        assert shown(server, authority) != first


# What is said of files


def test_an_expired_certificate_is_a_warning_with_the_date(tmp_path: Path) -> None:
    end = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=3)
    authority = Authority(tmp_path, not_after=end)
    with serve(APP, *options(authority)) as server:
        server.wait_for_log(
            f"WARNING +The certificate '.*' has expired: it was valid until "
            f"{end:%Y-%m-%d %H:%M:%S} UTC\n"
        )


def encrypt(path: str, password: str) -> None:
    key = load_pem_private_key(Path(path).read_bytes(), None)
    text = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())
    )
    Path(path).write_bytes(text)


def test_a_password_from_the_environment(authority: Authority) -> None:
    encrypt(authority.key, "geheim")
    env = {"ASGIWS_SSL_KEYFILE_PASSWORD": "geheim"}
    with serve(APP, *options(authority), env=env) as server:
        shown(server, authority)
        # It is there for the next certificate too.
        authority.renew()
        encrypt(authority.key, "geheim")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("was reloaded")
    assert "geheim" not in server.stderr()


@pytest.mark.parametrize(
    ("password", "text"),
    [
        ("wrong", "the password for the key in '.*' is wrong"),
        (None, "the key in '.*' is encrypted: give --ssl-keyfile-password"),
    ],
)
def test_a_wrong_password_is_one_line(
    authority: Authority, password: str | None, text: str
) -> None:
    encrypt(authority.key, "geheim")
    env = {} if password is None else {"ASGIWS_SSL_KEYFILE_PASSWORD": password}
    server = start(APP, *options(authority), env=env)
    assert server.wait() == 1
    stderr = server.stderr()
    server.close()
    assert re.fullmatch(f"Error: {text}\n", stderr)


# Other clients, and the page


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_openssl_as_a_client(authority: Authority) -> None:
    asking = ("--ssl-ca-certs", authority.roots, "--ssl-cert-reqs", "required")
    issued = authority.issue(common_name="openssl")
    both = Path(authority.roots).with_name("client.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(both)
    with serve(APP, *options(authority, *asking)) as server:
        where = f"localhost:{server.port}"
        call = ["openssl", "s_client", "-connect", where, "-CAfile", authority.roots, "-quiet"]
        call += ["-verify_return_error", "-cert", str(both), "-key", str(both), "-ign_eof"]
        request = f"GET /hello?{unused_name()} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        result = run(call, request)
        assert result.endswith("\n\nhello")
        offer = ["openssl", "s_client", "-connect", where, "-CAfile", authority.roots]
        offer += ["-cert", str(both), "-key", str(both), "-alpn", "h2,http/1.1"]
        assert "\nALPN protocol: http/1.1\n" in run(offer, "")


def run(call: list[str], text: str = "", cwd: Path | None = None) -> str:
    result = subprocess.run(
        call, input=text, capture_output=True, text=True, timeout=30, check=False, cwd=cwd
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(
    shutil.which("openssl") is None or shutil.which("curl") is None,
    reason="there is no openssl, or no curl",
)
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    page = PAGE.read_text("utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    blocks = {kind: [text for one, text in fences if one == kind] for kind, _ in fences}
    (program,) = blocks["python"]
    (tmp_path / "who.py").write_text(program, "utf-8")
    answers = blocks[""]
    served: Any = None
    asked = 0
    try:
        for block in blocks["sh"]:
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line)
                if words[0] == "openssl":
                    run(words, cwd=tmp_path)
                elif words[0] == "asgiws":
                    if served is not None:
                        served.__exit__(None, None, None)
                    served = serve(*words[1:], cwd=tmp_path)
                    server = served.__enter__()
                elif words[0] == "curl":
                    words = [word.replace(":8000", f":{server.port}") for word in words]
                    assert (
                        run([*words, "--silent", "--noproxy", "*"], cwd=tmp_path) == answers[asked]
                    )
                    asked += 1
                elif words[:2] == ["kill", "-HUP"]:
                    os.kill(server.process.pid, signal.SIGHUP)
                    server.wait_for_log("was reloaded")
                else:
                    raise AssertionError(f"nobody runs {line!r}")
    finally:
        if served is not None:
            served.__exit__(None, None, None)
    assert asked == len(answers) == 2
