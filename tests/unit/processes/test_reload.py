"""Which files are watched, and what a reload needs; tests/integration/test_reload.py has the rest."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path

import pytest

from asgiws.config import Config, ConfigError
from asgiws.processes import reload
from asgiws.processes.reload import SETTLING, Files, ReloadImpossible, Settling, run_reloading
from asgiws.server.server import Server


@pytest.mark.parametrize(
    ("includes", "excludes", "name", "counts"),
    [
        ([], [], "app.py", True),
        ([], [], "deep/down/app.py", True),
        ([], [], "page.html", False),
        (["*.html"], [], "page.html", True),
        (["*.html"], [], "app.py", True),
        (["templates/*"], [], "a/templates/x", True),
        (["templates/*"], [], "a/other/x", False),
        ([], [], ".hidden.py", False),
        ([], [], ".venv/lib/x.py", False),
        ([], [], "__pycache__/x.py", False),
        ([], [], "~app.py", False),
        (["*"], [], "app.py~", False),
        ([], ["test_*.py"], "a/test_x.py", False),
        ([], ["tests"], "tests/x.py", False),
        ([], ["./tests/"], "tests/deep/x.py", False),
        ([], ["tests"], "a/tests/x.py", False),
        ([], ["a/tests"], "b/tests/x.py", True),
        ([], ["tests"], "tests_of_mine/x.py", True),
    ],
)
def test_what_counts(
    tmp_path: Path, includes: list[str], excludes: list[str], name: str, counts: bool
) -> None:
    files = Files([str(tmp_path)], includes, excludes)
    assert files.count(str(tmp_path / name)) is counts


def test_an_absolute_directory_can_be_excluded(tmp_path: Path) -> None:
    files = Files([str(tmp_path)], [], [str(tmp_path / "gen")])
    assert not files.count(str(tmp_path / "gen" / "deep" / "x.py"))
    assert files.count(str(tmp_path / "a" / "gen" / "x.py"))


def test_a_project_may_lie_in_a_hidden_directory_and_elsewhere_nothing_counts(
    tmp_path: Path,
) -> None:
    project = tmp_path / ".work"
    files = Files([str(project)], [], [])
    assert files.count(str(project / "app.py"))
    assert not files.count(str(tmp_path / "app.py"))


def test_it_waits_until_nothing_has_changed_but_not_for_ever() -> None:
    settling = Settling(0.25)
    assert not settling.has_begun()
    assert not settling.is_over(100.0)
    settling.changed(1.0)
    assert settling.has_begun()
    assert not settling.is_over(1.2)
    settling.changed(1.2)
    assert not settling.is_over(1.4)
    assert settling.is_over(1.45)
    now = 1.2
    while not settling.is_over(now):
        now += 0.1
        settling.changed(now)
    assert now == pytest.approx(1.0 + SETTLING, abs=0.2)
    patient = Settling(60.0)
    patient.changed(0.0)
    assert not patient.is_over(59.0)
    assert patient.is_over(60.0)


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("watchfiles", "--reload needs the package watchfiles: pip install 'asgiws\\[reload\\]'"),
        ("processes", "--reload needs a system with Unix processes"),
    ],
)
def test_what_is_missing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, missing: str, text: str
) -> None:
    if missing == "watchfiles":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    else:
        monkeypatch.delattr(signal, "pthread_sigmask")
    with pytest.raises(ReloadImpossible, match=text):
        run_reloading(Config("main:app", reload=True))


def test_a_server_is_one_process() -> None:
    with pytest.raises(ConfigError, match=r"reload needs asgiws\.run or the command"):
        Server(Config("main:app", reload=True))


def test_a_child_is_one_process_that_stops_soon() -> None:
    config = Config("main:app", reload=True, reload_delay=9, reload_dirs=["/"], port=7)
    child = reload._of_child(config)
    assert (child.reload, child.port, child.timeout_graceful_shutdown) == (False, 7, reload.STOP)
    Server(child)
