"""The unit tests mirror the package: each module has one file of tests, at the same place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import asgiws

PACKAGE = Path(asgiws.__file__).resolve().parent
TESTS = Path(__file__).resolve().parent

#: Modules without tests of their own, and why.
WITHOUT = {
    "_version.py": "one constant; test_init.py holds it against the installation",
    "asgi/types.py": "names for types, which mypy checks",
}
#: Tests of no single module, and of what.
ACROSS = {
    "bridge/test_tasks_memory.py": "what a call leaves behind",
    "bridge/test_tasks_nested.py": "calls in a loop that runs nested",
    "websocket/test_messages_turn.py": "how messages take the work of a turn",
    "test_docs.py": "the documentation",
    "test_interfaces.py": "the methods of all interfaces",
    "test_layers.py": "the imports of all modules",
    "test_mirror.py": "this",
}


def has_code(path: Path) -> bool:
    """False for a package's file that holds nothing but its docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(not isinstance(statement, ast.Expr) for statement in body)


def mirror(module: str) -> str:
    """Where the tests of a module are: `test_main.py` for `__main__.py`, say."""
    path = Path(module)
    return (path.parent / f"test_{path.stem.strip('_')}.py").as_posix()


MODULES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py" or has_code(path)
)
FILES = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_its_tests(module: str) -> None:
    if module in WITHOUT:
        assert not (TESTS / mirror(module)).exists(), "it has tests: take it off the list"
        return
    text = (TESTS / mirror(module)).read_text(encoding="utf-8")
    assert re.search(r"^ *(async )?def test_", text, re.MULTILINE)
    # They test that module, and not only what uses it.
    name = ".".join(["asgiws", *Path(module).with_suffix("").parts]).removesuffix(".__init__")
    package, _, last = name.rpartition(".")
    imported = rf"from {re.escape(package)} import .*\b{last}\b"
    assert re.search(rf"\b{re.escape(name)}\b|asgiws/{re.escape(module)}|{imported}", text)


def test_each_file_has_its_module() -> None:
    assert set(FILES) == {mirror(module) for module in MODULES if module not in WITHOUT} | set(
        ACROSS
    )


def test_the_list_names_modules_that_exist() -> None:
    assert set(WITHOUT) <= set(MODULES)
