"""Whether topics go through a broker.

Rules of this file: every server imports it, so what is for brokers is imported only if there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from asgiws.config import Config
from asgiws.config.option_types import Reach

if TYPE_CHECKING:
    from asgiws.brokers.hub import BrokerHub


class Topics(Protocol):
    """What a hub needs of the server (`services/topics.py`)."""

    def call_soon(self, callback: Callable[[], object]) -> None: ...


def is_broker(config: Config) -> bool:
    """Whether topics go through a broker."""
    return Reach.is_url(config.pubsub)


def maker(config: Config) -> Callable[[Topics], BrokerHub] | None:
    """What makes the hub of a process that has no hub process; None if its topics stay in the process."""
    if not is_broker(config):
        return None
    from asgiws.brokers.hub import BrokerHub

    return lambda topics: BrokerHub(config, topics.call_soon)


def is_needed_early(config: Config) -> bool:
    """Whether the hub is made at the start, since its connections are part of what makes a server ready."""
    return is_broker(config) or config.pubsub_readiness
