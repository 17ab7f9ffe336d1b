"""A FastAPI application, as its documentation would write it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, WebSocket, WebSocketDisconnect, WebSocketException

#: What happened, by the application's own account; `/log` gives it.
LOG: list[Any] = []


app = FastAPI()


async def resource() -> AsyncIterator[str]:
    LOG.append("opened")
    try:
        yield "a resource"
    finally:
        LOG.append("closed")


Resource = Annotated[str, Depends(resource)]


def ticket(websocket: WebSocket, ticket: str = "") -> str:
    if ticket != "valid":
        raise WebSocketException(4401, "no valid ticket")
    return ticket


@app.websocket("/uses/{item}")
async def uses(websocket: WebSocket, item: int, resource: Resource) -> None:
    await websocket.accept()
    await websocket.send_text(f"{item} {resource}")
    try:
        await websocket.receive_text()
    except WebSocketDisconnect as error:
        LOG.append(error.code)


@app.websocket("/guarded")
async def guarded(websocket: WebSocket, ticket: Annotated[str, Depends(ticket)]) -> None:
    await websocket.accept()
    await websocket.send_text(ticket)
    await websocket.receive_text()
    raise WebSocketException(4402, "that was too much")


@app.websocket("/breaks")
async def breaks(websocket: WebSocket, resource: Resource) -> None:
    await websocket.accept()
    raise RuntimeError("a fault of the application")


@app.post("/upload")
async def upload(request: Request, resource: Resource) -> dict[str, int]:
    return {"size": sum([len(piece) async for piece in request.stream()])}


@app.get("/sync/{number}")
def sync(number: int) -> dict[str, int]:
    return {"square": number * number}


@app.get("/log")
async def log() -> list[Any]:
    return LOG
