"""Addresses as text, and which of them are trusted.

Rules of this file:
- An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is the IPv4 address, and a zone (`%eth0`) is not part of an
  address: a dual-stack socket and a proxy name the same peer differently.
- None is a peer on a Unix socket, which has no address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = tuple[str, int]

EVERYBODY = "*"
UNIX = "unix"

#: The number of addresses whose result is cached.
_REMEMBERED = 4096


class TrustedAddresses:
    """A set of addresses, made from `entries`: addresses, networks such as 10.0.0.0/8, `unix` for peers on a
    Unix socket, `*` for all.

    `host in trusted` accepts an address as text, or None, and is false for anything else. Raises ValueError for
    an invalid entry.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._everybody = False
        self._unix = False
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in entries:
            if entry == EVERYBODY:
                self._everybody = True
            elif entry == UNIX:
                self._unix = True
            else:
                self._networks.append(ipaddress.ip_network(entry))
        self._answers: dict[str, bool] = {}

    def __bool__(self) -> bool:
        """False if the set is empty."""
        return self._everybody or self._unix or bool(self._networks)

    def __contains__(self, host: str | None) -> bool:
        if self._everybody:
            return True
        if host is None:
            return self._unix
        answer = self._answers.get(host)
        if answer is None:
            answer = self._look_up(host)
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            self._answers[host] = answer
        return answer

    def _look_up(self, host: str) -> bool:
        try:
            address = parse_host(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def parse_host(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address in `text`. Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_node(text: str) -> Address:
    """The address and port of a node as in headers: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`,
    `[2001:db8::1]:80`, and, although RFC 7239 (6) requires brackets, `2001:db8::1`.

    The port is 0 if there is none. Raises ValueError.
    """
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise ValueError("a bracket is not closed")
        port = rest
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        port = ":" + port
    if "%" in host:
        raise ValueError("a zone means nothing to another machine")
    number = parse_port(port[1:]) if port else 0
    return str(parse_host(host)), number


def parse_port(text: str) -> int:
    """A port from 0 to 65535. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5) or int(text) > 65535:
        raise ValueError("not a port")
    return int(text)
