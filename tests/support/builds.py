"""The compiled and the pure build of the sans-I/O packages, side by side in one process.

Rules of this file:
- The other build is loaded beside the one that runs: the sources next to the extensions, or the extensions
  next to the sources. An extension is never loaded twice.
- Every module of the package is imported at once, so that nothing is imported later, from the wrong build.
- What the packages share, whose types their extensions are compiled against, comes with each of them.
- Values of the two builds have different classes: compare what they say.
"""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import asgiws
from asgiws._extensions import COMPILED_MODULES, SourceOnlyFinder, is_compiled

ROOT = Path(asgiws.__file__).resolve().parents[1]

SHARED = "asgiws.common"
#: Its modules in the build that does not run, once they are loaded.
_others: dict[str, Any] = {}

#: The modules of one package in one build, by their last names.
Build = dict[str, Any]


def built(package: str) -> list[str]:
    """The modules of `package`, "asgiws.http" say, of which there is an extension for this interpreter."""
    return [
        name
        for name in COMPILED_MODULES
        if name.startswith(f"{package}.")
        and (ROOT / (name.replace(".", "/") + EXTENSION_SUFFIXES[0])).exists()
    ]


@functools.cache
def load(package: str, pure: bool) -> Build:
    """One build of `package`, in modules of its own when it is not the one that runs."""
    _import_all(package)
    if all(is_compiled(name) != pure for name in built(package)):
        return _modules(package)
    mine = {name: sys.modules[name] for name in _names(package) + _names(SHARED)}
    finders = list(sys.meta_path)
    sys.meta_path[:] = [finder for finder in finders if finder is not SourceOnlyFinder]
    if pure:
        sys.meta_path.insert(0, SourceOnlyFinder)
    try:
        for name in mine:
            del sys.modules[name]
        sys.modules.update(_others)
        _import_all(package)
        _others.update({name: sys.modules[name] for name in _names(SHARED)})
        return _modules(package)
    finally:
        for name in _names(package) + _names(SHARED):
            del sys.modules[name]
        sys.modules.update(mine)
        for name in (package, SHARED):
            if name in mine:
                setattr(asgiws, name.rpartition(".")[2], mine[name])
        sys.meta_path[:] = finders


def running(package: str) -> Build:
    """The build that the rest of the process uses."""
    return load(package, pure=not any(map(is_compiled, built(package))))


def both(package: str) -> list[Build]:
    """The pure build and, where there is one, the compiled one."""
    builds = [load(package, pure=True)]
    if built(package):
        builds.append(load(package, pure=False))
    return builds


def _import_all(package: str) -> None:
    for path in (ROOT / package.replace(".", "/")).glob("*.py"):
        importlib.import_module(package if path.stem == "__init__" else f"{package}.{path.stem}")


def _modules(package: str) -> Build:
    return {name.rpartition(".")[2]: sys.modules[name] for name in _names(package)}


def _names(package: str) -> list[str]:
    """The modules of it that are loaded."""
    return [name for name in sys.modules if name == package or name.startswith(f"{package}.")]


#: The checkout; ROOT is where the package is taken from, which may be elsewhere.
CHECKOUT = Path(__file__).resolve().parents[2]

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
