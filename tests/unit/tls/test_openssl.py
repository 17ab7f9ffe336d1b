"""OpenSSL's functions on contexts of Python's: they do what they should, or say that they cannot."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgiws.tls import openssl
from asgiws.tls.context import make_context
from tests.support.pki import Authority, connect


@pytest.fixture
def fresh() -> Iterator[None]:
    """The library is looked for once more, and again afterwards."""
    openssl._outcome.cache_clear()
    yield
    openssl._outcome.cache_clear()


def keys(size: int) -> bytes:
    return bytes(range(size))


def test_keys_are_set_in_that_context_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context, other = (make_context(authority.config()) for _ in range(2))
    assert context is not None
    assert other is not None
    before = openssl.ticket_keys(other)
    openssl.set_ticket_keys(context, keys)
    assert openssl.ticket_keys(context) == keys(len(before))
    assert openssl.ticket_keys(other) == before
    client = authority.client()
    _, there = connect(context, client)
    assert connect(context, client, there.session)[1].session_reused
    assert not connect(other, client, there.session)[1].session_reused
    openssl.set_ticket_keys(other, keys)
    assert connect(other, client, there.session)[1].session_reused


def test_looking_for_it_leaves_no_trace(fresh: None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    options, before = context.options, openssl.ticket_keys(context)
    openssl.set_ticket_keys(context, keys)
    assert context.options == options
    assert openssl.ticket_keys(context) != before


def test_another_library_is_not_called(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    before = openssl.ticket_keys(context)
    openssl._outcome.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(ssl, "OPENSSL_VERSION", "OpenSSL 9.9.9 1 Jan 2099")
        for _ in range(2):
            with pytest.raises(openssl.Unavailable, match="another OpenSSL"):
                openssl.set_ticket_keys(context, keys)
    openssl._outcome.cache_clear()
    assert openssl.ticket_keys(context) == before


def test_what_is_no_pointer_is_not_followed() -> None:
    class Other:
        """As large as a context, with small numbers where the pointer should be."""

        __slots__ = ("first", "second")

    with pytest.raises(openssl.Unavailable, match="does not begin with a pointer"):
        openssl._address(Other())  # type: ignore[arg-type]  # no SSLContext, on purpose
    for address in (8, 4096, 1 << 46):
        assert not openssl._is_readable(address)
