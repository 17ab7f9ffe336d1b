"""What the applications of one process have begun and ended, and how its event loop fared.

Rules of this file:
- A call counts as begun when the server makes it, and as ended when its frame is left, however that happens.
- `Pulse` tells how late the loop was. What the applications themselves have blocked it for is told beside it,
  and bounded by `Turn`, and so is what the garbage collector has: the server is not to be blamed for either.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Awaitable
from typing import Any

#: Seconds between two looks at the loop, and how late is worth a count.
BEAT = 0.01
LATE = 0.1


class Asked(Exception):
    """Raised where a style asks for it; its name in a traceback says that it is expected."""


class AskedBase(BaseException):
    """The same, beyond the reach of `except Exception`."""


class Books:
    """The counters of this process."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()

    async def keep(self, name: str, way: str, call: Awaitable[Any]) -> None:
        """Wait for a call, and write down that it began and how it ended."""
        self.begun[name] += 1
        outcome = "closed"
        try:
            await call
        except BaseException as error:
            outcome = _outcome(error)
            raise
        else:
            outcome = "returned"
        finally:
            self.ended[name] += 1
            self.outcomes[f"{name}|{way}|{outcome}"] += 1

    def running(self) -> dict[str, int]:
        """Calls that have not ended, by style."""
        left = {name: count - self.ended[name] for name, count in self.begun.items()}
        return {name: count for name, count in left.items() if count}


def _outcome(error: BaseException) -> str:
    kinds = {_kind(one) for one in _leaves(error)}
    for kind in ("problem", "asked", "told", "cancelled"):
        if kind in kinds:
            return kind
    return "closed"


def _leaves(error: BaseException) -> list[BaseException]:
    inner = getattr(error, "exceptions", None)
    if not isinstance(inner, (list, tuple)):
        return [error]
    return [leaf for one in inner for leaf in _leaves(one)]


def _kind(error: BaseException | None) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, GeneratorExit):
        return "closed"
    while error is not None:
        if isinstance(error, (Asked, AskedBase, SystemExit)):
            return "asked"
        if isinstance(error, OSError) or type(error).__name__ in _OF_FRAMEWORKS:
            return "told"
        error = error.__cause__ or error.__context__
    return "problem"


#: What frameworks make of a client that has gone.
_OF_FRAMEWORKS = ("ClientDisconnect", "WebSocketDisconnect")


class Turn:
    """Whose turn it is to block the loop: once in `every` seconds, so that they never add up."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._next = 0.0
        self.longest = 0.0

    def take(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._every
        return True

    def blocked(self, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        self._next = time.monotonic() + self._every


class Collector:
    """How long Python's garbage collector has stopped this process at once."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._begun = 0.0
        gc.callbacks.append(self._told)

    def _told(self, phase: str, info: dict[str, int]) -> None:
        now = time.monotonic()
        if phase == "start":
            self._begun = now
        else:
            self.longest = max(self.longest, now - self._begun)


class Pulse:
    """How late the event loop runs what is due."""

    def __init__(self) -> None:
        self.largest = 0.0
        self.late = 0
        self.beats = 0

    async def run(self) -> None:
        """Look without end."""
        while True:
            due = time.monotonic() + BEAT
            await asyncio.sleep(BEAT)
            lateness = time.monotonic() - due
            self.beats += 1
            self.late += lateness > LATE
            self.largest = max(self.largest, lateness)


books = Books()
pulse = Pulse()
collector = Collector()
#: Blocking handlers, and forks, which hold up the loop as well.
blocking = Turn(0.25)
forking = Turn(0.5)
