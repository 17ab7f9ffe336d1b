"""Masking a whole payload (RFC 6455, 5.3), in whichever build runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.websocket.mask import apply_mask
from tests.support.properties import quick
from tests.support.wire import mask


def test_the_example_of_section_5_7() -> None:
    # "0x81 0x85 0x37 0xfa 0x21 0x3d 0x7f 0x9f 0x4d 0x51 0x58 (contains "Hello")"
    assert apply_mask(bytes.fromhex("7f9f4d5158"), bytes.fromhex("37fa213d")) == b"Hello"


@given(st.binary(max_size=1000), st.binary(min_size=4, max_size=4))
@quick
def test_it_is_the_transformation_of_section_5_3_and_its_own_inverse(
    payload: bytes, key: bytes
) -> None:
    masked = apply_mask(payload, key)
    assert type(masked) is bytes
    assert masked == mask(payload, key)
    assert apply_mask(masked, key) == payload


def test_the_payload_given_is_left_alone() -> None:
    payload = b"payload!"
    apply_mask(payload, b"\xff\xff\xff\xff")
    assert payload == b"payload!"


@pytest.mark.parametrize("key", [b"", b"123", b"12345"])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match=f"4 octets, not {len(key)}"):
        apply_mask(b"payload", key)
