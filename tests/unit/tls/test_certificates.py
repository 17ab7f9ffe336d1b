"""The certificate in use, and what takes its place."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from asgiws.config import Config
from asgiws.tls.certificates import LOOK, Certificates, load
from asgiws.tls.context import CertificateError
from tests.support.pki import Authority, connect, replace


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "asgiws.error")
    return caplog


def served(certificates: Certificates, authority: Authority) -> str:
    """The serial number of the certificate that a client is shown."""
    _, there = connect(certificates.context, authority.client())
    certificate = there.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def test_no_certificate_no_tls() -> None:
    assert load(Config("main:app")) is None


def test_what_cannot_be_used_at_the_start_is_an_error(authority: Authority) -> None:
    os.remove(authority.key)
    with pytest.raises(CertificateError):
        load(authority.config())


def test_new_files_are_loaded_once_they_are_left_alone(
    authority: Authority, log: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(authority.config())
    first, context = served(certificates, authority), certificates.context
    assert certificates.tick(100.0) == 100.0 + LOOK
    authority.renew()
    certificates.tick(101.0)
    assert certificates.context is context  # perhaps somebody is still writing
    certificates.tick(102.0)
    assert served(certificates, authority) != first
    (record,) = log.records
    assert record.getMessage() == (
        f"The certificate {authority.certificate!r} was reloaded; "
        "it is valid until 3000-01-01 00:00:00 UTC"
    )
    context = certificates.context
    certificates.tick(103.0)
    assert certificates.context is context


def test_files_that_change_at_each_look_are_waited_for(authority: Authority) -> None:
    certificates = Certificates(authority.config())
    context = certificates.context
    for now in range(5):
        authority.renew()
        certificates.tick(now)
        assert certificates.context is context
    certificates.tick(5)
    assert certificates.context is not context


@pytest.mark.parametrize("how", ["content", "link", "touch"])
def test_each_way_to_change_a_file_is_seen(authority: Authority, tmp_path: Path, how: str) -> None:
    certificates = Certificates(authority.config())
    context = certificates.context
    path = Path(authority.certificate)
    if how == "content":
        path.write_bytes(path.read_bytes() + b"\n")
    elif how == "link":
        other = tmp_path / "other.pem"
        other.write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(other)
    else:
        os.utime(path, ns=(1, 1))
    for now in range(2):
        certificates.tick(now)
    assert certificates.context is not context


def test_the_authorities_of_clients_are_looked_at_too(authority: Authority) -> None:
    config = authority.config(ssl_ca_certs=authority.roots, ssl_cert_reqs="optional")
    certificates = Certificates(config)
    context = certificates.context
    replace(authority.roots, authority.ca.cert_pem.bytes() + b"\n")
    for now in range(2):
        certificates.tick(now)
    assert certificates.context is not context


def test_a_broken_pair_is_one_line_and_the_old_one_stays(
    authority: Authority, log: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(authority.config())
    first = served(certificates, authority)
    replace(authority.key, authority.issue().private_key_pem.bytes())
    for now in range(10):
        certificates.tick(now)
    (record,) = log.records
    assert record.getMessage() == (
        f"Keeping the certificate in use: the key in {authority.key!r} does not belong to the "
        f"certificate {authority.certificate!r}"
    )
    assert record.exc_info is None
    assert served(certificates, authority) == first
    authority.renew()
    for now in range(10, 12):
        certificates.tick(now)
    assert served(certificates, authority) != first
    assert len(log.records) == 2


def test_a_file_that_has_gone_is_one_line(
    authority: Authority, log: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(authority.config())
    os.remove(authority.certificate)
    for now in range(10):
        certificates.tick(now)
    (record,) = log.records
    assert "cannot read the certificate" in record.getMessage()
    served(certificates, authority)


def test_reload_does_not_wait_and_takes_files_as_they_are(authority: Authority) -> None:
    certificates = Certificates(authority.config())
    first, context = served(certificates, authority), certificates.context
    assert certificates.reload()
    assert certificates.context is not context
    assert served(certificates, authority) == first
    authority.renew()
    assert certificates.reload()
    assert served(certificates, authority) != first
    context = certificates.context
    for now in range(3):
        certificates.tick(now)
    assert certificates.context is context
    os.remove(authority.key)
    assert not certificates.reload()
    assert certificates.context is context


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (-20, -10, "has expired: it was valid until "),
        (10, 20, "is not valid before "),
    ],
)
def test_a_certificate_out_of_its_time_is_a_warning(
    tmp_path: Path, log: pytest.LogCaptureFixture, start: int, end: int, text: str
) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    first, last = now + timedelta(days=start), now + timedelta(days=end)
    authority = Authority(tmp_path, not_before=first, not_after=last)
    Certificates(authority.config())
    (record,) = log.records
    assert record.levelno == logging.WARNING
    moment = last if end < 0 else first
    assert record.getMessage() == (
        f"The certificate {authority.certificate!r} {text}{moment:%Y-%m-%d %H:%M:%S} UTC"
    )
