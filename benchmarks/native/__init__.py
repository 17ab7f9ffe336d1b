"""What is written in C: the load generator, the floor, and a mark for callgrind; built at first use.

Rules of this file:
- What was built lies in the cache folder under a digest of its source and its compiler's version, so it is
  never stale.
- Without a C compiler there is one plain line, and nothing else is tried.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.cache import cache_folder

_SOURCES = Path(__file__).parent
_FLAGS = ["-O2", "-Wall", "-Wextra", "-Werror"]


class NativeError(Exception):
    """No C compiler, or one that cannot compile; one line for the user."""


def compiler() -> list[str]:
    """The C compiler's command: `CC`, else `cc`. Raises NativeError when it is not there."""
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(command[0]) is None:
        raise NativeError(f"a C compiler is needed, and there is no {command[0]} here")
    return command


def compiler_version() -> str:
    """The first line that the compiler says of itself. Raises NativeError."""
    command = compiler()
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0]


def program(name: str) -> Path:
    """The program of `NAME.c`, built now if it is not there yet. Raises NativeError."""
    return _built(name, _FLAGS)


def library(name: str) -> Path:
    """The shared library of `NAME.c`, built now if it is not there yet. Raises NativeError."""
    return _built(name, [*_FLAGS, "-shared", "-fPIC"])


def _built(name: str, flags: list[str]) -> Path:
    source = _SOURCES / f"{name}.c"
    told = f"{compiler_version()} {flags}".encode()
    digest = hashlib.sha256(told + source.read_bytes()).hexdigest()
    place = cache_folder() / f"{name}-{digest[:12]}"
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        built = Path(folder) / name
        done = subprocess.run(
            [*compiler(), *flags, "-o", str(built), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            first = (done.stderr or "no output").strip().partition("\n")[0]
            raise NativeError(f"{source.name} cannot be compiled: {first}")
        built.replace(place)
    return place
