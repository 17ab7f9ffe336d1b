"""The options: their defaults, what each refuses and how it says so."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from asgiws.config import ConfigError
from asgiws.config.options import OPTIONS, Config
from tests.support.bad_options import BAD

#: Names and defaults that a command line written for uvicorn relies on.
AS_UVICORN = {
    "host": "127.0.0.1",
    "port": 8000,
    "uds": None,
    "fd": None,
    "loop": "auto",
    "http": "auto",
    "lifespan": "auto",
    "root_path": "",
    "headers": [],
    "factory": False,
    "env_file": None,
    "app_dir": "",
    "log_level": "info",
    "access_log": True,
    "use_colors": None,
    "server_header": True,
    "date_header": True,
    "backlog": 2048,
    "limit_concurrency": None,
    "timeout_keep_alive": 5.0,
    "limit_max_requests": None,
    "limit_max_requests_jitter": 0,
    "ws_max_size": 16777216,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
    "ws_per_message_deflate": True,
    "proxy_headers": True,
    "forwarded_allow_ips": ("127.0.0.1", "::1"),
    "ssl_keyfile": None,
    "ssl_certfile": None,
    "ssl_keyfile_password": None,
    "ssl_ca_certs": None,
}


@pytest.mark.parametrize(("name", "default"), AS_UVICORN.items())
def test_names_and_defaults_are_those_of_uvicorn(name: str, default: object) -> None:
    assert getattr(Config("main:app"), name) == default


def test_a_stop_is_never_without_limit() -> None:
    assert Config("main:app").timeout_graceful_shutdown == 30.0
    for value in ("none", "inf", "nan", None, float("inf")):
        with pytest.raises(ConfigError):
            Config("main:app", timeout_graceful_shutdown=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["0", "none", "NONE", None, 0, "0ms"])
def test_pings_can_be_switched_off(given: object) -> None:
    config = Config("main:app", ws_ping_interval=given, ws_ping_timeout=given)  # type: ignore[arg-type]
    assert config.ws_ping_interval == 0.0
    assert config.ws_ping_timeout == 0.0


@pytest.mark.parametrize(
    "given",
    [
        "no colon",
        ":value",
        "bad name:x",
        ["X-A: b\r\nX-C: d"],
        [("X-A", "b\n")],
        [("X-A", "b\0")],
        [("X-A",)],
        [7],
        7,
        "X-A: €",
        "Content-Length: 5",
        "transfer-encoding: chunked",
        "Connection: close",
        "Sec-WebSocket-Accept: x",
    ],
)
def test_headers_that_would_break_a_response_are_refused(given: object) -> None:
    with pytest.raises(ConfigError, match=r"^headers: .* expected Name:Value"):
        Config("main:app", headers=given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [option.name for option in OPTIONS])
def test_a_bad_value_is_told_in_one_line_with_the_option_and_what_is_allowed(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**{"app": "main:app", name: BAD[name]})
    text = str(caught.value)
    assert text.startswith(f"{name}: ")
    assert "expected " in text
    assert "\n" not in text
    if name not in ("ssl_keyfile_password", "pubsub"):  # which are not repeated
        assert repr(BAD[name]) in text


def test_a_configuration_is_checked_once_and_for_all() -> None:
    config = Config("main:app", port="80", ws_max_size="1KiB")  # type: ignore[arg-type]
    assert (config.port, config.ws_max_size) == (80, 1024)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 0  # type: ignore[misc]
    assert dataclasses.replace(config, host="::1").port == 80
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_configuration_is_shown_without_its_secrets() -> None:
    assert repr(Config("main:app")) == "Config(app='main:app')"
    config = Config("main:app", port=81, ssl_certfile="c", ssl_keyfile_password="geheim")
    assert repr(config) == (
        "Config(app='main:app', port=81, ssl_certfile='c', ssl_keyfile_password='***')"
    )


def test_the_url_of_a_broker_may_have_a_password_and_is_not_shown() -> None:
    config = Config("main:app", pubsub="redis://user:geheim@broker")
    assert "geheim" not in repr(config)
    with pytest.raises(ConfigError) as caught:
        Config("main:app", pubsub="mysql://user:geheim@broker")
    assert "geheim" not in str(caught.value)
