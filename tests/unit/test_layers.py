"""The arrows of the design: which part of the package may import which, and how large a part may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.structure import (
    EVERYWHERE,
    FILES,
    PACKAGE,
    PAGE,
    PARTS,
    attributes,
    circles,
    drawing,
    graph,
    imports,
    name_of,
    page_with,
    part_of,
)

EVENT_LOOPS = ("asyncio", "uvloop", "anyio", "trio", "selectors")
PROCESSES = ("socket", "ssl", "signal", "multiprocessing", "subprocess")
PARSERS = ("httptools", "h11")

#: What the parts must not import of what is not ours.
FORBIDDEN = {
    "common": (*EVENT_LOOPS, *PROCESSES, *PARSERS),
    "http": (*EVENT_LOOPS, *PROCESSES),
    "websocket": (*EVENT_LOOPS, *PROCESSES, *PARSERS),
    "proxies": (*EVENT_LOOPS, *PROCESSES, *PARSERS),
    "asgi": PROCESSES,
    "bridge": PROCESSES,
    "services": PROCESSES,
    "drivers": PROCESSES,
    "net": PARSERS,
    "server": PARSERS,
    "processes": PARSERS,
}
#: What is not the product's.
OTHERS = ("tests", "conformance", "benchmarks", "examples", "pytest")

#: Lines of a file, and attributes of an object that change, at most.
LINES = 600
ATTRIBUTES = 20


def wrong_arrows(path: Path, name: str) -> list[str]:
    part = part_of(name)
    wrong = []
    for line, found in imports(path, name):
        top, _, _ = found.partition(".")
        if top == "asgiws" and part in PARTS:
            target = part_of(found)
            if target in (part, *PARTS[part], *EVERYWHERE) or not target:
                continue
        elif top == "asgiws" and part in EVERYWHERE:
            if part_of(found) in ("config", *EVERYWHERE):
                continue
        elif top == "asgiws" or top not in (*FORBIDDEN.get(part, ()), *OTHERS):
            continue
        wrong.append(f"{name}:{line} imports {found}, which {part} must not")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_arrow_points_the_wrong_way(path: Path) -> None:
    assert wrong_arrows(path, name_of(path)) == []


def test_the_parts_are_the_folders() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(PARTS)
    order = list(PARTS)
    for part, below in PARTS.items():
        assert all(order.index(one) < order.index(part) for one in below)


def test_only_the_wiring_knows_of_drivers() -> None:
    found = {
        name
        for name, targets in graph().items()
        if part_of(name) in ("net", "server", "processes")
        and any(part_of(one) == "drivers" for one in targets)
    }
    assert found == {"asgiws.server.wiring"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("asgiws.common.x", "from asgiws.websocket import frames"),
        ("asgiws.http.x", "import asyncio"),
        ("asgiws.http.x", "def f():\n    from asgiws import config"),
        ("asgiws.websocket.x", "from ..asgi import runtime"),
        ("asgiws.websocket.x", "from asgiws.http.head import Head"),
        ("asgiws.proxies.x", "import socket"),
        ("asgiws.asgi.x", "from asgiws.net.ticker import Ticker"),
        ("asgiws.drivers.x", "from asgiws.net.ticker import Ticker"),
        ("asgiws.drivers.x", "import socket"),
        ("asgiws.net.x", "import asgiws.websocket.frames"),
        ("asgiws.net.x", "from asgiws.drivers.http import HTTPDriver"),
        ("asgiws.server.x", "from asgiws.processes import reload"),
        ("asgiws.config", "from ._version import __version__"),
        ("asgiws.fields", "from asgiws.http import grammar"),
        ("asgiws.cli", "from tests import unit"),
    ],
)
def test_a_wrong_arrow_would_be_found(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "x.py"
    path.write_text(text, encoding="utf-8")
    assert len(wrong_arrows(path, name)) == 1


def test_a_wrong_arrow_of_the_compiled_build_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("", encoding="utf-8")
    path.with_suffix(".pxd").write_text(
        "from asgiws.net.connection cimport Connection\n", encoding="utf-8"
    )
    assert len(wrong_arrows(path, "asgiws.drivers.x")) == 1


def test_no_modules_import_each_other() -> None:
    assert circles(graph()) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_an_object_has_few_attributes_that_change(path: Path) -> None:
    for name, found in attributes(path):
        assert len(found) <= ATTRIBUTES, f"{name}: {sorted(found)}"


def test_the_drawing_of_the_design_is_true() -> None:
    text = page_with(drawing())
    assert text == PAGE.read_text(encoding="utf-8"), (
        "run: python -m tests.support.structure --write"
    )
