"""The echo application."""

from __future__ import annotations

from conformance.app import app


async def drive(scope_type: str, *messages: dict) -> list[dict]:
    """What the application sends for those messages."""
    pending, sent = list(messages), []

    async def receive():
        return pending.pop(0)

    async def send(message):
        sent.append(message)

    await app({"type": scope_type}, receive, send)
    assert pending == []
    return sent


async def test_messages_come_back_as_they_were():
    sent = await drive(
        "websocket",
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive", "text": "κ", "bytes": None},
        {"type": "websocket.receive", "bytes": b""},
        {"type": "websocket.receive", "text": None, "bytes": b"\xff"},
        {"type": "websocket.disconnect", "code": 1000},
    )
    assert sent == [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": ""},
        {"type": "websocket.send", "text": "κ"},
        {"type": "websocket.send", "bytes": b""},
        {"type": "websocket.send", "bytes": b"\xff"},
    ]


async def test_lifespan_and_http():
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    assert [one["type"] for one in await drive("lifespan", *events)] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert (await drive("http"))[0]["status"] == 404
