"""What is said of clients that have not become connections, and how often."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import pytest

from asgiws.net.connect_failures import LINES, reason, tell
from asgiws.services import notices
from asgiws.services.notices import Notices
from tests.support.pki import Authority, connect


def failure(server: ssl.SSLContext, client: ssl.SSLContext, says: bytes = b"") -> ssl.SSLError:
    """What the server's end fails with."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = server.wrap_bio(up, down, server_side=True)
    there = client.wrap_bio(down, up, server_hostname="localhost")
    if says:
        up.write(says)
    for _ in range(3):
        if not says:
            try:
                there.do_handshake()
            except ssl.SSLError:
                pass
        try:
            here.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            return error
    raise AssertionError("the handshake has not failed")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    return context


def test_plain_http(authority: Authority, server: ssl.SSLContext) -> None:
    error = failure(server, authority.client(), b"GET / HTTP/1.1\r\n\r\n")
    assert reason(error) == "it speaks HTTP without TLS"


def test_no_tls_at_all(authority: Authority, server: ssl.SSLContext) -> None:
    error = failure(server, authority.client(), b"\0" * 50)
    assert reason(error) == "it does not speak TLS"


def test_an_old_client(authority: Authority, server: ssl.SSLContext) -> None:
    client = authority.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    assert reason(failure(server, client)) == "it offers no TLS version that is allowed"


def test_no_cipher_in_common(authority: Authority, server: ssl.SSLContext) -> None:
    client = authority.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    server.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    assert reason(failure(server, client)) == "it offers no cipher that is allowed"


def test_a_client_without_the_certificate_that_is_asked_for(
    authority: Authority, server: ssl.SSLContext
) -> None:
    server.verify_mode = ssl.CERT_REQUIRED
    assert reason(failure(server, authority.client())) == "it has sent no certificate"


def test_a_client_whose_certificate_is_not_trusted(
    authority: Authority, server: ssl.SSLContext
) -> None:
    server.verify_mode = ssl.CERT_OPTIONAL
    error = failure(server, authority.client(authority.issue()))
    assert reason(error) == (
        "its certificate was refused: self-signed certificate in certificate chain"
    )


def test_a_client_that_does_not_trust_us(server: ssl.SSLContext) -> None:
    error = failure(server, ssl.create_default_context())
    assert reason(error) == "it has refused: unknown ca"


def test_what_else_there_is() -> None:
    error = ssl.SSLError(1, "[SSL: X] unheard of")
    assert reason(error) == str(error)
    error.reason = "BAD_KEY_SHARE"
    assert reason(error) == "bad key share"


LOST = (ConnectionResetError(), BrokenPipeError(), ssl.SSLEOFError(8, "EOF"))


@pytest.mark.parametrize(
    ("error", "timeout"),
    [
        *[(error, timeout) for error in (None, *LOST) for timeout in (None, 10.0)],
        # Without a handshake there is none that could take too long: the client has closed it.
        (ConnectionAbortedError(), None),
    ],
)
async def test_to_go_away_is_no_failure(
    error: BaseException | None, timeout: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asgiws.error")
    tell(Notices(asyncio.get_running_loop()), ("192.0.2.1", 5), error, timeout)
    assert [(one.levelno, one.message) for one in caplog.records] == [
        (logging.DEBUG, "192.0.2.1:5 - gone before the connection was made")
    ]


@pytest.mark.parametrize("timeout", [None, 10.0])
async def test_another_error(timeout: float | None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asgiws.error")
    one = Notices(asyncio.get_running_loop())
    tell(one, None, OSError(24, "Too many open files"), timeout)
    tell(one, ("192.0.2.1", 5), ValueError("ours"), timeout)
    assert [(one.levelno, one.message) for one in caplog.records] == [
        (logging.INFO, "- - connection not made: [Errno 24] Too many open files"),
        (logging.ERROR, "Exception while a connection was made: 192.0.2.1:5"),
    ]
    assert caplog.records[1].exc_info is not None


async def test_who_tries_again_and_again_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notices, "QUIET", 0.05)
    caplog.set_level(logging.INFO, "asgiws.error")
    one = Notices(asyncio.get_running_loop())
    for number in range(LINES + 5):
        tell(one, ("192.0.2.1", number), ssl.SSLError(1, "why"), 10)
    assert caplog.messages == [
        f"192.0.2.1:{number} - TLS handshake failed: {ssl.SSLError(1, 'why')} (TLS handshake)"
        for number in range(LINES)
    ]
    tell(one, ("192.0.2.2", 1), ConnectionAbortedError("slow"), 1.5)
    assert caplog.messages[-1] == (
        "192.0.2.2:1 - TLS handshake failed: it took longer than 1.5 seconds (ssl_handshake_timeout)"
    )
    caplog.clear()
    while not caplog.messages:
        await asyncio.sleep(0.01)
    assert caplog.messages == ["5 more within 0.05 seconds (TLS handshake)"]
    caplog.clear()
    tell(one, ("192.0.2.1", 9), ssl.SSLError(1, "why"), 10)
    assert len(caplog.messages) == 1


def test_both_ends_agree_in_a_good_one(authority: Authority, server: ssl.SSLContext) -> None:
    here, _ = connect(server, authority.client())
    assert here.version() == "TLSv1.3"
