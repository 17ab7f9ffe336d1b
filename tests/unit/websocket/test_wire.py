"""The primitives of the pure build, and that their compiled twin gives the same.

The twin (`wire.pxd`) has no name of its own at run time: it is reached through `mask.apply_mask`,
which is compiled in the compiled build.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.common import octets
from asgiws.websocket import wire
from asgiws.websocket.mask import apply_mask
from tests.support.properties import quick
from tests.support.wire import mask

SIZES = [*range(20), 31, 32, 33, 63, 64, 65, 125, 126, 127, 1023, 65535, 65536, 65537]
KEYS = [b"\x00\x00\x00\x00", b"\x01\x02\x03\x04", b"\xff\xfe\xfd\xfc", b"\x80\x00\x00\x80"]


@pytest.mark.parametrize("key", KEYS, ids=bytes.hex)
@pytest.mark.parametrize("size", SIZES)
def test_xor_is_the_transformation_of_section_5_3(size: int, key: bytes) -> None:
    payload = bytes(index * 7 & 0xFF for index in range(size))
    data = bytearray(payload)
    wire.xor(data, 0, size, int.from_bytes(key, "little"), 0)
    assert data == mask(payload, key)


@given(
    st.binary(max_size=300),
    st.binary(min_size=4, max_size=4),
    st.integers(0, 3),
    st.integers(0, 20),
    st.integers(0, 20),
)
@quick
def test_xor_touches_its_range_only_and_continues_at_any_phase(
    payload: bytes, key: bytes, phase: int, before: int, behind: int
) -> None:
    data = bytearray(b"b" * before + payload + b"e" * behind)
    wire.xor(data, before, before + len(payload), int.from_bytes(key, "little"), phase)
    # The octet at phase p of a payload is masked as if p octets had come before it.
    masked = mask(bytes(phase) + payload, key)[phase:]
    assert data == b"b" * before + masked + b"e" * behind


@given(st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
@quick
def test_the_compiled_twin_gives_the_same(payload: bytes, key: bytes) -> None:
    data = bytearray(payload)
    wire.xor(data, 0, len(data), int.from_bytes(key, "little"), 0)
    assert octets.to_bytes(data, 0, len(data)) == apply_mask(payload, key)


def test_xor_works_in_a_buffer_that_is_exported() -> None:
    # The read buffer of a worker has a memoryview on it for its whole life: it must never be
    # resized.
    data = bytearray(b"Hello")
    with memoryview(data):
        wire.xor(data, 1, 4, 0x3D21FA37, 0)
    assert data == b"H" + mask(b"ell") + b"o"
