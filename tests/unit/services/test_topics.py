"""What the connections of a worker share about topics."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from asgiws.config import Config
from asgiws.services.topics import JOIN_BELOW, Topics
from asgiws.topics.local import LocalHub
from asgiws.topics.message import KEPT, Keep, Message

place: ContextVar[str] = ContextVar("place", default="the server's")


async def test_the_hub_is_made_when_it_is_first_used() -> None:
    made = []

    def make(topics: Topics) -> LocalHub:
        made.append(LocalHub(topics.call_soon, 0))
        return made[0]

    topics = Topics(Config(app="unused:app"), asyncio.get_running_loop(), make)
    topics.close()  # nothing was made, and nothing is
    assert made == []
    assert topics.hub() is topics.hub() is made[0]


async def test_the_hub_is_closed_with_it() -> None:
    closed = []

    class Closing(LocalHub):
        def close(self) -> None:
            closed.append(self)
            super().close()

    topics = Topics(
        Config(app="unused:app"),
        asyncio.get_running_loop(),
        lambda topics: Closing(topics.call_soon, 0),
    )
    hub = topics.hub()
    assert (topics.is_closed, closed) == (False, [])
    topics.close()
    assert (topics.is_closed, closed) == (True, [hub])


async def test_a_hub_of_its_own_keeps_as_much_as_the_option_says() -> None:
    for size, wanted in ((0, []), (2**20, ["x"])):
        config = Config(app="unused:app", pubsub_history=size)
        hub = Topics(config, asyncio.get_running_loop()).hub()
        hub.publish(Message("a", "x"), Keep(1, 60.0))
        assert isinstance(hub, LocalHub)
        assert [message.data for message in hub.history.replay("a", KEPT)[1]] == wanted


async def test_what_it_calls_runs_in_no_requests_context() -> None:
    topics = Topics(Config(app="unused:app"), asyncio.get_running_loop())
    place.set("a request's")
    seen: list[str] = []
    topics.call_soon(lambda: seen.append(place.get()))
    topics.call_later(0, lambda: seen.append(place.get()))
    while len(seen) < 2:
        await asyncio.sleep(0)
    assert seen == ["the server's", "the server's"]


async def test_pieces_are_joined_once_for_all_receivers() -> None:
    topics = Topics(Config(app="unused:app"), asyncio.get_running_loop())
    pieces = [b"a" * 10, b"b" * 10]
    first = topics.join(list(pieces))
    assert first == b"a" * 10 + b"b" * 10
    assert topics.join(list(pieces)) is first
    assert topics.join([*pieces, b"c"]) == first + b"c"
    assert topics.join(list(pieces)) == first
    assert topics.join([b"x" * JOIN_BELOW, b"y"]) is None
    assert topics.join(list(pieces)) is not None


async def test_limits_are_the_options() -> None:
    config = Config(app="unused:app", pubsub_max_subscriptions=3, pubsub_max_message=7)
    topics = Topics(config, asyncio.get_running_loop())
    assert (topics.max_subscriptions, topics.max_message) == (3, 7)
