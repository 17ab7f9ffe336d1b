"""`asgiws/bridge/slots.py`; its compiled twin has no name at run time, and is what test_calls.py sees at work."""

from __future__ import annotations

import asyncio

from asgiws.bridge import slots
from asgiws.bridge.calls import Call
from asgiws.drivers.websocket import Send
from tests.support.loops import on_each_loop
from tests.unit.drivers.test_websocket import scripted, send_text


@on_each_loop
async def test_a_new_call_is_one_like_any_other() -> None:
    _, peer = await scripted()
    for call in (
        slots.new(Send, peer.session, send_text("one")),
        Send(peer.session, send_text("one")),
    ):
        assert type(call) is Send
        assert asyncio.iscoroutine(call)
        await call
        assert peer.take() == [(0x81, b"one")]


def test_in_python_there_is_no_slot_to_fill() -> None:
    before = dict(vars(Call))
    slots.install(Call)
    assert dict(vars(Call)) == before
