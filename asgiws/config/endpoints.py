"""Where a server can listen: the values of `--bind`.

Rules of this file:
- An endpoint is only a value; whether the server can listen on it is known when it tries.
- `parse` and `str` are inverses of each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TCP = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%[^\[\]\s]+)?)\]|\*|([^\[\]:/?*\s]*)):([0-9]{1,5})")
_MODE = re.compile(r"0?[0-7]{3}")
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
#: The form of FileDescriptorName in systemd.socket(5).
_NAME = re.compile(r"[!-9;-~]{0,255}")


@dataclass(frozen=True, slots=True)
class TCPEndpoint:
    """`HOST:PORT`, `[IPV6]:PORT`; an empty host means all addresses of IPv4 and IPv6."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host or "*"
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """`unix:PATH`, with `?mode=660&user=NAME&group=NAME` for the socket's file; None changes nothing."""

    path: str
    mode: int | None = None
    user: str | None = None
    group: str | None = None

    def __str__(self) -> str:
        given = {
            "mode": None if self.mode is None else f"{self.mode:03o}",
            "user": self.user,
            "group": self.group,
        }
        options = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
        return f"unix:{self.path}" + (f"?{options}" if options else "")


@dataclass(frozen=True, slots=True)
class FDEndpoint:
    """`fd://N`: a socket inherited as that file descriptor."""

    fd: int

    def __str__(self) -> str:
        return f"fd://{self.fd}"


@dataclass(frozen=True, slots=True)
class SystemdEndpoint:
    """`systemd:`, all sockets that systemd passed, or `systemd:NAME`, those of that name."""

    name: str = ""

    def __str__(self) -> str:
        return f"systemd:{self.name}"


Endpoint = TCPEndpoint | UnixEndpoint | FDEndpoint | SystemdEndpoint


def parse(text: str) -> Endpoint:
    """The endpoint that `text` names. Raises ValueError without a message."""
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"))
    if text.startswith("fd:"):  # not a host named fd
        match = re.fullmatch("fd://([0-9]{1,6})", text)
        if match is None:
            raise ValueError
        return FDEndpoint(int(match[1]))
    if text.startswith("systemd:"):
        name = text.removeprefix("systemd:")
        if _NAME.fullmatch(name) is None:
            raise ValueError
        return SystemdEndpoint(name)
    match = _TCP.fullmatch(text)
    if match is None or int(match[3]) > 65535:
        raise ValueError
    return TCPEndpoint(match[1] or match[2] or "", int(match[3]))


def _unix(text: str) -> UnixEndpoint:
    path, mark, query = text.partition("?")
    if not path or "\0" in path:
        raise ValueError
    options: dict[str, str] = {}
    for part in query.split("&") if mark else ():
        name, _, value = part.partition("=")
        pattern = {"mode": _MODE, "user": _ACCOUNT, "group": _ACCOUNT}.get(name)
        if pattern is None or name in options or pattern.fullmatch(value) is None:
            raise ValueError
        options[name] = value
    mode = int(options["mode"], 8) if "mode" in options else None
    return UnixEndpoint(path, mode, options.get("user"), options.get("group"))
