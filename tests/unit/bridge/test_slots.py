"""`asgiws/bridge/slots.py`; its compiled twin has no name at run time; test_calls.py sees it at work."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError
from asgiws.bridge import slots
from asgiws.bridge.calls import Call
from asgiws.bridge.exchange import Send
from tests.support.loops import on_each_loop
from tests.support.websocket_peer import received, scripted, send_text, text


async def opened() -> Any:
    """A client, with the calls that its application was given."""
    _, peer = await scripted()
    return peer


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


@on_each_loop
async def test_each_result_comes_in_an_exception_of_its_own() -> None:
    peer = await opened()
    await peer.feed(text("one"), text("two"), text("three"))
    stops = []
    for _ in range(3):
        with pytest.raises(StopIteration) as caught:
            next(peer.receive())
        stops.append(caught.value)
    assert [stop.value for stop in stops] == [received("one"), received("two"), received("three")]
    with pytest.raises(StopIteration) as caught:
        next(peer.send(send_text("x")))
    assert caught.value.value is None


@on_each_loop
async def test_a_result_that_was_awaited_is_held_by_nobody_else() -> None:
    peer = await opened()
    for number in range(3):
        await peer.feed(text(str(number)))
        message = await peer.receive()
        copy = dict(message)
        assert sys.getrefcount(message) == sys.getrefcount(copy)


@on_each_loop
async def test_an_error_comes_out_as_it_is() -> None:
    peer = await opened()
    for _ in range(2):
        with pytest.raises(ApplicationError):
            next(peer.send({"type": "websocket.unheard-of"}))
        with pytest.raises(ApplicationError):
            await peer.send({"type": "websocket.unheard-of"})
