"""Which origins may open a WebSocket (RFC 6455, 10.2).

Rules of this file:
- A browser lets any page open a WebSocket to any host, sends that host's cookies along, and says in Origin
  where the page came from: a server that relies on cookies must check it.
- An origin is compared as a whole, including scheme and port (RFC 6454, 5), without regard to case.
- The wildcard matches names and nothing else: not a path, a user or another port, which no browser sends and
  which could contain a foreign host.
- `same` ignores the scheme: a proxy in front may have terminated TLS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Names in lower case; IPv6 addresses have no names below them.
_names = re.compile(rb"[a-z0-9._-]+")

_OWN_PORT = {b"http": b":80", b"https": b":443", b"ws": b":80", b"wss": b":443"}


class OriginFilter:
    """Decides which origins are accepted.

    Each of `patterns`, in lower case, is `scheme://host[:port]`, `scheme://*.domain[:port]` for
    all names below that domain, `same` for the requested host, `none` for a client that sends no
    Origin, or `*` for all.
    """

    __slots__ = ("_all", "_below", "_exact", "_none", "_same")

    def __init__(self, patterns: Iterable[str]) -> None:
        texts = [pattern.encode("ascii") for pattern in patterns]
        self._all = b"*" in texts
        self._none = b"none" in texts
        self._same = b"same" in texts
        self._exact = frozenset(text for text in texts if b"://" in text)
        #: For each pattern with a wildcard, what comes before the names and what after them.
        self._below = [
            (before + b"://", behind)
            for before, mark, behind in (text.partition(b"://*") for text in texts)
            if mark
        ]

    def allows(self, origin: bytes | None, host: bytes | None) -> bool:
        """True if a handshake with that Origin is accepted; `host` is the value of its Host field."""
        if self._all:
            return True
        if origin is None:
            return self._none
        origin = origin.lower()
        scheme, mark, where = origin.partition(b"://")
        own_port = _OWN_PORT.get(scheme, b"")
        if own_port and where.endswith(own_port):
            where = where[: -len(own_port)]
            origin = scheme + mark + where
        if origin in self._exact:
            return True
        if self._same and mark and host:
            asked = host.lower()
            if own_port and asked.endswith(own_port):
                asked = asked[: -len(own_port)]
            # A Host field may have an empty name (RFC 3986, 3.2.2), an origin may not.
            if asked == where and not asked.startswith(b":"):
                return True
        return any(
            origin.startswith(before)
            and origin.endswith(behind)
            and _names.fullmatch(origin, len(before), len(origin) - len(behind)) is not None
            for before, behind in self._below
        )
