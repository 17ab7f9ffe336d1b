"""The `Sec-WebSocket-Extensions` header, parsed and serialised (RFC 6455, 9.1).

Rules of this file: grammar only; an extension's own module interprets its parameters.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from asgiws.fields import TOKEN

_TOKEN = TOKEN.decode()
# extension-param = token [ "=" ( token | quoted-string ) ]; a quoted value must be a token after unquoting.
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
    """The extensions in the header's lines, in order of preference.

    Raises ValueError for a line that does not follow the grammar. Tokens contain neither commas nor
    semicolons, so a line that matched the grammar can be split at them.
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
