"""Every option of the server, declared once.

Rules of this file:
- A field of `Config`, or of its base in `application_options.py`, is the only place that states an option's
  name, default, type, range and help. The command line, the environment (`ASGIWS_<NAME>`), the keywords of
  `asgiws.run` and the reference page (`python -m asgiws.config`, kept as docs/options.md) are generated from
  the fields.
- Where uvicorn has an option with the same meaning, the name and the default are the same.
- Nothing in this package knows about sockets, protocols or the application. From the rest of
  asgiws, it imports only the expressions in `fields.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from asgiws.config.application_options import ApplicationOptions
from asgiws.config.checks import check
from asgiws.config.groups import (
    COMPRESSION,
    DEVELOPMENT,
    HTTP,
    LIMITS,
    LOGGING,
    PROXIES,
    TIMEOUTS,
    TLS,
    TOPICS,
    WEBSOCKET,
    WORKERS,
)
from asgiws.config.option import option, options_of
from asgiws.config.option_types import (
    AddressList,
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
    Optional,
    OriginList,
    Prefix,
    Reach,
    Several,
    Size,
    Text,
    VerifyMode,
    Words,
)

#: Larger than any count the server reaches.
MANY = 10**9


@dataclass(slots=True, frozen=True)
class Config(ApplicationOptions):
    """The checked options of a server.

    Raises ConfigError for a bad value and TypeError for an unknown name. It does not read the
    environment; `load` does.
    """

    workers: int = option(
        0,
        Integer(0, 512),
        WORKERS,
        "The number of worker processes under a supervisor; 0 serves in this process, without one.",
    )
    reuse_port: bool = option(
        False,
        Flag(negative=False),
        WORKERS,
        "Give each worker its own listening socket (SO_REUSEPORT); the kernel spreads the connections.",
    )
    timeout_worker_healthcheck: float = option(
        30.0,
        Duration(can_disable=True),
        WORKERS,
        "Replace a worker that shows no sign of life for this long; 0 or none disables the check.",
    )
    limit_max_requests: int | None = option(
        None,
        Optional(Integer(1, 10**9)),
        WORKERS,
        "Replace a worker after this many requests and WebSockets; without workers, stop the server.",
    )
    limit_max_requests_jitter: int = option(
        0,
        Integer(0, 10**9),
        WORKERS,
        "Add a random number up to this to limit_max_requests, so that workers are not all replaced at once.",
    )
    max_worker_age: float = option(
        0.0,
        Duration(can_disable=True),
        WORKERS,
        "Replace a worker after this time, plus or minus a tenth; 0 or none disables it.",
    )
    max_worker_rss: int | None = option(
        None,
        Optional(Size(2**20)),
        WORKERS,
        "Replace a worker that uses more memory than this (resident set size).",
    )
    drain_window: float | None = option(
        None,
        Optional(Duration()),
        WORKERS,
        "The time over which a stopping server or worker spreads the closing of its WebSockets. Default: "
        "5s, or half of the graceful timeout if that is less. SIGINT closes them at once.",
    )
    drain_code: int = option(
        1012,
        CloseCode(),
        WORKERS,
        "The close code for those WebSockets: 1012 service restart, 1001 going away.",
    )
    drain_reason: str = option(
        "service restart", CloseReason(), WORKERS, "The reason in their close frame."
    )

    http: str = option(
        "auto",
        Choice("auto", "httptools", "h11"),
        HTTP,
        "The HTTP/1.1 parser; auto uses httptools if it is installed.",
    )
    headers: list[tuple[bytes, bytes]] = option(  # noqa: RUF009
        [],
        HeaderList(),
        HTTP,
        "Add this header to every response; repeatable.",
        spelling="header",
    )
    allowed_hosts: list[str] = option(  # noqa: RUF009
        [],
        HostList(),
        HTTP,
        "Serve only requests for these hosts, such as example.com or *.example.com; others get 403.",
    )
    health_path: str | None = option(
        None,
        Optional(HealthPath()),
        HTTP,
        "Answer liveness probes at this path and readiness probes at /ready below it, without the application.",
    )
    server_header: bool = option(True, Flag(), HTTP, "Send a Server header.")
    date_header: bool = option(True, Flag(), HTTP, "Send a Date header.")

    ws_max_size: int = option(
        16 * 2**20,
        Size(1),
        WEBSOCKET,
        "The largest message, measured after decompression; a larger one closes the WebSocket with 1009.",
    )
    ws_max_fragments: int = option(
        131072,
        Integer(1, MANY),
        WEBSOCKET,
        "The most frames in one message; a message of more frames closes the WebSocket with 1008.",
    )
    ws_queue_high: int = option(
        262144,
        Size(1),
        WEBSOCKET,
        "Pause reading when this many bytes of messages wait for receive().",
    )
    ws_queue_low: int = option(
        65536,
        Size(0),
        WEBSOCKET,
        "Resume reading when no more than this many bytes wait.",
    )
    ws_max_outbound: int = option(
        16 * 2**20,
        Size(1),
        WEBSOCKET,
        "The number of bytes that may wait for a client that does not read; beyond that, ws_slow_consumer "
        "applies.",
    )
    ws_slow_consumer: str = option(
        "close",
        Choice("wait", "close", "abort"),
        WEBSOCKET,
        "For a client that reads too slowly: let send() wait, close with 1013, or cut the connection.",
    )
    ws_allowed_origins: list[str] = option(  # noqa: RUF009
        [],
        OriginList(),
        WEBSOCKET,
        "Accept WebSockets only from these origins, such as https://example.com or https://*.example.com; "
        "same means the requested host, none a client that sends no Origin. Others get 403.",
    )
    ws_per_message_deflate: bool = option(
        True,
        Boolean(),
        COMPRESSION,
        "Compress messages with permessage-deflate if the client offers it.",
    )
    ws_deflate_level: int = option(
        5,
        Integer(1, 9),
        COMPRESSION,
        "The compression level, from 1 (fastest) to 9 (smallest messages).",
    )
    ws_deflate_window_bits: int = option(
        12,
        Integer(9, 15),
        COMPRESSION,
        "The compression window of the server, as a power of 2; a client may request a smaller one.",
    )
    ws_deflate_client_window_bits: int = option(
        12,
        Integer(9, 15),
        COMPRESSION,
        "The largest compression window that clients may use, for clients that accept a limit.",
    )
    ws_deflate_memory_level: int = option(
        5,
        Integer(1, 9),
        COMPRESSION,
        "The memory that a compressor uses to find repetitions, in addition to its window.",
    )
    ws_deflate_no_context_takeover: str = option(
        "none",
        Choice("none", "server", "client", "both"),
        COMPRESSION,
        "Which side compresses each message on its own, without the context of earlier messages.",
    )
    ws_deflate_min_size: int = option(
        64, Size(0), COMPRESSION, "Send messages smaller than this uncompressed."
    )
    ws_deflate_memory: int = option(
        64 * 2**20,
        Size(0),
        COMPRESSION,
        "The memory limit for all compressors of a worker together; above it, contexts are dropped.",
    )
    ws_deflate_backend: str = option(
        "auto",
        Choice("auto", "zlib", "zlib-ng"),
        COMPRESSION,
        "The compression library; auto uses zlib-ng if it is installed, as with asgiws[deflate].",
    )

    pubsub: str = option(
        "host",
        Reach(),
        TOPICS,
        "How far topics reach, the extension asgiws.pubsub: all workers of this host, all hosts that use the "
        "same broker, or there are none.",
    )
    pubsub_prefix: str = option(
        "asgiws",
        Prefix(),
        TOPICS,
        "What the names of this application begin with at the broker: only hosts with the same share topics.",
    )
    pubsub_password_file: str | None = option(
        None,
        Optional(Text("FILE")),
        TOPICS,
        "A file with the broker's password, or USER:PASSWORD; read anew for each connection.",
    )
    pubsub_readiness: bool = option(
        False,
        Flag(negative=False),
        TOPICS,
        "Fail readiness probes while the broker, or the host's other workers, cannot be reached.",
    )
    pubsub_history: int = option(
        64 * 2**20,
        Size(0),
        TOPICS,
        "The memory for the messages that topics keep, all together; the oldest go first. 0 keeps none.",
    )
    pubsub_queue: int = option(
        16 * 2**20,
        Size(2**20),
        TOPICS,
        "The memory for messages that wait between a worker and the others, each way, and for a broker.",
    )
    pubsub_max_subscriptions: int = option(
        1000, Integer(1, MANY), TOPICS, "The most topics that one WebSocket may be subscribed to."
    )
    pubsub_max_message: int = option(
        2**20, Size(1), TOPICS, "The largest message that may be published."
    )

    timeout_request_head: float = option(
        30.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "The time for a request head, from its first byte; on a new connection, from the connection's start. "
        "Then 408.",
    )
    timeout_request_body: float = option(
        30.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "The longest time that a request body may make no progress. Then 408.",
    )
    timeout_keep_alive: float = option(
        5.0, Duration(), TIMEOUTS, "The time that a connection may wait for its next request."
    )
    timeout_send: float = option(
        30.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "The longest time that an HTTP client may accept none of the data sent to it. Then it is cut off.",
    )
    ws_handshake_timeout: float = option(
        30.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "The time that the application has to accept or reject a WebSocket. Then 503.",
    )
    ws_ping_interval: float = option(
        20.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "The interval between pings; 0 or none sends no pings.",
    )
    ws_ping_timeout: float = option(
        20.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "The time to wait for a pong before closing with 1011; 0 or none waits forever.",
    )
    ws_send_timeout: float = option(
        30.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "The longest time that a WebSocket client may accept none of the data sent to it; then "
        "ws_slow_consumer applies.",
    )
    ws_idle_timeout: float = option(
        0.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "Close with 1001 after no message in either direction for this long; off by default.",
    )
    ws_max_age: float = option(
        0.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "Close a WebSocket with 1001 after it has been open for this long; off by default.",
    )
    ws_max_age_jitter: float = option(
        0.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "Add a random time up to this to ws_max_age, so that WebSockets do not all close at once.",
    )
    ws_close_timeout: float = option(
        10.0,
        Duration(),
        TIMEOUTS,
        "The time to wait for the peer's close frame before cutting the connection.",
    )
    http_cancel_after: float = option(
        0.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "Cancel an application that is still handling an HTTP request this long after its client has gone; off "
        "by default.",
    )
    ws_cancel_after: float = option(
        0.0,
        Duration(can_disable=True),
        TIMEOUTS,
        "Cancel an application that is still handling a WebSocket this long after its client has gone; off by "
        "default.",
    )
    timeout_graceful_shutdown: float = option(
        30.0,
        Duration(),
        TIMEOUTS,
        "The total time that stopping may take; what is still open shortly before its end is cut off.",
    )

    limit_request_line: int = option(
        8192, Size(16), LIMITS, "The longest request line; a longer one gets 414."
    )
    limit_header_bytes: int = option(
        65536, Size(64), LIMITS, "The most bytes of header fields in a request; more get 431."
    )
    limit_header_count: int = option(
        100, Integer(1, 100000), LIMITS, "The most header fields in a request; more get 431."
    )
    limit_request_body: int | None = option(
        None,
        Optional(Size(0)),
        LIMITS,
        "The longest request body; a longer one gets 413. No limit by default.",
    )
    limit_pipelined: int = option(
        65536,
        Size(1),
        LIMITS,
        "Pause reading when a client has pipelined this many bytes of further requests.",
    )
    limit_incoming: int = option(
        128 * 2**20,
        Size(0),
        LIMITS,
        "The most bytes on their way to the application, for all connections of a worker together; a "
        "connection with at most 16 KiB does not count. Above it, the connections that hold most are closed, "
        "WebSockets with 1013. Never less than ws_max_size; 0 is no limit.",
    )
    limit_connections: int | None = option(
        None,
        Optional(Integer(1, MANY)),
        LIMITS,
        "The most open connections; further ones get 503. No limit by default.",
    )
    limit_concurrency: int | None = option(
        None,
        Optional(Integer(1, MANY)),
        LIMITS,
        "The most HTTP connections or concurrent requests, not counting WebSockets; further requests get 503. "
        "No limit by default.",
    )
    limit_websockets: int | None = option(
        None,
        Optional(Integer(1, MANY)),
        LIMITS,
        "The most WebSockets; further ones get 503. No limit by default.",
    )
    limit_per_ip: int | None = option(
        None,
        Optional(Integer(1, MANY)),
        LIMITS,
        "The most connections from one client address; further ones get 429. No limit by default.",
    )
    limit_handshakes_per_ip: int | None = option(
        None,
        Optional(Integer(1, MANY)),
        LIMITS,
        "The most WebSocket handshakes per second from one client address; further ones get 429. No "
        "limit by default.",
    )

    proxy_headers: bool = option(
        True,
        Flag(),
        PROXIES,
        "Trust what trusted proxies say in headers about the original request.",
    )
    forwarded_allow_ips: tuple[str, ...] = option(
        ("127.0.0.1", "::1"),
        AddressList(),
        PROXIES,
        "The trusted proxies: addresses, networks, unix for peers on a Unix socket, * for all.",
    )
    forwarded_header: str = option(
        "x-forwarded",
        Choice("x-forwarded", "forwarded"),
        PROXIES,
        "Use X-Forwarded-* or Forwarded (RFC 7239); the other one is only passed to the application.",
    )
    forwarded_fields: tuple[str, ...] = option(
        ("for", "proto"),
        Words("for", "proto", "host", "port", "prefix"),
        PROXIES,
        "The values to use from it; trust host, port and prefix only from proxies that always set them.",
    )
    proxy_protocol: bool = option(
        False,
        Flag(negative=False),
        PROXIES,
        "Expect the PROXY protocol, version 1 or 2, from a trusted proxy at the start of every connection.",
    )

    ssl_certfile: str | None = option(
        None,
        Optional(Text("FILE")),
        TLS,
        "The certificate and any intermediate certificates, as PEM.",
    )
    ssl_keyfile: str | None = option(
        None,
        Optional(Text("FILE")),
        TLS,
        "The private key of the certificate, as PEM. Default: read it from the certificate file.",
    )
    ssl_keyfile_password: str | None = option(
        None, Optional(Text()), TLS, "The password of the private key; best set in the environment."
    )
    ssl_ca_certs: str | None = option(
        None,
        Optional(Text("FILE")),
        TLS,
        "The certificate authorities to verify client certificates against, as PEM.",
    )
    ssl_cert_reqs: str = option(
        "none",
        VerifyMode(),
        TLS,
        "Request client certificates: none, optional (if sent, it must be valid) or required.",
    )
    ssl_minimum_version: str = option(
        "TLSv1.2", Choice("TLSv1.2", "TLSv1.3"), TLS, "The oldest TLS version to accept."
    )
    ssl_ciphers: str | None = option(
        None,
        Optional(Text("CIPHERS")),
        TLS,
        "The TLS 1.2 ciphers, in OpenSSL's notation. Default: those that Python considers secure.",
    )
    ssl_handshake_timeout: float = option(
        10.0,
        Duration(positive=True),
        TLS,
        "The time that a client has to complete its TLS handshake.",
    )

    log_level: str = option(
        "info",
        Choice("critical", "error", "warning", "info", "debug", "trace"),
        LOGGING,
        "Log messages of this level and above.",
    )
    access_log: bool = option(True, Flag(), LOGGING, "Log every request and every WebSocket.")
    use_colors: bool | None = option(
        None,
        Optional(Flag()),
        LOGGING,
        "Colour the log. Default: only on a terminal, unless NO_COLOR is set.",
    )

    reload: bool = option(
        False,
        Flag(negative=False),
        DEVELOPMENT,
        "Restart the application when its files change (needs asgiws[reload]).",
    )
    reload_dirs: list[str] = option(  # noqa: RUF009
        [],
        Several(Directory()),
        DEVELOPMENT,
        "Watch this directory; repeatable. Default: the directory that the module is looked for in.",
        spelling="reload-dir",
    )
    reload_includes: list[str] = option(  # noqa: RUF009
        [],
        Several(Text("PATTERN")),
        DEVELOPMENT,
        "Watch files that match this too; repeatable. Files that match *.py are always watched.",
        spelling="reload-include",
    )
    reload_excludes: list[str] = option(  # noqa: RUF009
        [],
        Several(Text("PATTERN")),
        DEVELOPMENT,
        "Ignore files and directories that match this; repeatable. Hidden ones are always ignored.",
        spelling="reload-exclude",
    )
    reload_delay: float = option(
        0.25,
        Duration(),
        DEVELOPMENT,
        "Wait for this long without further changes before restarting the application.",
    )

    def __post_init__(self) -> None:
        for item in OPTIONS:
            object.__setattr__(self, item.name, item.convert(getattr(self, item.name)))
        check(self, OPTIONS)

    def __repr__(self) -> str:
        """The values that differ from the defaults, without secrets."""
        values = {
            item.name: "***" if item.is_secret else getattr(self, item.name)
            for item in OPTIONS
            if getattr(self, item.name) != item.default
        }
        return f"Config({', '.join(f'{name}={value!r}' for name, value in values.items())})"


#: All options in the order of their declaration.
OPTIONS = options_of(Config)
