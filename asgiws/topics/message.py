"""A message that was published, where it stands in its topic, and what a subscription asks for.

Rules of this file: values alone; nothing changes once it was made, but for `Message.shared`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Position:
    """A place in the messages of a topic: those up to and with `offset`, within `epoch`.

    Offsets count the messages of a topic that keeps a history, from 1. Another epoch means that the history
    was lost meanwhile: offsets of different epochs say nothing about each other. A topic without a history
    has offset 0.
    """

    epoch: str
    offset: int


#: Not a place, but a wish: everything that the topic keeps, from the oldest on.
KEPT = Position("", 0)


@dataclass(frozen=True)
class Keep:
    """What history a publication asks its topic to keep, itself included: its last `messages` (at least 1),
    each for `seconds` (above 0)."""

    messages: int
    seconds: float


@dataclass(frozen=True)
class Joined:
    """The answer to a subscription: where the topic stands, and whether all that was missed since the
    position that the subscriber named follows. `recovered` is None if it named none, or KEPT."""

    position: Position
    recovered: bool | None


class Message:
    """What subscribers get.

    `data` is text or bytes, the same object for all. `key` is what `overflow="latest"` goes by, None for
    none. `sender` is the owner of the sinks (see Sink) of the subscriber that published it, None for none
    of them; with `excludes` those sinks do not get it. `offset` is its place in the topic's history, 0 if
    none is kept. `shared` is for those who encode it: what is made once for all receivers.
    """

    __slots__ = ("data", "excludes", "key", "offset", "sender", "shared", "topic")

    def __init__(
        self,
        topic: str,
        data: str | bytes,
        key: str | None = None,
        sender: object | None = None,
        excludes: bool = False,
        offset: int = 0,
    ) -> None:
        self.topic = topic
        self.data = data
        self.key = key
        self.sender = sender
        self.excludes = excludes
        self.offset = offset
        self.shared: Any = None
