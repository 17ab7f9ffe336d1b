"""The types of options.

Rules of this file:
- A `OptionType` converts a string or a Python value to the canonical form that the rest of the package
  uses, or raises ValueError saying what is allowed. Converting twice changes nothing.
- A OptionType knows nothing about individual options: names and defaults are in `options.py`.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from typing import Any, ClassVar

from asgiws import fields
from asgiws.config import endpoints


class OptionType:
    """The type of an option. `noun` is its name in help texts; `allowed` says what it accepts."""

    noun = "TEXT"
    allowed = "a string"

    def convert(self, value: Any) -> Any:
        """The canonical form of `value`, a string or a Python value. Raises ValueError, which says
        what is allowed."""
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(self.allowed)
        return value

    def show(self, value: Any) -> str:
        """`value` as it can be written on a command line."""
        return str(value)


class Optional(OptionType):
    """Another kind, or None if the option is not given."""

    def __init__(self, kind: OptionType) -> None:
        self.kind = kind
        self.noun = kind.noun
        self.allowed = kind.allowed

    def convert(self, value: Any) -> Any:
        return None if value is None else self.kind.convert(value)

    def show(self, value: Any) -> str:
        return "" if value is None else self.kind.show(value)


class HealthPath(OptionType):
    """A path as it appears in requests."""

    noun = "PATH"
    allowed = "a path that begins with /, in visible ASCII without ? or #"

    def convert(self, value: Any) -> str:
        text: str = super().convert(value)
        if re.fullmatch("/[!-~]*", text) is None or "?" in text or "#" in text:
            raise ValueError(self.allowed)
        return text


class ListType(OptionType):
    """Several values; on the command line the option may be repeated."""


class Several(ListType):
    """A list of another kind: a sequence, or a string with commas between the members."""

    def __init__(self, kind: OptionType) -> None:
        self.kind = kind
        self.noun = kind.noun
        self.allowed = f"{kind.allowed}; separate several with commas"

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


class Text(OptionType):
    """A non-empty string."""

    allowed = "a non-empty string"

    def __init__(self, noun: str = "TEXT") -> None:
        self.noun = noun

    def convert(self, value: Any) -> str:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        text: str = super().convert(value)
        if not text:
            raise ValueError(self.allowed)
        return text


class Directory(OptionType):
    """A directory; an empty string means the current one."""

    noun = "DIRECTORY"
    allowed = "a directory that exists"

    def convert(self, value: Any) -> str:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        text: str = super().convert(value)
        if text and not os.path.isdir(text):
            raise ValueError(self.allowed)
        return text


class Choice(OptionType):
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


class Reach(OptionType):
    """How far topics reach: `host`, `off`, or the URL of a broker."""

    noun = "[host|off|URL]"
    SCHEMES = (
        *("redis", "rediss", "unix", "nats", "tls"),
        *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
    )
    allowed = "host, off, or the URL of a broker: redis://HOST, rediss://, unix://PATH, redis+sentinel://, "
    allowed += "redis+cluster://, nats://HOST or tls://"

    @staticmethod
    def is_url(value: str) -> bool:
        """Whether that names a broker."""
        return "://" in value

    def convert(self, value: Any) -> str:
        text: str = super().convert(value)
        if text.lower() in ("host", "off"):
            return text.lower()
        scheme, colon, rest = text.partition("://")
        if not colon or scheme.lower() not in self.SCHEMES or not rest or not text.isprintable():
            raise ValueError(self.allowed)
        return f"{scheme.lower()}://{rest}"


class Prefix(OptionType):
    """What names of one application begin with at a broker."""

    allowed = "1 to 64 letters, digits, - and _"

    def convert(self, value: Any) -> str:
        text: str = super().convert(value)
        if re.fullmatch("[A-Za-z0-9_-]{1,64}", text) is None:
            raise ValueError(self.allowed)
        return text


class VerifyMode(Choice):
    """`none`, `optional` or `required`; also 0, 1 or 2, the values of Python's `ssl.VerifyMode`."""

    def __init__(self) -> None:
        super().__init__("none", "optional", "required")

    def convert(self, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(int(value))
        words = {"0": "none", "1": "optional", "2": "required"}
        return super().convert(words.get(value, value) if isinstance(value, str) else value)


class Integer(OptionType):
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


class Boolean(OptionType):
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
    """Yes or no; on the command line `--name` alone, or `--name/--no-name`."""

    def __init__(self, *, negative: bool = True) -> None:
        self.negative = negative


class Duration(OptionType):
    """Seconds as a float, also written `500ms`, `30s`, `1.5m`, `2h`.

    With `can_disable`, 0, `none` and None mean "off" and become 0.0. With `positive`, 0 is refused.
    """

    noun = "DURATION"
    FORM = "seconds, such as 20 or 0.5, or with a unit, such as 500ms, 30s, 1.5m, 2h"
    UNITS: ClassVar[dict[str, float]] = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    #: The longest duration: a year, which `loop.call_at` can still represent.
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


class Size(OptionType):
    """Bytes as an int, also written `64KB` (1000), `64KiB` (1024), `16MiB`, `1GiB`."""

    noun = "SIZE"
    FORM = "bytes, such as 65536, or with a unit, such as 64KB (1000), 64KiB (1024), 16MiB, 1GiB"
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


class CloseCode(OptionType):
    """A code that a server may send in a close frame (RFC 6455, 7.4, and the registry)."""

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


class CloseReason(OptionType):
    """The reason in a close frame, which has room for 123 octets (RFC 6455, 5.5)."""

    allowed = "a string of at most 123 bytes in UTF-8"
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


class RootPath(OptionType):
    """The prefix of the application's paths: empty, or `/prefix` without a trailing slash."""

    noun = "PATH"
    allowed = "a path that begins with /"

    def convert(self, value: Any) -> str:
        text: str = super().convert(value)
        if text and not text.startswith("/"):
            raise ValueError(self.allowed)
        return text.rstrip("/")


class BindAddress(OptionType):
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


class HeaderList(ListType):
    """Response headers as a list of (lower-case name, value) in bytes.

    Accepts one or several, as `Name:Value` strings or as pairs. A string with several has one on each line.
    """

    noun = "NAME:VALUE"
    allowed = (
        "Name:Value, where the name is a token, the value has no control characters, and the header "
        "neither frames the message nor belongs to the connection"
    )
    NAME = re.compile(fields.TOKEN)
    VALUE = re.compile(fields.FIELD_VALUE)
    #: Headers that only the server itself may set: RFC 9110, 7.6.1; RFC 9112, 6; RFC 6455, 11.3.
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


class HostList(ListType):
    """Hosts as lower-case strings: `example.com`, `example.com:8000`, `*.example.com` for all names below it,
    `[::1]`, or `*`.

    Accepts one or several strings. Commas or white space separate several in one string.
    """

    noun = "HOST"
    allowed = "host, host:port, *.domain or *; separate several with commas"
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
    """Origins as lower-case strings: `https://example.com`, with a port unless it is the scheme's default,
    `https://*.example.com` for all names below it; `same` for the requested host, `none` for a client that
    sends no Origin, as clients other than browsers do, or `*`.

    Accepts what a HostList accepts.
    """

    noun = "ORIGIN"
    allowed = (
        "scheme://host, scheme://*.domain, same, none or *; separate several with commas; "
        "a port unless it is the scheme's default, and no path"
    )
    FORM = re.compile(
        r"\*|same|none|[a-z][a-z0-9+.-]*://(?:(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?"
        r"|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
    )

    def _item(self, item: Any) -> str:
        text = super()._item(item)
        for scheme, port in (("http://", ":80"), ("https://", ":443")):
            # RFC 6454, 6.2: an origin omits its scheme's default port.
            if text.startswith(scheme) and text.endswith(port):
                return text.removesuffix(port)
        return text


class Words(ListType):
    """A selection of a few words, as a tuple in the order of `words`."""

    noun = "WORDS"

    def __init__(self, *words: str) -> None:
        self.words = words
        self.allowed = "one or more of " + ", ".join(words) + ", separated by commas; or none"

    def convert(self, value: Any) -> tuple[str, ...]:
        words = [word.lower() for word in _members(value, self.allowed)]
        if any(word not in self.words for word in words):
            raise ValueError(self.allowed)
        return tuple(word for word in self.words if word in words)

    def show(self, value: Any) -> str:
        return ",".join(value) or "none"


class AddressList(ListType):
    """Addresses and networks as strings in a tuple, `unix` for Unix sockets, or `*` for all."""

    noun = "ADDRESSES"
    allowed = "addresses, networks such as 10.0.0.0/8, unix or *, separated by commas; or none"

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
    """The members of a list, given as a sequence or as a string with commas; `none` is the empty list."""
    if isinstance(value, str):
        value = [] if value.strip().lower() == "none" else value.split(",")
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ValueError(allowed)
    return [one.strip() for one in value]


class Application(OptionType):
    """`module:attribute`, or the application itself."""

    noun = "APP"
    allowed = "module:attribute, as in main:app"

    def convert(self, value: Any) -> Any:
        # An application may be false as a truth value: only None and a bad string are mistakes.
        if value is None or (isinstance(value, str) and (not value or "\0" in value)):
            raise ValueError(self.allowed)
        return value
