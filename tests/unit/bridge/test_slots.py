"""`asgiws/bridge/slots.py`; its compiled twin has no name at run time; test_calls.py sees it at work."""

from __future__ import annotations

import asyncio
from typing import Any

from asgiws.bridge import slots
from asgiws.bridge.calls import Call
from asgiws.bridge.exchange import Send
from tests.support.loops import on_each_loop
from tests.support.websocket_peer import scripted, send_text


@on_each_loop
async def test_a_new_call_is_one_like_any_other() -> None:
    _, peer = await scripted()
    exchange: Any = peer.send.__self__  # type: ignore[attr-defined]
    for call in (
        slots.new(Send, exchange, send_text("one")),
        Send(exchange, send_text("one")),
    ):
        assert type(call) is Send
        assert asyncio.iscoroutine(call)
        await call
        assert peer.take() == [(0x81, b"one")]


def test_in_python_there_is_no_slot_to_fill() -> None:
    before = dict(vars(Call))
    slots.install(Call)
    assert dict(vars(Call)) == before
