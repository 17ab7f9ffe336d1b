"""What a WebSocket is told about topics, its application and its client, whichever server it is on.

Rules of this file: functions without state. The mistakes that need to know what is subscribed are here too.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from asgiws.asgi.errors import ApplicationError
from asgiws.asgi.types import Message as ASGIMessage
from asgiws.topics.message import Joined, Message

Event = dict[str, Any]


def check_place(topic: str, is_subscribed: bool, count: int, limit: int) -> None:
    """Refuse a subscription that there is, or that is one of more than `limit`. Raises ApplicationError."""
    if is_subscribed:
        raise ApplicationError(f"websocket.subscribe: already subscribed to {topic!r:.80}")
    if count >= limit:
        raise ApplicationError(
            f"websocket.subscribe: a WebSocket has at most {limit} subscriptions (max_subscriptions)"
        )


def not_subscribed(topic: str) -> ApplicationError:
    """The error for a topic that is to be unsubscribed."""
    return ApplicationError(f"websocket.unsubscribe: not subscribed to {topic!r:.80}")


def subscribed(name: object, topic: str, joined: Joined) -> Event:
    """The acknowledgement of the `websocket.subscribe` with that `id`."""
    return {
        "type": "websocket.subscribed",
        "id": name,
        "topic": topic,
        "epoch": joined.position.epoch,
        "offset": joined.position.offset,
        "recovered": joined.recovered,
    }


def done_with(kind: str, message: ASGIMessage, topic: str) -> Event:
    """The acknowledgement of another message, which has an `id`."""
    return {"type": kind, "id": message["id"], "topic": topic}


def received(message: Message, epoch: str | None) -> Event:
    """A message for the application; with its place if there is an `epoch`."""
    data = message.data
    event: Event = {"type": "websocket.message", "topic": message.topic}
    event["text" if isinstance(data, str) else "bytes"] = data
    if epoch is not None:
        event["epoch"] = epoch
        event["offset"] = message.offset
    return event


def placed(message: Message, epoch: str) -> str:
    """A message with its place in its topic, as the client is sent it."""
    data = message.data
    content: Event = {"topic": message.topic, "epoch": epoch, "offset": message.offset}
    if isinstance(data, str):
        content["text"] = data
    else:
        content["base64"] = base64.b64encode(data).decode()
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def gap_in(topic: str, count: int | None) -> Event:
    """So many messages of the topic were lost, None if that is not known."""
    return {"type": "websocket.gap", "topic": topic, "lost": count}


def widen(gap: Event, count: int | None) -> None:
    """As many more were lost in the same place."""
    lost = gap["lost"]
    gap["lost"] = None if lost is None or count is None else lost + count
