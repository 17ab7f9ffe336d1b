"""The same in Starlette and FastAPI, as their users write it.

Rules of this file: `pages` and `sockets` are names of routes, each a style of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from fastapi import FastAPI, WebSocket
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

from tests.chaos.books import Asked
from tests.chaos.calls import CHUNK, ENDLESS, Call
from tests.chaos.http_styles import _FOREVER, BESIDE, _file


def _count(request: Request) -> int:
    return 40 if "stays" in request.query_params else ENDLESS


async def stream(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(_count(request)):
            yield CHUNK

    return StreamingResponse(chunks())


async def stream_of_a_plain_generator(request: Request) -> Response:
    def chunks() -> Iterator[bytes]:
        for _ in range(min(_count(request), 2000)):
            yield CHUNK

    return StreamingResponse(chunks())


async def events(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(_count(request)):
            yield b"data: %d\n\n" % number
            await asyncio.sleep(0.02)

    return StreamingResponse(chunks(), media_type="text/event-stream")


async def silent_events(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b": welcome\n\n"
        await asyncio.sleep(BESIDE if "stays" in request.query_params else _FOREVER)

    return StreamingResponse(chunks(), media_type="text/event-stream")


async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return PlainTextResponse(f"{size}")


async def background(request: Request) -> Response:
    return PlainTextResponse("begun", background=BackgroundTask(asyncio.sleep, BESIDE))


async def file(request: Request) -> Response:
    return FileResponse(_file())


async def raising_stream(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield CHUNK
        raise Asked

    return StreamingResponse(chunks())


async def polls_for_disconnect(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(_count(request)):
            if await request.is_disconnected():
                return
            yield b"x"
            await asyncio.sleep(0.01)

    return StreamingResponse(chunks())


def answers_in_a_thread(request: Request) -> Response:
    return PlainTextResponse("from a thread")


async def chat(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_bytes():
        await socket.send_bytes(text)


async def ticker(socket: WebSocket) -> None:
    await socket.accept()
    for _ in range(40 if "stays" in socket.query_params else ENDLESS):
        await socket.send_bytes(CHUNK)


async def never_catches(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_bytes(await socket.receive_bytes())


PAGES = {
    "starlette stream": stream,
    "starlette plain generator": stream_of_a_plain_generator,
    "starlette events": events,
    "starlette silent events": silent_events,
    "starlette upload": upload,
    "starlette background": background,
    "starlette file": file,
    "starlette raising stream": raising_stream,
    "starlette polls": polls_for_disconnect,
    "fastapi in a thread": answers_in_a_thread,
}
SOCKETS = {
    "fastapi ws chat": chat,
    "fastapi ws only sends": ticker,
    "fastapi ws never catches": never_catches,
}

_app = FastAPI(openapi_url=None)
for _name, _page in PAGES.items():
    _app.add_api_route(
        f"/{_name.replace(' ', '-')}", _page, methods=["GET", "POST"], response_model=None
    )
for _name, _socket in SOCKETS.items():
    _app.add_api_websocket_route(f"/{_name.replace(' ', '-')}", _socket)


async def framework(call: Call) -> None:
    """Leave the call to them."""
    await _app(call.scope, call.receive, call.send)
