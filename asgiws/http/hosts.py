"""The hosts for which requests are served.

Rules of this file: hosts are compared without regard to case (RFC 3986, 6.2.2); the requested host is a Host
field that was already checked (`semantics.py`), or none.
"""

from __future__ import annotations

from collections.abc import Iterable


class HostFilter:
    """Decides which hosts are served.

    Each of `patterns`, in lower case, is `host`, which matches every port, `host:port`,
    `*.domain` for all names below that domain, or `*` for all.
    """

    __slots__ = ("_all", "_below", "_exact")

    def __init__(self, patterns: Iterable[str]) -> None:
        texts = [pattern.encode("ascii") for pattern in patterns]
        self._all = b"*" in texts
        self._exact = frozenset(text for text in texts if not text.startswith(b"*."))
        self._below = tuple(text[1:] for text in texts if text.startswith(b"*."))

    def allows(self, host: bytes | None) -> bool:
        """True if `host`, the value of a Host field, is served; None stands for a missing field."""
        if self._all:
            return True
        if not host:
            return False
        host = host.lower()
        name = without_port(host)
        return host in self._exact or name in self._exact or self._is_below(host, name)

    def _is_below(self, host: bytes, name: bytes) -> bool:
        return bool(self._below) and (host.endswith(self._below) or name.endswith(self._below))


def without_port(host: bytes) -> bytes:
    """`host` or `[address]` from `host:port`."""
    name, colon, port = host.rpartition(b":")
    return name if colon and (port.isdigit() or not port) else host
