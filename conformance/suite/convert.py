"""The conversion itself: files of the suite as they came in, files that Python 3 runs out.

Rules of this file:
- Bytes in, bytes out; the same input gives the same output on every Python 3.
- The suite's own sources are read as latin-1, one character per octet, as Python 2 took their
  literals; autobahn's as UTF-8, for they run on Python 3 as they are but for a few PATCHES.
- What comes out must compile, or ConversionError says which file does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from conformance.suite.patches import PATCHES, SYNTAX, Patch

RUNTIME = Path(__file__).with_name("runtime")
SUITE = "autobahntestsuite/"
WSTEST = "wstest3.py"

_INIT = b"from ._version import __version__\nversion = __version__\n"
_FIRST_STATEMENT = re.compile(r"(from|import|__all__|class|def)\b")


class ConversionError(Exception):
    """The suite is not the one that the patches were written for."""


def convert(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The tree that Python 3 runs, from the kept files of both archives.

    Keys are paths with `/`. Beside the converted files it has the suite's `__init__.py`, the
    module of the border and the program WSTEST. Raises ConversionError.
    """
    patched = {patch.file for patch in PATCHES}
    missing = patched - files.keys()
    if missing:
        raise ConversionError(f"{min(missing)}: not in the archive")
    tree = {path: convert_file(path, data, PATCHES) for path, data in files.items()}
    tree[SUITE + "__init__.py"] = _INIT
    tree[SUITE + "_py3.py"] = (RUNTIME / "py3.py").read_bytes()
    tree[WSTEST] = (RUNTIME / WSTEST).read_bytes()
    return tree


def convert_file(path: str, data: bytes, patches: Iterable[Patch]) -> bytes:
    """One file converted, with those of the patches that name it. Raises ConversionError."""
    if not path.endswith(".py"):
        return data
    suite = path.startswith(SUITE)
    source = data.decode("latin-1" if suite else "utf-8").replace("\r\n", "\n")
    if suite:
        if path == SUITE + "report.py":
            source = _styles_only(source)
        source = rewrite_syntax(source, levels_up=path.count("/"))
    source = apply(path, source, patches)
    try:
        compile(source, path, "exec")
    except (SyntaxError, SyntaxWarning) as error:
        raise ConversionError(f"{path}: {error}") from error
    return source.encode("utf-8")


def rewrite_syntax(source: str, levels_up: int = 1) -> str:
    """Python 2 syntax to Python 3, for a file `levels_up` folders below the top.

    Where the result uses the module of the border, its import is added before the first statement.
    """
    for pattern, replacement in SYNTAX:
        source = pattern.sub(replacement, source)
    return with_border(source, levels_up)


def with_border(source: str, levels_up: int) -> str:
    """The source with the import of `_py3`, where it uses that name."""
    if "_py3." not in source:
        return source
    lines = source.split("\n")
    first = next(i for i, line in enumerate(lines) if _FIRST_STATEMENT.match(line))
    lines.insert(first, f"from {'.' * levels_up} import _py3")
    return "\n".join(lines)


def apply(path: str, source: str, patches: Iterable[Patch]) -> str:
    """The source with the patches that name `path`. Raises ConversionError on any other count."""
    for patch in patches:
        if patch.file != path:
            continue
        found = source.count(patch.old)
        if found != patch.times:
            raise ConversionError(
                f"{path}: {patch.old!r} stands {found} times, expected {patch.times}"
            )
        source = source.replace(patch.old, patch.new)
    return source


def _styles_only(source: str) -> str:
    """Of report.py only the styles and scripts are used; the rest needs a template library."""
    return source.split("\nREPORT_DIR_PERMISSIONS", 1)[0].replace("import jinja2\n", "")
