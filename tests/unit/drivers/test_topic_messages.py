"""The messages about topics, taken apart."""

from __future__ import annotations

from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError
from asgiws.drivers.topic_messages import (
    PUBLISH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    publishing,
    subscribing,
    unsubscribing,
)
from asgiws.topics.message import Keep, Position


def test_subscribing() -> None:
    wants = subscribing({"type": SUBSCRIBE, "topic": "room"})
    assert wants == ("room", False, None, False, "event", False)
    wants = subscribing(
        {
            "type": SUBSCRIBE,
            "topic": "room",
            "deliver": "app",
            "since": {"epoch": "e", "offset": 1},
            "offsets": True,
            "on_gap": "close",
        }
    )
    assert wants == ("room", True, Position("e", 1), True, "close", False)
    wants = subscribing({"type": SUBSCRIBE, "topic": "room", "overflow": "latest"})
    assert wants.latest


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "topic"),
        ({"topic": ""}, "topic"),
        ({"topic": 5}, "topic"),
        ({"topic": "x" * 256}, "255"),
        ({"topic": "a\nb"}, "topic"),
        ({"topic": "a", "deliver": "mail"}, "'deliver' is one of 'wire', 'app', not 'mail'"),
        ({"topic": "a", "on_gap": "cry"}, "'on_gap' is one of 'event', 'close', 'ignore'"),
        ({"topic": "a", "overflow": 5}, "'overflow' is one of 'limit', 'latest', not 5"),
        ({"topic": "a", "offsets": 1}, "'offsets' must be True or False, not 1"),
        ({"topic": "a", "since": 5}, "'since'"),
        ({"topic": "a", "deliver": "app", "overflow": "latest"}, "deliver='wire' only"),
    ],
)
def test_what_cannot_be_subscribed(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ApplicationError, match=rf"^{SUBSCRIBE}: .*{problem}"):
        subscribing({"type": SUBSCRIBE, **fields})


def test_publishing() -> None:
    wants = publishing({"type": PUBLISH, "topic": "a", "text": "x"}, 10)
    assert wants == ("a", "x", None, None, False)
    message = {
        "type": PUBLISH,
        "topic": "a",
        "bytes": b"x",
        "key": "k",
        "keep": {"messages": 2, "seconds": 3},
        "exclude_self": True,
    }
    assert publishing(message, 10) == ("a", b"x", "k", Keep(2, 3.0), True)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"topic": "a"}, "one of 'text' and 'bytes'"),
        ({"topic": "a", "text": "x", "bytes": b"x"}, "one of 'text' and 'bytes', not both"),
        ({"topic": "a", "text": b"x"}, "'text' must be a str, not bytes"),
        ({"topic": "a", "bytes": "x"}, "'bytes' must be bytes, not str"),
        ({"topic": "a", "bytes": 5}, "memoryview"),
        ({"topic": "", "text": "x"}, "topic"),
        ({"topic": "a", "text": "x" * 11}, "max_message"),
        ({"topic": "a", "text": "x", "key": 5}, "'key'"),
        ({"topic": "a", "text": "x", "keep": 5}, "'keep'"),
        ({"topic": "a", "text": "x", "exclude_self": None}, "'exclude_self' must be True or False"),
    ],
)
def test_what_cannot_be_published(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ApplicationError, match=rf"^{PUBLISH}: .*{problem}"):
        publishing({"type": PUBLISH, **fields}, 10)


def test_unsubscribing() -> None:
    assert unsubscribing({"type": UNSUBSCRIBE, "topic": "a"}) == "a"
    for topic in (None, "", 5):
        with pytest.raises(ApplicationError, match=rf"^{UNSUBSCRIBE}: .*topic"):
            unsubscribing({"type": UNSUBSCRIBE, "topic": topic})
