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

from asgiws.config.endpoints import Endpoint
from asgiws.config.errors import ConfigError
from asgiws.config.kinds import (
    AddressList,
    Application,
    BindAddress,
    Boolean,
    Choice,
    CloseCode,
    CloseReason,
    Directory,
    Duration,
    Flag,
    HeaderList,
    HealthPath,
    HostList,
    Integer,
    Kind,
    Optional,
    OriginList,
    RootPath,
    Several,
    Size,
    Text,
    VerifyMode,
    Words,
)
from asgiws.config.option import Option, option

APPLICATION = "Application"
SOCKET = "Socket"
WORKERS = "Workers"
LOGGING = "Logging"
HTTP = "HTTP"
WEBSOCKET = "WebSocket"
PROXIES = "Proxies"
TLS = "TLS"
COMPRESSION = "WebSocket compression"
TIMEOUTS = "Timeouts"
LIMITS = "Limits"
DEVELOPMENT = "Development"
GROUPS = (
    *(APPLICATION, SOCKET, WORKERS, HTTP, WEBSOCKET, COMPRESSION, TIMEOUTS, LIMITS, PROXIES),
    *(TLS, LOGGING, DEVELOPMENT),
)

#: More of anything than a server will ever count.
MANY = 10**9


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
    bind: list[Endpoint] = option(  # noqa: RUF009
        [],
        Several(BindAddress()),
        SOCKET,
        "Listen here instead; may be repeated. HOST:PORT, [::]:PORT (all of IPv6), *:PORT (both), "
        "unix:PATH?mode=660&user=NAME&group=NAME, fd://NUMBER, systemd: (what systemd has passed).",
    )
    backlog: int = option(
        2048,
        Integer(1, 65535),
        SOCKET,
        "How many connections the kernel holds until they are accepted.",
    )

    workers: int = option(
        0,
        Integer(0, 512),
        WORKERS,
        "How many processes serve, under a supervisor; 0 is this process alone, without one.",
    )
    reuse_port: bool = option(
        False,
        Flag(negative=False),
        WORKERS,
        "Give each worker a listening socket of its own (SO_REUSEPORT): the kernel spreads connections.",
    )
    timeout_worker_healthcheck: float = option(
        30.0,
        Duration(can_disable=True),
        WORKERS,
        "How long a worker may give no sign of life before it is replaced; 0 or none waits for ever.",
    )
    limit_max_requests: int | None = option(
        None,
        Optional(Integer(1, 10**9)),
        WORKERS,
        "Replace a worker after so many requests and WebSockets; without workers, stop after them.",
    )
    limit_max_requests_jitter: int = option(
        0,
        Integer(0, 10**9),
        WORKERS,
        "Add a random number up to this one to it, so that not all workers are replaced at once.",
    )
    max_worker_age: float = option(
        0.0,
        Duration(can_disable=True),
        WORKERS,
        "Replace a worker after this time, give or take a tenth; 0 or none lets it grow old.",
    )
    max_worker_rss: int | None = option(
        None,
        Optional(Size(2**20)),
        WORKERS,
        "Replace a worker that holds more memory than this (resident set size).",
    )
    drain_window: float | None = option(
        None,
        Optional(Duration()),
        WORKERS,
        "Over how long a server or worker that stops closes its WebSockets; by default 5s, or half of "
        "the graceful timeout if that is less. SIGINT closes them at once.",
    )
    drain_code: int = option(
        1012, CloseCode(), WORKERS, "The close code for them: 1012 is a restart, 1001 going away."
    )
    drain_reason: str = option(
        "service restart", CloseReason(), WORKERS, "The reason in their close frame."
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
    allowed_hosts: list[str] = option(  # noqa: RUF009
        [],
        HostList(),
        HTTP,
        "Serve requests for these hosts alone, as example.com or *.example.com; others get 403.",
    )
    health_path: str | None = option(
        None,
        Optional(HealthPath()),
        HTTP,
        "Answer health probes at this path (alive), and below it at /ready, without the application.",
    )
    server_header: bool = option(True, Flag(), HTTP, "Send a Server header.")
    date_header: bool = option(True, Flag(), HTTP, "Send a Date header.")

    ws_max_size: int = option(
        16 * 2**20,
        Size(1),
        WEBSOCKET,
        "The largest message taken, measured after decompression; a larger one closes with 1009.",
    )
    ws_max_fragments: int = option(
        131072,
        Integer(1, MANY),
        WEBSOCKET,
        "The most frames that a message may come in; one of more closes with 1008.",
    )
    ws_queue_high: int = option(
        262144,
        Size(1),
        WEBSOCKET,
        "How many bytes of messages may wait for receive() before reading pauses.",
    )
    ws_queue_low: int = option(
        65536,
        Size(0),
        WEBSOCKET,
        "Reading goes on when the application has taken all but these bytes.",
    )
    ws_max_outbound: int = option(
        16 * 2**20,
        Size(1),
        WEBSOCKET,
        "How many bytes may wait for a client that does not read; what more would be sent meets "
        "ws_slow_consumer.",
    )
    ws_slow_consumer: str = option(
        "close",
        Choice("wait", "close", "abort"),
        WEBSOCKET,
        "A client that does not read in time: let send() wait, close with 1013, or cut it off.",
    )
    ws_allowed_origins: list[str] = option(  # noqa: RUF009
        [],
        OriginList(),
        WEBSOCKET,
        "Let in WebSockets of these origins alone, as https://example.com or https://*.example.com; "
        "same is the host that was asked, none a client that names no origin. Others get 403.",
    )
    ws_per_message_deflate: bool = option(
        True,
        Boolean(),
        COMPRESSION,
        "Compress messages with permessage-deflate where the peer offers it.",
    )
    ws_deflate_level: int = option(
        5,
        Integer(1, 9),
        COMPRESSION,
        "How hard to compress: 1 is the fastest, 9 makes the least of a message.",
    )
    ws_deflate_window_bits: int = option(
        12,
        Integer(9, 15),
        COMPRESSION,
        "The window that messages are compressed with, as a power of 2; a peer may ask for less.",
    )
    ws_deflate_client_window_bits: int = option(
        12,
        Integer(9, 15),
        COMPRESSION,
        "The largest window that clients are let compress with, where they can be told.",
    )
    ws_deflate_memory_level: int = option(
        5,
        Integer(1, 9),
        COMPRESSION,
        "How much memory a compressor has for finding repetitions, beside its window.",
    )
    ws_deflate_no_context_takeover: str = option(
        "none",
        Choice("none", "server", "client", "both"),
        COMPRESSION,
        "Who compresses each message by itself, without what the messages before it had.",
    )
    ws_deflate_min_size: int = option(
        64, Size(0), COMPRESSION, "Smaller messages are sent as they are."
    )
    ws_deflate_memory: int = option(
        64 * 2**20,
        Size(0),
        COMPRESSION,
        "What all compressors of a worker may hold together; above it, contexts are dropped.",
    )
    ws_deflate_backend: str = option(
        "auto",
        Choice("auto", "zlib", "zlib-ng"),
        COMPRESSION,
        "What compresses; auto takes zlib-ng where it is installed, as asgiws[deflate] does.",
    )

    timeout_request_head: float = option(
        30.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "How long a client has for a request's head, from its first byte on, and a new connection for "
        "its first one. Then 408.",
    )
    timeout_request_body: float = option(
        30.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "How long a request's body may make no progress. Then 408.",
    )
    timeout_keep_alive: float = option(
        5.0, Duration(), TIMEOUTS, "How long a connection may wait for its next request."
    )
    timeout_send: float = option(
        30.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "How long a client may take nothing of what is sent to it. Then an HTTP connection is cut.",
    )
    ws_handshake_timeout: float = option(
        30.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "How long the application has to accept or refuse a WebSocket. Then 503.",
    )
    ws_ping_interval: float = option(
        20.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "The time between pings; 0 or none sends no pings.",
    )
    ws_ping_timeout: float = option(
        20.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "How long to wait for a pong before closing with 1011; 0 or none waits for ever.",
    )
    ws_send_timeout: float = option(
        30.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "How long a WebSocket's client may take nothing of what is sent to it before it meets "
        "ws_slow_consumer.",
    )
    ws_idle_timeout: float = option(
        0.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "Close with 1001 when no message came or went for so long; off by default.",
    )
    ws_max_age: float = option(
        0.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "Close with 1001 when a WebSocket has been open for so long; off by default.",
    )
    ws_max_age_jitter: float = option(
        0.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "Add up to so much at random, so that not all close at once.",
    )
    ws_close_timeout: float = option(
        10.0,
        Duration(),
        TIMEOUTS,
        "How long to wait for the peer's close frame before the connection is cut.",
    )
    http_cancel_after: float = option(
        0.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "Cancel an application that goes on with an HTTP request for so long after its client has gone; off by "
        "default.",
    )
    ws_cancel_after: float = option(
        0.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "Cancel an application that goes on with a WebSocket for so long after its client has gone; off by "
        "default.",
    )
    timeout_graceful_shutdown: float = option(
        30.0,
        Duration(),
        TIMEOUTS,
        "How long stopping may take in all; what is still open shortly before is cut off.",
    )

    limit_request_line: int = option(
        8192, Size(16), LIMITS, "The longest request line; a longer one is answered with 414."
    )
    limit_header_bytes: int = option(
        65536, Size(64), LIMITS, "The most bytes of header fields; more are answered with 431."
    )
    limit_header_count: int = option(
        100, Integer(1, 100000), LIMITS, "The most header fields; more are answered with 431."
    )
    limit_request_body: int | None = option(
        None,
        Optional(Size(0)),
        LIMITS,
        "The longest request body; a longer one is answered with 413. No limit by default.",
    )
    limit_pipelined: int = option(
        65536,
        Size(1),
        LIMITS,
        "How many bytes of further requests a client may send ahead before reading pauses.",
    )
    limit_incoming: int = option(
        128 * 2**20,
        Size(0),
        LIMITS,
        "How many bytes on their way to the application all connections of a worker may hold together, "
        "beside 16 KiB each; above it, those that hold most are closed, WebSockets with 1013. Never less "
        "than ws_max_size; 0 is no limit.",
    )
    limit_connections: int | None = option(
        None,
        Optional(Integer(1, MANY)),
        LIMITS,
        "The most open connections; the next is answered with 503. No limit by default.",
    )
    limit_concurrency: int | None = option(
        None,
        Optional(Integer(1, MANY)),
        LIMITS,
        "The most HTTP connections or requests at once, without WebSockets; the next is answered with "
        "503. No limit by default.",
    )
    limit_websockets: int | None = option(
        None,
        Optional(Integer(1, MANY)),
        LIMITS,
        "The most WebSockets; the next is answered with 503. No limit by default.",
    )
    limit_per_ip: int | None = option(
        None,
        Optional(Integer(1, MANY)),
        LIMITS,
        "The most connections of one client address; the next is answered with 429. No limit by default.",
    )
    limit_handshakes_per_ip: int | None = option(
        None,
        Optional(Integer(1, MANY)),
        LIMITS,
        "The most WebSocket handshakes of one client address in a second; more are answered with 429. "
        "No limit by default.",
    )

    proxy_headers: bool = option(
        True,
        Flag(),
        PROXIES,
        "Believe what trusted proxies say, in headers, of a request before them.",
    )
    forwarded_allow_ips: tuple[str, ...] = option(
        ("127.0.0.1", "::1"),
        AddressList(),
        PROXIES,
        "The proxies that are trusted: addresses, networks, unix for a Unix socket's peers, * for all.",
    )
    forwarded_header: str = option(
        "x-forwarded",
        Choice("x-forwarded", "forwarded"),
        PROXIES,
        "Read X-Forwarded-*, or Forwarded (RFC 7239); the other is the application's to see only.",
    )
    forwarded_fields: tuple[str, ...] = option(
        ("for", "proto"),
        Words("for", "proto", "host", "port", "prefix"),
        PROXIES,
        "What is taken from there; host, port and prefix only of proxies that set them always.",
    )
    proxy_protocol: bool = option(
        False,
        Flag(negative=False),
        PROXIES,
        "Every connection begins with the PROXY protocol, version 1 or 2, of a trusted proxy.",
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

    reload: bool = option(
        False,
        Flag(negative=False),
        DEVELOPMENT,
        "Start the application anew when its files change (needs asgiws[reload]).",
    )
    reload_dirs: list[str] = option(  # noqa: RUF009
        [],
        Several(Directory()),
        DEVELOPMENT,
        "Watch this directory; may be repeated. By default the one that the module is looked for in.",
        spelling="reload-dir",
    )
    reload_includes: list[str] = option(  # noqa: RUF009
        [],
        Several(Text("PATTERN")),
        DEVELOPMENT,
        "Watch files like this, too; may be repeated. Files like *.py always are.",
        spelling="reload-include",
    )
    reload_excludes: list[str] = option(  # noqa: RUF009
        [],
        Several(Text("PATTERN")),
        DEVELOPMENT,
        "Watch no files or directories like this; may be repeated. Hidden ones never are.",
        spelling="reload-exclude",
    )
    reload_delay: float = option(
        0.25,
        Duration(),
        DEVELOPMENT,
        "How long nothing may have changed before the application is started anew.",
    )

    def __post_init__(self) -> None:
        for item in OPTIONS:
            object.__setattr__(self, item.name, item.convert(getattr(self, item.name)))
        if self.uds is not None and self.fd is not None:
            raise ConfigError("uds and fd exclude each other: a server listens on one of them")
        if self.ws_queue_low > self.ws_queue_high:
            raise ConfigError("ws_queue_low is above ws_queue_high: reading would never pause")
        for name in ("uds", "fd"):
            if self.bind and getattr(self, name) is not None:
                raise ConfigError(f"bind and {name} exclude each other: give them all to bind")
        self._check_reload()
        self._check_workers()
        if self.proxy_protocol and self.ssl_certfile is not None:
            raise ConfigError(
                "proxy_protocol and ssl_certfile exclude each other: the PROXY protocol comes before "
                "TLS, where the event loop cannot read it; let the proxy end TLS"
            )
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

    def _check_reload(self) -> None:
        if self.reload and not isinstance(self.app, str):
            raise ConfigError(
                "reload needs the application as module:attribute, to import it anew each time"
            )
        given = [item.name for item in OPTIONS if getattr(self, item.name) != item.default]
        for name in given:
            if name.startswith("reload_") and not self.reload:
                raise ConfigError(f"{name} needs reload: nothing is watched without it")

    def _check_workers(self) -> None:
        for name in ("uds", "fd"):
            if self.reuse_port and getattr(self, name) is not None:
                raise ConfigError(
                    f"reuse_port and {name} exclude each other: only TCP ports have it"
                )
        if self.workers:
            if self.reload:
                raise ConfigError(
                    "workers and reload exclude each other: reload is for development"
                )
            if not isinstance(self.app, str):
                raise ConfigError(
                    "workers need the application as module:attribute: each imports it for itself"
                )
        elif self.max_worker_age or self.max_worker_rss is not None:
            name = "max_worker_age" if self.max_worker_age else "max_worker_rss"
            raise ConfigError(f"{name} needs workers: a process alone has no replacement")
        if self.limit_max_requests_jitter and self.limit_max_requests is None:
            raise ConfigError("limit_max_requests_jitter needs limit_max_requests")
        if self.drain_window is not None and self.drain_window > self.timeout_graceful_shutdown:
            raise ConfigError(
                f"drain_window ({self.drain_window:g} s) is longer than timeout_graceful_shutdown "
                f"({self.timeout_graceful_shutdown:g} s), which ends it"
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
