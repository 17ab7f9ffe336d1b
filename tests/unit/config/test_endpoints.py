"""What `--bind` takes, and what it makes of it."""

from __future__ import annotations

import pytest

from asgiws.config.endpoints import (
    Endpoint,
    FDEndpoint,
    SystemdEndpoint,
    TCPEndpoint,
    UnixEndpoint,
    parse,
)


@pytest.mark.parametrize(
    ("text", "endpoint", "shown"),
    [
        ("127.0.0.1:80", TCPEndpoint("127.0.0.1", 80), None),
        ("example.org:0", TCPEndpoint("example.org", 0), None),
        ("[::]:8000", TCPEndpoint("::", 8000), None),
        ("[fe80::1%eth0]:80", TCPEndpoint("fe80::1%eth0", 80), None),
        ("*:80", TCPEndpoint("", 80), None),
        (":80", TCPEndpoint("", 80), "*:80"),
        ("unix:/run/x", UnixEndpoint("/run/x"), None),
        ("unix:x?mode=660", UnixEndpoint("x", 0o660), None),
        ("unix:x?mode=0600", UnixEndpoint("x", 0o600), "unix:x?mode=600"),
        ("unix:x?mode=000", UnixEndpoint("x", 0), None),
        ("unix:x?group=www-data&user=7", UnixEndpoint("x", None, "7", "www-data"), ""),
        ("fd://3", FDEndpoint(3), None),
        ("systemd:", SystemdEndpoint(), None),
        ("systemd:web.socket", SystemdEndpoint("web.socket"), None),
    ],
)
def test_what_is_meant(text: str, endpoint: Endpoint, shown: str | None) -> None:
    assert parse(text) == endpoint
    if shown != "":
        assert str(endpoint) == (shown or text)
    assert parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        *("", "host", "host:", "host:x", "host:65536", "host:1:2", "::1:80", "[::1]", "[]:1"),
        *("[x]:1", "a b:1", "http://a:1", "*", "host:-1", "host:+1", "host:٣", "**:1"),
        *("unix:", "unix:\0x", "unix:x?", "unix:x?mode", "unix:x?mode=9", "unix:x?mode=66"),
        *("unix:x?mode=1777", "unix:x?mode=660&mode=660", "unix:x?owner=a", "unix:x?user="),
        *(
            "unix:x?user=a b",
            "unix:x?group=-1",
            "fd://",
            "fd://x",
            "fd://-1",
            "fd:3",
            "fd://9999999",
        ),
        *("systemd:a:b", "systemd:a b", "SYSTEMD:"),
    ],
)
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)
