"""What proxies say of a client: the PROXY protocol, X-Forwarded-* and Forwarded.

The input: an octet of flags, one that says how the octets are cut, and the octets. Flags: 1 header fields, a
line feed behind each, in place of the PROXY protocol; 2 Forwarded in place of X-Forwarded-*.

What must hold:
- A preface says the same however it is cut, is no longer than what came, and has addresses, or says why not.
- Of header fields nothing raises; what comes out is an address, a scheme, a host, a port, a path.
- What stands to the left of the client's address, which the client may have made up, changes nothing of it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from asgiws.fields import FIELD_VALUE, TOKEN
from asgiws.http import grammar
from asgiws.proxies.addresses import TrustedAddresses
from asgiws.proxies.forwarded import FIELDS, FORWARDED, ForwardedReader
from asgiws.proxies.preface import LONGEST_LINE, PrefaceError, read
from tests.fuzz.targets.wire import cut, options

_TRUSTED = ("10.0.0.0/8", "::1")
_LINE = re.compile(rb"(" + TOKEN + rb"):[ \t]*(" + FIELD_VALUE + rb")")


def _address(address: Any) -> None:
    host, port = address
    assert str(ipaddress.ip_address(host)) == host
    assert 0 <= port <= 65535


def _first_answer(pieces: list[bytes]) -> Any:
    """What is said as soon as something is."""
    data = b""
    for piece in pieces:
        data += piece
        try:
            preface = read(data)
        except PrefaceError as error:
            return str(error)
        if preface is not None:
            assert 0 < preface.size <= len(data)
            return preface
    # 2.2: version 2 says itself how long it is, 65535 octets behind its fixed part at most.
    assert data.startswith(b"\r") or len(data) < LONGEST_LINE
    return None


def _preface(pieces: list[bytes], wire: bytes) -> None:
    answer = _first_answer(pieces)
    assert _first_answer([wire]) == answer
    if answer is None or isinstance(answer, str):
        return
    assert (answer.client is None) == (answer.server is None)
    if answer.client is None:
        return
    _address(answer.client)
    _address(answer.server)
    if wire.startswith(b"PROXY"):
        words = wire[: answer.size].decode("ascii").split()
        assert [int(word) for word in words[4:]] == [answer.client[1], answer.server[1]]
        for word, (host, _) in zip(words[2:4], (answer.client, answer.server), strict=True):
            said = ipaddress.ip_address(word)
            assert host in (str(said), str(getattr(said, "ipv4_mapped", None)))


def _said(headers: list[tuple[bytes, bytes]], forwarded: bool) -> Any:
    trusted = TrustedAddresses(_TRUSTED)
    reader = ForwardedReader(trusted, FORWARDED if forwarded else "x-forwarded", FIELDS)
    said = reader.read(headers)
    assert reader.read(headers) == said
    return said


def _headers(wire: bytes, forwarded: bool) -> None:
    lines = (_LINE.fullmatch(line) for line in wire.split(b"\n"))
    headers = [(line[1].lower(), line[2].strip(b" \t")) for line in lines if line is not None]
    said = _said(headers, forwarded)
    if said.client is not None:
        _address(said.client)
    assert said.scheme in (None, "http", "https")
    assert said.host is None or grammar.host.fullmatch(said.host) is not None
    assert said.port is None or 0 < said.port <= 65535
    if said.prefix is not None:
        assert re.fullmatch(rb"(?:/[^/\\\x00-\x20\x7f-\xff]+)*", said.prefix), said.prefix
    if said.client is not None and said.client[0] not in TrustedAddresses(_TRUSTED):
        made_up = (b"forwarded", b"for=6.6.6.6") if forwarded else (b"x-forwarded-for", b"6.6.6.6")
        assert _said([made_up, *headers], forwarded).client == said.client


def target(data: bytes) -> None:
    (flags, how), wire = options(data, 2)
    if flags & 1:
        _headers(wire, bool(flags & 2))
    else:
        _preface(cut(wire, how), wire)
