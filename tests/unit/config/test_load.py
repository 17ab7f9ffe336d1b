"""Where values come from, and which source wins."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from asgiws.config import OPTIONS, Config, ConfigError
from asgiws.config.endpoints import SystemdEndpoint, TCPEndpoint
from asgiws.config.load import load
from tests.support.bad_options import BAD


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(TypeError):
        Config("main:app", prot=80)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="no option 'prot'; did you mean 'port'"):
        load({"app": "main:app", "prot": 80}, {})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"uds": "x", "fd": 3}, "uds and fd exclude each other"),
        ({"ws_queue_high": 5, "ws_queue_low": 6}, "ws_queue_low is above ws_queue_high"),
        ({"ssl_keyfile": "x"}, "ssl_keyfile needs ssl_certfile"),
        ({"ssl_keyfile_password": "x"}, "ssl_keyfile_password needs ssl_certfile"),
        ({"uds": "x", "port": 80}, "uds and port exclude each other"),
        ({"fd": 3, "host": "::"}, "fd and host exclude each other"),
        ({"bind": ["a:1"], "port": 80}, "bind and port exclude each other"),
        ({"bind": ["a:1"], "host": "::"}, "bind and host exclude each other"),
        ({"bind": ["a:1"], "uds": "x"}, "bind and uds exclude each other"),
        ({"reload_delay": 1}, "reload_delay needs reload"),
        ({"reload_dirs": "."}, "reload_dirs needs reload"),
        ({"reload": True, "app": print}, "reload needs the application as module:attribute"),
        ({"bind": ["a:1"], "fd": 3}, "bind and fd exclude each other"),
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
    config = load({"app": "main:app", "bind": ["a:1"]}, {"ASGIWS_FD": "3", "ASGIWS_PORT": "5"})
    assert (config.bind, config.fd) == ([TCPEndpoint("a", 1)], None)
    config = load({"app": "main:app", "port": 80}, {"ASGIWS_BIND": "a:1"})
    assert (config.bind, config.port) == ([], 80)


def test_sockets_of_systemd_are_taken_where_nothing_else_is_given() -> None:
    passed = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    app = {"app": "main:app"}
    assert load(app, passed).bind == [SystemdEndpoint()]
    assert load(app, {**passed, "LISTEN_PID": "1"}).bind == []
    assert load(app, {}).bind == []
    for name, value in {"port": 80, "host": "::", "uds": "x", "fd": 3}.items():
        assert load({**app, name: value}, passed).bind == []
        assert load(app, {**passed, f"ASGIWS_{name.upper()}": str(value)}).bind == []
    assert load({**app, "bind": "a:1"}, passed).bind == [TCPEndpoint("a", 1)]
    assert Config("main:app").bind == []


def test_the_process_environment_is_read_by_load_and_not_by_config(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASGIWS_PORT", "82")
    assert load({"app": "main:app"}).port == 82
    assert Config("main:app").port == 8000


def test_without_an_application_there_is_nothing_to_serve() -> None:
    with pytest.raises(ConfigError, match="no application given; expected module:attribute"):
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


SERVICE = {
    "ASGIWS_PORT": "tcp://10.0.0.1:80",
    "ASGIWS_SERVICE_HOST": "10.0.0.1",
    "ASGIWS_SERVICE_PORT": "80",
    "ASGIWS_SERVICE_PORT_HTTP": "80",
    "ASGIWS_PORT_80_TCP": "tcp://10.0.0.1:80",
    "ASGIWS_PORT_80_TCP_ADDR": "10.0.0.1",
    "ASGIWS_PORT_80_TCP_PORT": "80",
    "ASGIWS_PORT_80_TCP_PROTO": "tcp",
}


def test_what_kubernetes_says_of_a_service_of_our_name_is_not_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = load({"app": "main:app"}, SERVICE)
    assert config == Config("main:app")
    (line,) = caplog.messages
    assert line.startswith(
        "ASGIWS_PORT=tcp://10.0.0.1:80 is ignored: Kubernetes sets it for a service"
    )
    assert load({"app": "main:app", "port": 9}, SERVICE).port == 9


@pytest.mark.parametrize("value", ["udp://10.0.0.1:53", "tcp://[fd00::1]:80", "sctp://a:1"])
def test_nor_is_it_of_a_service_whose_name_begins_with_ours(value: str) -> None:
    config = load({"app": "main:app"}, {"ASGIWS_PORT": value, "ASGIWS_REUSE_PORT": value})
    assert config == Config("main:app")


@pytest.mark.parametrize("value", ["http://10.0.0.1:80", "tcp://10.0.0.1", "tcp", "80x"])
def test_other_values_are_refused_by_the_name_of_the_variable(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^ASGIWS_PORT: "):
        load({"app": "main:app"}, {"ASGIWS_PORT": value})


def test_a_contradiction_names_the_variable_that_is_part_of_it() -> None:
    with pytest.raises(ConfigError, match=r"workers and reload .*: ASGIWS_WORKERS\)$"):
        load({"app": "main:app", "reload": True}, {"ASGIWS_WORKERS": "2", "ASGIWS_PORT": "81"})
    with pytest.raises(ConfigError, match=r"is for development$"):
        load({"app": "main:app", "reload": True, "workers": 2}, {"ASGIWS_PORT": "81"})
