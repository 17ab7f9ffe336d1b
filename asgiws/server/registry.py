"""A set that reports when it has become empty, for a server that waits for its connections to end.

Rules of this file: members of a Registry are added and removed one by one, with `add`, `discard` and
`remove`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Registry(set[Any]):
    """The open connections, or the running tasks, of one worker.

    `emptied` is called whenever the last member has gone. `added`, None at first, is called with each
    member that is added, even if it was already in the set.
    """

    def __init__(self, emptied: Callable[[], object]) -> None:
        super().__init__()
        self.added: Callable[[Any], object] | None = None
        self._emptied = emptied

    def add(self, item: Any) -> None:
        set.add(self, item)
        if self.added is not None:
            self.added(item)

    def discard(self, item: Any) -> None:
        set.discard(self, item)
        if not self:
            self._emptied()

    def remove(self, item: Any) -> None:
        set.remove(self, item)
        if not self:
            self._emptied()
