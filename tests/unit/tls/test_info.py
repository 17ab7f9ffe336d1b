"""The content of the `tls` extension, from real handshakes."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from asgiws.tls.context import make_context
from asgiws.tls.info import describe
from tests.support.pki import Authority, connect


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def server(authority: Authority, asking: str = "none", **options: Any) -> ssl.SSLContext:
    if asking != "none":
        options |= {"ssl_ca_certs": authority.roots, "ssl_cert_reqs": asking}
    context = make_context(authority.config(**options))
    assert context is not None
    return context


def pem(blob: trustme.Blob) -> str:
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(blob.bytes().decode()))


@pytest.mark.parametrize("asking", ["none", "optional"])
def test_a_client_without_a_certificate(authority: Authority, asking: str) -> None:
    here, _ = connect(server(authority, asking), authority.client())
    certificate = Path(authority.certificate).read_text()
    assert describe(here) == {
        "server_cert": ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(certificate)),
        "client_cert_chain": (),
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1302,  # TLS_AES_256_GCM_SHA384, RFC 8446, B.4
    }


@pytest.mark.parametrize(
    ("name", "number"),
    [("ECDHE-ECDSA-AES128-GCM-SHA256", 0xC02B), ("ECDHE-ECDSA-CHACHA20-POLY1305", 0xCCA9)],
)
def test_tls_1_2(authority: Authority, name: str, number: int) -> None:
    client = authority.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    here, _ = connect(server(authority, ssl_ciphers=name), client)
    content = describe(here)
    assert content["tls_version"] == 0x0303
    assert content["cipher_suite"] == number


def test_a_certificate_that_the_client_was_not_asked_for_is_not_seen(authority: Authority) -> None:
    here, _ = connect(server(authority), authority.client(authority.issue()))
    assert describe(here)["client_cert_chain"] == ()


@pytest.mark.parametrize("asking", ["optional", "required"])
def test_a_client_certificate(authority: Authority, asking: str) -> None:
    issued = authority.issue(common_name="device, 7", organization_name="Example")
    here, _ = connect(server(authority, asking), authority.client(issued))
    content = describe(here)
    # The client sends the root too.
    assert content["client_cert_chain"] == tuple(
        map(pem, (issued.cert_chain_pems[0], authority.ca.cert_pem))
    )
    assert content["client_cert_name"].startswith("CN=device\\, 7,OU=")
    assert content["client_cert_name"].endswith(",O=Example")
    assert content["client_cert_error"] is None


def test_the_chain_is_what_was_sent_and_has_signed(authority: Authority, tmp_path: Path) -> None:
    issued = authority.ca.create_child_ca().issue_cert("me@example.org")
    own, between = issued.cert_chain_pems
    # The last one has signed nothing here, and need not be believed.
    sent = tmp_path / "sent.pem"
    for blob in (own, between, trustme.CA().cert_pem):
        blob.write_to_path(sent, append=True)
    issued.private_key_pem.write_to_path(tmp_path / "own.key")
    client = authority.client()
    client.load_cert_chain(sent, tmp_path / "own.key")
    here, _ = connect(server(authority, "required"), client)
    assert describe(here)["client_cert_chain"] == (pem(own), pem(between))


def test_a_resumed_session_has_the_clients_own_certificate(authority: Authority) -> None:
    context = server(authority, "required")
    issued = authority.ca.create_child_ca().issue_cert("me@example.org", common_name="me")
    client = authority.client(issued)
    here, there = connect(context, client)
    first = describe(here)
    here, there = connect(context, client, there.session)
    assert there.session_reused
    again = describe(here)
    assert len(first["client_cert_chain"]) == 2
    assert again["client_cert_chain"] == first["client_cert_chain"][:1]
    assert again["client_cert_name"] == first["client_cert_name"]


def test_under_another_context_less_is_known(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    content = describe(connect(context, authority.client())[0])
    assert content["server_cert"] is None
    assert content["cipher_suite"] is None
    assert content["tls_version"] == 0x0304
