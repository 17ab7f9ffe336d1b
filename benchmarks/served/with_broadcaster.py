"""A chat room of Starlette with broadcaster.

Rules of this file:
- It runs in the environment of the peers, and does what broadcaster's documentation shows: two tasks for
  each client, one that receives and publishes, one that is subscribed and sends.
- REDIS_URL names the Redis.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager

import anyio
from broadcaster import Broadcast  # type: ignore[import-not-found]  # of the peers
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from with_starlette import hello  # type: ignore[import-not-found]  # beside this file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

broadcast = Broadcast(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))


async def room(websocket: WebSocket) -> None:
    await websocket.accept()
    async with anyio.create_task_group() as tasks:

        async def receiver() -> None:
            await receive(websocket)
            tasks.cancel_scope.cancel()

        tasks.start_soon(receiver)
        await send(websocket)


async def receive(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await broadcast.publish(channel="room", message=text)


async def send(websocket: WebSocket) -> None:
    async with broadcast.subscribe(channel="room") as subscriber:
        async for event in subscriber:
            await websocket.send_text(event.message)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    await broadcast.connect()
    yield
    await broadcast.disconnect()


application = Starlette(
    routes=[WebSocketRoute("/", room), Route("/", hello)],
    lifespan=lifespan,
)
