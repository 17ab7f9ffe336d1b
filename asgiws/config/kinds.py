"""The types that an option may have.

Rules of this file:
- A `Kind` turns what was given, as text or as a Python value, into the one form that the rest of
  the package sees, or raises ValueError with what is allowed. Doing it twice changes nothing.
- A Kind knows of no option: names and defaults stand in `options.py`.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from typing import Any, ClassVar

from asgiws import fields
from asgiws.config import endpoints


class Kind:
    """The type of an option. `noun` is its name in help texts, `allowed` says what is taken."""

    noun = "TEXT"
    allowed = "a text"

    def convert(self, value: Any) -> Any:
        """The canonical form of `value`, a text or a Python value; ValueError says what is
        allowed."""
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(self.allowed)
        return value

    def show(self, value: Any) -> str:
        """`value` as it may be written on a command line."""
        return str(value)


class Optional(Kind):
    """Another kind, or None when the option is not given."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.noun = kind.noun
        self.allowed = kind.allowed

    def convert(self, value: Any) -> Any:
        return None if value is None else self.kind.convert(value)

    def show(self, value: Any) -> str:
        return "" if value is None else self.kind.show(value)


class HealthPath(Kind):
    """A path as requests have it."""

    noun = "PATH"
    allowed = "a path that begins with /, in visible ASCII without ? and #"

    def convert(self, value: Any) -> str:
        text: str = super().convert(value)
        if re.fullmatch("/[!-~]*", text) is None or "?" in text or "#" in text:
            raise ValueError(self.allowed)
        return text


class ListKind(Kind):
    """Several values; on the command line the option may be repeated."""


class Several(ListKind):
    """A list whose members are of another kind: a sequence, or a text with commas between them."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.noun = kind.noun
        self.allowed = f"{kind.allowed}; several are separated by commas"

    def convert(self, value: Any) -> list[Any]:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")]
        if not isinstance(value, (list, tuple)):
            raise ValueError(self.allowed)
        try:
            return [self.kind.convert(item) for item in value]
        except ValueError:
            raise ValueError(self.allowed) from None

    def show(self, value: Any) -> str:
        return ",".join(self.kind.show(item) for item in value)


class Text(Kind):
    """A text that is not empty."""

    allowed = "a text that is not empty"

    def __init__(self, noun: str = "TEXT") -> None:
        self.noun = noun

    def convert(self, value: Any) -> str:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        text: str = super().convert(value)
        if not text:
            raise ValueError(self.allowed)
        return text


class Directory(Kind):
    """A directory; an empty text is the current one."""

    noun = "DIRECTORY"
    allowed = "a directory that exists"

    def convert(self, value: Any) -> str:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        text: str = super().convert(value)
        if text and not os.path.isdir(text):
            raise ValueError(self.allowed)
        return text


class Choice(Kind):
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.noun = "[" + "|".join(words) + "]"
        self.allowed = "one of " + ", ".join(words)

    def convert(self, value: Any) -> str:
        for word in self.words:
            if isinstance(value, str) and word.lower() == value.lower():
                return word
        raise ValueError(self.allowed)


class VerifyMode(Choice):
    """`none`, `optional` or `required`; also 0, 1 or 2, as Python's `ssl.VerifyMode` has them."""

    def __init__(self) -> None:
        super().__init__("none", "optional", "required")

    def convert(self, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(int(value))
        words = {"0": "none", "1": "optional", "2": "required"}
        return super().convert(words.get(value, value) if isinstance(value, str) else value)


class Integer(Kind):
    """A whole number within bounds."""

    noun = "INTEGER"

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most
        self.allowed = f"a whole number from {least} to {most}"

    def convert(self, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(self.allowed)
        if not self.least <= value <= self.most:
            raise ValueError(self.allowed)
        return value


class Boolean(Kind):
    """Yes or no."""

    noun = "BOOLEAN"
    allowed = "true or false"
    WORDS: ClassVar[dict[str, bool]] = {
        **dict.fromkeys(("1", "true", "yes", "on", "t", "y"), True),
        **dict.fromkeys(("0", "false", "no", "off", "f", "n"), False),
    }

    def convert(self, value: Any) -> bool:
        result = self.WORDS.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(result, bool):
            raise ValueError(self.allowed)
        return result

    def show(self, value: Any) -> str:
        return "true" if value else "false"


class Flag(Boolean):
    """Yes or no, on the command line as `--name` alone or as `--name/--no-name`."""

    def __init__(self, *, negative: bool = True) -> None:
        self.negative = negative


class Duration(Kind):
    """Seconds as a float, also written `500ms`, `30s`, `1.5m`, `2h`.

    With `can_disable`, 0, `none` and None mean "off" and become 0.0. With `positive`, 0 is refused.
    """

    noun = "DURATION"
    FORM = "seconds, as 20 or 0.5, or with a unit, as 500ms, 30s, 1.5m, 2h"
    UNITS: ClassVar[dict[str, float]] = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    #: No deadline is further away than this: a year, which `loop.call_at` can still represent.
    MOST = 365 * 24 * 3600.0

    def __init__(self, *, can_disable: bool = False, positive: bool = False) -> None:
        self.can_disable = can_disable
        self.positive = positive
        self.allowed = f"{self.FORM}; {'more than 0 and ' if positive else ''}at most a year" + (
            ", or none" if can_disable else ""
        )

    def convert(self, value: Any) -> float:
        if self.can_disable and (
            value is None or (isinstance(value, str) and value.lower() == "none")
        ):
            return 0.0
        if isinstance(value, str):
            match = re.fullmatch(
                r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(ms|s|m|h|)", value.strip().lower()
            )
            if match is None:
                raise ValueError(self.allowed)
            value = float(match[1]) * self.UNITS[match[2]]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(self.allowed)
        if not math.isfinite(value) or not 0 <= value <= self.MOST or (self.positive and not value):
            raise ValueError(self.allowed)
        return float(value)

    def show(self, value: Any) -> str:
        return "none" if self.can_disable and not value else f"{value:g}"


class Size(Kind):
    """Bytes as an int, also written `64KB` (1000), `64KiB` (1024), `16MiB`, `1GiB`."""

    noun = "SIZE"
    FORM = "bytes, as 65536, or with a unit, as 64KB (1000), 64KiB (1024), 16MiB, 1GiB"
    UNITS: ClassVar[dict[str, int]] = {
        "": 1,
        "b": 1,
        "kb": 10**3,
        "mb": 10**6,
        "gb": 10**9,
        "kib": 2**10,
        "mib": 2**20,
        "gib": 2**30,
    }
    MOST = 2**40

    def __init__(self, least: int) -> None:
        self.least = least
        self.allowed = f"{self.FORM}; from {least} byte to 1024GiB"

    def convert(self, value: Any) -> int:
        if isinstance(value, str):
            match = re.fullmatch(
                r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([a-z]*)", value.strip().lower()
            )
            if match is None or match[2] not in self.UNITS:
                raise ValueError(self.allowed)
            unit = self.UNITS[match[2]]
            number = float(match[1]) * unit if "." in match[1] else int(match[1]) * unit
            if number != int(number):
                raise ValueError(self.allowed)
            value = int(number)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(self.allowed)
        if not self.least <= value <= self.MOST:
            raise ValueError(self.allowed)
        return value

    def show(self, value: Any) -> str:
        for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if value >= unit and value % unit == 0:
                return f"{value // unit}{name}"
        return str(value)


class CloseCode(Kind):
    """A code that a server may put into a close frame (RFC 6455, 7.4, and the registry)."""

    noun = "CODE"
    SENDABLE = frozenset((*range(1000, 1004), *range(1007, 1015)))
    allowed = "a close code: 1000 to 1003, 1007 to 1014, or 3000 to 4999"

    def convert(self, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{4}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(self.allowed)
        if value not in self.SENDABLE and not 3000 <= value <= 4999:
            raise ValueError(self.allowed)
        return value


class CloseReason(Kind):
    """The reason in a close frame, which has room for 123 octets (RFC 6455, 5.5)."""

    allowed = "a text of at most 123 bytes in UTF-8"
    MOST = 123

    def convert(self, value: Any) -> str:
        text: str = super().convert(value)
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise ValueError(self.allowed) from None
        if size > self.MOST:
            raise ValueError(self.allowed)
        return text


class RootPath(Kind):
    """A path in front of the application's own: empty, or `/prefix` without a slash at its end."""

    noun = "PATH"
    allowed = "a path that begins with /"

    def convert(self, value: Any) -> str:
        text: str = super().convert(value)
        if text and not text.startswith("/"):
            raise ValueError(self.allowed)
        return text.rstrip("/")


class BindAddress(Kind):
    """Where to listen, as an `Endpoint`."""

    noun = "ADDRESS"
    allowed = (
        "HOST:PORT, [IPV6]:PORT, *:PORT, unix:PATH, unix:PATH?mode=660&user=NAME&group=NAME, "
        "fd://NUMBER, systemd: or systemd:NAME"
    )

    def convert(self, value: Any) -> endpoints.Endpoint:
        if isinstance(value, endpoints.Endpoint):
            return value
        try:
            return endpoints.parse(super().convert(value))
        except ValueError:
            raise ValueError(self.allowed) from None


class HeaderList(ListKind):
    """Response headers as a list of (lower-case name, value) in bytes.

    Taken as `Name:Value` texts or pairs, alone or several; several in one text stand on lines of
    their own.
    """

    noun = "NAME:VALUE"
    allowed = (
        "Name:Value with a name that is a token, a value without control characters, and no header "
        "that frames the message or belongs to the connection"
    )
    NAME = re.compile(fields.TOKEN)
    VALUE = re.compile(fields.FIELD_VALUE)
    #: What the server itself must say, and say right: RFC 9110, 7.6.1; RFC 9112, 6; RFC 6455, 11.3.
    RESERVED = frozenset(
        (
            *(b"connection", b"content-length", b"keep-alive", b"te", b"trailer"),
            *(b"transfer-encoding", b"upgrade", b"proxy-connection"),
        )
    )

    def convert(self, value: Any) -> list[tuple[bytes, bytes]]:
        if isinstance(value, str):
            value = [line for line in value.splitlines() if line.strip()]
        if not isinstance(value, (list, tuple)):
            raise ValueError(self.allowed)
        return [self._pair(item) for item in value]

    def _pair(self, item: Any) -> tuple[bytes, bytes]:
        if isinstance(item, str):
            before, colon, after = item.partition(":")
            if not colon:
                raise ValueError(self.allowed)
            item = (before, after.strip(" \t"))
        if not isinstance(item, (list, tuple)) or len(item) != 2:
            raise ValueError(self.allowed)
        name, content = self._bytes(item[0]), self._bytes(item[1])
        if not self.NAME.fullmatch(name) or not self.VALUE.fullmatch(content):
            raise ValueError(self.allowed)
        name = name.lower()
        if name in self.RESERVED or name.startswith(b"sec-websocket-"):
            raise ValueError(self.allowed)
        return name, content

    def _bytes(self, part: Any) -> bytes:
        try:
            return part if isinstance(part, bytes) else str(part).encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(self.allowed) from None

    def show(self, value: Any) -> str:
        return "\n".join(
            f"{name.decode('latin-1')}:{text.decode('latin-1')}" for name, text in value
        )


class HostList(ListKind):
    """Hosts as lower-case texts: `example.com`, `example.com:8000`, `*.example.com` for all names below it,
    `[::1]`, or `*`.

    Taken as texts, alone or several; several in one text are separated by commas or white space.
    """

    noun = "HOST"
    allowed = "host, host:port, *.domain or *, several separated by commas"
    FORM = re.compile(
        r"\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?(?::[0-9]{1,5})?"
        r"|\[[0-9a-f:.]+\](?::[0-9]{1,5})?"
    )

    def convert(self, value: Any) -> list[str]:
        if isinstance(value, str):
            value = [item for item in re.split(r"[,\s]+", value) if item]
        if not isinstance(value, (list, tuple)):
            raise ValueError(self.allowed)
        return [self._item(item) for item in value]

    def _item(self, item: Any) -> str:
        text: str = super().convert(item).lower()
        if not self.FORM.fullmatch(text):
            raise ValueError(self.allowed)
        return text

    def show(self, value: Any) -> str:
        return ",".join(value)


class OriginList(HostList):
    """Origins as lower-case texts: `https://example.com`, with a port where it is not the scheme's own,
    `https://*.example.com` for all names below it; `same` for the host that was asked, `none` for
    who names no origin, as a client that is no browser does, or `*`.

    Taken as a HostList is.
    """

    noun = "ORIGIN"
    allowed = (
        "scheme://host, scheme://*.domain, same, none or *, several separated by commas; "
        "a port where it is not the scheme's own, and no path"
    )
    FORM = re.compile(
        r"\*|same|none|[a-z][a-z0-9+.-]*://(?:(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?"
        r"|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
    )

    def _item(self, item: Any) -> str:
        text = super()._item(item)
        for scheme, port in (("http://", ":80"), ("https://", ":443")):
            # RFC 6454, 6.2: an origin has no port that is its scheme's own.
            if text.startswith(scheme) and text.endswith(port):
                return text.removesuffix(port)
        return text


class Words(ListKind):
    """Several of a few words, as a tuple in the order of `words`."""

    noun = "WORDS"

    def __init__(self, *words: str) -> None:
        self.words = words
        self.allowed = "one or more of " + ", ".join(words) + ", with commas between them; or none"

    def convert(self, value: Any) -> tuple[str, ...]:
        words = [word.lower() for word in _members(value, self.allowed)]
        if any(word not in self.words for word in words):
            raise ValueError(self.allowed)
        return tuple(word for word in self.words if word in words)

    def show(self, value: Any) -> str:
        return ",".join(value) or "none"


class AddressList(ListKind):
    """Addresses and networks as texts in a tuple, `unix` for Unix sockets, or `*` for all."""

    noun = "ADDRESSES"
    allowed = (
        "addresses, networks as 10.0.0.0/8, unix or *, with commas between them; or none for nobody"
    )

    def convert(self, value: Any) -> tuple[str, ...]:
        return tuple(self._entry(entry) for entry in _members(value, self.allowed))

    def _entry(self, entry: str) -> str:
        if entry in ("*", "unix"):
            return entry
        if "%" in entry:  # a zone
            raise ValueError(self.allowed)
        try:
            network = ipaddress.ip_network(entry)
        except ValueError:
            raise ValueError(self.allowed) from None
        return str(network if "/" in entry else network.network_address)

    def show(self, value: Any) -> str:
        return ",".join(value) or "none"


def _members(value: Any, allowed: str) -> list[str]:
    """The members of a list, given as one or as a text with commas; `none` is the empty one."""
    if isinstance(value, str):
        value = [] if value.strip().lower() == "none" else value.split(",")
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ValueError(allowed)
    return [one.strip() for one in value]


class Application(Kind):
    """`module:attribute`, or the application itself."""

    noun = "APP"
    allowed = "module:attribute, as in main:app"

    def convert(self, value: Any) -> Any:
        # An application may be false as a truth value: only None and a text tell of a mistake.
        if value is None or (isinstance(value, str) and (not value or "\0" in value)):
            raise ValueError(self.allowed)
        return value
