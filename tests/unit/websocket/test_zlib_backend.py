"""The seam to the library that compresses: what either of them must be able to do."""

from __future__ import annotations

import random
import sys
import zlib

import pytest

from asgiws.config import OPTIONS
from asgiws.websocket.zlib_backend import (
    FASTEST_FIRST,
    FULL_FLUSH,
    SYNC_FLUSH,
    ZLIB,
    Backend,
    BackendMissing,
    choose,
)


@pytest.fixture(params=FASTEST_FIRST)
def backend(request: pytest.FixtureRequest) -> Backend:
    return choose(request.param)


def test_each_is_what_it_says_it_is(backend: Backend) -> None:
    module = type(backend.new_inflater(15)).__module__
    assert ("zlib_ng" in module) == (backend.name == "zlib-ng")
    assert str(backend) == f"{backend.name} {backend.version}"
    assert backend.version[0].isdigit() or "zlib-ng" in backend.version


def test_the_fastest_that_is_installed_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("auto").name == FASTEST_FIRST[0]
    monkeypatch.setitem(sys.modules, "zlib_ng", None)
    monkeypatch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
    assert choose("auto") is choose("zlib") is ZLIB
    with pytest.raises(
        BackendMissing, match=r"^zlib-ng is not installed: pip install 'asgiws\[deflate\]'$"
    ):
        choose("zlib-ng")


def test_the_option_names_them_all() -> None:
    (option,) = (option for option in OPTIONS if option.name == "ws_deflate_backend")
    assert option.kind.allowed == f"one of {', '.join(['auto', *sorted(FASTEST_FIRST)])}"


@pytest.mark.parametrize("level", range(1, 10))
def test_all_windows_and_memory_levels(backend: Backend, level: int) -> None:
    """zlib with that very window reads what is made, so none looks further back than it says."""
    chance = random.Random(level)
    for bits in range(9, 16):
        far = chance.randbytes(1 << bits)
        for memory_level in (1, 5, 9):
            compressor = backend.new_compressor(level, bits, memory_level)
            client = zlib.decompressobj(-bits)
            for part in (far, chance.randbytes(300), far[:1000], b"x" * 500):
                made = compressor.compress(part) + compressor.flush(SYNC_FLUSH)
                assert made.endswith(b"\x00\x00\xff\xff")
                assert client.decompress(made) == part


def test_a_full_flush_forgets_and_makes_as_new(backend: Backend) -> None:
    chance = random.Random(1)
    for bits, level in ((9, 1), (12, 5), (15, 9)):
        compressor = backend.new_compressor(level, bits, 5)
        parts = [chance.randbytes(500)] * 2 + [b"", b"a text " * 90, b"a text " * 90, b"x"]
        for part in parts:
            made = compressor.compress(part) + compressor.flush(FULL_FLUSH)
            assert made.endswith(b"\x00\x00\xff\xff")
            fresh = backend.new_compressor(level, bits, 5)
            assert made == fresh.compress(part) + fresh.flush(SYNC_FLUSH)
            assert zlib.decompressobj(-bits).decompress(made) == part
        # Behind a sync flush, with nothing new to compress, as a context is handed on.
        compressor.compress(parts[0])
        compressor.flush(SYNC_FLUSH)
        compressor.flush(FULL_FLUSH)
        made = compressor.compress(parts[0]) + compressor.flush(SYNC_FLUSH)
        assert zlib.decompressobj(-bits).decompress(made) == parts[0]


def test_inflation_is_bounded_and_tells_of_an_end_and_of_errors(backend: Backend) -> None:
    client = zlib.compressobj(wbits=-15)
    bomb = client.compress(bytes(1 << 20)) + client.flush()
    inflater = backend.new_inflater(15)
    assert inflater.decompress(bomb + b"behind", 1000) == bytes(1000)
    assert not inflater.eof
    inflater = backend.new_inflater(15)
    assert len(inflater.decompress(bomb + b"behind", 1 << 21)) == 1 << 20
    assert inflater.eof
    assert inflater.unused_data == b"behind"
    with pytest.raises(backend.error):
        backend.new_inflater(15).decompress(b"\x07", 100)
    # What is further back than the window is an error too.
    far = random.Random(1).randbytes(2000)
    client = zlib.compressobj(wbits=-15)
    inflater = backend.new_inflater(9)
    inflater.decompress(client.compress(far) + client.flush(zlib.Z_SYNC_FLUSH), 1 << 20)
    with pytest.raises(backend.error):
        inflater.decompress(client.compress(far[:100]) + client.flush(zlib.Z_SYNC_FLUSH), 1 << 20)
