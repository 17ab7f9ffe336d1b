"""What all connections of a worker share about topics: the hub, made when it is first used, and the limits.

Rules of this file: an application that uses no topics has no hub, and nothing that a hub needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asgiws.bridge.contexts import OwnContext
from asgiws.config import Config
from asgiws.topics.hub import Hub
from asgiws.topics.local import LocalHub

#: Several pieces of fewer octets than this in total are joined, for all receivers together.
JOIN_BELOW = 65536


class Topics:
    """`make_hub` makes the hub; by default, one for this process alone. `lost` counts the messages that did not
    reach a subscriber, as far as they are known."""

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        make_hub: Callable[[Topics], Hub] | None = None,
    ) -> None:
        self.config = config
        self.loop = loop
        self.max_subscriptions = config.pubsub_max_subscriptions
        self.max_message = config.pubsub_max_message
        self.lost = 0
        #: What several messages to one receiver were joined to, for the next receiver of the same.
        self.pieces: list[bytes] = []
        self.joined = b""
        self._make_hub = _local if make_hub is None else make_hub
        self._hub: Hub | None = None
        self._own = OwnContext()
        self.is_closed = False

    def hub(self) -> Hub:
        """The hub; made on first use."""
        hub = self._hub
        if hub is None:
            hub = self._hub = self._make_hub(self)
        return hub

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call a function of the server in the event loop's next turn."""
        self.loop.call_soon(callback, context=self._own.copy())

    def call_later(self, delay: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Call a function of the server after `delay` seconds."""
        return self.loop.call_later(delay, callback, context=self._own.copy())

    def join(self, pieces: list[bytes]) -> bytes | None:
        """The pieces as one; those of the last call are not joined again. None if they are too large."""
        if self.pieces != pieces:  # of the same objects, as a rule
            if sum(map(len, pieces)) >= JOIN_BELOW:
                return None
            self.pieces = pieces
            self.joined = b"".join(pieces)
        return self.joined

    async def finish(self) -> None:
        """Give what was published a moment to leave."""
        if self._hub is not None:
            await self._hub.finish()

    def close(self) -> None:
        """There will be no more messages."""
        self.is_closed = True
        if self._hub is not None:
            self._hub.close()


def _local(topics: Topics) -> Hub:
    return LocalHub(topics.call_soon, topics.config.pubsub_history)
