"""Origin and Host, as the filters read them, beside Python's own reader of URLs.

The input: the value of Origin, a line feed, and the value of Host.

What must hold: who is let in comes from where the pattern says, and from nowhere else.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from asgiws.http import grammar
from tests.support.builds import running

ORIGINS = running("asgiws.websocket")["origins"]
HOSTS = running("asgiws.http")["hosts"]

_BELOW = ORIGINS.OriginFilter(["https://*.example.com"])
_EXACT = ORIGINS.OriginFilter(["https://example.com"])
_SAME = ORIGINS.OriginFilter(["same"])
_HOSTS_BELOW = HOSTS.HostFilter(["*.example.com"])
_HOSTS = HOSTS.HostFilter(["example.com"])
_OWN = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def _read(origin: bytes) -> tuple[str, str, int | None]:
    """(scheme, host, port) of what is let in; it must be no more than an origin."""
    parts = urlsplit(origin.decode("latin-1").lower())
    assert not parts.path, f"{origin!r} has a path"
    assert not parts.query, f"{origin!r} has a query"
    assert not parts.fragment, f"{origin!r} has a fragment"
    assert "@" not in parts.netloc, f"{origin!r} names a user"
    return parts.scheme, parts.hostname or "", parts.port or _OWN.get(parts.scheme)


def target(data: bytes) -> None:
    origin, _, host = data.partition(b"\n")
    if grammar.field_value.fullmatch(origin) is None or grammar.host.fullmatch(host) is None:
        return  # HTTP would refuse it
    try:
        asked = urlsplit(f"//{host.decode('latin-1').lower()}")
        asked_name, asked_port = asked.hostname or "", asked.port
    except ValueError:
        return  # what is in brackets is no address, or the port none
    if _BELOW.allows(origin, host):
        scheme, name, port = _read(origin)
        assert (scheme, port) == ("https", 443)
        assert name.endswith(".example.com")
    if _EXACT.allows(origin, host):
        assert _read(origin) == ("https", "example.com", 443)
    if _SAME.allows(origin, host):
        # The scheme is left out, whatever it is.
        scheme, mark, where = origin.lower().partition(b"://")  # type: ignore[assignment]
        assert mark
        _, name, port = _read(b"https://" + where)
        own = _OWN.get(scheme.decode("latin-1"), 443)
        assert name == asked_name
        assert (443 if port == own else port) == (443 if asked_port in (None, own) else asked_port)
    assert _HOSTS.allows(host) == (asked_name == "example.com")
    assert not _HOSTS_BELOW.allows(host) or asked_name.endswith(".example.com")
