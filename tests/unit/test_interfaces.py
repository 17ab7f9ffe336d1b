"""Each interface of the package, found by its methods that raise NotImplementedError, is filled by each class
that implements it.

It is the source that is read: the compiled build hides methods that only compiled code calls. Protocols have no
such methods; their implementations are checked by mypy.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache

from tests.support.structure import FILES, name_of


@dataclass
class Class:
    """A class as its source has it: its bases, its methods, and those that raise NotImplementedError."""

    name: str
    bases: list[str]
    filled: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)


def is_empty(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """True for a method that does nothing but raise NotImplementedError."""
    last = method.body[-1]
    if not isinstance(last, ast.Raise) or not all(
        isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
        for one in method.body[:-1]
    ):
        return False
    error = last.exc.func if isinstance(last.exc, ast.Call) else last.exc
    return isinstance(error, ast.Name) and error.id == "NotImplementedError"


def classes_of(module: str, text: str) -> dict[str, Class]:
    """The classes that the source of a module defines, by their full names."""
    tree = ast.parse(text)
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.ClassDef):
            known[node.name] = f"{module}.{node.name}"
    found: dict[str, Class] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names = [ast.unparse(base).partition("[")[0] for base in node.bases]
            one = Class(f"{module}.{node.name}", [known.get(name, name) for name in names])
            for statement in node.body:
                if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    (one.empty if is_empty(statement) else one.filled).add(statement.name)
                elif isinstance(statement, ast.Assign):
                    one.filled |= {ast.unparse(target) for target in statement.targets}
            found[one.name] = one
    return found


@cache
def all_classes() -> dict[str, Class]:
    found: dict[str, Class] = {}
    for path in FILES:
        found |= classes_of(name_of(path), path.read_text(encoding="utf-8"))
    return found


def order(classes: dict[str, Class], name: str) -> list[Class]:
    """The class and what it builds on, in the order in which a method is looked for."""
    one = classes.get(name)
    if one is None:
        return []
    above = [base for name in one.bases for base in order(classes, name)]
    return [one, *(base for at, base in enumerate(above) if base not in above[at + 1 :])]


def lacking(classes: dict[str, Class], name: str) -> set[str]:
    """The methods of a class that would raise NotImplementedError."""
    seen: set[str] = set()
    found: set[str] = set()
    for one in order(classes, name):
        found |= one.empty - seen
        seen |= one.empty | one.filled
    return found


def leaves(classes: dict[str, Class]) -> list[str]:
    """The classes that no other one builds on."""
    bases = {base for one in classes.values() for base in one.bases}
    return [name for name in classes if name not in bases]


def unfilled(classes: dict[str, Class]) -> dict[str, set[str]]:
    """The classes that no other one builds on, and the methods that they lack."""
    return {name: found for name in leaves(classes) if (found := lacking(classes, name))}


def test_each_implementation_has_every_method() -> None:
    assert unfilled(all_classes()) == {}


def test_the_interfaces_are_found_and_what_implements_them() -> None:
    classes = all_classes()
    interfaces = {name for name, one in classes.items() if one.empty}
    assert {
        "asgiws.bridge.outlet.Driver",
        "asgiws.bridge.outlet.Outlet",
        "asgiws.bridge.exchange.Exchange",
        "asgiws.bridge.tasks.Job",
        "asgiws.drivers.carrier.Carrier",
        "asgiws.http.parser.HeadParser",
    } <= interfaces
    for interface in interfaces:
        below = [one for one in leaves(classes) if classes[interface] in order(classes, one)]
        assert below, f"{interface} has no implementation"
        assert interface not in below


INTERFACE = """
class Interface:
    def filled(self):
        return 1

    def one(self):
        "What it does."
        raise NotImplementedError

    async def other(self):
        raise NotImplementedError("why")
"""
PART = """
from a import Interface as Above

class Part(Above):
    def one(self):
        return 1
"""
REST = """
import asyncio
from b import Part

class Short(asyncio.Protocol, Part):
    def filled(self):
        return 2

class Whole(Part):
    other = Part.one
"""


def test_one_that_lacks_a_method_would_be_found() -> None:
    classes: dict[str, Class] = {}
    for module, text in (("a", INTERFACE), ("b", PART), ("c", REST)):
        classes |= classes_of(module, text)
    assert unfilled(classes) == {"c.Short": {"other"}}
    # An interface that nothing implements lacks all of its methods.
    assert unfilled(classes_of("a", INTERFACE)) == {"a.Interface": {"one", "other"}}
