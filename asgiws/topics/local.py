"""A hub for the subscribers of one process.

Rules of this file: the history and the board are brought together here. A message gets its offset when it is
published, so a subscription's position, what is replayed to it and what it is sent fit together.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from asgiws.topics.board import BACKLOG, Board
from asgiws.topics.history import History
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.message import Joined, Keep, Message, Position
from asgiws.topics.sink import Sink

#: The most octets of messages that wait to be delivered, each with its overhead (`board.OVERHEAD`).
QUEUE = 16 * 2**20


class LocalHub:
    """`call_soon` has a function called in the event loop's next turn; `history` is in octets, 0 for none;
    `queue` is how many octets may wait to be delivered; `clock` returns seconds."""

    def __init__(
        self,
        call_soon: Callable[[Callable[[], object]], object],
        history: int,
        queue: int = QUEUE,
        clock: Callable[[], float] = time.monotonic,
        epoch: str | None = None,
    ) -> None:
        self.board = Board(call_soon)
        self.history = History(history, clock, epoch)
        self._queue = queue

    def publish(self, message: Message, keep: Keep | None) -> None:
        if self.board.queued > self._queue:
            raise TooMuchQueued(
                f"more than {self._queue} bytes of messages wait to be delivered to subscribers"
            )
        self.history.add(message, keep)
        self.board.publish(message)

    def subscribe(
        self, sink: Sink, since: Position | None, done: Callable[[Joined], object]
    ) -> None:
        joined, missed = self.history.replay(sink.topic, since)
        self.board.add(sink)
        done(joined)
        if missed:
            # Copies: what is encoded for this sink must not stay in the history, which does not count it.
            self.board.replay([_copy(message) for message in missed], sink)

    def unsubscribe(self, sink: Sink) -> None:
        self.board.remove(sink)

    is_up = True
    largest = sys.maxsize
    why_no_history = ""

    def join(
        self,
        sink: Sink,
        since: Position | None,
        joined: Callable[[Joined, list[Message]], object],
    ) -> None:
        answer, missed = self.history.replay(sink.topic, since)
        if not sink.is_subscribed:
            self.board.add(sink)
        # Behind the messages that are on their way: these the subscription must not get.
        self.board.then(lambda: joined(answer, missed))

    def is_behind(self) -> bool:
        return self.board.queued > BACKLOG

    def when_relieved(self, call: Callable[[], object]) -> None:
        self.board.then(call)

    def when_settled(self, call: Callable[[], object]) -> None:
        self.board.then(call)

    async def finish(self) -> None:
        """What was published needs no other process."""

    def close(self) -> None:
        self.board.close()


def _copy(message: Message) -> Message:
    return Message(message.topic, message.data, message.key, offset=message.offset)
