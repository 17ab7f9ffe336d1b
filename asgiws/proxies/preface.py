"""The PROXY protocol, versions 1 and 2: what a proxy says about a connection before its first octet.

Rules of this file:
- The clauses are those of "The PROXY protocol", versions 1 & 2, at haproxy.org.
- A preface is present in full or not at all. Nothing is guessed: a connection without one is refused (2).
- An error is raised at the first impossible octet; no more data is awaited than a preface can have.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from asgiws.proxies.addresses import Address, parse_host, parse_port

#: 2.1: the longest line of version 1, with its CRLF.
LONGEST_LINE = 107
#: 2.2: the start of version 2.
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
#: The start of version 1.
_WORD = b"PROXY "
#: The fixed part of version 2: the signature, version and command, family and protocol, the length of the rest.
_FIXED = 16

_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
#: 2.2: families and protocols, and the lengths of their addresses.
_LENGTHS = {0x00: 0, _TCP4: 12, 0x12: 12, _TCP6: 36, 0x22: 36, 0x31: 216, 0x32: 216}

_LINE = rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([0-9]+) ([0-9]+)\r\n"


class PrefaceError(ValueError):
    """The data is not a preface."""


class Preface(NamedTuple):
    """A preface of `size` octets: the client, and the address that it connected to.

    Both are None if the connection's own addresses apply: the connection is the proxy's own (LOCAL, a health
    check), or the proxy does not know them (UNKNOWN), or they are not addresses of a TCP connection.
    """

    size: int
    client: Address | None = None
    server: Address | None = None


def read(data: bytes) -> Preface | None:
    """The preface at the start of `data`, or None while it is incomplete. Raises PrefaceError."""
    if data.startswith(SIGNATURE[:1]):
        return _read_binary(data)
    return _read_line(data)


def _read_line(data: bytes) -> Preface | None:
    """Version 1 (2.1)."""
    if data[: len(_WORD)] != _WORD[: len(data)]:
        raise PrefaceError("the connection does not begin with the PROXY protocol")
    end = data.find(b"\n", 0, LONGEST_LINE) + 1
    if not end:
        if len(data) >= LONGEST_LINE:
            raise PrefaceError("the line of the PROXY protocol is too long")
        return None
    line = data[:end]
    if re.match(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n", line):
        return Preface(end)
    match = re.fullmatch(_LINE, line)
    if match is None:
        raise PrefaceError("the line of the PROXY protocol is malformed")
    version, *words = (word.decode("ascii") for word in match.groups())
    try:
        hosts = [ipaddress.ip_address(word) for word in words[:2]]
        ports = [parse_port(word) for word in words[2:]]
    except ValueError:
        raise PrefaceError("the line of the PROXY protocol has an invalid address") from None
    if any(host.version != int(version) for host in hosts):
        raise PrefaceError("the line of the PROXY protocol has an address of another family")
    client, server = (
        (str(parse_host(str(host))), port) for host, port in zip(hosts, ports, strict=True)
    )
    return Preface(end, client, server)


def _read_binary(data: bytes) -> Preface | None:
    """Version 2 (2.2). Anything after the addresses, such as ALPN and TLS of the client, is ignored."""
    if data[: len(SIGNATURE)] != SIGNATURE[: len(data)]:
        raise PrefaceError("the connection does not begin with the PROXY protocol")
    if len(data) < _FIXED:
        return None
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise PrefaceError("the PROXY protocol has an unknown version or command")
    size = _FIXED + length
    if command == _PROXY:
        if family not in _LENGTHS:
            raise PrefaceError("the PROXY protocol has an unknown address family or protocol")
        if length < _LENGTHS[family]:
            raise PrefaceError("the PROXY protocol has too few octets for its addresses")
    if len(data) < size:
        return None
    if command == _LOCAL or family not in (_TCP4, _TCP6):
        return Preface(size)
    width = 4 if family == _TCP4 else 16
    ports = _FIXED + 2 * width
    client, server = (
        (
            str(parse_host(str(ipaddress.ip_address(data[start : start + width])))),
            int.from_bytes(data[port : port + 2], "big"),
        )
        for start, port in ((_FIXED, ports), (_FIXED + width, ports + 2))
    )
    return Preface(size, client, server)
