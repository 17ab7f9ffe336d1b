"""The command line: every option, the help, the version, and how the process ends."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from asgiws import cli
from asgiws.config import GROUPS, OPTIONS, Config, Option, StartError
from asgiws.config.endpoints import TCPEndpoint, UnixEndpoint
from asgiws.config.options import DEVELOPMENT, TLS
from asgiws.server.server import Server


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ASGIWS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that would have been served."""
    result: list[Config] = []

    def serve(config: Config, made: Callable[[Server], object]) -> int:
        result.append(config)
        return 0

    monkeypatch.setattr(cli, "serve", serve)
    return result


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


#: A value for each option that is not its default, as text and as it arrives.
VALUES: dict[str, tuple[str | None, Any]] = {
    "factory": (None, True),
    "app_dir": ("/", "/"),
    "env_file": (os.devnull, os.devnull),
    "lifespan": ("on", "on"),
    "root_path": ("/api/", "/api"),
    "loop": ("asyncio", "asyncio"),
    "host": ("::1", "::1"),
    "port": ("0", 0),
    "uds": ("/run/x", "/run/x"),
    "fd": ("3", 3),
    "bind": ("[::]:80, unix:/x", [TCPEndpoint("::", 80), UnixEndpoint("/x")]),
    "backlog": ("7", 7),
    "workers": ("4", 4),
    "reuse_port": (None, True),
    "timeout_worker_healthcheck": ("1m", 60.0),
    "limit_max_requests": ("1000", 1000),
    "limit_max_requests_jitter": ("9", 9),
    "max_worker_age": ("2h", 7200.0),
    "max_worker_rss": ("1GiB", 2**30),
    "pubsub": ("REDIS://broker", "redis://broker"),
    "pubsub_prefix": ("shop", "shop"),
    "pubsub_password_file": ("/run/secret", "/run/secret"),
    "pubsub_readiness": (None, True),
    "pubsub_history": ("1MiB", 2**20),
    "pubsub_queue": ("2MiB", 2**21),
    "pubsub_max_subscriptions": ("5", 5),
    "pubsub_max_message": ("1KiB", 1024),
    "drain_window": ("9", 9.0),
    "drain_code": ("1001", 1001),
    "drain_reason": ("bye", "bye"),
    "http": ("h11", "h11"),
    "headers": ("X-A: b", [(b"x-a", b"b")]),
    "health_path": ("/healthz", "/healthz"),
    "server_header": (None, False),
    "date_header": (None, False),
    "ws_max_size": ("1KiB", 1024),
    "ws_ping_interval": ("none", 0.0),
    "ws_ping_timeout": ("1m", 60.0),
    "ws_close_timeout": ("500ms", 0.5),
    "ws_per_message_deflate": ("false", False),
    "ws_deflate_level": ("9", 9),
    "ws_deflate_window_bits": ("15", 15),
    "ws_deflate_client_window_bits": ("9", 9),
    "ws_deflate_memory_level": ("8", 8),
    "ws_deflate_no_context_takeover": ("both", "both"),
    "ws_deflate_min_size": ("1KiB", 1024),
    "ws_deflate_memory": ("256MiB", 256 << 20),
    "ws_deflate_backend": ("zlib", "zlib"),
    "allowed_hosts": ("Example.com, *.example.com", ["example.com", "*.example.com"]),
    "ws_max_fragments": ("9", 9),
    "ws_queue_high": ("1MiB", 1 << 20),
    "ws_queue_low": ("1KiB", 1024),
    "ws_max_outbound": ("1MiB", 1 << 20),
    "ws_slow_consumer": ("abort", "abort"),
    "ws_allowed_origins": ("https://a.example:443,same", ["https://a.example", "same"]),
    "timeout_request_head": ("9", 9.0),
    "timeout_request_body": ("none", 0.0),
    "timeout_send": ("9", 9.0),
    "ws_handshake_timeout": ("9", 9.0),
    "ws_send_timeout": ("9", 9.0),
    "ws_idle_timeout": ("1h", 3600.0),
    "ws_max_age": ("1h", 3600.0),
    "ws_max_age_jitter": ("10m", 600.0),
    "http_cancel_after": ("9", 9.0),
    "ws_cancel_after": ("9", 9.0),
    "limit_request_line": ("4KiB", 4096),
    "limit_header_bytes": ("4KiB", 4096),
    "limit_header_count": ("9", 9),
    "limit_request_body": ("1MiB", 1 << 20),
    "limit_pipelined": ("1MiB", 1 << 20),
    "limit_incoming": ("1GiB", 1 << 30),
    "limit_connections": ("9", 9),
    "limit_websockets": ("9", 9),
    "limit_per_ip": ("9", 9),
    "limit_handshakes_per_ip": ("9", 9),
    "timeout_keep_alive": ("9", 9.0),
    "timeout_graceful_shutdown": ("9s", 9.0),
    "limit_concurrency": ("9", 9),
    "proxy_headers": (None, False),
    "forwarded_allow_ips": ("10.0.0.0/8, unix", ("10.0.0.0/8", "unix")),
    "forwarded_header": ("forwarded", "forwarded"),
    "forwarded_fields": ("host,for", ("for", "host")),
    "proxy_protocol": (None, True),
    "ssl_certfile": ("c", "c"),
    "ssl_keyfile": ("k", "k"),
    "ssl_keyfile_password": ("p", "p"),
    "ssl_ca_certs": ("a", "a"),
    "ssl_cert_reqs": ("1", "optional"),
    "ssl_minimum_version": ("tlsv1.3", "TLSv1.3"),
    "ssl_ciphers": ("HIGH", "HIGH"),
    "ssl_handshake_timeout": ("9s", 9.0),
    "tune_gc": (None, False),
    "log_level": ("trace", "trace"),
    "access_log": (None, False),
    "use_colors": (None, False),
    "reload": (None, True),
    "reload_dirs": ("/", ["/"]),
    "reload_includes": ("*.html,*.css", ["*.html", "*.css"]),
    "reload_excludes": ("tests", ["tests"]),
    "reload_delay": ("1s", 1.0),
}


#: What an option needs beside it.
COMPANIONS = {
    **{item.name: ("ssl_certfile",) for item in OPTIONS if item.group == TLS},
    **{item.name: ("reload",) for item in OPTIONS if item.group == DEVELOPMENT},
    "ssl_certfile": (),
    "reload": (),
    "limit_max_requests_jitter": ("limit_max_requests",),
    "max_worker_age": ("workers",),
    "max_worker_rss": ("workers",),
    "ssl_ca_certs": ("ssl_certfile", "ssl_cert_reqs"),
    "ssl_cert_reqs": ("ssl_certfile", "ssl_ca_certs"),
    "pubsub_prefix": ("pubsub",),
    "pubsub_password_file": ("pubsub",),
}


@pytest.mark.parametrize("option", OPTIONS[1:], ids=lambda option: option.name)
def test_every_option_arrives(served: list[Config], option: Option) -> None:
    text, value = VALUES[option.name]
    arguments = [option.flags[-1], *([] if text is None else [text])]
    companions = COMPANIONS.get(option.name, ())
    for name in companions:
        given = VALUES[name][0]
        arguments += ["--" + name.replace("_", "-"), *([] if given is None else [given])]
    assert call("main:app", *arguments) == 0
    assert getattr(served[0], option.name) == value
    assert value != option.default
    others = [other for other in OPTIONS[1:] if other.name not in (option.name, *companions)]
    assert all(getattr(served[0], other.name) == other.default for other in others)


@pytest.mark.parametrize("name", ["server_header", "date_header", "access_log", "use_colors"])
def test_a_flag_can_be_switched_on_against_the_environment(
    served: list[Config], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"ASGIWS_{name.upper()}", "false")
    call("main:app")
    call("main:app", "--" + name.replace("_", "-"))
    assert [getattr(item, name) for item in served] == [False, True]


def test_headers_are_gathered(served: list[Config]) -> None:
    call("main:app", "--header", "X-A: b", "--header", "X-C:d")
    assert served[0].headers == [(b"x-a", b"b"), (b"x-c", b"d")]


def test_several_places_to_listen_on_are_gathered(served: list[Config]) -> None:
    call("main:app", "--bind", "*:80", "--bind", "a:81,unix:/x")
    assert served[0].bind == [TCPEndpoint("", 80), TCPEndpoint("a", 81), UnixEndpoint("/x")]


def test_the_environment_gives_what_the_command_line_leaves_open(
    served: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASGIWS_APP", "env:app")
    monkeypatch.setenv("ASGIWS_PORT", "81")
    call("--backlog", "5")
    call("main:app", "--port", "82")
    assert [(item.app, item.port, item.backlog) for item in served] == [
        ("env:app", 81, 5),
        ("main:app", 82, 2048),
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "no application given; expected module:attribute, as in main:app"),
        (
            ["main:app", "--port", "x"],
            "Invalid value for '--port': 'x' is not allowed; expected a ",
        ),
        (["main:app", "--prot", "1"], "No such option"),
        (["main:app", "other:app"], "Got unexpected extra argument"),
        (["main:app", "--uds", "x", "--port", "1"], "uds and port exclude each other"),
        (["main:app", "--header", "x"], "Invalid value for '--header': 'x' is not allowed"),
        (["main:app", "--ws-ping-timeout"], "Option '--ws-ping-timeout' requires an argument"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Error: {text}")
    assert err.count("\n") == 1


def test_a_password_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("main:app", "--ssl-keyfile-password", "geheim\0") == 2
    text = capsys.readouterr().err
    assert "'--ssl-keyfile-password': *** is not allowed" in text
    assert "geheim" not in text


def test_a_bad_variable_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASGIWS_PORT", "many")
    assert call("main:app") == 2
    assert capsys.readouterr().err.startswith(
        "Error: ASGIWS_PORT: 'many' is not allowed; expected "
    )


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_shows_every_option_in_its_group(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(flag) == 0
    text = capsys.readouterr().out
    sections = re.findall(r"^(\w[\w ]*):$", text, re.M)
    assert sections == [*GROUPS, "Other"]
    joined = " ".join(text.split())
    for option in OPTIONS[1:]:
        for name in option.flags:
            assert re.search(rf"{name}\b", text)
        assert option.help in joined
    assert text.count("MODULE:ATTRIBUTE") == 1


def test_the_version_names_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    lines = capsys.readouterr().out.splitlines()
    from asgiws import __version__

    assert lines[0] == f"asgiws {__version__}"
    assert [line.split()[0] for line in lines[1:]] == [
        "python",
        "loop",
        "parser",
        "deflate",
        "compiled",
    ]
    assert sys.version.split()[0] in lines[1]


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["asgiws.websocket.mask", "asgiws.x"], "compiled  websocket.mask, x"),
        ([], "compiled  nothing (pure Python)"),
    ],
)
def test_the_version_names_the_compiled_modules(
    monkeypatch: pytest.MonkeyPatch, names: list[str], line: str
) -> None:
    monkeypatch.setattr(cli._extensions, "compiled", lambda: names)
    assert cli.version_text().splitlines()[-1] == line


def test_the_version_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert "loop      asyncio\n" in cli.version_text()


@pytest.mark.parametrize("code", [0, 1, 3, 143])
def test_the_exit_code_is_that_of_the_server(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(cli, "serve", lambda config, made: code)
    assert call("main:app") == code


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StartError("no such luck")])
def test_what_interrupts_the_start(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(config: Config, made: Callable[[Server], object]) -> int:
        raise error

    monkeypatch.setattr(cli, "serve", serve)
    if isinstance(error, KeyboardInterrupt):
        assert call("main:app") == 128 + signal.SIGINT
        assert capsys.readouterr().err == ""
    else:
        assert call("main:app") == 1
        assert capsys.readouterr().err == "Error: no such luck\n"


def test_a_thread_that_never_ends_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, served: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    left = threading.Event()
    release = threading.Event()

    def leave(code: int) -> None:
        ended.append(code)
        left.set()

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(cli, "LEAST_FOR_THREADS", 0.01)
    thread = threading.Thread(target=release.wait, name="stuck-one")
    thread.start()
    try:
        assert call("main:app") == 0
        assert left.wait(30)
    finally:
        release.set()
        thread.join()
    assert ended == [0]
    assert "Error: exited without waiting for threads: stuck-one\n" in capsys.readouterr().err


def test_a_thread_that_ends_in_time_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, served: list[Config]
) -> None:
    ended: list[int] = []
    release = threading.Event()
    monkeypatch.setattr(os, "_exit", ended.append)
    thread = threading.Thread(target=release.wait)
    thread.start()
    assert call("main:app") == 0
    release.set()
    thread.join()
    for watcher in threading.enumerate():
        if watcher.name == "asgiws-end":
            watcher.join(30)
    assert ended == []
