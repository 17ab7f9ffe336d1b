"""Which origins may open a WebSocket (RFC 6455, 10.2).

Rules of this file:
- A browser lets any page open a WebSocket to any host, sends that host's cookies along, and says
  in Origin where the page came from: who relies on cookies must look at it.
- An origin is compared as a whole, scheme and port included (RFC 6454, 5), without regard to case.
- What the wildcard stands for is names and nothing else: not a path, a user or another port, which no browser
  sends and in which a foreign host could be named.
- `same` leaves the scheme out: a proxy in front may have ended TLS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Names in lower case; IPv6 addresses have none below them.
_names = re.compile(rb"[a-z0-9._-]+")

_OWN_PORT = {b"http": b":80", b"https": b":443", b"ws": b":80", b"wss": b":443"}


class OriginFilter:
    """Tells the origins that are let in.

    Each of `patterns`, in lower case, is `scheme://host[:port]`, `scheme://*.domain[:port]` for
    all names below that domain, `same` for the host that was asked, `none` for a client that names
    no origin, or `*` for all.
    """

    __slots__ = ("_all", "_below", "_exact", "_none", "_same")

    def __init__(self, patterns: Iterable[str]) -> None:
        texts = [pattern.encode("ascii") for pattern in patterns]
        self._all = b"*" in texts
        self._none = b"none" in texts
        self._same = b"same" in texts
        self._exact = frozenset(text for text in texts if b"://" in text)
        #: For each pattern with a wildcard, what is in front of the names and what behind them.
        self._below = [
            (before + b"://", behind)
            for before, mark, behind in (text.partition(b"://*") for text in texts)
            if mark
        ]

    def allows(self, origin: bytes | None, host: bytes | None) -> bool:
        """True for a handshake's Origin that is let in; `host` is the value of its Host field."""
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
            # A Host field may have an empty name (RFC 3986, 3.2.2), an origin has none of those.
            if asked == where and not asked.startswith(b":"):
                return True
        return any(
            origin.startswith(before)
            and origin.endswith(behind)
            and _names.fullmatch(origin, len(before), len(origin) - len(behind)) is not None
            for before, behind in self._below
        )
