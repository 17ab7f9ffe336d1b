"""What the server asks of whatever carries messages from publishers to subscribers.

Two implementations: `LocalHub`, for one process, and `LinkedHub`, for a worker whose host has a hub
process. The hub process itself runs a LocalHub, whose sinks are its links to workers.

Rules of this file:
- Nothing here waits. A publication is queued or refused; a sink takes what it is given or says later that
  it was too much.
- What one publisher publishes reaches every subscriber in that order, across topics. Messages of one topic
  reach all its subscribers in the same order.
- A message reaches a subscriber at most once. What is lost is counted, and told by `Sink.lost`.
- A sink gets what is published after it was subscribed, and nothing from before but by `since`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from asgiws.topics.message import Joined, Keep, Message, Position
from asgiws.topics.sink import Sink


class TooMuchQueued(RuntimeError):
    """A publication was refused, because those before it have not left yet. Nothing of it was sent."""


class Hub(Protocol):
    """Carries messages from publishers to sinks."""

    def publish(self, message: Message, keep: Keep | None) -> None:
        """Publish; returns once it is queued. Raises TooMuchQueued."""

    def subscribe(
        self, sink: Sink, since: Position | None, done: Callable[[Joined], object]
    ) -> None:
        """Have the messages of the sink's topic delivered to it. `done` is called once that is in force, at
        once or later, before any message is delivered; with `since`, what came after it is delivered first.
        It is not called if the sink was unsubscribed before. A sink is subscribed once."""

    def unsubscribe(self, sink: Sink) -> None:
        """No more messages are delivered to the sink once this returns. Idempotent."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""
