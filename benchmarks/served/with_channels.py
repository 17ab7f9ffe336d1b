"""A chat room of Django Channels, through each of the layers of channels_redis.

Rules of this file:
- It runs in the environment of the peers, and does what the tutorial of Channels shows: a consumer, a group.
  The message is passed on as it came; the tutorial's JSON is left out, which is in favour of Channels.
- REDIS_URL names the Redis; all else of a layer is its default.
"""

from __future__ import annotations

import os

from applications import echo  # type: ignore[import-not-found]  # beside this file
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter
from django.conf import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LAYERS = {
    name: {
        "BACKEND": backend,
        "CONFIG": {"hosts": [os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")]},
    }
    for name, backend in {
        "lists": "channels_redis.core.RedisChannelLayer",
        "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    }.items()
}
settings.configure(CHANNEL_LAYERS=_LAYERS)


class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # of the peers, without types
    async def connect(self) -> None:
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard("room", self.channel_name)

    async def receive(self, text_data: str) -> None:
        event = {"type": "chat.message", "message": text_data}
        await self.channel_layer.group_send("room", event)

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["message"])


class OverLists(Consumer):
    channel_layer_alias = "lists"


class OverPubSub(Consumer):
    channel_layer_alias = "pubsub"


over_lists = ProtocolTypeRouter({"http": echo, "websocket": OverLists.as_asgi()})
over_pubsub = ProtocolTypeRouter({"http": echo, "websocket": OverPubSub.as_asgi()})
