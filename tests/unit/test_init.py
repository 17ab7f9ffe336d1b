"""The package itself: its names, and that they cost nothing before they are used."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import asgiws
from asgiws.config import Config
from asgiws.processes.run import run
from asgiws.server.server import Server


def test_the_public_names() -> None:
    assert set(asgiws.__all__) == {"Config", "Server", "__version__", "run"}
    assert set(asgiws.__all__) <= set(dir(asgiws))
    assert (asgiws.Config, asgiws.Server, asgiws.run) == (Config, Server, run)
    with pytest.raises(AttributeError, match="module 'asgiws' has no attribute 'nonsense'"):
        asgiws.nonsense  # noqa: B018


def test_the_version_is_that_of_the_installation() -> None:
    assert asgiws.__version__ == metadata.version("asgiws")


def test_the_protocols_can_be_used_without_the_server() -> None:
    code = (
        "import sys, asgiws.websocket.connection, asgiws.http.connection\n"
        "print([name for name in ('asyncio', 'click', 'uvloop', 'asgiws.config') if name in sys.modules])\n"
        "asgiws.Server\n"
        "print('asyncio' in sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(asgiws.__file__).parents[1],
    )
    assert (result.stdout, result.stderr) == ("[]\nTrue\n", "")
