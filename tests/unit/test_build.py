"""How the builds come out, with and without a compiler."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from asgiws._extensions import COMPILED_MODULES, MODES
from tests.support.builds import CHECKOUT, run

#: What the builds that compile anything compile. Each module goes its own way, so a few of them show it; all
#: are compiled by whoever installs the package with ASGIWS_EXTENSIONS=require, as CI does.
SOME = ("asgiws.websocket.mask", "asgiws.http.date")

LOAD = """
import importlib.util, os, sys
{before}
os.environ["ASGIWS_EXTENSIONS"] = {mode!r}
spec = importlib.util.spec_from_file_location("build", "asgiws/_build.py")
spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""


def load(mode: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Load the build's commands in a fresh interpreter, as setuptools does first of all."""
    return run(CHECKOUT, "auto", LOAD.format(mode=mode, before=before))


needs_setuptools = pytest.mark.skipif(
    importlib.util.find_spec("setuptools") is None, reason="setuptools is not installed here"
)


@needs_setuptools
def test_a_bad_mode_is_told_in_one_line() -> None:
    result = load("maybe")
    assert result.returncode == 1
    assert result.stderr == f"ASGIWS_EXTENSIONS='maybe' is not one of {', '.join(MODES)}\n"


@needs_setuptools
def test_what_requires_extensions_says_that_cython_is_missing() -> None:
    hidden = "sys.modules['Cython'] = None"
    result = load("require", hidden)
    assert result.returncode == 1
    assert result.stderr == "ASGIWS_EXTENSIONS=require, but Cython is not installed\n"
    for mode in ("auto", "no", ""):
        assert load(mode, hidden).returncode == 0


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
    shutil.copytree(CHECKOUT / "asgiws", source / "asgiws", ignore=ignored)
    listed = source / "asgiws" / "_extensions.py"
    text, count = re.subn(
        r"(?ms)^COMPILED_MODULES\b.*?^\)$",
        f"COMPILED_MODULES = {SOME!r}",
        listed.read_text("utf-8"),
    )
    assert count == 1
    listed.write_text(text, "utf-8")
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (CHECKOUT / name).exists():
            shutil.copy(CHECKOUT / name, source)
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
    for suffix in (".pxd", ".h"):  # what compiles against the package needs both
        sources = {
            path.relative_to(CHECKOUT).as_posix()
            for path in (CHECKOUT / "asgiws").rglob(f"*{suffix}")
        }
        assert sources
        assert {name for name in names if name.endswith(suffix)} == sources
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
    for name in SOME:
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
