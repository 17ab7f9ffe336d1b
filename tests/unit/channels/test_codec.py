"""Messages of channels as text (asgiws/channels/codec.py)."""

from __future__ import annotations

import datetime
import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.channels.codec import MAX_DEPTH, decode, encode

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters()) | st.just("\0b"), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text() | st.sampled_from(["\0", "\0b", "\0\0b"]), VALUES))
def test_a_message_comes_back_as_it_was(message: dict[str, Any]) -> None:
    assert decode(encode(message)) == message


def test_what_is_like_a_known_type_comes_as_that() -> None:
    class Colour(enum.IntEnum):
        RED = 1

    class Name(str):
        __slots__ = ()

    message = {"a": (1, 2), "b": bytearray(b"x"), "c": Colour.RED, "d": Name("n")}
    assert decode(encode(message)) == {"a": [1, 2], "b": b"x", "c": 1, "d": "n"}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"when": datetime.date(2026, 1, 2)}, r"message\['when'\] cannot be sent .* is a date"),
        ({"a": [1, {"b": {3}}]}, r"message\['a'\]\[1\]\['b'\] cannot be sent .* is a set"),
        ({"a": {1: "x"}}, r"message\['a'\] cannot be sent .* its key 1 is a int"),
    ],
)
def test_what_cannot_be_sent_is_named(message: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        encode(message)


def test_what_contains_itself_is_refused() -> None:
    message: dict[str, Any] = {}
    message["self"] = message
    with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} deep"):
        encode(message)
