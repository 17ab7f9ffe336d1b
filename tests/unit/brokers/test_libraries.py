"""Which broker an URL means, and what is said if something is missing for it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from asgiws.brokers import libraries
from asgiws.brokers.secrets import Secret
from asgiws.config import Config, StartError

REDIS = ("redis", "rediss", "redis+sentinel", "redis+cluster", "rediss+sentinel", "rediss+cluster")


def config(pubsub: str, **options: Any) -> Config:
    return Config("main:app", pubsub=pubsub, **options)


@pytest.mark.parametrize(
    ("pubsub", "name"),
    [
        *((f"{scheme}://user:geheim@broker:7/", "Redis") for scheme in REDIS[:2]),
        ("unix:///run/redis.sock", "/run/redis.sock"),
        *((f"{scheme}://user:geheim@broker:7", "NATS") for scheme in ("nats", "tls")),
    ],
)
def test_the_scheme_says_which(pubsub: str, name: str) -> None:
    connect, called = libraries.choose(config(pubsub))
    assert name in called
    assert "geheim" not in called
    assert callable(connect)


async def test_what_connects_is_given_the_prefix_and_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from asgiws.brokers import nats, redis

    given: list[Any] = []

    async def connect(target: Any, *more: Any) -> None:
        given.append(more)

    def secret(path: str | None) -> Secret:
        given.append(path)
        return Secret(None)

    monkeypatch.setattr(libraries, "Secret", secret)
    monkeypatch.setattr(nats, "connect", connect)
    monkeypatch.setattr(redis, "connect", connect)
    options = {
        "pubsub_prefix": "shop",
        "pubsub_password_file": "/run/secret",
        "pubsub_queue": 1 << 21,
    }
    for pubsub in ("nats://a", "redis://a"):
        await libraries.choose(config(pubsub, **options))[0]()
    assert given == ["/run/secret", ("shop",), "/run/secret", ("shop", 1 << 21)]


@pytest.mark.parametrize(
    ("pubsub", "library", "line"),
    [
        ("redis://a", "redis", r"the package redis: pip install 'asgiws\[redis\]'"),
        ("nats://a", "nats", r"the package nats-py: pip install 'asgiws\[nats\]'"),
    ],
)
def test_a_library_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, pubsub: str, library: str, line: str
) -> None:
    import asgiws.brokers

    for name in list(sys.modules):
        if name.split(".")[0] == library:
            monkeypatch.delitem(sys.modules, name)
    for name in ("redis", "nats", "redis_servers"):
        monkeypatch.delitem(sys.modules, f"asgiws.brokers.{name}", raising=False)
        monkeypatch.delattr(asgiws.brokers, name, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(StartError, match=line) as caught:
        libraries.choose(config(pubsub))
    assert "\n" not in str(caught.value)
