"""The keys of session tickets, by whether real clients resume their sessions."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgiws.tls import openssl
from asgiws.tls.context import ServerContext, make_context
from asgiws.tls.tickets import LIFE, Tickets
from tests.support.pki import Authority, connect

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
each_version = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def worker(secret: bytes, authority: Authority, asking: str = "none") -> ServerContext:
    """The context of a worker that has that secret, from the files as they are now."""
    options: dict[str, Any] = {}
    if asking != "none":
        options = {"ssl_ca_certs": authority.roots, "ssl_cert_reqs": asking}
    context = make_context(authority.config(**options))
    assert context is not None
    assert Tickets.unpacked(secret).use(context)
    return context


def resumes(first: ssl.SSLContext, second: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Whether a client that has met the first one resumes its session with the second."""
    _, there = connect(first, client)
    here, there = connect(second, client, there.session)
    assert bool(here.session_reused) == bool(there.session_reused)
    return bool(there.session_reused)


def client(authority: Authority, version: ssl.TLSVersion, **facts: Any) -> ssl.SSLContext:
    context = authority.client(authority.issue(**facts) if facts else None)
    context.maximum_version = version
    return context


@each_version
def test_a_session_is_resumed_by_another_worker(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    secret = Tickets.fresh().packed()
    one, other = worker(secret, authority), worker(secret, authority)
    assert resumes(one, other, client(authority, version))
    stranger = worker(Tickets.fresh().packed(), authority)
    assert not resumes(one, stranger, client(authority, version))


@each_version
def test_a_session_is_resumed_under_a_renewed_certificate(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    secret = Tickets.fresh().packed()
    before = worker(secret, authority)
    authority.renew()
    after = worker(secret, authority)
    assert before.certificate != after.certificate
    assert resumes(before, after, client(authority, version))


@each_version
def test_no_session_is_resumed_under_a_certificate_with_other_names(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    authority = Authority(tmp_path)
    secret = Tickets.fresh().packed()
    before = worker(secret, authority)
    issued = authority.ca.issue_cert("localhost", "other.example")
    issued.private_key_pem.write_to_path(authority.key)
    issued.cert_chain_pems[0].write_to_path(authority.certificate)
    assert not resumes(before, worker(secret, authority), client(authority, version))


@each_version
def test_no_session_outlives_the_authority_of_its_client(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    secret = Tickets.fresh().packed()
    device = client(authority, version, common_name="device")
    before = worker(secret, authority, "required")
    assert resumes(before, worker(secret, authority, "required"), device)
    session = connect(before, device)[1].session
    (tmp_path / "other").mkdir()
    authority.roots = Authority(tmp_path / "other").roots
    after = worker(secret, authority, "required")
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed certificate"):
        connect(after, device, session)


@each_version
def test_no_session_without_a_certificate_is_resumed_where_one_is_required(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    secret = Tickets.fresh().packed()
    nobody = client(authority, version)
    session = connect(worker(secret, authority, "optional"), nobody)[1].session
    assert connect(worker(secret, authority, "optional"), nobody, session)[1].session_reused
    with pytest.raises(ssl.SSLError, match="peer did not return a certificate"):
        connect(worker(secret, authority, "required"), nobody, session)


@each_version
def test_a_ticket_lasts_until_the_keys_change(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    tickets = Tickets.fresh()
    context = make_context(authority.config())
    assert context is not None
    tickets.use(context)
    trust = client(authority, version)
    session = connect(context, trust)[1].session
    assert not tickets.turn(time.monotonic() + LIFE / 2)
    assert tickets.turn(time.monotonic() + LIFE)
    tickets.use(context)
    assert not connect(context, trust, session)[1].session_reused
    assert resumes(context, context, trust)


def test_all_change_to_the_same_keys_and_never_back() -> None:
    one = Tickets(b"s" * 32, 1000.0)
    other = Tickets(b"s" * 32, 1000.0)
    seen = {one.keys(b"", 80)}
    for now in (1000.0 + LIFE, 1000.0 + 2 * LIFE, 1000.0 + 3 * LIFE + 1):
        assert one.turn(now)
        assert not one.turn(now)
        seen.add(one.keys(b"", 80))
    assert other.turn(1000.0 + 3 * LIFE)  # it has slept
    assert other.keys(b"", 80) == one.keys(b"", 80)
    assert len(seen) == 4


def test_another_process_gets_what_is_due() -> None:
    old = Tickets(b"s" * 32, time.monotonic() - 1.5 * LIFE)
    later = Tickets.unpacked(old.packed())
    assert not later.turn(time.monotonic())
    assert later.keys(b"x", 80) == old.keys(b"x", 80)
    assert b"s" * 32 not in old.packed()
    for wrong in (b"", b"s" * 39, b"s" * 41):
        with pytest.raises(ValueError, match="octets are no secret"):
            Tickets.unpacked(wrong)


def test_keys_depend_on_the_binding_in_every_octet() -> None:
    tickets = Tickets.fresh()
    one, other = tickets.keys(b"a", 80), tickets.keys(b"b", 80)
    assert len(one) == len(other) == 80
    assert tickets.keys(b"a", 48) == one[:48]
    for start in range(0, 80, 16):
        assert one[start : start + 16] != other[start : start + 16]


@pytest.fixture
def unavailable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Python whose OpenSSL is not found."""
    openssl._outcome.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(ssl, "OPENSSL_VERSION", "of another library")
        yield
    openssl._outcome.cache_clear()


def test_where_keys_cannot_be_set_each_context_has_its_own(
    unavailable: None, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asgiws.error")
    tickets = Tickets.fresh()
    one, other = (make_context(authority.config()) for _ in range(2))
    assert one is not None
    assert other is not None
    assert not tickets.use(one)
    assert not tickets.use(other)
    assert resumes(one, one, authority.client())
    assert not resumes(one, other, authority.client())
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    assert "another OpenSSL" in caplog.records[0].getMessage()
