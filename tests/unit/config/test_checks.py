"""What options require of each other, as `asgiws/config/checks.py` has it."""

from __future__ import annotations

from typing import Any

import pytest

from asgiws.config import Config, ConfigError


def test_the_proxy_protocol_and_tls_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"^proxy_protocol and ssl_certfile exclude each other"):
        Config("main:app", proxy_protocol=True, ssl_certfile="c")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ssl_keyfile": "k"}, "ssl_keyfile needs ssl_certfile: "),
        ({"ssl_cert_reqs": "optional"}, "ssl_cert_reqs needs ssl_certfile: "),
        ({"ssl_handshake_timeout": 5}, "ssl_handshake_timeout needs ssl_certfile: "),
        (
            {"ssl_certfile": "c", "ssl_cert_reqs": "required"},
            "ssl_ca_certs and ssl_cert_reqs need each other: ",
        ),
        (
            {"ssl_certfile": "c", "ssl_ca_certs": "a"},
            "ssl_ca_certs and ssl_cert_reqs need each other: ",
        ),
        (
            {"ssl_certfile": "c", "ssl_ciphers": "HIGH", "ssl_minimum_version": "TLSv1.3"},
            "ssl_ciphers has no effect ",
        ),
    ],
)
def test_an_option_of_tls_without_what_it_needs_is_refused(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{text}"):
        Config("main:app", **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"app": str, "workers": 1}, "workers need the application as module:attribute"),
        ({"workers": 1, "reload": True}, "workers and reload exclude each other"),
        ({"reuse_port": True, "uds": "/x"}, "reuse_port and uds exclude each other"),
        ({"reuse_port": True, "fd": 3}, "reuse_port and fd exclude each other"),
        ({"max_worker_age": 5}, "max_worker_age needs workers"),
        ({"max_worker_rss": "1GiB"}, "max_worker_rss needs workers"),
        ({"limit_max_requests_jitter": 5}, "limit_max_requests_jitter needs limit_max_requests"),
        ({"pubsub_prefix": "shop"}, "pubsub_prefix needs the URL of a broker in pubsub"),
        ({"pubsub_prefix": "shop", "pubsub": "off"}, "pubsub_prefix needs the URL of a broker"),
        ({"pubsub_password_file": "/x"}, "pubsub_password_file needs the URL of a broker"),
        ({"pubsub_readiness": True, "pubsub": "off"}, "pubsub_readiness needs topics"),
        (
            {"drain_window": 31},
            r"drain_window \(31 s\) is longer than timeout_graceful_shutdown \(30 s\)",
        ),
    ],
)
def test_what_only_makes_sense_with_something_else(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Config(**{"app": "main:app", **options})


def test_the_default_window_goes_with_any_graceful_timeout() -> None:
    assert Config("main:app", timeout_graceful_shutdown=0).drain_window is None


@pytest.mark.parametrize("pubsub", ["redis://a", "nats://a"])
def test_what_a_broker_makes_possible(pubsub: str) -> None:
    config = Config(
        "main:app",
        pubsub=pubsub,
        pubsub_prefix="shop",
        pubsub_password_file="/x",
        pubsub_readiness=True,
    )
    assert (config.pubsub, config.pubsub_prefix) == (pubsub, "shop")


def test_readiness_may_depend_on_topics_without_a_broker() -> None:
    assert Config("main:app", pubsub_readiness=True).pubsub == "host"
