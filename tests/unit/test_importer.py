"""From `module:attribute` to the application, and what is said when that fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.importer import AppNotFound, AppRaised, load


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory for modules, which are forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(directory: Path, name: str, text: str) -> None:
    file = directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def load_from(directory: Path, app: str, **options: Any) -> Any:
    return load(Config(app, app_dir=str(directory), **options))


def test_an_attribute_of_a_module(directory: Path) -> None:
    write(directory, "one_app.py", "class Box:\n    app = 'inner'\napp = 'outer'\n")
    assert load_from(directory, "one_app:app") == "outer"
    assert load_from(directory, "one_app:Box.app") == "inner"
    assert sys.path.count(str(directory)) == 1


def test_the_current_directory_is_looked_in(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(directory, "here_app.py", "app = 1\n")
    monkeypatch.chdir(directory)
    assert load(Config("here_app:app")) == 1


def test_an_object_is_taken_as_it_is() -> None:
    def app() -> None: ...

    before = list(sys.path)
    assert load(Config(app)) is app
    assert sys.path == before


@pytest.mark.parametrize(
    ("app", "text"),
    [
        ("main", "'main' is not of the form module:attribute, as in 'main:app'"),
        (":app", "':app' is not of the form module:attribute, as in 'main:app'"),
        ("main:", "'main:' is not of the form module:attribute, as in 'main:app'"),
        ("main.py:app", "'main.py:app' names a file; give the module instead, as in 'main:app'"),
        (
            "./src/main.py",
            "'./src/main.py' names a file; give the module instead, as in 'src.main:app'",
        ),
        (
            "src/main:api",
            "'src/main:api' names a file; give the module instead, as in 'src.main:api'",
        ),
        ("..:app", "'..' is not the name of a module"),
    ],
)
def test_what_is_not_of_the_form_is_told(directory: Path, app: str, text: str) -> None:
    with pytest.raises(AppNotFound) as caught:
        load_from(directory, app)
    assert str(caught.value) == text


def test_a_module_that_is_not_there_is_told_with_the_place(directory: Path) -> None:
    with pytest.raises(AppNotFound) as caught:
        load_from(directory, "none_such:app")
    assert f"there is no module 'none_such' in {str(directory)!r}" in str(caught.value)
    write(directory, "some_package/__init__.py", "")
    with pytest.raises(AppNotFound, match=r"no module 'some_package.none'"):
        load_from(directory, "some_package.none:app")
    with pytest.raises(AppNotFound, match=r"no module 'none_such' \(for 'none_such.deep'\)"):
        load_from(directory, "none_such.deep:app")


def test_a_module_that_imports_what_is_not_there_shows_where(directory: Path) -> None:
    write(directory, "needy_app.py", "import none_such_either\n")
    with pytest.raises(AppRaised) as caught:
        load_from(directory, "needy_app:app")
    assert str(caught.value) == "importing 'needy_app' failed"
    report = caught.value.report()
    assert 'needy_app.py", line 1, in <module>' in report
    assert report.endswith("ModuleNotFoundError: No module named 'none_such_either'")


def test_a_module_that_misses_itself_is_not_called_missing(directory: Path) -> None:
    write(directory, "odd_app.py", "raise ModuleNotFoundError('x', name='odd_app')\n")
    with pytest.raises(AppRaised):
        load_from(directory, "odd_app:app")


@pytest.mark.parametrize("error", ["ValueError('own')", "TypeError('own')", "RuntimeError('own')"])
def test_a_module_that_raises_shows_its_own_frames_only(directory: Path, error: str) -> None:
    write(directory, "package_app/__init__.py", "")
    write(directory, "package_app/inner.py", f"def fail():\n    raise {error}\nfail()\n")
    write(directory, "package_app/outer.py", "from package_app import inner\n")
    with pytest.raises(AppRaised) as caught:
        load_from(directory, "package_app.outer:app")
    report = caught.value.report()
    assert report.startswith("Traceback (most recent call last):\n")
    assert [
        line.split('"')[1].rpartition(os.sep)[2] for line in report.splitlines() if "File" in line
    ] == [
        "outer.py",
        "inner.py",
        "inner.py",
    ]
    assert report.endswith(error.replace("('", ": ").replace("')", ""))


def test_the_cause_of_an_exception_is_shown_without_machinery_too(directory: Path) -> None:
    text = (
        "try:\n    import none_such\n"
        "except ImportError as error:\n    raise OSError('late') from error\n"
    )
    write(directory, "chain_app.py", text)
    with pytest.raises(AppRaised) as caught:
        load_from(directory, "chain_app:app")
    report = caught.value.report()
    assert "direct cause" in report
    assert "importlib" not in report


def test_a_syntax_error_shows_the_line(directory: Path) -> None:
    write(directory, "broken_app.py", "x = 1\nif\n")
    with pytest.raises(AppRaised) as caught:
        load_from(directory, "broken_app:app")
    report = caught.value.report()
    assert 'broken_app.py", line 2' in report
    assert "SyntaxError" in report
    assert "importlib" not in report


def test_an_attribute_that_is_not_there_is_told_with_a_close_one(directory: Path) -> None:
    write(directory, "named_app.py", "application = object()\nclass Box:\n    server = 1\n")
    with pytest.raises(AppNotFound) as caught:
        load_from(directory, "named_app:aplication")
    assert str(caught.value) == (
        "module 'named_app' has no attribute 'aplication'; did you mean 'application'?"
    )
    with pytest.raises(AppNotFound, match=r"<class 'named_app\.Box'> has no attribute 'servr'"):
        load_from(directory, "named_app:Box.servr")
    with pytest.raises(AppNotFound, match=r"has no attribute 'zzz'$"):
        load_from(directory, "named_app:zzz")


@pytest.mark.parametrize("name", ["lazy", "Box.broken"])
def test_an_attribute_that_raises_shows_its_own_frames_only(directory: Path, name: str) -> None:
    text = (
        "def __getattr__(name):\n    raise LookupError('inside')\n"
        "class Meta(type):\n    broken = property(__getattr__)\n"
        "class Box(metaclass=Meta): pass\n"
    )
    write(directory, "lazy_app.py", text)
    with pytest.raises(AppRaised) as caught:
        load_from(directory, f"lazy_app:{name}")
    assert str(caught.value).startswith("getting ")
    assert caught.value.report().count("File ") == 1
    assert caught.value.report().endswith("LookupError: inside")


FACTORIES = """
async def coroutine(): pass
def needs(a, b): pass
def fails(): raise LookupError('inside')
def good(): return 'made'
class Class:
    def __repr__(self): return 'instance'
thing = 7
"""


def test_a_factory_makes_the_application(directory: Path) -> None:
    write(directory, "factory_app.py", FACTORIES)
    assert load_from(directory, "factory_app:good", factory=True) == "made"
    assert repr(load_from(directory, "factory_app:Class", factory=True)) == "instance"
    assert load(Config(lambda: 5, factory=True)) == 5
    assert load(Config(dict, factory=True)) == {}  # it has no signature


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thing", "'factory_app:thing' is not a factory: it cannot be called"),
        ("coroutine", "'factory_app:coroutine' is not a factory: it is a coroutine function"),
        (
            "needs",
            "'factory_app:needs' is not a factory: called without arguments, "
            "missing a required argument: 'a'",
        ),
    ],
)
def test_what_is_no_factory_is_told(directory: Path, name: str, text: str) -> None:
    write(directory, "factory_app.py", FACTORIES)
    with pytest.raises(AppNotFound) as caught:
        load_from(directory, f"factory_app:{name}", factory=True)
    assert str(caught.value) == text


def test_a_factory_that_raises_shows_its_traceback(directory: Path) -> None:
    write(directory, "factory_app.py", FACTORIES)
    with pytest.raises(AppRaised) as caught:
        load_from(directory, "factory_app:fails", factory=True)
    assert str(caught.value) == "the factory 'factory_app:fails' failed"
    assert caught.value.report().count("File ") == 1
    assert caught.value.report().endswith("LookupError: inside")


def test_an_env_file_is_there_before_the_module_and_does_not_override(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(directory, "vars.env", "ASGIWS_TEST_A=file\nASGIWS_TEST_B=file\n")
    write(
        directory, "env_app.py", "import os\napp = [os.environ['ASGIWS_TEST_' + c] for c in 'AB']\n"
    )
    monkeypatch.setenv("ASGIWS_TEST_A", "before")
    monkeypatch.setenv("ASGIWS_TEST_B", "")
    monkeypatch.delenv("ASGIWS_TEST_B")
    app = load_from(directory, "env_app:app", env_file=str(directory / "vars.env"))
    assert app == ["before", "file"]
