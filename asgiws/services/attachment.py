"""A WebSocket of Starlette or FastAPI that is subscribed to a topic.

Their `WebSocket.send` and `receive` refuse messages that they do not know. So the subscription goes past them,
and asks for nothing that would come back through `receive`.

Rules of this file: no state of its own; the server has the subscription, and ends it with the WebSocket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from types import TracebackType
from typing import Any

from asgiws.asgi.errors import ApplicationError

_ON_GAP = ("close", "ignore")


class Attachment:
    """Awaited, it subscribes the WebSocket until its end; with `async with`, until the block is left."""

    def __init__(self, websocket: Any, topic: str, on_gap: str, options: dict[str, Any]) -> None:
        if on_gap not in _ON_GAP:
            raise ValueError(
                f"on_gap is one of {', '.join(map(repr, _ON_GAP))}, not {on_gap!r:.80}"
            )
        self._send = _send_of(websocket)
        self._topic = topic
        self._message = {
            "type": "websocket.subscribe",
            "topic": topic,
            "on_gap": on_gap,
            **options,
        }

    def __await__(self) -> Generator[Any, None, None]:
        return self._subscribe().__await__()

    async def __aenter__(self) -> None:
        await self._subscribe()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError, ApplicationError):  # it has ended, and the subscription with it
            await self._send({"type": "websocket.unsubscribe", "topic": self._topic})

    async def _subscribe(self) -> None:
        await self._send(dict(self._message))


def _send_of(websocket: Any) -> Callable[[dict[str, Any]], Awaitable[None]]:
    """The server's `send` of a WebSocket, which may also be given itself."""
    send = websocket if callable(websocket) else getattr(websocket, "_send", None)
    if not callable(send):
        raise TypeError(
            "a WebSocket of Starlette or FastAPI is needed, or the send of an ASGI application, not "
            f"{websocket!r:.80}"
        )
    return send  # type: ignore[no-any-return]
