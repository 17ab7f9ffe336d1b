"""The build of the compiled modules; run by setuptools, never imported at run time.

Rules of this file:
- Each compiled module is ordinary Python with a `.pxd` of types beside it; there is no second
  source. What is C stands in a `.h` beside the `.pxd` that declares it, and is included by its path from the
  folder that the package lies in.
- Which modules are compiled stands in `asgiws/_extensions.py` alone. That file is run here, and not imported:
  the package would look for the very modules that are to be built.
- `ASGIWS_EXTENSIONS` decides: `auto` (the default) compiles and falls back to pure Python with a
  plain message, `require` fails without a compiler, `no` builds a pure wheel. The same variable has
  the same meaning at run time (`asgiws/_extensions.py`).
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.editable_wheel import editable_wheel

try:
    from Cython.Distutils.build_ext import build_ext

    HAVE_CYTHON = True
except ImportError:  # a build without isolation, on a machine without Cython
    from setuptools.command.build_ext import build_ext  # type: ignore[no-redef, unused-ignore]

    HAVE_CYTHON = False

_ROOT = Path(__file__).resolve().parent.parent
_LISTS = runpy.run_path(str(Path(__file__).with_name("_extensions.py")))
COMPILED_MODULES: tuple[str, ...] = _LISTS["COMPILED_MODULES"]
MODES: tuple[str, ...] = _LISTS["MODES"]
MODE = os.environ.get("ASGIWS_EXTENSIONS", "") or "auto"
if MODE not in MODES:
    raise SystemExit(f"ASGIWS_EXTENSIONS={MODE!r} is not one of {', '.join(MODES)}")
if MODE == "require" and not HAVE_CYTHON:
    raise SystemExit("ASGIWS_EXTENSIONS=require, but Cython is not installed")


def choose_extensions(distribution: Any) -> None:
    """Have the modules compiled, or none if none should or can be. Without `require`, a module that the
    compiler rejects is left out, and its Python source is used."""
    names = COMPILED_MODULES if MODE != "no" and HAVE_CYTHON else ()
    # CPython's own flags ask for debug information: a quarter of the compiler's time. CFLAGS=-g brings it back.
    flags = [] if sys.platform == "win32" or "CFLAGS" in os.environ else ["-g0"]
    distribution.ext_modules = [
        Extension(
            name,
            [f"{name.replace('.', '/')}.py"],
            include_dirs=[str(_ROOT)],
            extra_compile_args=flags,
            optional=MODE != "require",
        )
        for name in names
    ]


class BuildExt(build_ext):  # type: ignore[misc, unused-ignore]
    def finalize_options(self) -> None:
        choose_extensions(self.distribution)
        self.cython_c_in_temp = True  # no generated C in the tree
        self.parallel = os.cpu_count() or 1
        self.cython_directives = {
            "language_level": 3,
            "annotation_typing": False,  # types come from the .pxd alone
            "freethreading_compatible": False,
            "binding": False,
        }
        super().finalize_options()

    def build_extension(self, ext: Any) -> None:
        try:
            super().build_extension(ext)
        except Exception as error:
            if MODE == "require":
                raise
            print(
                f"asgiws: {ext.name} was not compiled ({error}); using its Python source instead",
                file=sys.stderr,
            )


class BdistWheel(bdist_wheel):
    def finalize_options(self) -> None:
        choose_extensions(self.distribution)
        super().finalize_options()


class EditableWheel(editable_wheel):
    def finalize_options(self) -> None:
        choose_extensions(self.distribution)
        super().finalize_options()
