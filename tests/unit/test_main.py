"""`python -m asgiws` is the command."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import asgiws
from asgiws import cli

ROOT = Path(asgiws.__file__).resolve().parents[1]


def test_it_is_the_same_as_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "asgiws", "--version"], capture_output=True, text=True, cwd=ROOT
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == cli.version_text() + "\n"


def test_a_mistake_names_the_command_and_not_the_module(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "asgiws", "--nonsense"], capture_output=True, text=True, cwd=ROOT
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert "__main__" not in result.stderr


def test_it_ends_with_the_code_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["asgiws", "no.such.module:app", "--port", "0"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("asgiws", run_name="__main__")
    assert caught.value.code == 1
    assert "no.such.module" in capsys.readouterr().err


def test_an_import_alone_starts_nothing() -> None:
    runpy.run_module("asgiws.__main__", run_name="asgiws.__main__")
