"""The arrows of the design: which part of the package may import which.

The imports are read from the source, so that one within a function, or for types alone, counts too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "asgiws"
FILES = sorted(path for path in PACKAGE.rglob("*.py"))

#: What stands above all layers and starts them.
TOP = ("asgiws.cli", "asgiws.importer", "asgiws.logs", "asgiws.workers", "asgiws.__main__")
EVENT_LOOPS = ("asyncio", "uvloop", "anyio", "trio", "selectors")
PROCESSES = ("socket", "ssl", "signal", "multiprocessing", "subprocess")

#: What every part may import: it imports nothing itself.
COMMON = "asgiws.fields"

#: For each part, what it must not import: a name stands for the module and all below it.
FORBIDDEN = {
    "asgiws.http": (
        *("asgiws.asgi", "asgiws.server", "asgiws.websocket", "asgiws.config", *TOP),
        *EVENT_LOOPS,
        *PROCESSES,
    ),
    "asgiws.websocket": (
        *("asgiws.asgi", "asgiws.server", "asgiws.http", "asgiws.config", *TOP),
        *("httptools", "h11"),
        *EVENT_LOOPS,
        *PROCESSES,
    ),
    "asgiws.proxies": (
        *("asgiws.asgi", "asgiws.server", "asgiws.websocket", "asgiws.config", *TOP),
        *("httptools", "h11"),
        *EVENT_LOOPS,
        *PROCESSES,
    ),
    "asgiws.asgi": ("asgiws.server", *TOP, *PROCESSES),
    "asgiws.server": ("asgiws.http", "asgiws.websocket", "asgiws.cli", "httptools", "h11"),
    "asgiws.config": (
        *(
            "asgiws.asgi",
            "asgiws.server",
            "asgiws.http",
            "asgiws.proxies",
            "asgiws.websocket",
            "asgiws._version",
            *TOP,
        ),
    ),
    COMMON: ("asgiws",),
    "asgiws.logs": ("asgiws.asgi", "asgiws.server", "asgiws.http", "asgiws.websocket"),
    "asgiws.importer": ("asgiws.asgi", "asgiws.server", "asgiws.http", "asgiws.websocket"),
    "asgiws": ("tests", "conformance", "benchmarks", "examples", "pytest"),
}


def name_of(path: Path) -> str:
    parts = ["asgiws", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that the file imports."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def is_within(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def wrong_arrows(path: Path, name: str) -> list[str]:
    return [
        f"{name}:{line} imports {found}, which {part} must not"
        for part, forbidden in FORBIDDEN.items()
        if is_within(name, part)
        for line, found in imports(path, name)
        if any(is_within(found, one) for one in forbidden) and not is_within(found, COMMON)
    ]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_arrow_points_the_wrong_way(path: Path) -> None:
    assert wrong_arrows(path, name_of(path)) == []


def test_only_the_connection_wires_drivers_into_the_server() -> None:
    drivers = (
        "asgiws.asgi.http",
        "asgiws.asgi.websocket",
        "asgiws.asgi.upgrade",
        "asgiws.asgi.scope",
    )
    found = {
        name_of(path)
        for path in (PACKAGE / "server").rglob("*.py")
        for _, target in imports(path, name_of(path))
        if any(is_within(target, driver) for driver in drivers)
    }
    assert found <= {"asgiws.server.connection"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("asgiws.http.x", "import asyncio"),
        ("asgiws.http.x", "def f():\n    from asgiws import config"),
        ("asgiws.websocket.x", "from ..asgi import runtime"),
        ("asgiws.websocket.x", "from asgiws.http.head import Head"),
        ("asgiws.proxies.x", "import socket"),
        ("asgiws.asgi.x", "from asgiws.server.ticker import Ticker"),
        ("asgiws.asgi.x", "import socket"),
        ("asgiws.server.x", "import asgiws.websocket.frames"),
        ("asgiws.config", "from ._version import __version__"),
        ("asgiws.fields", "from asgiws.http import grammar"),
        ("asgiws.cli", "from tests import unit"),
    ],
)
def test_a_wrong_arrow_would_be_found(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "x.py"
    path.write_text(text, encoding="utf-8")
    assert len(wrong_arrows(path, name)) == 1
