"""The TLS context: what it allows, and what is said of files that cannot be used."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from asgiws.config import Config
from asgiws.server.tls import CertificateError, make_context

PASSWORD = "geheim"


class Files:
    """Certificates and keys as files."""

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        issued = self.ca.issue_cert("localhost")
        other = self.ca.issue_cert("localhost")
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        key = issued.private_key_pem.bytes()
        encrypted = load_pem_private_key(key, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode())
        )
        for name, content in {
            "cert": chain,
            "key": key,
            "both": key + chain,
            "encrypted": encrypted,
            "other": other.private_key_pem.bytes(),
            "text": b"hello\n",
            "broken": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        }.items():
            (directory / name).write_bytes(content)
        self.directory = directory

    def context(self, cert: str | None, key: str | None = None, password: str | None = None) -> Any:
        return make_context(
            Config(
                "main:app",
                ssl_certfile=None if cert is None else str(self.directory / cert),
                ssl_keyfile=None if key is None else str(self.directory / key),
                ssl_keyfile_password=password,
            )
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[str | None, str | None]:
    """The version and the protocol that both agree on."""
    ours, theirs = socket.socketpair()

    def accept() -> None:
        try:
            with server.wrap_socket(ours, server_side=True) as sock:
                sock.recv(1)
        except OSError:
            ours.close()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        with client.wrap_socket(theirs, server_hostname="localhost") as sock:
            sock.sendall(b"x")
            return sock.version(), sock.selected_alpn_protocol()
    finally:
        theirs.close()
        thread.join()


def client_context(files: Files) -> ssl.SSLContext:
    context = ssl.create_default_context()
    files.ca.configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def test_without_a_certificate_there_is_no_tls(files: Files) -> None:
    assert files.context(None) is None


@pytest.mark.parametrize(
    "given",
    [("cert", "key"), ("both",), ("cert", "encrypted", PASSWORD), ("cert", "key", "unused")],
)
def test_a_certificate_that_clients_trust(files: Files, given: Any) -> None:
    version, protocol = handshake(files.context(*given), client_context(files))
    assert version in ("TLSv1.2", "TLSv1.3")
    assert protocol == "http/1.1"


def test_nothing_below_tls_1_2(files: Files) -> None:
    assert files.context("both").minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("none", "key"), r"cannot read the certificate '.*none': no such file or directory"),
        (("cert", "none"), r"cannot read the private key '.*none': no such file or directory"),
        ((".", "key"), r"cannot read the certificate '.*': is a directory"),
        (("text", "key"), r"there is no certificate in PEM form in '.*text'"),
        (("cert", "text"), r"there is no private key in PEM form in '.*text'"),
        (("cert",), r"there is no private key in PEM form in '.*cert'"),
        (("cert", "other"), r"the key in '.*other' does not belong to the certificate '.*cert'"),
        (
            ("cert", "encrypted"),
            r"the key in '.*encrypted' is encrypted: give --ssl-keyfile-password",
        ),
        (("cert", "encrypted", "x"), r"the password for the key in '.*encrypted' is wrong"),
        (("broken", "key"), r"cannot use the certificate '.*broken' with the key in '.*key': "),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(files: Files, given: Any, text: str) -> None:
    with pytest.raises(CertificateError, match=f"^{text}") as caught:
        files.context(*given)
    assert "\n" not in str(caught.value)
