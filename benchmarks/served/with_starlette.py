"""The echo through Starlette: what is left of a server's lead when a framework does its own work.

Rules of this file:
- It runs in the environment of each server and does what Starlette's documentation shows.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello, world!")


application = Starlette(routes=[WebSocketRoute("/", echo), Route("/", hello)])
