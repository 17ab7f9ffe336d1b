"""Which topics there can be."""

from __future__ import annotations

import pytest

from asgiws.topics.names import MAX_TOPIC, BadTopic, check


class Name(str):
    """A text of a class of its own."""


@pytest.mark.parametrize(
    "topic", ["a", "room/1", "é€𝄞", " ", "a b", "x" * MAX_TOPIC, "*", "\u200b"]
)
def test_good_topics(topic: str) -> None:
    assert check(topic) == topic


def test_a_subclass_of_str_becomes_plain() -> None:
    assert type(check(Name("room"))) is str


@pytest.mark.parametrize(
    ("topic", "what"),
    [
        ("", "1 to 255 characters"),
        ("x" * 256, r"1 to 255 characters \(max_topic\), and this one 256"),
        ("a\nb", "control character"),
        ("\x7f", "control character"),
        ("\x85", "control character"),
        ("\ud800", "surrogate"),
        (b"room", "a str, not bytes"),
        (None, "a str, not NoneType"),
    ],
)
def test_bad_topics(topic: object, what: str) -> None:
    with pytest.raises(BadTopic, match=what):
        check(topic)
