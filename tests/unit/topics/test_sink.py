"""The base of all sinks."""

from __future__ import annotations

import pytest

from asgiws.topics.message import Joined, Message, Position
from asgiws.topics.sink import Sink


def test_a_new_sink_is_not_subscribed() -> None:
    owner = object()
    sink = Sink("room", owner)
    assert sink.owner is owner
    assert (sink.topic, sink.is_subscribed) == ("room", False)
    sink.flush()
    sink.rejoined(Joined(Position("e", 0), False))


def test_what_every_sink_must_do() -> None:
    sink = Sink("room", None)
    with pytest.raises(NotImplementedError):
        sink.deliver(Message("room", "x"))
    with pytest.raises(NotImplementedError):
        sink.lost(1)
