"""The values that topics are made of."""

from __future__ import annotations

import dataclasses

import pytest

from asgiws.topics.message import KEPT, Joined, Keep, Message, Position


def test_a_message_holds_what_it_was_made_of() -> None:
    owner = object()
    message = Message("room", "hello", "key", owner, True, 7)
    assert (message.topic, message.data, message.key) == ("room", "hello", "key")
    assert (message.sender, message.excludes, message.offset) == (owner, True, 7)
    assert message.shared is None


def test_what_is_left_out() -> None:
    message = Message("room", b"x")
    assert (message.key, message.sender, message.excludes, message.offset) == (None, None, False, 0)


def test_values_do_not_change_and_are_equal_by_content() -> None:
    assert Position("e", 1) == Position("e", 1) != Position("e", 2)
    assert Position("", 0) == KEPT
    assert Joined(Position("e", 1), None) == Joined(Position("e", 1), None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Keep(1, 2.0).messages = 3  # type: ignore[misc]
