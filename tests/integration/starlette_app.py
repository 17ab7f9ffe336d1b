"""A Starlette application, as its documentation would write it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import WebSocketEndpoint
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

#: What happened, by the application's own account; `/log` gives it.
LOG: list[Any] = []


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept(subprotocol=(websocket.scope["subprotocols"] or [None])[0])

    async def on_receive(self, websocket: WebSocket, data: str) -> None:
        await websocket.send_text(f"echo: {data}")

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        LOG.append(["disconnect", close_code])


class Binary(WebSocketEndpoint):
    encoding = "bytes"

    async def on_receive(self, websocket: WebSocket, data: bytes) -> None:
        await websocket.send_bytes(data)


async def iterates(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_json():
        await websocket.send_json({"got": message})
    LOG.append("iteration ended")


async def tells_code(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect as error:
        LOG.append([error.code, error.reason])


async def sends_to_nobody(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text("x")
            await asyncio.sleep(0.01)
    except WebSocketDisconnect as error:
        LOG.append(["send told", error.code])


async def denies(websocket: WebSocket) -> None:
    await websocket.send_denial_response(JSONResponse({"why": "no ticket"}, status_code=402))


async def closes_first(websocket: WebSocket) -> None:
    await websocket.close(4000)


async def stream(request: Request) -> Response:
    async def numbers() -> AsyncIterator[str]:
        for number in range(1000):
            yield f"{number}\n"

    return StreamingResponse(numbers())


async def endless(request: Request) -> Response:
    async def ticks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.01)
        finally:
            LOG.append("stream closed")

    return StreamingResponse(ticks(), media_type="text/event-stream")


async def file(request: Request) -> Response:
    return FileResponse(Path(__file__), filename="starlette_app.py")


async def background(request: Request) -> Response:
    async def later() -> None:
        await asyncio.sleep(0.05)
        LOG.append("background done")

    return PlainTextResponse("sent", background=BackgroundTask(later))


async def body(request: Request) -> Response:
    try:
        data = await request.body()
    except ClientDisconnect:
        LOG.append("client disconnected")
        raise
    return JSONResponse({"size": len(data), "host": request.url.hostname})


async def log(request: Request) -> Response:
    return JSONResponse(LOG)


app = Starlette(
    routes=[
        WebSocketRoute("/echo", Echo),
        WebSocketRoute("/binary", Binary),
        WebSocketRoute("/iterates", iterates),
        WebSocketRoute("/tells-code", tells_code),
        WebSocketRoute("/sends-to-nobody", sends_to_nobody),
        WebSocketRoute("/denies", denies),
        WebSocketRoute("/closes-first", closes_first),
        Route("/stream", stream),
        Route("/endless", endless),
        Route("/file", file),
        Route("/background", background),
        Route("/body", body, methods=["POST"]),
        Route("/log", log),
    ]
)
