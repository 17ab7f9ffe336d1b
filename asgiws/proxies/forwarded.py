"""X-Forwarded-* and Forwarded (RFC 7239): what the proxies in front say about a request.

Rules of this file:
- Proxies append, so a header is read from the right. An entry counts as long as the entry to its right names a
  trusted proxy; the first address that is not trusted is the client's, and anything to its left may have been
  made up by that client. If all are trusted, the leftmost is the client.
- The scheme, the host and so on count if they belong to the hop of the client's address.
- A malformed value, in the part that counts, is ignored as a whole, and so is an address that a proxy does not
  disclose (`unknown`, `_name`): nothing here raises, since a client could have written it.
- Only one of the two kinds of header is read: a proxy that writes one passes the other on as the client sent
  it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import NamedTuple

from asgiws.fields import TOKEN
from asgiws.http import grammar
from asgiws.http.head import Headers
from asgiws.proxies.addresses import Address, TrustedAddresses, parse_node, parse_port

#: The header to read: "x-forwarded" or this one.
FORWARDED = "forwarded"

#: The most proxies in a row, and pairs in a line of Forwarded, that are read: a header may hold thousands.
MOST_HOPS = 100
MOST_PAIRS = 400

#: The number of sets of values that are cached, and the most octets of each.
REMEMBERED = 2048
SHORT = 512

_SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}

Fields = tuple[tuple[bytes, bytes], ...]
# A path that every browser takes for one: `//host` and `/\host`, which `%2F` could hide, lead to another
# server.
_PREFIX = rb"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%(?!2[Ff]|5[Cc]|[01]|7[Ff])[0-9A-Fa-f]{2})+)*/?"
_PAIR = rb"[ \t]*(?:(" + TOKEN + rb")=(" + TOKEN + rb"|" + grammar.QUOTED_STRING + rb"))?[ \t]*"
_ESCAPE = rb"(?s)\\(.)"


@cache
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    """A pattern, compiled when it is first needed: most servers never see these headers."""
    return re.compile(pattern)


class Forwarded(NamedTuple):
    """What is known about a request before it reached the proxies; None if they say nothing about it.

    `client` has port 0 if only the address is known. `scheme` is "http" or "https", also for a WebSocket.
    `host` is in the form of the Host field. `prefix` is in the form of a path, percent-encoded, without a
    trailing slash.
    """

    client: Address | None = None
    scheme: str | None = None
    host: bytes | None = None
    port: int | None = None
    prefix: bytes | None = None


#: The words that the options use for its parts.
FIELDS = {"for": "client", "proto": "scheme", "host": "host", "port": "port", "prefix": "prefix"}

#: Nothing is said, or nothing that is trusted.
NOTHING = Forwarded()


class ForwardedReader:
    """Reads the header kind `header` ("x-forwarded" or "forwarded") with `trusted` as the proxies, and only
    those `fields` of FIELDS that are trusted.

    All requests of a client carry the same values, so recent results are cached.
    """

    def __init__(self, trusted: TrustedAddresses, header: str, fields: Collection[str]) -> None:
        self._trusted = trusted
        self._reads_forwarded = header == FORWARDED
        self._unbelieved = dict.fromkeys(
            part for field, part in FIELDS.items() if field not in fields
        )
        names = [FORWARDED]
        if not self._reads_forwarded:
            names = [
                f"x-forwarded-{field}" for field in FIELDS if field in fields or field == "for"
            ]
        self._names = frozenset(name.encode() for name in names)
        self._known: dict[Fields, Forwarded] = {}

    def read(self, headers: Headers) -> Forwarded:
        """What the headers of a request from a trusted peer say."""
        fields = tuple([field for field in headers if field[0] in self._names])
        if not fields:
            return NOTHING
        said = self._known.get(fields)
        if said is None:
            reader = _read_forwarded if self._reads_forwarded else _read_x_forwarded
            said = reader(fields, self._trusted)._replace(**self._unbelieved)
            if sum(len(value) for _, value in fields) <= SHORT:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[fields] = said
        return said


def split_host(host: bytes) -> tuple[bytes, int | None]:
    """The name and the port of a Host field's value that `grammar.host` has accepted."""
    name, colon, port = host.rpartition(b":")
    if not colon or port.endswith(b"]"):
        return host, None
    return name, int(port) if port and len(port) <= 5 and int(port) <= 65535 else None


# X-Forwarded-*


def _read_x_forwarded(fields: Fields, trusted: TrustedAddresses) -> Forwarded:
    nodes = _members(fields, b"x-forwarded-for")
    # The client's position, counted from the right.
    hop = 0
    client: Address | None = None
    try:
        for hop, node in enumerate(reversed(nodes)):
            if hop == MOST_HOPS:
                raise ValueError("too many")
            client = parse_node(node.decode("ascii"))
            if client[0] not in trusted:
                break
    except ValueError:  # malformed, or `unknown`
        client = None

    def value(name: bytes) -> bytes | None:
        """The member of the client's hop, or the only one."""
        members = _members(fields, name)
        if len(members) == 1:
            return members[0]
        return members[-1 - hop] if members and len(members) == len(nodes) else None

    return Forwarded(
        client,
        _SCHEMES.get((value(b"x-forwarded-proto") or b"").lower()),
        _host(value(b"x-forwarded-host")),
        _port(value(b"x-forwarded-port")),
        _checked_prefix(value(b"x-forwarded-prefix")),
    )


def _members(fields: Fields, name: bytes) -> list[bytes]:
    """The members of a list over all its lines; empty ones are kept, since they are malformed here."""
    lines = [value for field, value in fields if field == name]
    return [member.strip(b" \t") for line in lines for member in line.split(b",")]


def _host(value: bytes | None) -> bytes | None:
    if not value or grammar.host.fullmatch(value) is None or value.startswith(b":"):
        return None
    return value


def _port(value: bytes | None) -> int | None:
    try:
        return parse_port((value or b"").decode("ascii")) or None
    except ValueError:
        return None


def _checked_prefix(value: bytes | None) -> bytes | None:
    if value is None or _compiled(_PREFIX).fullmatch(value) is None:
        return None
    return value.rstrip(b"/")


# Forwarded


def _read_forwarded(fields: Fields, trusted: TrustedAddresses) -> Forwarded:
    result = NOTHING
    try:
        for hop, element in enumerate(_elements(fields)):
            if hop == MOST_HOPS:
                raise ValueError("too many")
            client: Address | None = None
            node = element.get(b"for")
            if node is not None:
                try:
                    client = parse_node(_without_name(node.decode("ascii")))
                except ValueError:
                    if not _is_withheld(node):
                        raise
            scheme = _SCHEMES.get(element.get(b"proto", b"").lower())
            result = Forwarded(client, scheme, _host(element.get(b"host")))
            if client is None or client[0] not in trusted:
                break
    except ValueError:
        return NOTHING
    return result


def _elements(fields: Fields) -> Iterator[dict[bytes, bytes]]:
    """The elements from the right, with the names of their pairs in lower case.

    Raises ValueError when it reaches a malformed line.
    """
    for _, line in reversed(fields):
        elements: list[dict[bytes, bytes]] = [{}]
        position = 0
        for _ in range(MOST_PAIRS):
            match = _compiled(_PAIR).match(line, position)
            assert match is not None
            if match[1] is not None:
                name, value = match[1].lower(), match[2]
                if name in elements[-1]:
                    raise ValueError("a repeated name")  # RFC 7239, 4
                if value.startswith(b'"'):
                    value = _compiled(_ESCAPE).sub(rb"\1", value[1:-1])
                elements[-1][name] = value
            position = match.end() + 1
            separator = line[match.end() : position]
            if not separator:
                break
            if separator == b",":
                elements.append({})
            elif separator != b";":
                raise ValueError("neither a comma nor a semicolon")
        else:
            raise ValueError("too many")
        # RFC 9110, 5.6.1: empty elements of a list must be ignored.
        yield from filter(None, reversed(elements))


def _without_name(node: str) -> str:
    """A node without its port if that is a name (`192.0.2.1:_x`, RFC 7239, 6.3)."""
    host, colon, port = node.rpartition(":")
    return host if colon and re.fullmatch(r"_[A-Za-z0-9._\-]+", port) else node


def _is_withheld(node: bytes) -> bool:
    """RFC 7239, 6.2 and 6.3."""
    return (
        re.fullmatch(rb"(?i:unknown|_[a-z0-9._\-]+)(?::(?:[0-9]{1,5}|_[A-Za-z0-9._\-]+))?", node)
        is not None
    )
