"""The parts of a certificate that are needed (RFC 5280, 4.1): its subject, its names and its validity.

Rules of this file:
- Only certificates that OpenSSL has accepted are read, so the DER is well formed; if not, it is a ValueError
  anyway.
- Python's own `getpeercert()` returns no types of the attributes but OpenSSL's names for them, and nothing at
  all about the server's own certificate; so the few octets of interest are located here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

#: The short names that every reader of RFC 4514 knows (its section 3); other types are written as numbers.
SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}

#: The tags of the string types and their encodings (X.690, 8.23); T61String as OpenSSL treats it.
ENCODINGS = {
    0x0C: "utf-8",
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # T61String
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
INTEGER, OBJECT_IDENTIFIER, UTC_TIME, GENERALIZED_TIME = 0x02, 0x06, 0x17, 0x18
SEQUENCE, SET, VERSION, EXTENSIONS, OCTET_STRING = 0x30, 0x31, 0xA0, 0xA3, 0x04

#: The identifier of the extension with the names, 2.5.29.17 (RFC 5280, 4.2.1.6).
ALTERNATIVE_NAMES = b"\x55\x1d\x11"


#: A time with its century. RFC 5280 requires seconds and a Z; OpenSSL accepts it without.
_TIME = re.compile(r"(\d{12})(\d\d)?(Z|[+-]\d{4})")


class _Element(NamedTuple):
    tag: int
    #: The whole element, and its content.
    whole: bytes
    content: bytes


def subject(der: bytes) -> str:
    """The subject of a certificate in DER, in the form of RFC 4514. Raises ValueError."""
    return _name(_content(_fields(der)[4], SEQUENCE))


def names(der: bytes) -> bytes:
    """The names that a certificate in DER was issued for: equal for two that have the same, in any order.

    The subject alone counts if there are no others, as for clients (RFC 9525, 6.3). Raises ValueError.
    """
    fields = _fields(der)
    for field in fields:
        if field.tag != EXTENSIONS:
            continue
        (extensions,) = _elements(field.content)
        for extension in _elements(_content(extensions, SEQUENCE)):
            kind, *_, value = _elements(_content(extension, SEQUENCE))
            if _content(kind, OBJECT_IDENTIFIER) == ALTERNATIVE_NAMES:
                (found,) = _elements(_content(value, OCTET_STRING))
                items = _elements(_content(found, SEQUENCE))
                return b"".join(sorted(item.whole for item in items))
    return fields[4].whole


def validity(der: bytes) -> tuple[datetime, datetime]:
    """The start and end of the validity of a certificate in DER. Raises ValueError."""
    not_before, not_after = map(_moment, _elements(_content(_fields(der)[3], SEQUENCE)))
    return not_before, not_after


def _fields(der: bytes) -> list[_Element]:
    """Serial number, algorithm, issuer, validity, subject and what follows."""
    (certificate,) = _elements(der)
    signed, *_ = _elements(_content(certificate, SEQUENCE))
    fields = [item for item in _elements(_content(signed, SEQUENCE)) if item.tag != VERSION]
    if len(fields) < 5 or fields[0].tag != INTEGER:
        raise ValueError("this is not a certificate")
    return fields


def _elements(data: bytes) -> Iterator[_Element]:
    """The elements of `data` (X.690, 8.1). Their lengths are definite: this is DER."""
    position = 0
    while position < len(data):
        start = position
        tag = data[position]
        position += 1
        if tag & 0x1F == 0x1F:  # a tag of several octets, which none of the wanted elements has
            while position < len(data) and data[position] & 0x80:
                position += 1
            position += 1
        if position >= len(data):
            raise ValueError("an element is cut short")
        length = data[position]
        position += 1
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4:
                raise ValueError("an element has an invalid length")
            length = int.from_bytes(data[position : position + count], "big")
            position += count
        content = data[position : position + length]
        position += length
        if position > len(data):
            raise ValueError("an element is cut short")
        yield _Element(tag, data[start:position], content)


def _content(element: _Element, tag: int) -> bytes:
    if element.tag != tag:
        raise ValueError(f"an element has the tag {element.tag:#04x} instead of {tag:#04x}")
    return element.content


def _moment(element: _Element) -> datetime:
    """RFC 5280, 4.1.2.5: a UTCTime is in the years 1950 to 2049."""
    text = element.content.decode("ascii")
    if element.tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif element.tag != GENERALIZED_TIME:
        raise ValueError("this is not a time")
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time")
    return datetime.strptime(match[1] + (match[2] or "00") + match[3], "%Y%m%d%H%M%S%z")


def _name(content: bytes) -> str:
    """RFC 4514, 2.1 and 2.2: the last relative name comes first, and a + joins the parts of one."""
    names = [
        "+".join(_attribute(item) for item in _elements(_content(element, SET)))
        for element in _elements(content)
    ]
    return ",".join(reversed(names))


def _attribute(element: _Element) -> str:
    """RFC 4514, 2.3 and 2.4."""
    kind, value = _elements(_content(element, SEQUENCE))
    number = _number(_content(kind, OBJECT_IDENTIFIER))
    try:
        text = _escape(value.content.decode(ENCODINGS[value.tag]))
    except (KeyError, UnicodeDecodeError):
        text = "#" + value.whole.hex()
    return f"{SHORT_NAMES.get(number, number)}={text}"


def _number(content: bytes) -> str:
    """An object identifier, dotted (X.690, 8.19)."""
    parts: list[int] = []
    part = 0
    for octet in content:
        part = part << 7 | octet & 0x7F
        if not octet & 0x80:
            parts.append(part)
            part = 0
    if not content or content[-1] & 0x80:
        raise ValueError("an object identifier is cut short")
    first = min(parts[0] // 40, 2)
    return ".".join(map(str, (first, parts[0] - first * 40, *parts[1:])))


def _escape(text: str) -> str:
    """RFC 4514, 2.4. Control characters, which may be escaped, are escaped: a name may appear in a log."""
    result = []
    for position, character in enumerate(text):
        if character in '\\"+,;<>' or (
            (character == " " and position in (0, len(text) - 1))
            or (character == "#" and position == 0)
        ):
            result.append("\\" + character)
        elif character < " " or "\x7f" <= character < "\xa0" or character in "\u2028\u2029":
            result.append("".join(f"\\{octet:02X}" for octet in character.encode()))
        else:
            result.append(character)
    return "".join(result)
