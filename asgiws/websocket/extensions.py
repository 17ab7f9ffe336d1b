"""The `Sec-WebSocket-Extensions` header, read and written (RFC 6455, 9.1).

Rules of this file: grammar only; what an extension's parameters mean is the extension's own module.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from asgiws.fields import TOKEN

_TOKEN = TOKEN.decode()
# extension-param = token [ "=" ( token | quoted-string ) ]; a quoted value must be a token once unquoted.
_PARAMETER = rf'{_TOKEN}(?:[ \t]*=[ \t]*(?:{_TOKEN}|"{_TOKEN}"))?'
_EXTENSION = rf"{_TOKEN}(?:[ \t]*;[ \t]*{_PARAMETER})*"
_LIST = re.compile(rf"[ \t]*(?:,[ \t]*)*{_EXTENSION}(?:[ \t]*,(?:[ \t]*{_EXTENSION})?)*[ \t]*")


class Extension(NamedTuple):
    """One offered or accepted extension: its name and its (parameter, value) pairs in order; the value is
    None for a parameter without one."""

    name: str
    parameters: list[tuple[str, str | None]]

    def __str__(self) -> str:
        parts = [self.name]
        parts += [name if value is None else f"{name}={value}" for name, value in self.parameters]
        return "; ".join(parts)


def parse(values: list[bytes]) -> list[Extension]:
    """The extensions that the header's lines name, in order of preference.

    Raises ValueError for a line that does not follow the grammar. Tokens hold neither commas nor
    semicolons, so once a line matched the grammar it can be taken apart by them.
    """
    found = []
    for raw in values:
        line = raw.decode("latin-1")
        if not _LIST.fullmatch(line):
            raise ValueError(f"malformed Sec-WebSocket-Extensions: {line[:80]!a}")
        for item in line.split(","):
            name, *parameters = (part.strip(" \t") for part in item.split(";"))
            if name:
                found.append(Extension(name, [_parameter(text) for text in parameters]))
    return found


def _parameter(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name.rstrip(" \t"), value.strip(' \t"') if equals else None
