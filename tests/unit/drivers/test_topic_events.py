"""What a WebSocket is told about topics."""

from __future__ import annotations

import json

import pytest

from asgiws.asgi.errors import ApplicationError
from asgiws.drivers import topic_events as events
from asgiws.topics.message import Joined, Message, Position


def test_what_may_be_subscribed() -> None:
    events.check_place("a", False, 1, 2)
    with pytest.raises(ApplicationError, match="already subscribed to 'a'"):
        events.check_place("a", True, 2, 2)
    with pytest.raises(ApplicationError, match=r"at most 2 subscriptions \(max_subscriptions\)"):
        events.check_place("a", False, 2, 2)
    assert "not subscribed to 'a'" in str(events.not_subscribed("a"))


def test_acknowledgements() -> None:
    assert events.subscribed(7, "a", Joined(Position("e", 3), True)) == {
        "type": "websocket.subscribed",
        "id": 7,
        "topic": "a",
        "epoch": "e",
        "offset": 3,
        "recovered": True,
    }
    message = {"type": "websocket.publish", "id": None}
    assert events.done_with("websocket.published", message, "a") == {
        "type": "websocket.published",
        "id": None,
        "topic": "a",
    }


def test_messages() -> None:
    text, octets = Message("a", "x", offset=4), Message("a", b"\xff", offset=5)
    assert events.received(text, None) == {"type": "websocket.message", "topic": "a", "text": "x"}
    assert events.received(octets, "e") == {
        "type": "websocket.message",
        "topic": "a",
        "bytes": b"\xff",
        "epoch": "e",
        "offset": 5,
    }
    found = [json.loads(events.placed(one, "e")) for one in (text, octets)]
    assert found == [
        {"topic": "a", "epoch": "e", "offset": 4, "text": "x"},
        {"topic": "a", "epoch": "e", "offset": 5, "base64": "/w=="},
    ]


def test_gaps_grow() -> None:
    gap = events.gap_in("a", 1)
    events.widen(gap, 2)
    assert gap == {"type": "websocket.gap", "topic": "a", "lost": 3}
    events.widen(gap, None)
    events.widen(gap, 1)
    assert gap["lost"] is None
