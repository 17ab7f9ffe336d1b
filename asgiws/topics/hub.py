"""What the server asks of whatever carries messages from publishers to subscribers.

Three implementations: `LocalHub`, for one process, `RelayedHub`, for one process whose topics reach other hosts
through a broker, and `LinkedHub`, for a worker whose host has a hub process. The hub process itself runs one of
the first two, whose sinks are its links to workers.

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

from asgiws.topics.board import Board
from asgiws.topics.message import Joined, Keep, Message, Position
from asgiws.topics.sink import Sink

#: Seconds that a subscription may take to be in force.
JOIN = 10.0


class TooMuchQueued(RuntimeError):
    """A publication was refused, because those before it have not left yet. Nothing of it was sent."""


class HubUnreachable(RuntimeError):
    """A subscription was not in force in time: what carries messages cannot be reached. It was withdrawn."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"{topic!r:.80} was not subscribed within {JOIN:g} s: the hub process, or the broker, is away"
        )


class Hub(Protocol):
    """Carries messages from publishers to sinks. `is_up` says whether it reaches all that it should at present:
    the hub process, the broker."""

    @property
    def is_up(self) -> bool: ...

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

    async def finish(self) -> None:
        """Before `close`, give what was published a moment to leave."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""


class HostHub(Hub, Protocol):
    """A hub that serves others, as that of a hub process does. `largest` is how many octets a message may have
    at present, `why_no_history` why 'keep' is refused, "" if it is not."""

    board: Board

    @property
    def largest(self) -> int: ...

    @property
    def why_no_history(self) -> str: ...

    def join(
        self,
        sink: Sink,
        since: Position | None,
        joined: Callable[[Joined, list[Message]], object],
    ) -> None:
        """Subscribe a sink unless it is; `joined` gets the answer and what was missed, behind the messages
        that came before and in front of those that come later."""

    def is_behind(self) -> bool:
        """Whether no more should be published until `when_relieved`."""

    def when_relieved(self, call: Callable[[], object]) -> None:
        """Call a function once there is room again, or may be."""

    def when_settled(self, call: Callable[[], object]) -> None:
        """Call a function once all publications before have been delivered here, or will not be."""
