"""The hub of a host whose topics reach other hosts, with what connects it to the broker.

Rules of this file: it starts to connect when it is made, and needs a running event loop for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from asgiws.brokers import libraries
from asgiws.brokers.uplink import Uplink
from asgiws.config import Config
from asgiws.topics.relayed import PLAIN, RelayedHub, Wire

logger = logging.getLogger("asgiws.error")


class BrokerHub(RelayedHub):
    """`call_soon` has a function called in the event loop's next turn. Raises StartError if the options do
    not name a broker that can be used."""

    def __init__(
        self,
        config: Config,
        call_soon: Callable[[Callable[[], object]], object],
        wire: Wire = PLAIN,
    ) -> None:
        super().__init__(call_soon, config.pubsub_queue, config.pubsub_max_message, wire)
        connect, name = libraries.choose(config)
        self._uplink = Uplink(self, connect, name)

    async def finish(self) -> None:
        """What was published leaves, if the broker takes it in time; then the connection is closed."""
        if left := await self._uplink.close():
            logger.error(
                "Messages of topics that the broker has not confirmed, and may be lost: %d", left
            )

    def close(self) -> None:
        super().close()
        self._uplink.abandon()
