"""Which build runs, and how the builds come out with and without a compiler."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import asgiws
from asgiws._extensions import COMPILED_MODULES, MODES, compiled, is_compiled

ROOT = Path(__file__).resolve().parents[2]
#: Where this interpreter's asgiws is, which may be a checkout or an installed wheel.
PACKAGE = Path(asgiws.__file__).resolve().parent

SHOW = "from asgiws import _extensions; print(*_extensions.compiled())"


def run(
    root: Path, mode: str | None, code: str = SHOW, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter with the package in `root`."""
    environment = {key: value for key, value in os.environ.items() if key != "ASGIWS_EXTENSIONS"}
    environment.update(env, PYTHONPATH=str(root))
    if mode is not None:
        environment["ASGIWS_EXTENSIONS"] = mode
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=root
    )


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with the package's sources and nothing compiled."""
    root = tmp_path_factory.mktemp("pure")
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "__pycache__")
    shutil.copytree(PACKAGE, root / "asgiws", ignore=ignored)
    return root


def test_the_list_of_compiled_modules_is_that_of_the_build() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    tables = text.split("[[tool.setuptools.ext-modules]]")[1:]
    names = [re.findall(r'^name = "(.+)"', table, re.M)[0] for table in tables]
    sources = [re.findall(r'^sources = \["(.+)"\]', table, re.M)[0] for table in tables]
    assert names == list(COMPILED_MODULES)
    assert sources == [name.replace(".", "/") + ".py" for name in names]
    for source in sources:
        assert (ROOT / source).exists()
        assert (ROOT / source).with_suffix(".pxd").exists()


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


def can_build() -> bool:
    """Whether what `[build-system]` requires is installed here."""
    if importlib.util.find_spec("pip") is None or importlib.util.find_spec("Cython") is None:
        return False
    try:
        return int(importlib.metadata.version("setuptools").partition(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


needs_build = pytest.mark.skipif(
    not can_build(), reason="building without isolation needs setuptools>=77 and Cython here"
)


def build(
    tmp_path: Path, mode: str, **env: str
) -> tuple[subprocess.CompletedProcess[str], list[Path]]:
    """Build a wheel from a copy of the checkout; the output and the wheels."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "__pycache__")
    shutil.copytree(ROOT / "asgiws", source / "asgiws", ignore=ignored)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
        else:
            (source / name).write_text("")
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
    result = subprocess.run(
        [*command, "-w", str(tmp_path / "wheels"), str(source)],
        capture_output=True,
        text=True,
        env={**os.environ, **env, "ASGIWS_EXTENSIONS": mode},
    )
    return result, list((tmp_path / "wheels").glob("*.whl"))


def extensions(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for name in COMPILED_MODULES:
        assert name.replace(".", "/") + ".py" in names
    assert not [name for name in names if name.endswith(".c")]
    return [name for name in names if name.endswith((".so", ".pyd"))]


@needs_build
@pytest.mark.timeout(300)
def test_the_build_without_extensions_is_a_pure_wheel(tmp_path: Path) -> None:
    result, wheels = build(tmp_path, "no")
    assert result.returncode == 0, result.stdout + result.stderr
    [wheel] = wheels
    assert wheel.name.endswith("-py3-none-any.whl")
    assert extensions(wheel) == []


@needs_build
@pytest.mark.timeout(300)
def test_the_build_without_a_compiler_falls_back_with_a_plain_message(tmp_path: Path) -> None:
    result, wheels = build(tmp_path, "auto", CC="/bin/false")
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    [wheel] = wheels
    assert extensions(wheel) == []
    for name in COMPILED_MODULES:
        assert re.search(rf"asgiws: {re.escape(name)} was not compiled \(", output), output
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    result = run(tmp_path / "installed", "auto")
    assert (result.returncode, result.stdout.split()) == (0, [])


@needs_build
@pytest.mark.timeout(300)
def test_the_build_that_requires_extensions_fails_without_a_compiler(tmp_path: Path) -> None:
    result, wheels = build(tmp_path, "require", CC="/bin/false")
    assert result.returncode != 0
    assert wheels == []
    assert "/bin/false" in result.stdout + result.stderr
