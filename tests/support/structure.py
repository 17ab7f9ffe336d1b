"""The structure of the package as its source has it: modules, imports, classes.

`python -m tests.support.structure --write` draws it into docs/design.md; a test holds the drawing to the
source.

Rules of this file:
- The imports are read from the source, so that one within a function, or for types alone, counts too; so do the
  `cimport` lines of the `.pxd` files.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "asgiws"
PAGE = ROOT / "docs" / "design.md"
FILES = sorted(PACKAGE.rglob("*.py"))

#: The parts of the package from the bottom up, and what each may import beside itself and EVERYWHERE.
PARTS: dict[str, tuple[str, ...]] = {
    "common": (),
    "config": (),
    "http": ("common",),
    "websocket": ("common",),
    "proxies": ("http",),
    "asgi": ("config",),
    "bridge": ("asgi", "common"),
    "topics": (),
    "brokers": ("config", "topics"),
    "services": ("asgi", "bridge", "common", "config", "http", "proxies", "topics", "websocket"),
    "drivers": (
        "asgi",
        "bridge",
        "common",
        "config",
        "http",
        "proxies",
        "services",
        "topics",
        "websocket",
    ),
    "tls": ("config",),
    "net": ("asgi", "bridge", "config", "services", "tls"),
    "server": (
        "asgi",
        "bridge",
        "brokers",
        "config",
        "drivers",
        "net",
        "services",
        "tls",
        "topics",
    ),
    "processes": ("asgi", "brokers", "config", "net", "server", "tls", "topics"),
    "elsewhere": ("asgi", "brokers", "config", "drivers", "services", "topics", "websocket"),
    "channels": ("elsewhere", "services", "topics"),
}

#: What every part may import: these import nothing above `config`.
EVERYWHERE = ("fields", "logs", "importer")

_BEGIN, _END = "<!-- structure -->", "<!-- /structure -->"
_CIMPORT = re.compile(r"^(?:from (asgiws[\w.]*) cimport (.+)|cimport (asgiws[\w.]+))", re.MULTILINE)


def name_of(path: Path) -> str:
    """The name of the module in that file of the package."""
    parts = ["asgiws", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(name: str) -> str:
    """The part of the package that a module belongs to; a module at the top is its own."""
    return name.partition("asgiws.")[2].partition(".")[0]


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
    types = path.with_suffix(".pxd")
    if types.exists():
        text = types.read_text(encoding="utf-8")
        for match in _CIMPORT.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if match[3]:
                yield line, match[3]
            else:
                for one in match[2].split(","):
                    yield line, f"{match[1]}.{one.strip()}"


def graph() -> dict[str, set[str]]:
    """Each module of the package, and the modules of it that it imports."""
    names = {name_of(path): path for path in FILES}
    found: dict[str, set[str]] = {}
    for name, path in names.items():
        found[name] = set()
        for _, target in imports(path, name):
            while target and target not in names:
                target = target.rpartition(".")[0]
            # To import a module runs its package's file too, which holds no more than names.
            if target and target != name and target != "asgiws":
                found[name].add(target)
    return found


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, whatever the way round."""
    reached: dict[str, set[str]] = {}
    for name in arrows:
        seen: set[str] = set()
        ahead = list(arrows[name])
        while ahead:
            one = ahead.pop()
            if one not in seen:
                seen.add(one)
                ahead += arrows.get(one, ())
        reached[name] = seen
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in arrows
        if name in reached[name]
    }
    return [list(group) for group in sorted(groups)]


def attributes(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Each class of the file, and the attributes of its objects that are set after they were made."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef):
            continue
        found: set[str] = set()
        for method in node.body:
            if not isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if method.name in ("__init__", "__new__") or not method.args.args:
                continue
            me = method.args.args[0].arg
            found.update(
                one.attr
                for one in ast.walk(method)
                if isinstance(one, ast.Attribute)
                and isinstance(one.ctx, (ast.Store, ast.Del))
                and isinstance(one.value, ast.Name)
                and one.value.id == me
            )
        yield node.name, found


def drawing() -> str:
    """The parts, their modules and the arrows between them, as a Mermaid graph."""
    arrows: set[tuple[str, str]] = set()
    modules: dict[str, list[str]] = {part: [] for part in PARTS}
    for name, targets in graph().items():
        part = part_of(name)
        if part not in PARTS:
            continue
        last = name.rpartition(".")[2]
        if last != part or name.count(".") > 1:
            modules[part].append(last)
        arrows |= {(part, part_of(one)) for one in targets if part_of(one) in PARTS}
    lines = ["```mermaid", "flowchart TD"]
    for part, names in reversed(modules.items()):
        rows = [", ".join(names[at : at + 5]) for at in range(0, len(names), 5)]
        lines.append(f'  {part}["<b>{part}</b><br/>{"<br/>".join(rows)}"]')
    order = list(PARTS)
    lines += [
        f"  {one} --> {other}"
        for one, other in sorted(arrows, key=lambda two: (-order.index(two[0]), two[1]))
        if one != other
    ]
    return "\n".join([*lines, "```"])


def page_with(text: str) -> str:
    """docs/design.md with `text` in the drawing's place."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{text}\n{_END}{after}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page_with(drawing()), encoding="utf-8")
    else:
        print(drawing())
