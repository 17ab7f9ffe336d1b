from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

MAX_TEXT = 2_000


class RoomConsumer(AsyncJsonWebsocketConsumer):
    """One member in one room. What is said goes to the room's group, and from there to all."""

    group = ""  # as long as it is empty, the room was not entered
    was_closed = False

    async def connect(self) -> None:
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close()  # not accepted yet: the handshake gets a 403
            return
        self.nickname = user.get_username()
        self.group = f"room.{self.scope['url_route']['kwargs']['name']}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        await self.tell("joined")

    async def disconnect(self, code: int) -> None:
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)
            await self.tell("left")

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        match content:
            case {"text": str(text)} if 0 < len(text) <= MAX_TEXT:
                await self.tell("said", text)
            case _:
                self.was_closed = True
                await self.close(1008, "not a message of this chat, or too long")

    async def tell(self, kind: str, text: str = "") -> None:
        body = {"kind": kind, "nickname": self.nickname, "text": text}
        await self.channel_layer.group_send(self.group, {"type": "room.event", "body": body})

    async def room_event(self, event: dict[str, Any]) -> None:
        """Called for each event of the group; some are still on their way when the room is left."""
        if self.was_closed:
            return
        try:
            await self.send_json(event["body"])
        except OSError:  # this member has just gone; disconnect() is about to be called
            pass
