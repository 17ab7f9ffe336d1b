"""asgiws/http/hosts.py: which hosts are served."""

from __future__ import annotations

import pytest

from asgiws.http.hosts import HostFilter


@pytest.mark.parametrize(
    ("patterns", "host", "allowed"),
    [
        (["example.com"], b"example.com", True),
        (["example.com"], b"EXAMPLE.com:8000", True),
        (["example.com"], b"example.com:", True),
        (["example.com"], b"www.example.com", False),
        (["example.com"], b"example.com.evil.example", False),
        (["example.com:8000"], b"example.com:8000", True),
        (["example.com:8000"], b"example.com", False),
        (["example.com:8000"], b"example.com:8001", False),
        (["*.example.com"], b"www.example.com", True),
        (["*.example.com"], b"a.b.example.com:81", True),
        (["*.example.com"], b"example.com", False),
        (["*.example.com"], b"badexample.com", False),
        (["*.example.com:81"], b"a.example.com:81", True),
        (["*.example.com:81"], b"a.example.com", False),
        (["[::1]"], b"[::1]:80", True),
        (["[::1]"], b"[::1]", True),
        (["[::1]"], b"[::2]", False),
        (["a", "b"], b"b", True),
        (["a"], b"", False),
        (["a"], None, False),
        (["*"], None, True),
        (["*"], b"anything", True),
    ],
)
def test_hosts(patterns: list[str], host: bytes | None, allowed: bool) -> None:
    assert HostFilter(patterns).allows(host) is allowed
