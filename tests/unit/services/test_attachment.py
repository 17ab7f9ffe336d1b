"""Subscribing a WebSocket of Starlette (asgiws/services/attachment.py)."""

from __future__ import annotations

from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.services.attachment import Attachment


class WebSocket:
    """As Starlette's: what the server gave is in `_send`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.error = error

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if self.error is not None and message["type"] == "websocket.unsubscribe":
            raise self.error


async def test_it_subscribes_when_it_is_awaited() -> None:
    websocket = WebSocket()
    await Attachment(websocket, "room", "close", {"offsets": True})
    assert websocket.sent == [
        {"type": "websocket.subscribe", "topic": "room", "on_gap": "close", "offsets": True}
    ]


async def test_a_block_ends_with_the_subscription() -> None:
    websocket = WebSocket()
    async with Attachment(websocket, "room", "ignore", {}):
        assert [one["type"] for one in websocket.sent] == ["websocket.subscribe"]
    assert websocket.sent[1] == {"type": "websocket.unsubscribe", "topic": "room"}


@pytest.mark.parametrize("error", [ClientDisconnected("gone"), ApplicationError("after the end")])
async def test_the_block_may_outlive_the_websocket(error: Exception) -> None:
    async with Attachment(WebSocket(error), "room", "close", {}):
        pass


async def test_an_exception_of_the_block_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        async with Attachment(WebSocket(ClientDisconnected("gone")), "room", "close", {}):
            raise KeyError


async def test_the_send_of_an_asgi_application_will_do() -> None:
    websocket = WebSocket()
    await Attachment(websocket._send, "room", "close", {})
    assert len(websocket.sent) == 1


def test_what_cannot_be_attached_is_refused() -> None:
    with pytest.raises(TypeError, match="a WebSocket of Starlette"):
        Attachment(object(), "room", "close", {})
    with pytest.raises(ValueError, match="on_gap is one of 'close', 'ignore', not 'event'"):
        Attachment(WebSocket(), "room", "event", {})
