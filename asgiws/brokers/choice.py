"""Which broker the option `pubsub` means, and what is needed for it.

Rules of this file: a library is imported only if its broker is asked for, and what is ours for brokers only if
one is, as every server imports this. What cannot work is a StartError, before anything is served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from asgiws.config import Config, StartError

if TYPE_CHECKING:
    from asgiws.brokers.hub import BrokerHub
    from asgiws.brokers.uplink import Connect


class Topics(Protocol):
    """What a hub needs of the server (`services/topics.py`)."""

    def call_soon(self, callback: Callable[[], object]) -> None: ...


def is_broker(config: Config) -> bool:
    """Whether topics go through a broker."""
    return "://" in config.pubsub


def choose(config: Config) -> tuple[Connect, str]:
    """What connects to the broker, and what log lines call it. Raises StartError."""
    from asgiws.brokers.secrets import Secret

    scheme = config.pubsub.partition("://")[0]
    secret = Secret(config.pubsub_password_file)
    prefix, most = config.pubsub_prefix, config.pubsub_queue
    if scheme in ("nats", "tls"):
        try:
            from asgiws.brokers import nats
        except ImportError:
            raise StartError(
                "pubsub needs the package nats-py: pip install 'asgiws[nats]'"
            ) from None
        target = nats.Target(config.pubsub, secret)
        return (lambda: nats.connect(target, prefix)), target.name
    try:
        from asgiws.brokers import redis
        from asgiws.brokers.redis_servers import Server
    except ImportError:
        raise StartError("pubsub needs the package redis: pip install 'asgiws[redis]'") from None
    server = Server(config.pubsub, secret)
    return (lambda: redis.connect(server, prefix, most)), server.name


def maker(config: Config) -> Callable[[Topics], BrokerHub] | None:
    """What makes the hub of a process that has no hub process; None if its topics stay in the process."""
    if not is_broker(config):
        return None
    from asgiws.brokers.hub import BrokerHub

    return lambda topics: BrokerHub(config, topics.call_soon)


def is_needed_early(config: Config) -> bool:
    """Whether the hub is made at the start, since its connections are part of what makes a server ready."""
    return is_broker(config) or config.pubsub_readiness
