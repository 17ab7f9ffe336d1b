"""Which build runs."""

from __future__ import annotations

import shutil
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import asgiws
from asgiws._extensions import COMPILED_MODULES, MODES, compiled, is_compiled
from tests.support.builds import run

#: Where this interpreter's asgiws is, which may be a checkout or an installed wheel.
PACKAGE = Path(asgiws.__file__).resolve().parent


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with the package's sources and nothing compiled."""
    root = tmp_path_factory.mktemp("pure")
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "__pycache__")
    shutil.copytree(PACKAGE, root / "asgiws", ignore=ignored)
    return root


def test_the_list_of_compiled_modules_is_of_sources_with_their_types() -> None:
    sources = [PACKAGE.parent / (name.replace(".", "/") + ".py") for name in COMPILED_MODULES]
    for source in sources:
        assert source.exists()
        assert source.with_suffix(".pxd").exists()
    # A twin is inlined into who cimports it, and is no module by itself.
    types = {path.with_suffix(".py") for path in PACKAGE.rglob("*.pxd") if path.stem != "__init__"}
    twins = {path for path in types if "twin" in path.with_suffix(".pxd").read_text("utf-8")[:100]}
    assert types - twins == set(sources)


def test_what_is_compiled_is_told() -> None:
    assert compiled() == [name for name in COMPILED_MODULES if is_compiled(name)]
    assert not is_compiled("asgiws.config")


def test_without_extensions_the_sources_run(pure: Path) -> None:
    for mode in ("auto", "no", "", None):
        result = run(pure, mode)
        assert (result.returncode, result.stdout.split(), result.stderr) == (0, [], "")


def test_require_refuses_to_run_without_extensions_in_one_line(pure: Path) -> None:
    result = run(pure, "require")
    assert result.returncode == 1
    names = ", ".join(COMPILED_MODULES)
    assert result.stderr == f"ASGIWS_EXTENSIONS=require, but not compiled: {names}\n"


def test_a_bad_mode_is_told_in_one_line(pure: Path) -> None:
    result = run(pure, "maybe")
    assert result.returncode == 1
    assert result.stderr == f"ASGIWS_EXTENSIONS='maybe' is not one of {', '.join(MODES)}\n"


#: Whether there is an extension of each module for this interpreter.
is_built = all(
    (PACKAGE.parent / (name.replace(".", "/") + EXTENSION_SUFFIXES[0])).exists()
    for name in COMPILED_MODULES
)


@pytest.mark.skipif(not is_built, reason="no compiled modules lie beside the sources")
def test_extensions_beside_the_sources_run_unless_told_otherwise() -> None:
    for mode in ("auto", "require", None):
        result = run(PACKAGE.parent, mode)
        assert (result.returncode, result.stdout.split()) == (0, list(COMPILED_MODULES))
    assert run(PACKAGE.parent, "no").stdout.split() == []


def test_the_sources_of_the_package_alone_are_forced(pure: Path) -> None:
    """`no` must not keep other packages from their extensions, nor hide what does not exist."""
    code = (
        "import asgiws, httptools, importlib.util as u\n"
        "print(httptools.parser.parser.__file__.endswith('.so'), u.find_spec('asgiws.none'))"
    )
    assert run(pure, "no", code).stdout.split() == ["True", "None"]
