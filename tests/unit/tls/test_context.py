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
from asgiws.tls.context import CertificateError, make_context

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
            "chain": chain + other.cert_chain_pems[0].bytes(),
            "roots": self.ca.cert_pem.bytes(),
            "encrypted": encrypted,
            "other": other.private_key_pem.bytes(),
            "text": b"hello\n",
            "broken": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        }.items():
            (directory / name).write_bytes(content)
        self.directory = directory
        self.own = issued.cert_chain_pems[0].bytes().decode()

    def context(
        self,
        cert: str | None,
        key: str | None = None,
        password: str | None = None,
        **options: Any,
    ) -> Any:
        return make_context(
            Config(
                "main:app",
                ssl_certfile=None if cert is None else str(self.directory / cert),
                ssl_keyfile=None if key is None else str(self.directory / key),
                ssl_keyfile_password=password,
                **options,
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


def test_only_tls_1_3_where_that_is_asked_for(files: Files) -> None:
    client = client_context(files)
    assert handshake(files.context("both", ssl_minimum_version="TLSv1.3"), client)[0] == "TLSv1.3"
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(files.context("both", ssl_minimum_version="TLSv1.3"), client)


def test_the_ciphers_are_those_that_were_asked_for(files: Files) -> None:
    context = files.context("both", ssl_ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    names = [item["name"] for item in context.get_ciphers()]
    assert [name for name in names if not name.startswith("TLS_")] == [
        "ECDHE-ECDSA-AES128-GCM-SHA256"
    ]
    assert context.suites["ECDHE-ECDSA-AES128-GCM-SHA256"] == 0xC02B
    assert context.suites["TLS_AES_128_GCM_SHA256"] == 0x1301


@pytest.mark.parametrize(
    ("word", "mode"), [("optional", ssl.CERT_OPTIONAL), ("required", ssl.CERT_REQUIRED)]
)
def test_clients_are_asked_for_certificates(files: Files, word: str, mode: int) -> None:
    roots = str(files.directory / "roots")
    context = files.context("both", ssl_cert_reqs=word, ssl_ca_certs=roots)
    assert context.verify_mode == mode
    assert context.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 1}
    # Not those that the system trusts for servers: anybody can have a certificate of theirs.
    assert files.context("both").cert_store_stats()["x509"] == 0
    assert files.context("both").verify_mode == ssl.CERT_NONE


def test_the_servers_own_certificate_is_the_first_one_of_its_file(files: Files) -> None:
    own = ssl.PEM_cert_to_DER_cert(files.own)
    for name in ("both", "chain"):
        context = files.context(name, "key")
        assert ssl.PEM_cert_to_DER_cert(context.certificate) == own


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ssl_ciphers": "NONSENSE"}, r"--ssl-ciphers: OpenSSL knows no cipher in 'NONSENSE'$"),
        ({"ssl_ca_certs": "none"}, r"cannot read the CA certificate '.*none': no such file or dir"),
        ({"ssl_ca_certs": "text"}, r"there is no CA certificate in PEM form in '.*text'$"),
        ({"ssl_ca_certs": "broken"}, r"cannot use the CA certificates in '.*broken': "),
    ],
)
def test_other_options_that_cannot_be_are_told_in_one_line(
    files: Files, options: Any, text: str
) -> None:
    if "ssl_ca_certs" in options:
        path = str(files.directory / options["ssl_ca_certs"])
        options = {"ssl_cert_reqs": "required", "ssl_ca_certs": path}
    with pytest.raises(CertificateError, match=f"^{text}") as caught:
        files.context("both", **options)
    assert "\n" not in str(caught.value)
