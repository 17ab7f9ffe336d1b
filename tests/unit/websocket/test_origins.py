"""asgiws/websocket/origins.py: which origins may open a WebSocket (RFC 6455, 10.2)."""

from __future__ import annotations

import pytest

from asgiws.websocket.origins import OriginFilter


@pytest.mark.parametrize(
    ("patterns", "origin", "allowed"),
    [
        (["https://example.com"], b"https://example.com", True),
        (["https://example.com"], b"HTTPS://Example.COM", True),
        (["https://example.com"], b"https://example.com:443", True),
        (["https://example.com"], b"https://example.com:8443", False),
        (["https://example.com"], b"http://example.com", False),
        (["https://example.com"], b"https://example.com.evil.example", False),
        (["https://example.com"], b"null", False),
        (["https://example.com"], b"", False),
        (["https://example.com"], None, False),
        (["https://*.example.com"], b"https://a.example.com", True),
        (["https://*.example.com"], b"https://a.b.example.com", True),
        (["https://*.example.com"], b"https://example.com", False),
        (["https://*.example.com"], b"https://.example.com", False),
        (["https://*.example.com"], b"https://badexample.com", False),
        (["https://*.example.com"], b"http://a.example.com", False),
        (["https://*.example.com"], b"https://evil.example/.example.com", False),
        (["https://*.example.com"], b"https://evil.example#.example.com", False),
        (["https://*.example.com"], b"https://evil.example:1.example.com", False),
        (["https://*.example.com"], b"https://user@a.example.com", False),
        (["https://*.example.com:81"], b"https://a.example.com:81", True),
        (["same"], b"https://host.example:8000", True),
        (["same"], b"http://host.example:8000", True),
        (["same"], b"http://host.example", False),
        (["same"], b"http://other.example:8000", False),
        (["same"], b"null", False),
        (["same"], None, False),
        (["same", "none"], None, True),
        (["none"], b"https://host.example:8000", False),
        (["*"], b"null", True),
        (["*"], None, True),
    ],
)
def test_origins(patterns: list[str], origin: bytes | None, allowed: bool) -> None:
    assert OriginFilter(patterns).allows(origin, b"Host.example:8000") is allowed


def test_the_same_host_with_the_schemes_own_port_or_without() -> None:
    same = OriginFilter(["same"])
    assert same.allows(b"https://a.example", b"a.example:443")
    assert same.allows(b"https://a.example:443", b"a.example")
    assert not same.allows(b"http://a.example", b"a.example:443")
    assert not same.allows(b"https://a.example", None)


def test_a_host_without_a_name_is_nobodys_own() -> None:
    same = OriginFilter(["same"])
    assert not same.allows(b"http://::80", b":")
    assert not same.allows(b"http://:", b":")
    assert not same.allows(b"http://:81", b":81")
    assert not same.allows(b"http://", b"")
