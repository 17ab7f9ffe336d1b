"""Every option of the server, declared once.

Rules of this file:
- A field of `Config` is the only place where an option's name, default, type, range and help stand.
  The command line, the environment (`ASGIWS_<NAME>`), the keywords of `asgiws.run` and the
  reference page (`python -m asgiws.config`, kept as docs/options.md) are made from the fields.
- A `Kind` turns what was given, as text or as a Python value, into the one form that the rest of
  the package sees, or raises ValueError with what is allowed. Doing it twice changes nothing.
- Where uvicorn has an option of the same meaning, name and default are the same.
- Nothing here knows of sockets, protocols or the application; of the package, only the expressions of
  `fields.py` are imported.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from asgiws import fields

ENV_PREFIX = "ASGIWS_"


class StartError(Exception):
    """The server cannot start. `str()` is one line for the operator."""

    exit_code = 1


class ConfigError(StartError, ValueError):
    """An option has a value that it cannot have, or options contradict each other."""

    exit_code = 2


# What an option may be.


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
        word = value.lower() if isinstance(value, str) else value
        if word not in self.words:
            raise ValueError(self.allowed)
        return str(word)


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

    With `can_disable`, 0, `none` and None mean "off" and become 0.0.
    """

    noun = "DURATION"
    FORM = "seconds, as 20 or 0.5, or with a unit, as 500ms, 30s, 1.5m, 2h"
    UNITS: ClassVar[dict[str, float]] = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    #: No deadline is further away than this: a year, which `loop.call_at` can still represent.
    MOST = 365 * 24 * 3600.0

    def __init__(self, *, can_disable: bool = False) -> None:
        self.can_disable = can_disable
        self.allowed = f"{self.FORM}; at most a year" + (", or none" if can_disable else "")

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
        if not math.isfinite(value) or not 0 <= value <= self.MOST:
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


class RootPath(Kind):
    """A path in front of the application's own: empty, or `/prefix` without a slash at its end."""

    noun = "PATH"
    allowed = "a path that begins with /"

    def convert(self, value: Any) -> str:
        text: str = super().convert(value)
        if text and not text.startswith("/"):
            raise ValueError(self.allowed)
        return text.rstrip("/")


class HeaderList(Kind):
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


# How an option is declared.


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of one option."""

    name: str
    default: Any
    kind: Kind
    group: str
    help: str
    #: The word on the command line, without the dashes; "" for the positional argument.
    spelling: str

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.name.upper()

    @property
    def flags(self) -> list[str]:
        """`--name` as on the command line, and `--no-name` where it exists."""
        if not self.spelling:
            return []
        if isinstance(self._plain, Flag) and self._plain.negative:
            return [f"--{self.spelling}", f"--no-{self.spelling}"]
        return [f"--{self.spelling}"]

    @property
    def is_flag(self) -> bool:
        """True when the command line takes it without a value."""
        return isinstance(self._plain, Flag)

    @property
    def is_list(self) -> bool:
        """True when the command line takes it several times."""
        return isinstance(self._plain, HeaderList)

    @property
    def is_secret(self) -> bool:
        """True when its value must not be repeated in a message."""
        return self.name.endswith("password")

    @property
    def _plain(self) -> Kind:
        return self.kind.kind if isinstance(self.kind, Optional) else self.kind

    def convert(self, value: Any, called: str = "") -> Any:
        """The canonical form of `value`; ConfigError, which calls the option `called`, when it has
        none."""
        try:
            return self.kind.convert(value)
        except ValueError as error:
            shown = "***" if self.is_secret else repr(value)
            raise ConfigError(
                f"{called or self.name}: {shown} is not allowed; expected {error}"
            ) from None


def option(
    default: Any,
    kind: Kind,
    group: str,
    help: str,
    *,
    spelling: str | None = None,
    kw_only: bool = True,
) -> Any:
    """Declare an option as a field of `Config`."""
    metadata = {"kind": kind, "group": group, "help": help, "spelling": spelling}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata, kw_only=kw_only)
    return field(default=default, metadata=metadata, kw_only=kw_only)


class Application(Kind):
    """`module:attribute`, or the application itself."""

    noun = "APP"
    allowed = "module:attribute, as in main:app"

    def convert(self, value: Any) -> Any:
        # An application may be false as a truth value: only None and a text tell of a mistake.
        if value is None or (isinstance(value, str) and (not value or "\0" in value)):
            raise ValueError(self.allowed)
        return value


APPLICATION = "Application"
SOCKET = "Socket"
LOGGING = "Logging"
HTTP = "HTTP"
WEBSOCKET = "WebSocket"
TLS = "TLS"
LIMITS = "Timeouts and limits"
GROUPS = (APPLICATION, SOCKET, HTTP, WEBSOCKET, LIMITS, TLS, LOGGING)


@dataclass(slots=True, frozen=True)
class Config:
    """The options of a server, checked.

    Raises ConfigError for a bad value and TypeError for an unknown name. It reads no environment;
    `load` does.
    """

    app: str | Callable[..., Any] = option(  # noqa: RUF009
        "",
        Application(),
        APPLICATION,
        "The application, as module:attribute.",
        spelling="",
        kw_only=False,
    )
    factory: bool = option(
        False,
        Flag(negative=False),
        APPLICATION,
        "The attribute is a function without arguments that makes the application.",
    )
    app_dir: str = option(
        "",
        Directory(),
        APPLICATION,
        "Look for the module in this directory first; the current one by default.",
    )
    env_file: str | None = option(
        None,
        Optional(Text("FILE")),
        APPLICATION,
        "Set the environment variables in this file that are not set yet (needs python-dotenv).",
    )
    lifespan: str = option(
        "auto",
        Choice("auto", "on", "off"),
        APPLICATION,
        "Tell the application of start and stop: auto where it supports that, on to insist, off.",
    )
    root_path: str = option(
        "",
        RootPath(),
        APPLICATION,
        "The path under which a proxy in front has mounted the application.",
    )
    loop: str = option(
        "auto",
        Choice("auto", "uvloop", "asyncio"),
        APPLICATION,
        "The event loop; auto takes uvloop where it is installed.",
    )

    host: str = option(
        "127.0.0.1",
        Kind(),
        SOCKET,
        'Listen on this address or name; 0.0.0.0 is all of IPv4, :: all of IPv6, "" both.',
    )
    port: int = option(8000, Integer(0, 65535), SOCKET, "Listen on this port; 0 picks a free one.")
    uds: str | None = option(
        None, Optional(Text("PATH")), SOCKET, "Listen on a Unix socket at this path instead."
    )
    fd: int | None = option(
        None,
        Optional(Integer(0, 2**20)),
        SOCKET,
        "Listen on the socket inherited as this file descriptor instead.",
    )
    backlog: int = option(
        2048,
        Integer(1, 65535),
        SOCKET,
        "How many connections the kernel holds until they are accepted.",
    )

    http: str = option(
        "auto",
        Choice("auto", "httptools", "h11"),
        HTTP,
        "The HTTP/1.1 parser; auto takes httptools where it is installed.",
    )
    headers: list[tuple[bytes, bytes]] = option(  # noqa: RUF009
        [],
        HeaderList(),
        HTTP,
        "Add this header to every response; may be repeated.",
        spelling="header",
    )
    server_header: bool = option(True, Flag(), HTTP, "Send a Server header.")
    date_header: bool = option(True, Flag(), HTTP, "Send a Date header.")

    ws_max_size: int = option(
        16 * 2**20,
        Size(1),
        WEBSOCKET,
        "The largest message taken, measured after decompression; a larger one closes with 1009.",
    )
    ws_ping_interval: float = option(
        20.0,
        Duration(can_disable=True),
        WEBSOCKET,
        "The time between pings; 0 or none sends no pings.",
    )
    ws_ping_timeout: float = option(
        20.0,
        Duration(can_disable=True),
        WEBSOCKET,
        "How long to wait for a pong before closing with 1011; 0 or none waits for ever.",
    )
    ws_close_timeout: float = option(
        10.0,
        Duration(),
        WEBSOCKET,
        "How long to wait for the peer's close frame before the connection is cut.",
    )
    ws_per_message_deflate: bool = option(
        True,
        Boolean(),
        WEBSOCKET,
        "Compress messages with permessage-deflate where the peer offers it.",
    )
    ws_deflate_level: int = option(
        5,
        Integer(1, 9),
        WEBSOCKET,
        "How hard to compress: 1 is the fastest, 9 makes the least of a message.",
    )
    ws_deflate_window_bits: int = option(
        12,
        Integer(9, 15),
        WEBSOCKET,
        "The window that messages are compressed with, as a power of 2; a peer may ask for less.",
    )
    ws_deflate_client_window_bits: int = option(
        12,
        Integer(9, 15),
        WEBSOCKET,
        "The largest window that clients are let compress with, where they can be told.",
    )
    ws_deflate_memory_level: int = option(
        5,
        Integer(1, 9),
        WEBSOCKET,
        "How much memory a compressor has for finding repetitions, beside its window.",
    )
    ws_deflate_no_context_takeover: str = option(
        "none",
        Choice("none", "server", "client", "both"),
        WEBSOCKET,
        "Who compresses each message by itself, without what the messages before it had.",
    )
    ws_deflate_min_size: int = option(
        64, Size(0), WEBSOCKET, "Smaller messages are sent as they are."
    )
    ws_deflate_memory: int = option(
        64 * 2**20,
        Size(0),
        WEBSOCKET,
        "What all compressors of a worker may hold together; above it, contexts are dropped.",
    )
    ws_deflate_backend: str = option(
        "auto",
        Choice("auto", "zlib", "zlib-ng"),
        WEBSOCKET,
        "What compresses; auto takes zlib-ng where it is installed, as asgiws[deflate] does.",
    )

    timeout_keep_alive: float = option(
        5.0, Duration(), LIMITS, "How long a connection may wait for its next request."
    )
    timeout_graceful_shutdown: float = option(
        30.0,
        Duration(),
        LIMITS,
        "How long stopping may take in all; what is still open shortly before is cut off.",
    )
    limit_concurrency: int | None = option(
        None,
        Optional(Integer(1, 10**9)),
        LIMITS,
        "Answer 503 above this number of connections or running applications; no limit by default.",
    )

    ssl_certfile: str | None = option(
        None,
        Optional(Text("FILE")),
        TLS,
        "The certificate, and those between it and the root, as PEM.",
    )
    ssl_keyfile: str | None = option(
        None,
        Optional(Text("FILE")),
        TLS,
        "The certificate's private key as PEM; by default it is looked for in the certificate's file.",
    )
    ssl_keyfile_password: str | None = option(
        None, Optional(Text()), TLS, "The password of the private key."
    )

    log_level: str = option(
        "info",
        Choice("critical", "error", "warning", "info", "debug", "trace"),
        LOGGING,
        "Log what is at least this grave.",
    )
    access_log: bool = option(True, Flag(), LOGGING, "Log every request and every WebSocket.")
    use_colors: bool | None = option(
        None,
        Optional(Flag()),
        LOGGING,
        "Colour the log; by default on a terminal, unless NO_COLOR is set.",
    )

    def __post_init__(self) -> None:
        for item in OPTIONS:
            object.__setattr__(self, item.name, item.convert(getattr(self, item.name)))
        if self.uds is not None and self.fd is not None:
            raise ConfigError("uds and fd exclude each other: a server listens on one of them")
        if self.ssl_certfile is None:
            for name in ("ssl_keyfile", "ssl_keyfile_password"):
                if getattr(self, name) is not None:
                    raise ConfigError(
                        f"{name} needs ssl_certfile: without a certificate there is no TLS"
                    )


def _options() -> tuple[Option, ...]:
    result = []
    for item in dataclasses.fields(Config):
        spelling = item.metadata["spelling"]
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        result.append(
            Option(
                name=item.name,
                default=default,
                kind=item.metadata["kind"],
                group=item.metadata["group"],
                help=item.metadata["help"],
                spelling=item.name.replace("_", "-") if spelling is None else spelling,
            )
        )
    return tuple(result)


#: All options in the order of their declaration.
OPTIONS = _options()

#: Options that say where to listen, of which the first two go with each other only.
_WHERE = ("host", "port", "uds", "fd")


def load(options: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    """The configuration: from `options`, else from the environment, else from the defaults.

    `options` holds what was given on the command line or to `asgiws.run`, by field name; `environ`
    is `os.environ` by default. Variables of the option `env_file` count as well, below the
    environment's own. Raises ConfigError for a bad value and for a name that is no option.
    """
    environ = os.environ if environ is None else environ
    known = {item.name: item for item in OPTIONS}
    for name in options:
        if name not in known:
            raise ConfigError(f"there is no option {name!r}{close_to(name, known)}")
    for name in ("uds", "fd"):
        for other in ("host", "port"):
            if options.get(name) is not None and other in options:
                raise ConfigError(f"{name} and {other} exclude each other: give one of them")
    env_file = options.get("env_file") or environ.get(known["env_file"].env)
    if env_file:
        environ = {**read_env_file(env_file), **environ}
    values = dict(options)
    if values.get("app") in (None, "") and not environ.get(known["app"].env):
        raise ConfigError(f"no application is given; expected {Application.allowed}")
    placed = any(name in options for name in _WHERE)
    for item in OPTIONS:
        text = environ.get(item.env)
        # An explicit place to listen on is not mixed with one from the environment.
        if text and item.name not in options and not (placed and item.name in ("uds", "fd")):
            values[item.name] = item.convert(text, item.env)
    return Config(**values)


def read_env_file(path: str | os.PathLike[str]) -> dict[str, str]:
    """The variables that an env file sets; ConfigError without python-dotenv or the file."""
    try:
        from dotenv import dotenv_values
    except ImportError:
        raise ConfigError(
            "env_file needs the package python-dotenv: pip install python-dotenv"
        ) from None
    try:
        with open(path, encoding="utf-8") as stream:
            values = dotenv_values(stream=stream)
    except (OSError, ValueError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        reason = getattr(error, "strerror", None) or reason
        raise ConfigError(f"env_file: cannot read {os.fspath(path)!r}: {reason}") from None
    return {name: value for name, value in values.items() if value is not None}


def close_to(name: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    """`; did you mean ...?` when one of `names` is close to `name`, else an empty text."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def reference() -> str:
    """The reference page of all options, as Markdown."""
    lines = [
        "# Options",
        "",
        "This page is made by `python -m asgiws.config`; do not edit it by hand.",
        "",
        "An option is given on the command line, as an environment variable, or as a keyword of",
        "`asgiws.run` and `asgiws.Config`; the keyword is the variable's name without `ASGIWS_`,",
        "in lower case. The command line and the keyword win over the environment, the environment",
        "over the file of `--env-file`, and that over the default.",
        "",
        f"A `DURATION` is given in {Duration.FORM}, a `SIZE` in {Size.FORM}.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group}", "", "| Option | Environment | Value | Default | Meaning |"]
        lines.append("|---|---|---|---|---|")
        for item in OPTIONS:
            if item.group == group:
                flags = " ".join(f"`{flag}`" for flag in item.flags) or "`APP`"
                noun = "" if item.is_flag else f"`{item.kind.noun}`".replace("|", "\\|")
                default = item.kind.show(item.default)
                default = f"`{default}`" if default else ""
                lines.append(f"| {flags} | `{item.env}` | {noun} | {default} | {item.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
