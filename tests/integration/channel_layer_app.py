"""An application of Django Channels whose consumers do what their client says, for test_channel_layer.py."""

from __future__ import annotations

import os
import threading
from typing import Any

from asgiref.sync import async_to_sync
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer
from django.conf import settings

settings.configure(
    CHANNEL_LAYERS={
        "default": {"BACKEND": "asgiws.channels.ChannelLayer", "CONFIG": {"capacity": 5}}
    }
)


class Consumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.send_json({"pid": os.getpid(), "channel": self.channel_name})

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        do, *arguments = content
        layer = self.channel_layer
        try:
            if do == "add":
                await layer.group_add(arguments[0], arguments[1] or self.channel_name)
            elif do == "discard":
                await layer.group_discard(arguments[0], self.channel_name)
            elif do == "send":
                await layer.send(arguments[0], {"type": "told", "text": arguments[1]})
            elif do == "group":
                await layer.group_send(
                    arguments[0], {"type": "told", "text": arguments[1], "octets": b"\xff"}
                )
            elif do == "thread":
                thread = threading.Thread(target=from_thread, args=arguments)
                thread.start()
        except Exception as error:
            await self.send_json({"error": f"{type(error).__name__}: {error}"})
        else:
            await self.send_json({"done": do})

    async def told(self, event: Any) -> None:
        assert event.get("octets", b"\xff") == b"\xff"
        await self.send_json({"told": event["text"]})


def from_thread(group: str, text: str) -> None:
    async_to_sync(get_channel_layer().group_send)(group, {"type": "told", "text": text})


consumer = Consumer.as_asgi()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await consumer(scope, receive, send)
