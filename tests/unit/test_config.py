"""Options: what is taken and refused, where values come from, and the page made of them."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from asgiws import config as module
from asgiws.config import (
    OPTIONS,
    Boolean,
    Config,
    ConfigError,
    Duration,
    HeaderList,
    RootPath,
    Size,
    load,
    reference,
)

ROOT = Path(__file__).resolve().parents[2]

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
    "ws_max_size": 16777216,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
    "ws_per_message_deflate": True,
    "ssl_keyfile": None,
    "ssl_certfile": None,
    "ssl_keyfile_password": None,
}


@pytest.mark.parametrize(("name", "default"), AS_UVICORN.items())
def test_names_and_defaults_are_those_of_uvicorn(name: str, default: object) -> None:
    assert getattr(Config("main:app"), name) == default


def test_a_stop_is_never_without_limit() -> None:
    assert Config("main:app").timeout_graceful_shutdown == 30.0
    for value in ("none", "inf", "nan", None, float("inf")):
        with pytest.raises(ConfigError):
            Config("main:app", timeout_graceful_shutdown=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("20", 20.0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("1.5m", 90.0),
        ("2h", 7200.0),
        (" 2H ", 7200.0),
        (3, 3.0),
        (0, 0.0),
    ],
)
def test_a_duration_is_seconds(given: object, seconds: float) -> None:
    result = Duration().convert(given)
    assert result == seconds
    assert isinstance(result, float)


@pytest.mark.parametrize(
    "given",
    ["", "x", "-1", "1d", "1 s s", "5sm", "1e3", "inf", -1, True, None, b"5", "99999h", "١s"],
)
def test_what_is_no_duration_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Duration().convert(given)


@pytest.mark.parametrize("given", ["0", "none", "NONE", None, 0, "0ms"])
def test_pings_can_be_switched_off(given: object) -> None:
    config = Config("main:app", ws_ping_interval=given, ws_ping_timeout=given)  # type: ignore[arg-type]
    assert config.ws_ping_interval == 0.0
    assert config.ws_ping_timeout == 0.0


@pytest.mark.parametrize(
    ("given", "octets"),
    [
        ("65536", 65536),
        ("64KB", 64000),
        ("64KiB", 65536),
        ("16mib", 16777216),
        ("16 MiB", 16777216),
        ("1.5KiB", 1536),
        ("1GiB", 2**30),
        ("1b", 1),
        (7, 7),
    ],
)
def test_a_size_is_bytes(given: object, octets: int) -> None:
    result = Size(1).convert(given)
    assert result == octets
    assert isinstance(result, int)


@pytest.mark.parametrize(
    "given", ["", "x", "0", "-1", "1.5", "1XB", "1.0001KB", 0, 1.0, True, None, "2000GiB", "9" * 19]
)
def test_what_is_no_size_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="bytes"):
        Size(1).convert(given)


@pytest.mark.parametrize(
    ("given", "result"),
    [("true", True), ("No", False), ("1", True), ("off", False), (False, False)],
)
def test_booleans(given: object, result: bool) -> None:
    assert Boolean().convert(given) is result


@pytest.mark.parametrize("given", ["", "maybe", 1, 0, None])
def test_what_is_no_boolean_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="true or false"):
        Boolean().convert(given)


@pytest.mark.parametrize(
    ("given", "result"),
    [("", ""), ("/api", "/api"), ("/api/", "/api"), ("/", ""), ("/a/b", "/a/b")],
)
def test_a_root_path_has_no_slash_at_its_end(given: str, result: str) -> None:
    assert RootPath().convert(given) == result


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ([], []),
        ("X-A: b", [(b"x-a", b"b")]),
        (["X-A:b", "x-c: d:e "], [(b"x-a", b"b"), (b"x-c", b"d:e")]),
        ([("X-A", "b")], [(b"x-a", b"b")]),
        ([(b"X-A", b"\xe9")], [(b"x-a", b"\xe9")]),
        ("X-A: b\nX-C: d\n", [(b"x-a", b"b"), (b"x-c", b"d")]),
        ("X-A:", [(b"x-a", b"")]),
    ],
)
def test_headers_are_pairs_of_bytes(given: object, result: object) -> None:
    assert HeaderList().convert(given) == result
    assert HeaderList().convert(result) == result


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


BAD = {
    "app": "",
    "factory": "maybe",
    "app_dir": "/nowhere/at/all",
    "env_file": "",
    "lifespan": "maybe",
    "root_path": "api",
    "loop": "trio",
    "host": 5,
    "port": "65536",
    "uds": "",
    "fd": "-1",
    "backlog": "0",
    "http": "http2",
    "headers": "x",
    "server_header": "x",
    "date_header": "x",
    "ws_max_size": "0",
    "ws_ping_interval": "-1",
    "ws_ping_timeout": "x",
    "ws_close_timeout": "none",
    "ws_per_message_deflate": "x",
    "ws_deflate_level": "0",
    "ws_deflate_window_bits": "8",
    "ws_deflate_client_window_bits": "16",
    "ws_deflate_memory_level": "10",
    "ws_deflate_no_context_takeover": "always",
    "ws_deflate_min_size": "-1",
    "ws_deflate_memory": "x",
    "ws_deflate_backend": "brotli",
    "timeout_keep_alive": "none",
    "timeout_graceful_shutdown": "none",
    "limit_concurrency": "0",
    "ssl_certfile": "",
    "ssl_keyfile": "",
    "ssl_keyfile_password": "",
    "log_level": "loud",
    "access_log": "x",
    "use_colors": "x",
}


@pytest.mark.parametrize("name", [option.name for option in OPTIONS])
def test_a_bad_value_is_told_in_one_line_with_the_option_and_what_is_allowed(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**{"app": "main:app", name: BAD[name]})
    text = str(caught.value)
    assert text.startswith(f"{name}: ")
    assert "expected " in text
    assert "\n" not in text
    if name != "ssl_keyfile_password":
        assert repr(BAD[name]) in text


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        Config("main:app", ssl_keyfile_password="geheim\0")
    assert "geheim" not in str(caught.value)


def test_a_configuration_is_checked_once_and_for_all() -> None:
    config = Config("main:app", port="80", ws_max_size="1KiB")  # type: ignore[arg-type]
    assert (config.port, config.ws_max_size) == (80, 1024)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 0  # type: ignore[misc]
    assert dataclasses.replace(config, host="::1").port == 80
    assert pickle.loads(pickle.dumps(config)) == config


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(TypeError):
        Config("main:app", prot=80)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="no option 'prot'; did you mean 'port'"):
        load({"app": "main:app", "prot": 80}, {})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"uds": "x", "fd": 3}, "uds and fd exclude each other"),
        ({"ssl_keyfile": "x"}, "ssl_keyfile needs ssl_certfile"),
        ({"ssl_keyfile_password": "x"}, "ssl_keyfile_password needs ssl_certfile"),
        ({"uds": "x", "port": 80}, "uds and port exclude each other"),
        ({"fd": 3, "host": "::"}, "fd and host exclude each other"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, object], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        load({"app": "main:app", **options}, {})


def test_the_environment_serves_where_the_command_line_is_silent() -> None:
    environ = {
        "ASGIWS_APP": "other:app",
        "ASGIWS_PORT": "81",
        "ASGIWS_HOST": "",
        "ASGIWS_ACCESS_LOG": "no",
        "ASGIWS_HEADERS": "X-A: b c\nX-D: e",
        "ASGIWS_WS_MAX_SIZE": "2MiB",
        "ASGIWS_EXTENSIONS": "auto",
    }
    config = load({"app": "main:app", "ws_max_size": 7}, environ)
    assert config.app == "main:app"
    assert config.port == 81
    assert config.host == "127.0.0.1"
    assert config.access_log is False
    assert config.headers == [(b"x-a", b"b c"), (b"x-d", b"e")]
    assert config.ws_max_size == 7
    assert load({}, environ).app == "other:app"


def test_every_option_can_come_from_the_environment() -> None:
    for option in OPTIONS:
        # An empty variable counts as not set.
        bad = str(BAD[option.name]) if option.name != "host" else "\0"
        given = {} if option.name == "app" else {"app": "x:y"}
        with pytest.raises(ConfigError) as caught:
            load(given, {option.env: bad or "\0"})
        start = "env_file: cannot read" if option.name == "env_file" else f"{option.env}: "
        assert str(caught.value).startswith(start)


def test_where_to_listen_is_not_mixed_of_two_sources() -> None:
    config = load({"app": "main:app", "port": 0}, {"ASGIWS_UDS": "x", "ASGIWS_HOST": "::1"})
    assert (config.uds, config.host, config.port) == (None, "::1", 0)
    config = load({"app": "main:app", "uds": "x"}, {"ASGIWS_FD": "3"})
    assert (config.uds, config.fd) == ("x", None)


def test_the_process_environment_is_read_by_load_and_not_by_config(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASGIWS_PORT", "82")
    assert load({"app": "main:app"}).port == 82
    assert Config("main:app").port == 8000


def test_without_an_application_there_is_nothing_to_serve() -> None:
    with pytest.raises(ConfigError, match="no application is given; expected module:attribute"):
        load({}, {})


def test_an_env_file_counts_below_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("ASGIWS_PORT=83\nASGIWS_BACKLOG=5\nEMPTY\n", encoding="utf-8")
    config = load({"app": "main:app", "env_file": path}, {"ASGIWS_BACKLOG": "6"})
    assert (config.port, config.backlog) == (83, 6)
    assert load({"app": "main:app"}, {"ASGIWS_ENV_FILE": str(path)}).port == 83


def test_an_env_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"env_file: cannot read '.*none': No such file"):
        load({"app": "main:app", "env_file": str(tmp_path / "none")}, {})
    (tmp_path / "bad").write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        load({"app": "main:app", "env_file": str(tmp_path / "bad")}, {})
    monkeypatch.setitem(sys.modules, "dotenv", None)
    with pytest.raises(ConfigError, match="pip install python-dotenv"):
        load({"app": "main:app", "env_file": str(tmp_path / "bad")}, {})


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_a_default_written_as_the_reference_shows_it_is_the_default(option: module.Option) -> None:
    shown = option.kind.show(option.default)
    if shown:
        assert option.convert(shown) == option.default


def test_the_reference_page_is_the_one_in_the_docs() -> None:
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m asgiws.config > docs/options.md"
    for option in OPTIONS:
        assert option.env in page
        assert option.help in page


def test_the_reference_page_is_printed() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "asgiws.config"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert result.stdout == reference()
    assert result.stderr == ""
