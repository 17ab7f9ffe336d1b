"""Which broker the option `pubsub` means, and the library for it.

Rules of this file: a library is imported only if its broker is asked for. What cannot work is a StartError,
before anything is served.
"""

from __future__ import annotations

from asgiws.brokers.secrets import Secret
from asgiws.brokers.uplink import Connect
from asgiws.config import Config, StartError


def choose(config: Config) -> tuple[Connect, str]:
    """What connects to the broker, and what log lines call it. Raises StartError."""
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
