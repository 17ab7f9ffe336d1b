"""The library that does the deflate itself: Python's own zlib, or zlib-ng if it is installed.

Rules of this file:
- It is the only place that names them. `Compressor`, `Inflater` and `Backend` are the parts of them that are
  used: raw streams with a window of 9 to 15 bits, a memory level, sync and full flushes, an output limit.
- The size of a stream is computed from the library's own allocations, as `python -m benchmarks.deflate`
  measures them; it is the same from call to call, so that what was added for a stream can be subtracted again.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

#: The values of `--ws-deflate-backend`; `auto` is the first of FASTEST_FIRST that is installed.
FASTEST_FIRST = ("zlib-ng", "zlib")

#: zlib's values, which zlib-ng shares.
SYNC_FLUSH: int = zlib.Z_SYNC_FLUSH
FULL_FLUSH: int = zlib.Z_FULL_FLUSH


class Compressor(Protocol):
    """A raw deflate stream."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


class Inflater(Protocol):
    """A raw inflate stream; `eof` once a final block ended it, `unused_data` is what follows that block.
    `unconsumed_tail` is the input that was not processed when the output had reached its limit."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Backend(NamedTuple):
    """A library. `compressor_size(window_bits, memory_level)` and `inflater_size(window_bits)` are the octets
    that one of its streams holds."""

    name: str
    version: str
    new_compressor: Callable[[int, int, int], Compressor]
    new_inflater: Callable[[int], Inflater]
    error: type[Exception]
    compressor_size: Callable[[int, int], int]
    inflater_size: Callable[[int], int]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class BackendMissing(Exception):
    """The requested library is not installed; the text is one line."""


def choose(name: str) -> Backend:
    """The backend with that name; `auto` selects the first of FASTEST_FIRST that is installed.

    Raises BackendMissing.
    """
    for candidate in FASTEST_FIRST if name == "auto" else (name,):
        backend = _load(candidate)
        if backend is not None:
            return backend
    raise BackendMissing(f"{name} is not installed: pip install 'asgiws[deflate]'")


def _load(name: str) -> Backend | None:
    if name == "zlib":
        return ZLIB
    try:
        module = importlib.import_module("zlib_ng.zlib_ng")
    except ImportError:
        return None
    return _backend(name, module, module.ZLIBNG_VERSION, is_ng=True)


def _backend(name: str, module: Any, version: str, *, is_ng: bool) -> Backend:
    deflated: int = module.DEFLATED
    new_compressor, new_inflater = module.compressobj, module.decompressobj
    return Backend(
        name,
        version,
        lambda level, bits, memory_level: new_compressor(level, deflated, -bits, memory_level),
        lambda bits: new_inflater(-bits),
        module.error,
        _ng_compressor_size if is_ng else _zlib_compressor_size,
        _ng_inflater_size if is_ng else _zlib_inflater_size,
    )


def _zlib_compressor_size(bits: int, memory_level: int) -> int:
    # Window and chains are two octets for each of 2 << bits places; hash heads and pending output grow with the
    # memory level.
    return (4 << bits) + (512 << memory_level) + 6100


def _zlib_inflater_size(bits: int) -> int:
    return (1 << bits) + 7250


def _ng_compressor_size(bits: int, memory_level: int) -> int:
    # Its hash table has 65536 heads whatever the memory level.
    return (4 << bits) + (320 << memory_level) + 137_450


def _ng_inflater_size(bits: int) -> int:
    return 42_200  # always with room for the largest window


# Some Pythons are built with zlib-ng instead of zlib.
_VERSION_OF_NG = getattr(zlib, "ZLIBNG_VERSION", None)
ZLIB = _backend(
    "zlib",
    zlib,
    zlib.ZLIB_RUNTIME_VERSION if _VERSION_OF_NG is None else f"(zlib-ng {_VERSION_OF_NG})",
    is_ng=_VERSION_OF_NG is not None,
)
