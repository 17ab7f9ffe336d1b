"""What the server asks of whatever carries messages from publishers to subscribers.

Two implementations: `LocalHub`, for one process, and `LinkedHub`, for a worker whose host has a hub process. The
hub process itself runs a LocalHub, whose sinks are its links to workers.

Rules of this file:
- Nothing here waits. A publication is queued or refused; a sink takes what it is given or says later that it was too
  much.
- What one publisher publishes reaches every subscriber in that order, across topics. Messages of one topic reach all
  its subscribers in the same order.
- A message reaches a subscriber at most once. What is lost is counted, and told by `Sink.lost`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from asgiws.topics.message import Joined, Keep, Message, Position


class TooMuchQueued(RuntimeError):
    """A publication was refused, because those before it have not left yet. Nothing of it was sent."""


class Sink(Protocol):
    """One subscription, to one topic, of one subscriber.

    `owner` is what all subscriptions of a subscriber share, such as its WebSocket: a message's `sender` is compared
    with it by identity.
    """

    owner: object

    def deliver(self, message: Message) -> None:
        """Take a message. Must neither wait nor raise, and may not call back into the hub. What is put together
        for several messages is sent by `flush`."""

    def flush(self) -> None:
        """No more messages follow in this turn of the loop; called once after one or more `deliver`."""

    def lost(self, count: int | None) -> None:
        """Messages of the topic were lost before the next one: `count` of them, None if unknown."""


class Hub(Protocol):
    """Carries messages from publishers to sinks."""

    def publish(self, message: Message, keep: Keep | None) -> None:
        """Publish; returns once it is queued. Raises TooMuchQueued."""

    def subscribe(
        self, topic: str, sink: Sink, since: Position | None, done: Callable[[Joined], object]
    ) -> None:
        """Have the topic's messages delivered to the sink. `done` is called once that is in force, at once or later,
        before any message is delivered; with `since`, what came after it is delivered first. It is not called if the
        sink was unsubscribed before. A sink is subscribed once."""

    def unsubscribe(self, topic: str, sink: Sink) -> None:
        """No more messages are delivered to the sink once this returns. Idempotent."""

    def in_flight(self, sender: object) -> bool:
        """Whether something that `sender` published may still come back to its own sinks: its direct sends wait for
        that, so that they keep their order."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""
