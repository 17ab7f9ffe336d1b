"""A Django application with Channels, as their documentation would write it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import django
from asgiref.sync import async_to_sync
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

#: What happened, by the application's own account; `/log` gives it.
LOG: list[Any] = []


settings.configure(
    DEBUG=False,
    SECRET_KEY="tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()


class RoomConsumer(AsyncJsonWebsocketConsumer):
    """A room: what one says, all get."""

    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        if self.room == "private":
            await self.close(4003)
            return
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.channel_layer.group_send(self.room, {"type": "said", "content": content})

    async def said(self, event: dict[str, Any]) -> None:
        await self.send_json(event["content"])

    async def disconnect(self, code: int) -> None:
        LOG.append(["left", self.room, code])
        await self.channel_layer.group_discard(self.room, self.channel_name)


class SyncConsumer(WebsocketConsumer):
    """Runs in a thread."""

    def connect(self) -> None:
        async_to_sync(self.channel_layer.group_add)("sync", self.channel_name)
        self.accept("chat" if "chat" in self.scope["subprotocols"] else None)

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "close":
            self.close(4010, "as you wish")
        else:
            self.send(text_data=text_data, bytes_data=bytes_data)

    def announcement(self, event: dict[str, str]) -> None:
        self.send(text_data=event["text"])

    def disconnect(self, code: int) -> None:
        LOG.append(["sync left", code])
        async_to_sync(self.channel_layer.group_discard)("sync", self.channel_name)


class FaultyConsumer(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        raise RuntimeError("a fault of the application")


def page(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"method": request.method, "size": len(request.body)})


async def announce(request: HttpRequest) -> HttpResponse:
    layer = get_channel_layer()
    await layer.group_send("sync", {"type": "announcement", "text": request.GET["text"]})
    return HttpResponse("announced")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(100):
            yield f"{number} "

    return StreamingHttpResponse(pieces())


def log(request: HttpRequest) -> HttpResponse:
    return HttpResponse(json.dumps(LOG))


urlpatterns = [
    path("page", page),
    path("announce", announce),
    path("stream", stream),
    path("log", log),
]

app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter(
            [
                path("room/<room>", RoomConsumer.as_asgi()),
                path("sync", SyncConsumer.as_asgi()),
                path("faulty", FaultyConsumer.as_asgi()),
            ]
        ),
    }
)
