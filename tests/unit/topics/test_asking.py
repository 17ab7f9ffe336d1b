"""What publishers and subscribers ask for is checked, and errors name what was wrong."""

from __future__ import annotations

from typing import Any

import pytest

from asgiws.topics import asking
from asgiws.topics.message import KEPT, Keep, Position


class Safe(str):
    """As templates have them."""


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ("text", "text"),
        (Safe("text"), "text"),
        (b"octets", b"octets"),
        (bytearray(b"octets"), b"octets"),
        (memoryview(b"octets"), b"octets"),
        ("", ""),
        ("é" * 5, "é" * 5),
    ],
)
def test_payloads(data: Any, wanted: str | bytes) -> None:
    found = asking.payload(data, 10)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize("data", ["x" * 11, b"x" * 11, "é" * 6])
def test_a_payload_that_is_too_large(data: Any) -> None:
    with pytest.raises(ValueError, match=r"at most 10 bytes \(max_message\), and this one 1[12]"):
        asking.payload(data, 10)


def test_text_that_is_no_utf_8() -> None:
    with pytest.raises(ValueError, match="cannot be sent as UTF-8"):
        asking.payload("\ud800", 10)


@pytest.mark.parametrize("data", [None, 5, ["x"]])
def test_what_is_no_payload(data: Any) -> None:
    with pytest.raises(TypeError):
        asking.payload(data, 10)


def test_keys() -> None:
    assert asking.key(None) is None
    assert type(asking.key(Safe("k"))) is str
    with pytest.raises(TypeError, match="'key' must be a str, not int"):
        asking.key(1)
    with pytest.raises(ValueError, match="at most 255 characters, and this one 256"):
        asking.key("k" * 256)
    # Between workers, keys travel as UTF-8; what cannot is refused everywhere.
    with pytest.raises(ValueError, match="'key' cannot be sent as UTF-8"):
        asking.key("\ud800")


def test_what_to_keep() -> None:
    assert asking.keep(None) is None
    assert asking.keep({"messages": 1, "seconds": 0.5}) == Keep(1, 0.5)
    assert asking.keep({"messages": 10**6, "seconds": 60}) == Keep(10**6, 60.0)


@pytest.mark.parametrize(
    "value",
    [
        5,
        {},
        {"messages": 1},
        {"messages": 1, "seconds": 1, "more": 1},
        {"messages": 0, "seconds": 1},
        {"messages": True, "seconds": 1},
        {"messages": 1.0, "seconds": 1},
        {"messages": 10**6 + 1, "seconds": 1},
        {"messages": 1, "seconds": 0},
        {"messages": 1, "seconds": True},
        {"messages": 1, "seconds": float("nan")},
        {"messages": 1, "seconds": float("inf")},
        {"messages": 1, "seconds": "1"},
    ],
)
def test_what_cannot_be_kept(value: Any) -> None:
    with pytest.raises(ValueError, match="'keep'"):
        asking.keep(value)


def test_since() -> None:
    assert asking.since(None) is None
    assert asking.since("kept") is KEPT
    assert asking.since({"epoch": "e", "offset": 7}) == Position("e", 7)


@pytest.mark.parametrize(
    "value",
    [
        "e",
        7,
        {},
        {"epoch": "e"},
        {"epoch": "", "offset": 1},
        {"epoch": 1, "offset": 1},
        {"epoch": "e" * 256, "offset": 1},
        {"epoch": "e", "offset": -1},
        {"epoch": "e", "offset": True},
        {"epoch": "e", "offset": 2**62},
        {"epoch": "e", "offset": "1"},
    ],
)
def test_what_is_no_position(value: Any) -> None:
    with pytest.raises(ValueError, match="since"):
        asking.since(value)
