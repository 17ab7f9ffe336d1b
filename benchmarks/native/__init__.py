"""What is written in C: the load generator (with and without TLS), the floor, and a mark for callgrind;
built at first use.

Rules of this file:
- What was built lies in the cache folder under a digest of its sources and its compiler's version, so it
  is never stale.
- Without a C compiler there is one plain line, and nothing else is tried.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
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
    return _built(name, _FLAGS, [_SOURCES / f"{name}.c"])


def load(*, tls: bool) -> Path:
    """The load generator, which needs OpenSSL's headers for TLS. Raises NativeError."""
    if not tls:
        return program("load")
    sources = [_SOURCES / name for name in ("load.c", "tls.c", "tls.h")]
    try:
        return _built("load-tls", [*_FLAGS, "-DWITH_TLS"], sources, ["-lssl", "-lcrypto"])
    except NativeError as error:
        raise NativeError(f"{error}; TLS needs OpenSSL's headers (Debian: libssl-dev)") from error


def library(name: str) -> Path:
    """The shared library of `NAME.c`, built now if it is not there yet. Raises NativeError."""
    return _built(name, [*_FLAGS, "-shared", "-fPIC"], [_SOURCES / f"{name}.c"])


def _built(name: str, flags: list[str], sources: list[Path], libraries: Sequence[str] = ()) -> Path:
    told = f"{compiler_version()} {flags} {libraries}".encode()
    content = b"".join(source.read_bytes() for source in sources)
    digest = hashlib.sha256(told + content).hexdigest()
    place = cache_folder() / f"{name}-{digest[:12]}"
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        built = Path(folder) / name
        compiled = [str(source) for source in sources if source.suffix == ".c"]
        done = subprocess.run(
            [*compiler(), *flags, "-o", str(built), *compiled, *libraries],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            first = (done.stderr or "no output").strip().partition("\n")[0]
            raise NativeError(f"{sources[0].name} cannot be compiled: {first}")
        built.replace(place)
    return place
