"""`asgiws.run`, and which kind of serving a configuration asks for."""

from __future__ import annotations

from typing import Any

import pytest

from asgiws.config import Config, ConfigError, StartError
from asgiws.processes import reload, supervisor
from asgiws.processes import run as module
from asgiws.processes.run import run, serve
from asgiws.server.server import Server


async def accepting(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nobody calls it")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which kinds of serving were begun. Each would end with 3."""
    result: list[str] = []

    def kind(name: str) -> Any:
        def begin(what: Any) -> int:
            result.append(name)
            return 3

        return begin

    for where, name in (
        (reload, "run_reloading"),
        (supervisor, "supervise"),
        (module, "run_server"),
    ):
        monkeypatch.setattr(where, name, kind(name))
    return result


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "run_server"),
        ({"workers": 1}, "supervise"),
        ({"workers": 2}, "supervise"),
        ({"reload": True}, "run_reloading"),
    ],
)
def test_which_kind_it_is(asked: list[str], options: dict[str, Any], kind: str) -> None:
    servers: list[Server] = []
    assert serve(Config("main:app", **options), servers.append) == 3
    assert asked == [kind]
    assert len(servers) == (kind == "run_server")


def test_run_ends_with_the_code(asked: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("main:app", workers=2)
    assert (caught.value.code, asked) == (3, ["supervise"])


def test_run_raises_for_an_option_and_exits_for_a_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="port"):
        run(accepting, port=-1)
    with pytest.raises(SystemExit) as caught:
        run("no.such.module:app", port=0)
    assert caught.value.code == StartError.exit_code == 1
    assert capsys.readouterr().err.count("\n") == 1
