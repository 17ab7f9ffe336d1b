"""Where a topic's messages go: one subscription.

Rules of this file: the base alone. The board (`board.py`) looks after `is_subscribed` and `place`.
"""

from __future__ import annotations

from asgiws.topics.message import Joined, Message


class Sink:
    """One subscription, to one topic, of one subscriber.

    `owner` is what all subscriptions of a subscriber share, such as its WebSocket: a message's `sender` is
    compared with it by identity. None of the methods may wait, raise, or call the hub.
    """

    __slots__ = ("is_subscribed", "owner", "place", "topic")

    def __init__(self, topic: str, owner: object) -> None:
        self.topic = topic
        self.owner = owner
        self.is_subscribed = False
        #: Its index among the topic's sinks.
        self.place = 0

    def deliver(self, message: Message) -> None:
        """Take a message. What is put together for several messages is sent by `flush`."""
        raise NotImplementedError

    def flush(self) -> None:
        """No more messages follow for now; called after one or more `deliver`."""

    def lost(self, count: int | None) -> None:
        """Messages of the topic were lost before the next one: `count` of them, None if unknown."""
        raise NotImplementedError

    def rejoined(self, joined: Joined) -> None:
        """After `lost(None)`, because the hub was lost: the subscription is in force again, with another
        hub."""
