"""What options require of each other.

Rules of this file: each option has been checked by itself before; see `option_types.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgiws.config.errors import ConfigError
from asgiws.config.groups import TLS
from asgiws.config.option import Option
from asgiws.config.option_types import Reach


def check(config: Any, options: Sequence[Option]) -> None:
    """Check the values of a `Config`, whose options are `options`, against each other. Raises ConfigError."""
    if config.uds is not None and config.fd is not None:
        raise ConfigError("uds and fd exclude each other: a server listens on only one of them")
    if config.ws_queue_low > config.ws_queue_high:
        raise ConfigError("ws_queue_low is above ws_queue_high: reading would never pause")
    for name in ("uds", "fd"):
        if config.bind and getattr(config, name) is not None:
            raise ConfigError(f"bind and {name} exclude each other: list all addresses in bind")
    for name in ("pubsub_prefix", "pubsub_password_file"):
        default = next(item.default for item in options if item.name == name)
        if not Reach.is_url(config.pubsub) and getattr(config, name) != default:
            raise ConfigError(f"{name} needs the URL of a broker in pubsub")
    if config.pubsub_readiness and config.pubsub == "off":
        raise ConfigError("pubsub_readiness needs topics, but pubsub is off")
    _check_reload(config, options)
    _check_workers(config)
    if config.proxy_protocol and config.ssl_certfile is not None:
        raise ConfigError(
            "proxy_protocol and ssl_certfile exclude each other: the PROXY protocol comes before "
            "TLS, where the event loop cannot read it; let the proxy terminate TLS"
        )
    if config.ssl_certfile is None:
        for item in options:
            if item.group == TLS and getattr(config, item.name) != item.default:
                raise ConfigError(
                    f"{item.name} needs ssl_certfile: without a certificate there is no TLS"
                )
    if (config.ssl_ca_certs is None) != (config.ssl_cert_reqs == "none"):
        raise ConfigError(
            "ssl_ca_certs and ssl_cert_reqs need each other: one says whom to trust, the other to "
            "ask for certificates"
        )
    if config.ssl_ciphers is not None and config.ssl_minimum_version == "TLSv1.3":
        raise ConfigError("ssl_ciphers has no effect when ssl_minimum_version is TLSv1.3")


def _check_reload(config: Any, options: Sequence[Option]) -> None:
    if config.reload and not isinstance(config.app, str):
        raise ConfigError(
            "reload needs the application as module:attribute, to import it again each time"
        )
    given = [item.name for item in options if getattr(config, item.name) != item.default]
    for name in given:
        if name.startswith("reload_") and not config.reload:
            raise ConfigError(f"{name} needs reload: nothing is watched without it")


def _check_workers(config: Any) -> None:
    for name in ("uds", "fd"):
        if config.reuse_port and getattr(config, name) is not None:
            raise ConfigError(
                f"reuse_port and {name} exclude each other: it works only with TCP ports"
            )
    if config.workers:
        if config.reload:
            raise ConfigError("workers and reload exclude each other: reload is for development")
        if not isinstance(config.app, str):
            raise ConfigError(
                "workers need the application as module:attribute: each worker imports it"
            )
    elif config.max_worker_age or config.max_worker_rss is not None:
        name = "max_worker_age" if config.max_worker_age else "max_worker_rss"
        raise ConfigError(f"{name} needs workers: a single process cannot be replaced")
    if config.limit_max_requests_jitter and config.limit_max_requests is None:
        raise ConfigError("limit_max_requests_jitter needs limit_max_requests")
    if config.drain_window is not None and config.drain_window > config.timeout_graceful_shutdown:
        raise ConfigError(
            f"drain_window ({config.drain_window:g} s) is longer than timeout_graceful_shutdown "
            f"({config.timeout_graceful_shutdown:g} s), which ends it"
        )
