"""`asgiws/bridge/calls.py`: what `receive()` and `send()` give to await does all that a coroutine does.

The calls are a WebSocket session's, as a Call of the compiled build cannot be made up in Python.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from collections.abc import Awaitable, Coroutine
from typing import Any

import anyio
import pytest

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.bridge.calls import ROW
from tests.support.loops import on_each_loop, settle
from tests.support.websocket_peer import (
    Peer,
    Script,
    disconnect,
    received,
    scripted,
    send_text,
    text,
)


async def opened() -> tuple[Script, Peer, Any]:
    """An application that waits for orders, its client, and what has the calls that a test makes."""
    app, peer = await scripted()
    return app, peer, peer


def stepped(call: Any) -> Any:
    """What `call` waits for once it was stepped by hand."""
    waits_for = call.send(None)
    assert waits_for._asyncio_future_blocking is True
    waits_for._asyncio_future_blocking = False
    return waits_for


@on_each_loop
async def test_nothing_happens_before_it_is_awaited() -> None:
    _, peer, session = await opened()
    first, second = session.send(send_text("one")), session.send(send_text("two"))
    assert peer.take() == []
    await second
    await first
    assert peer.take() == [(0x81, b"two"), (0x81, b"one")]


@on_each_loop
async def test_it_is_a_coroutine_to_whoever_asks() -> None:
    _, _, session = await opened()
    for call in (session.receive(), session.send(send_text("x"))):
        assert asyncio.iscoroutine(call)
        assert isinstance(call, (Coroutine, Awaitable))
        assert inspect.isawaitable(call)
        assert not asyncio.isfuture(call)
        call.close()


@on_each_loop
async def test_the_ways_to_await_it() -> None:
    _, peer, session = await opened()
    await peer.feed(*(text(str(number)) for number in range(6)))
    assert await session.receive() == received("0")
    assert await asyncio.create_task(session.receive()) == received("1")
    assert await asyncio.wait_for(session.receive(), 10) == received("2")
    assert await asyncio.gather(session.receive(), session.send(send_text("x"))) == [
        received("3"),
        None,
    ]
    assert await asyncio.shield(session.receive()) == received("4")
    with anyio.fail_after(10):
        assert await session.receive() == received("5")

    async def later() -> Any:
        return await session.receive()

    task = asyncio.create_task(later())
    await settle()
    assert not task.done()
    await peer.feed(text("6"))
    assert await task == received("6")


@on_each_loop
async def test_its_result_ends_it() -> None:
    _, peer, session = await opened()
    await peer.feed(text("one"))
    for call, result in (
        (session.receive(), received("one")),
        (session.send(send_text("x")), None),
    ):
        with pytest.raises(StopIteration) as end:
            call.send(None)
        assert end.value.value == result
        for again, argument in ((call.send, None), (call.throw, ValueError())):
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                again(argument)
        call.close()
    with pytest.raises(RuntimeError, match="cannot reuse"):
        await call


@on_each_loop
async def test_it_is_awaited_by_one_task_only() -> None:
    _, peer, session = await opened()
    call = session.receive()
    first = asyncio.create_task(call)
    await settle()
    with pytest.raises(RuntimeError, match="being awaited already"):
        await call
    await peer.feed(text("one"))
    assert await first == received("one")


@on_each_loop
async def test_one_that_is_never_awaited_is_warned_of() -> None:
    _, peer, session = await opened()
    for make, name in (
        (session.receive, "receive"),
        (lambda: session.send(send_text("x")), "send"),
    ):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            make()
            gc.collect()
        assert [str(warning.message) for warning in warned] == [
            f"coroutine '{name}' was never awaited"
        ]
        assert warned[0].category is RuntimeWarning
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            make().close()
            gc.collect()
        assert warned == []
    assert peer.take() == []


class Odd(Exception):
    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)


@on_each_loop
async def test_what_is_thrown_comes_out() -> None:
    _, _, session = await opened()
    given = Odd("given")
    for arguments, told in (
        ((given,), ("given",)),
        ((Odd,), ()),
        ((Odd, None), ()),
        ((Odd, "one"), ("one",)),
        ((Odd, ("one", "two")), ("one", "two")),
        ((Odd, given), ("given",)),
        ((Odd, given, None), ("given",)),
    ):
        for waits in (False, True):
            call = session.receive()
            if waits:
                stepped(call)
            with pytest.raises(Odd) as caught:
                call.throw(*arguments)
            assert caught.value.args == told
            assert (caught.value is given) == (given in arguments)


@pytest.mark.parametrize("leave", ["throw", "close", "drop"])
@on_each_loop
async def test_one_that_waits_no_more_takes_nothing(leave: str) -> None:
    _, peer, session = await opened()
    call = session.receive()
    waits_for = stepped(call)
    second = asyncio.create_task(session.receive())
    await settle()
    if leave == "throw":
        with pytest.raises(Odd):
            call.throw(Odd())
    elif leave == "close":
        call.close()
    del call
    gc.collect()
    await peer.feed(text("one"))
    assert await asyncio.wait_for(second, 10) == received("one")
    assert not waits_for.done()


@on_each_loop
async def test_one_whose_wait_was_cancelled_says_so() -> None:
    _, _, session = await opened()
    call = session.receive()
    stepped(call).cancel("why")
    with pytest.raises(asyncio.CancelledError, match="why"):
        call.send(None)


@on_each_loop
async def test_a_send_that_waits() -> None:
    """It goes on as another coroutine, and is still one to whoever awaits it."""
    _, peer, session = await opened()
    for leave in ("result", "throw", "close", "cancel"):
        peer.outlet.pause_writing()
        call = session.send(send_text(leave))
        if leave == "result":
            task = asyncio.create_task(call)
            await settle()
            assert not task.done()
            await peer.outlet.resume_writing()
            assert await task is None
        elif leave == "cancel":
            task = asyncio.create_task(call)
            await settle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            stepped(call)
            if leave == "throw":
                with pytest.raises(Odd):
                    call.throw(Odd())
            else:
                call.close()
            with pytest.raises(RuntimeError, match="cannot reuse"):
                call.send(None)
        await peer.outlet.resume_writing()
    assert [payload for _, payload in peer.take()] == [b"result", b"throw", b"close", b"cancel"]


@on_each_loop
async def test_what_a_debugger_sees() -> None:
    _, peer, session = await opened()
    call = session.receive()
    assert call.__name__ == call.__qualname__ == "receive"
    assert call.cr_await is None
    task = asyncio.create_task(call)
    await settle()
    assert call.cr_await is not None
    assert "receive" in repr(task)
    assert task.get_stack() == []
    with pytest.raises(AttributeError, match="nothing"):
        _ = call.nothing
    await peer.feed(text("one"))
    await task


# Whoever awaits nothing but calls that need not wait.


class Turns:
    """Counts the turns of the loop, until it is stopped."""

    def __init__(self) -> None:
        self.count = 0
        self._stopped = False
        self._go_on()

    def _go_on(self) -> None:
        if not self._stopped:
            self.count += 1
            asyncio.get_running_loop().call_soon(self._go_on)

    def stop(self) -> None:
        self._stopped = True


ROWS = 5


@on_each_loop
async def test_only_sending_lets_the_loop_turn() -> None:
    _, peer, session = await opened()
    turns = Turns()
    for number in range(ROWS * ROW):
        await session.send(send_text(str(number)))
    turns.stop()
    assert ROWS - 1 <= turns.count <= ROWS + 1
    assert [payload for _, payload in peer.take()] == [
        str(number).encode() for number in range(ROWS * ROW)
    ]


@on_each_loop
async def test_only_receiving_lets_the_loop_turn() -> None:
    _, peer, session = await opened()
    turns = Turns()
    taken = 0
    while taken < ROWS * ROW:
        await peer.feed(*(text(str(number)) for number in range(taken, taken + 50)))
        for number in range(taken, taken + 50):
            assert await session.receive() == received(str(number))
        taken += 50
    turns.stop()
    assert turns.count >= ROWS


@on_each_loop
async def test_what_only_raises_lets_the_loop_turn() -> None:
    _, peer, session = await opened()
    await peer.outlet.lose()
    assert await session.receive() == disconnect(1006)
    turns = Turns()
    for _ in range(ROWS * ROW):
        with pytest.raises(ClientDisconnected):
            await session.send(send_text("x"))
        with pytest.raises(ApplicationError):
            await session.receive()
    turns.stop()
    assert turns.count >= 2 * ROWS - 1


@on_each_loop
async def test_who_waits_in_between_is_not_held_up() -> None:
    """The row begins anew where a call waits."""
    _, peer, session = await opened()
    yields = 0
    for _ in range(2 * ROW):
        waiting = asyncio.ensure_future(session.receive())
        await asyncio.sleep(0)
        await peer.feed(text("x"))
        await waiting
        call = session.send(send_text("x"))
        try:
            while True:
                call.send(None)
                yields += 1
        except StopIteration:
            pass
    assert yields == 0


def at_the_end_of_a_row(session: Any, make: Any) -> Any:
    """A call that `make` makes and that has yielded for the loop's turn."""
    for _ in range(ROW):
        call = make()
        try:
            waits_for = call.send(None)
        except StopIteration:
            continue
        assert waits_for is None
        return call
    raise AssertionError("none of a row has yielded")


@on_each_loop
async def test_a_message_was_written_before_the_turn() -> None:
    """Or another task's could come before it."""
    _, peer, session = await opened()
    call = at_the_end_of_a_row(session, lambda: session.send(send_text("first")))
    await session.send(send_text("second"))
    assert [payload for _, payload in peer.take()][-2:] == [b"first", b"second"]
    with pytest.raises(StopIteration):
        call.send(None)
    with pytest.raises(RuntimeError, match="already awaited"):
        call.send(None)
    assert peer.take() == []


@on_each_loop
async def test_a_cancellation_within_the_turn_loses_no_message() -> None:
    _, peer, session = await opened()
    number = 0

    async def one() -> Any:
        return await session.receive()

    got: list[Any] = []
    cancelled = 0
    while cancelled < 3:
        await peer.feed(text(str(number)))
        number += 1
        task = asyncio.ensure_future(one())
        await asyncio.sleep(0)
        if task.done():
            got.append(task.result())
            continue
        task.cancel()  # it has yielded
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled += 1
        got.append(await session.receive())
    assert got == [received(str(index)) for index in range(number)]


@on_each_loop
async def test_an_exception_may_be_thrown_in_within_the_turn() -> None:
    _, peer, session = await opened()
    await peer.feed(text("one"))
    for receives in (True, False):
        call = at_the_end_of_a_row(session, lambda: session.send(send_text("x")))
        if receives:
            call.close()
            for _ in range(ROW - 2):
                await session.send(send_text("x"))
            call = session.receive()
            assert call.send(None) is None
        with pytest.raises(ValueError, match="thrown"):
            call.throw(ValueError("thrown"))
        with pytest.raises(RuntimeError, match="already awaited"):
            call.send(None)
    assert await session.receive() == received("one")


@on_each_loop
async def test_one_that_is_forgotten_within_the_turn_warns_of_nothing() -> None:
    _, _, session = await opened()
    call = at_the_end_of_a_row(session, lambda: session.send(send_text("x")))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del call
        gc.collect()
    assert warned == []


@on_each_loop
async def test_the_turn_works_under_each_kind_of_scope() -> None:
    _, peer, session = await opened()
    for _ in range(ROWS * ROW):
        await asyncio.wait_for(session.send(send_text("x")), 10)
        with anyio.fail_after(10):
            await session.send(send_text("x"))
        await asyncio.shield(session.send(send_text("x")))
    assert len(peer.take()) == 3 * ROWS * ROW


@on_each_loop
async def test_a_scope_that_is_cancelled_ends_who_never_waits() -> None:
    _, _, session = await opened()
    with anyio.move_on_after(0.01) as scope:
        while True:
            await session.send(send_text("x"))
    assert scope.cancel_called
    task = asyncio.ensure_future(_send_for_ever(session))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _send_for_ever(session: Any) -> None:
    while True:
        await session.send(send_text("x"))
