"""The PROXY protocol, octet by octet."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.proxies import preface
from asgiws.proxies.preface import LONGEST_LINE, SIGNATURE, Preface, PrefaceError, read

CLIENT, SERVER = ("192.0.2.1", 4711), ("198.51.100.1", 443)
CLIENT6, SERVER6 = ("2001:db8::1", 4711), ("2001:db8::2", 443)


def binary(
    command: int = 0x21, family: int = 0x11, body: bytes = b"", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    return SIGNATURE + bytes([command, family]) + size.to_bytes(2, "big") + body


def addresses(client: tuple[str, int], server: tuple[str, int]) -> bytes:
    family = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
    hosts = b"".join(socket.inet_pton(family, host) for host, _ in (client, server))
    return hosts + b"".join(port.to_bytes(2, "big") for _, port in (client, server))


TCP4 = addresses(CLIENT, SERVER)
TCP6 = addresses(CLIENT6, SERVER6)
#: ALPN, a unique id, and TLS with a version in it.
TLVS = b"\x01\x00\x02h2" + b"\x05\x00\x03abc" + b"\x20\x00\x0c\x01\0\0\0\0\x21\x00\x04TLSx"

GOOD = {
    "PROXY TCP4": (b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n", CLIENT, SERVER),
    "PROXY TCP6": (b"PROXY TCP6 2001:db8::1 2001:DB8:0::2 4711 443\r\n", CLIENT6, SERVER6),
    "PROXY TCP6, mapped": (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 4711 443\r\n",
        CLIENT,
        SERVER,
    ),
    "PROXY UNKNOWN": (b"PROXY UNKNOWN\r\n", None, None),
    "PROXY UNKNOWN and more": (
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        None,
        None,
    ),
    "binary TCP4": (binary(body=TCP4), CLIENT, SERVER),
    "binary TCP6": (binary(family=0x21, body=TCP6), CLIENT6, SERVER6),
    "binary TCP4 with TLVs": (binary(body=TCP4 + TLVS), CLIENT, SERVER),
    "binary TCP4 with much": (binary(body=TCP4 + b"\xee\xff\x00" + bytes(0xFF00)), CLIENT, SERVER),
    "binary LOCAL": (binary(0x20, 0x00), None, None),
    "binary LOCAL with addresses": (binary(0x20, 0x11, TCP4), None, None),
    "binary LOCAL with nonsense": (binary(0x20, 0xEE, b"xyz"), None, None),
    "binary UNSPEC": (binary(0x21, 0x00), None, None),
    "binary UNSPEC with TLVs": (binary(0x21, 0x00, TLVS), None, None),
    "binary UDP": (binary(0x21, 0x12, TCP4), None, None),
    "binary UDP over IPv6": (binary(0x21, 0x22, TCP6), None, None),
    "binary Unix": (binary(0x21, 0x31, bytes(216)), None, None),
    "binary Unix, datagrams": (binary(0x21, 0x32, bytes(216)), None, None),
}

BAD = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "lower case": b"proxy TCP4 192.0.2.1 198.51.100.1 4711 443\r\n",
    "TLS": b"\x16\x03\x01",
    "no CRLF": b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\n",
    "two spaces": b"PROXY  TCP4 192.0.2.1 198.51.100.1 4711 443\r\n",
    "a space behind it": b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443 \r\n",
    "a port missing": b"PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n",
    "a port too large": b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 65536\r\n",
    "an address of another family": b"PROXY TCP4 ::1 ::1 4711 443\r\n",
    "the other way round": b"PROXY TCP6 192.0.2.1 198.51.100.1 4711 443\r\n",
    "no address": b"PROXY TCP4 192.0.2 198.51.100.1 4711 443\r\n",
    "an octal address": b"PROXY TCP4 192.0.2.01 198.51.100.1 4711 443\r\n",
    "another word": b"PROXY UDP4 192.0.2.1 198.51.100.1 4711 443\r\n",
    "UNKNOWNX": b"PROXY UNKNOWNX\r\n",
    "a CR within": b"PROXY UNKNOWN a\rb\r\n",
    "too long": b"PROXY UNKNOWN " + b"a" * 93,
    "too long, with its end": b"PROXY UNKNOWN " + b"a" * 92 + b"\r\n",
    "another signature": SIGNATURE[:-1] + b"X",
    "an empty line": b"\r\nGET / HTTP/1.1\r\n",
    "version 1 in binary": binary(0x11, 0x11, TCP4),
    "version 3": binary(0x31, 0x11, TCP4),
    "an unknown command": binary(0x22, 0x11, TCP4),
    "an unknown family": binary(0x21, 0x41, TCP4),
    "an unknown protocol": binary(0x21, 0x13, TCP4),
    "too short for IPv4": binary(0x21, 0x11, TCP4[:-1]),
    "too short for IPv6": binary(0x21, 0x21, TCP4),
    "too short for Unix": binary(0x21, 0x31, TCP6),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_preface_is_read_when_its_last_octet_is_there(name: str) -> None:
    data, client, server = GOOD[name]
    for end in range(len(data)) if len(data) < 1000 else (0, 15, 16, 100, len(data) - 1):
        assert read(data[:end]) is None
    for tail in (b"", b"GET / HTTP/1.1\r\n", SIGNATURE):
        assert read(data + tail) == Preface(len(data), client, server)


@pytest.mark.parametrize("name", BAD)
def test_what_is_none_is_refused_however_it_comes(name: str) -> None:
    data = BAD[name]
    with pytest.raises(PrefaceError):
        read(data)
    with pytest.raises(PrefaceError):
        drip(data)


def drip(data: bytes) -> None:
    for end in range(len(data) + 1):
        assert read(data[:end]) is None


def test_the_longest_line() -> None:
    line = b"PROXY UNKNOWN " + b"a" * (LONGEST_LINE - 16) + b"\r\n"
    assert len(line) == LONGEST_LINE
    assert read(line) == Preface(LONGEST_LINE)


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=64).map(SIGNATURE.__add__)))
def test_nothing_else_is_raised(data: bytes) -> None:
    try:
        result = preface.read(data)
    except PrefaceError:
        return
    assert result is None or result.size <= len(data)
