"""The messages about topics that a WebSocket application sends: taking them apart, and checking them.

Rules of this file: functions without state. A message that is malformed is an ApplicationError that says so and
names the limit; nothing of it takes effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from asgiws.asgi.errors import ApplicationError
from asgiws.asgi.types import Message
from asgiws.topics import asking
from asgiws.topics.message import Keep, Position

SUBSCRIBE = "websocket.subscribe"
UNSUBSCRIBE = "websocket.unsubscribe"
PUBLISH = "websocket.publish"
#: A tuple, since a type that is not hashable is to be refused like any other.
KINDS = (SUBSCRIBE, UNSUBSCRIBE, PUBLISH)

_DELIVER = ("wire", "app")
_ON_GAP = ("event", "close", "ignore")
_OVERFLOW = ("limit", "latest")


class Subscribing(NamedTuple):
    """What a `websocket.subscribe` asks for."""

    topic: str
    to_app: bool
    since: Position | None
    offsets: bool
    on_gap: str
    latest: bool


class Publishing(NamedTuple):
    """What a `websocket.publish` asks for."""

    topic: str
    data: str | bytes
    key: str | None
    keep: Keep | None
    exclude_self: bool


def subscribing(message: Message) -> Subscribing:
    """Take a `websocket.subscribe` apart."""
    try:
        to_app = _one_of(message, "deliver", _DELIVER) == "app"
        latest = _one_of(message, "overflow", _OVERFLOW) == "latest"
        if to_app and latest:
            raise ValueError("overflow='latest' is for deliver='wire' only")
        return Subscribing(
            asking.topic(message.get("topic")),
            to_app,
            asking.since(message.get("since")),
            _flag(message, "offsets"),
            _one_of(message, "on_gap", _ON_GAP),
            latest,
        )
    except (TypeError, ValueError) as error:
        raise ApplicationError(f"{SUBSCRIBE}: {error}") from None


def publishing(message: Message, limit: int) -> Publishing:
    """Take a `websocket.publish` apart; its payload has at most `limit` octets."""
    try:
        text = message.get("text")
        data = message.get("bytes")
        if (text is None) == (data is None):
            raise ValueError("needs one of 'text' and 'bytes', not both")
        if text is not None and not isinstance(text, str):
            raise TypeError(f"'text' must be a str, not {type(text).__name__}")
        if data is not None and isinstance(data, str):
            raise TypeError("'bytes' must be bytes, not str")
        return Publishing(
            asking.topic(message.get("topic")),
            asking.payload(data if text is None else text, limit),
            asking.key(message.get("key")),
            asking.keep(message.get("keep")),
            _flag(message, "exclude_self"),
        )
    except (TypeError, ValueError) as error:
        raise ApplicationError(f"{PUBLISH}: {error}") from None


def unsubscribing(message: Message) -> str:
    """The topic of a `websocket.unsubscribe`."""
    try:
        return asking.topic(message.get("topic"))
    except ValueError as error:
        raise ApplicationError(f"{UNSUBSCRIBE}: {error}") from None


def _one_of(message: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = message.get(name)
    if value is None:
        return choices[0]
    if value not in choices:
        raise ValueError(f"{name!r} is one of {', '.join(map(repr, choices))}, not {value!r:.80}")
    return str(value)


def _flag(message: Mapping[str, Any], name: str) -> bool:
    value = message.get(name, False)
    if not isinstance(value, bool):
        raise TypeError(f"{name!r} must be True or False, not {value!r:.80}")
    return value
