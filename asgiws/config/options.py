"""Every option of the server, declared once.

Rules of this file:
- A field of `Config` is the only place where an option's name, default, type, range and help stand.
  The command line, the environment (`ASGIWS_<NAME>`), the keywords of `asgiws.run` and the
  reference page (`python -m asgiws.config`, kept as docs/options.md) are made from the fields.
- Where uvicorn has an option of the same meaning, name and default are the same.
- Nothing in this package knows of sockets, protocols or the application; of the rest, only the
  expressions of `fields.py` are imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asgiws.config.errors import ConfigError
from asgiws.config.kinds import (
    Application,
    Boolean,
    Choice,
    Directory,
    Duration,
    Flag,
    HeaderList,
    Integer,
    Kind,
    Optional,
    RootPath,
    Size,
    Text,
    VerifyMode,
)
from asgiws.config.option import Option, option

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
        None, Optional(Text()), TLS, "The password of the private key; best set in the environment."
    )
    ssl_ca_certs: str | None = option(
        None,
        Optional(Text("FILE")),
        TLS,
        "The authorities that clients' certificates must come from, as PEM.",
    )
    ssl_cert_reqs: str = option(
        "none",
        VerifyMode(),
        TLS,
        "Ask clients for a certificate: none, optional (one that is sent must be good), required.",
    )
    ssl_minimum_version: str = option(
        "TLSv1.2", Choice("TLSv1.2", "TLSv1.3"), TLS, "The oldest version of TLS that is spoken."
    )
    ssl_ciphers: str | None = option(
        None,
        Optional(Text("CIPHERS")),
        TLS,
        "The ciphers of TLS 1.2 in OpenSSL's notation; by default those that Python holds for safe.",
    )
    ssl_handshake_timeout: float = option(
        10.0,
        Duration(positive=True),
        TLS,
        "How long a client has for its TLS handshake.",
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
            for item in OPTIONS:
                if item.group == TLS and getattr(self, item.name) != item.default:
                    raise ConfigError(
                        f"{item.name} needs ssl_certfile: without a certificate there is no TLS"
                    )
        if (self.ssl_ca_certs is None) != (self.ssl_cert_reqs == "none"):
            raise ConfigError(
                "ssl_ca_certs and ssl_cert_reqs need each other: the one says whom to trust, the other "
                "to ask for certificates"
            )
        if self.ssl_ciphers is not None and self.ssl_minimum_version == "TLSv1.3":
            raise ConfigError("ssl_ciphers has no effect when nothing older than TLSv1.3 is spoken")

    def __repr__(self) -> str:
        """What differs from the defaults, without secrets."""
        values = {
            item.name: "***" if item.is_secret else getattr(self, item.name)
            for item in OPTIONS
            if getattr(self, item.name) != item.default
        }
        return f"Config({', '.join(f'{name}={value!r}' for name, value in values.items())})"


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
