"""The channel layer, as Channels calls it.

Rules of this file:
- What Channels may call, with its checks; `station.py` does the work.
- A layer outlives event loops and servers: for each call it looks for the server that runs in the process.
- What is to reach another process and cannot is refused, with a line that says so.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer

from asgiws.channels import codec
from asgiws.channels.queues import Queue, is_running
from asgiws.channels.station import Settings, Station
from asgiws.elsewhere import workers
from asgiws.services import present
from asgiws.topics.hub import TooMuchQueued

T = TypeVar("T")

#: The part of a channel's name that says of which process it is.
_OURS = re.compile(r"(^|\.)[0-9a-f]{16}$")

#: Channels' command that serves channels without "!" in a process of its own.
_RUNWORKER = "channels.management.commands.runworker"


class Unreachable(RuntimeError):
    """The channel belongs to another process, and only a broker could bring a message from one to the other."""


class ChannelLayer(BaseChannelLayer):  # the base has no types
    """A channel layer over the topics of the asgiws server that runs in the process.

    `capacity`, `channel_capacity`, `expiry` and `group_expiry` are as in other layers. `prefix` keeps apart
    what uses the same server. `local_channels` says that channels without "!" are for this process alone, and
    may be sent to before anything receives from them.
    """

    extensions = ("groups", "flush")

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        prefix: str = "asgi",
        local_channels: bool = False,
    ) -> None:
        super().__init__(expiry=expiry, capacity=capacity)
        self.channel_capacity = self.compile_capacities(dict(channel_capacity or {}))
        self.group_expiry = group_expiry
        self.require_valid_group_name(prefix)
        self.prefix = prefix
        self._is_local = local_channels
        self._settings = Settings(prefix, expiry, group_expiry, self.get_capacity)
        self._stations: dict[present.Present | None, Station] = {}

    @property
    def channels(self) -> dict[str, Queue]:
        """The channels of this process in which messages or receivers wait."""
        return self._station().queues.channels

    @property
    def dropped(self) -> int:
        """How many messages were lost here: to groups with a full channel, expired, or on the way."""
        return sum(station.dropped for station in self._stations.values())

    # The specification.

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send to a channel. Raises ChannelFull, and Unreachable."""
        assert isinstance(message, dict), "message is not a dict"
        self.require_valid_channel_name(channel)
        text = codec.encode(message)
        station = self._station()
        self._check_reachable(station, channel)
        try:
            has_room = await self._at_home(station, lambda: station.send(channel, text))
        except TooMuchQueued as error:
            raise ChannelFull(f"{channel}: {error}") from None
        if not has_room:
            raise ChannelFull(channel)

    async def receive(self, channel: str) -> Any:
        """The next message of a channel of this process; waits for it."""
        self.require_valid_channel_name(channel)
        station = self._station()
        if "!" not in channel:
            self._check_not_runworker(station, channel)
        elif not _OURS.search(channel.partition("!")[0]) or self._is_foreign(station, channel):
            raise AssertionError(f"channel {channel} is not one of this process")
        return codec.decode(await station.receive(channel))

    async def new_channel(self, prefix: str = "specific.") -> str:
        """The name of a new channel of this process."""
        station = self._station()
        await self._at_home(station, station.start)
        dot = "" if prefix.endswith(".") else "."
        return f"{prefix}{dot}{station.name}!{secrets.token_hex(8)}"

    async def group_add(self, group: str, channel: str) -> None:
        """Enter a channel into a group; returns once that is in force."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        station = self._station()
        if self._is_foreign(station, channel):
            self._check_reachable(station, channel)
        await self._at_home(station, lambda: station.add(group, channel))

    async def group_discard(self, group: str, channel: str) -> None:
        """Take a channel out of a group."""
        self.require_valid_channel_name(channel)
        self.require_valid_group_name(group)
        station = self._station()
        if not self._is_foreign(station, channel) or station.server is not None:
            await self._at_home(station, lambda: station.discard(group, channel))

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to all channels of a group. Those that are full do not get it: that is counted and logged."""
        assert isinstance(message, dict), "Message is not a dict"
        self.require_valid_group_name(group)
        text = codec.encode(message)
        station = self._station()
        await self._at_home(station, lambda: station.send_to(group, text))

    async def flush(self) -> None:
        """Forget all messages and groups, in all processes."""
        station = self._station()
        await self._at_home(station, station.flush)

    async def close(self) -> None:
        """Let go of everything in this process."""
        stations, self._stations = self._stations, {}
        for station in stations.values():
            if station.is_current:
                await self._at_home(station, partial(_closed, station))

    # Where that is done.

    def _station(self) -> Station:
        server = present.find()
        station = self._stations.get(server)
        if station is None or not station.is_current:
            if server is None:
                workers.check_alone("asgiws.channels.ChannelLayer")
            elif server.topics is None:
                raise RuntimeError(
                    "asgiws.channels.ChannelLayer needs the server's topics, and they are off: --pubsub off, "
                    "or several workers of gunicorn"
                )
            self._stations = {key: one for key, one in self._stations.items() if one.is_current}
            station = self._stations[server] = Station(self._settings, server)
        return station

    async def _at_home(self, station: Station, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await a coroutine in the event loop of the station's server, whichever this one is."""
        server = station.server
        if server is None or is_running(server.loop):
            return await make()
        task = asyncio.run_coroutine_threadsafe(make(), server.loop)
        return await asyncio.wrap_future(task)

    # What can be reached.

    def _is_foreign(self, station: Station, channel: str) -> bool:
        """Whether it is a channel of another process, as its name has it."""
        process, mark, _ = channel.partition("!")
        if not mark or process.rpartition(".")[2] == station.name:
            return False
        return station.server is not None or _OURS.search(process) is not None

    def _check_reachable(self, station: Station, channel: str) -> None:
        """Raises Unreachable."""
        if "!" in channel:
            if station.server is None and self._is_foreign(station, channel):
                raise Unreachable(
                    f"channel {channel} is one of another process, and no asgiws server runs in this one that "
                    "could reach it: that takes a channel layer with a broker, such as channels_redis"
                )
        elif not self._is_local and channel not in station.served:
            raise Unreachable(
                f"nothing in this process receives from channel {channel!r}. A channel without '!' may be "
                "served by any process (runworker), which takes a channel layer with a broker, such as "
                "channels_redis; if it is for this process alone, set local_channels to True in the layer's "
                "CONFIG"
            )

    def _check_not_runworker(self, station: Station, channel: str) -> None:
        if station.server is None and not self._is_local and _RUNWORKER in sys.modules:
            raise Unreachable(
                f"runworker cannot receive from channel {channel!r} with asgiws.channels.ChannelLayer: no "
                "message of another process reaches it; that takes a channel layer with a broker, such as "
                "channels_redis"
            )


async def _closed(station: Station) -> None:
    station.close()
