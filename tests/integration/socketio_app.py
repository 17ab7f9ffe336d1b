"""A Socket.IO application, as its documentation would write it."""

from __future__ import annotations

from typing import Any

import socketio

# A client that polls waits for the last of it, and the server for that: so pings come soon.
sio = socketio.AsyncServer(
    async_mode="asgi", cors_allowed_origins="*", ping_interval=1, ping_timeout=4
)
app = socketio.ASGIApp(sio)


@sio.event
async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
    if auth == "wrong":
        raise socketio.exceptions.ConnectionRefusedError("wrong password")


@sio.event
async def ask(sid: str, data: Any) -> Any:
    return {"answer": data}


@sio.event
async def join(sid: str, room: str) -> None:
    await sio.enter_room(sid, room)
    await sio.emit("joined", room, to=sid)


@sio.event
async def say(sid: str, room: str, what: Any) -> None:
    await sio.emit("said", what, room=room)


@sio.event
async def transport(sid: str) -> str:
    name: str = sio.transport(sid)
    return name
