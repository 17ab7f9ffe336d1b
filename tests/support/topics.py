"""Sinks that remember what they were given, and an event loop's turns for boards.

Rules of this file: nothing here looks into a board.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from asgiws.topics.message import Joined, Message
from asgiws.topics.sink import Sink


class Turns:
    """The turns of an event loop, taken one by one."""

    def __init__(self) -> None:
        self.due: deque[Callable[[], object]] = deque()

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.due.append(callback)

    def take(self) -> int:
        """One turn; returns the number of callbacks in it."""
        count = len(self.due)
        for _ in range(count):
            self.due.popleft()()
        return count

    def take_all(self) -> int:
        """Turns until nothing is left; returns their number."""
        count = 0
        while self.due:
            self.take()
            count += 1
        return count


class KeepingSink(Sink):
    """Keeps what it gets: the data of messages, "|" for a flush, ("lost", n)."""

    def __init__(self, topic: str, owner: object = None, got: list[Any] | None = None) -> None:
        super().__init__(topic, self if owner is None else owner)
        self.got: list[Any] = [] if got is None else got
        self.offsets: list[int] = []
        self.joined: list[Joined] = []

    def deliver(self, message: Message) -> None:
        self.got.append(message.data)
        self.offsets.append(message.offset)

    def flush(self) -> None:
        if self.got and self.got[-1] != "|":
            self.got.append("|")

    def lost(self, count: int | None) -> None:
        self.got.append(("lost", count))

    def messages(self) -> list[Any]:
        return [one for one in self.got if one != "|"]
