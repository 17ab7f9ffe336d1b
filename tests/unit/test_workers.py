"""The gunicorn worker's options; tests/integration/test_gunicorn.py has its life under a real gunicorn."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

gunicorn_config = pytest.importorskip("gunicorn.config")

from gunicorn.glogging import Logger  # noqa: E402

from asgiws.config import Config, ConfigError  # noqa: E402
from asgiws.workers import Worker  # noqa: E402


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """What a worker or gunicorn itself does to the loggers is undone."""
    names = ("asgiws", "asgiws.error", "asgiws.access", "gunicorn.error", "gunicorn.access")
    tops = [logging.getLogger(name) for name in names]
    before = [(top.handlers[:], top.level, top.propagate) for top in tops]
    yield
    for top, (handlers, level, propagate) in zip(tops, before, strict=True):
        top.handlers[:], top.propagate = handlers, propagate
        top.setLevel(level)


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def worker(**settings: Any) -> Worker:
    cfg = gunicorn_config.Config()
    for name, value in settings.items():
        cfg.set(name, value)
    result = Worker(1, os.getppid(), [], None, cfg.timeout / 2, cfg, Logger(cfg))
    result.wsgi = app
    return result


def options(**settings: Any) -> Config:
    made = worker(**settings)
    try:
        return made._config()
    finally:
        made.tmp.close()


def test_settings_of_gunicorn_are_options() -> None:
    config = options(
        backlog=77, keepalive=9, graceful_timeout=20, loglevel="warning", certfile="c", keyfile="k"
    )
    assert (config.backlog, config.timeout_keep_alive) == (77, 9.0)
    assert config.timeout_graceful_shutdown == 19.0
    assert config.log_level == "warning"
    assert (config.ssl_certfile, config.ssl_keyfile) == ("c", "k")
    assert options(graceful_timeout=0).timeout_graceful_shutdown == 1.0


def test_the_environment_wins_and_has_all_other_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASGIWS_TIMEOUT_KEEP_ALIVE", "1h")
    monkeypatch.setenv("ASGIWS_WS_MAX_SIZE", "1KiB")
    config = options(keepalive=9)
    assert (config.timeout_keep_alive, config.ws_max_size) == (3600.0, 1024)
    monkeypatch.setenv("ASGIWS_WS_MAX_SIZE", "x")
    with pytest.raises(ConfigError, match="ASGIWS_WS_MAX_SIZE"):
        options()


class Listening:
    def __init__(self, family: int) -> None:
        self.sock = socket.socket(family)


def test_the_proxies_that_gunicorn_believes_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options().forwarded_allow_ips == ("127.0.0.1", "::1")
    assert options(forwarded_allow_ips="10.1.2.3,10.0.0.0/8").forwarded_allow_ips == (
        "10.1.2.3",
        "10.0.0.0/8",
    )
    assert options(forwarded_allow_ips="*").forwarded_allow_ips == ("*",)
    assert options(forwarded_allow_ips="").forwarded_allow_ips == ()
    made = worker()
    for family in (socket.AF_INET, socket.AF_UNIX):
        listening = Listening(family)
        made.sockets.append(listening)
        with listening.sock:
            assert ("unix" in made._config().forwarded_allow_ips) == (family == socket.AF_UNIX)
    made.tmp.close()
    monkeypatch.setenv("ASGIWS_FORWARDED_ALLOW_IPS", "192.0.2.1")
    assert options(forwarded_allow_ips="10.1.2.3").forwarded_allow_ips == ("192.0.2.1",)


def test_the_log_is_that_of_gunicorn() -> None:
    assert options().access_log is False
    made = worker(accesslog="-")
    assert made._config().access_log is True
    made.tmp.close()
    for name in ("error", "access"):
        logger = logging.getLogger(f"asgiws.{name}")
        assert logger.handlers == getattr(made.log, f"{name}_log").handlers
        assert logger.handlers


async def test_requests_are_counted_and_the_lifespan_is_not() -> None:
    made = worker(max_requests=2)
    counted = made._counted(app)
    for kind in ("lifespan", "http", "lifespan"):
        await counted({"type": kind}, None, None)  # type: ignore[arg-type]
    assert (made.nr, made.alive) == (1, True)
    await counted({"type": "websocket"}, None, None)  # type: ignore[arg-type]
    assert (made.nr, made.alive) == (2, False)
    made.tmp.close()
    without = worker()
    assert without._counted(app) is app
    without.tmp.close()
