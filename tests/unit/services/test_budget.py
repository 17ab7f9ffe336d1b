"""`asgiws/services/budget.py`: what all connections hold is one sum, which comes to nothing whatever ends
them."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asgiws.asgi.errors import ClientDisconnected
from asgiws.config import Config
from asgiws.drivers.http import HTTPDriver
from asgiws.drivers.http_parts import HTTPParts
from asgiws.services.budget import UNCOUNTED, Budget
from asgiws.services.runtime import Runtime
from tests.support.loops import on_each_loop, settle
from tests.support.memory_outlet import MemoryOutlet
from tests.support.websocket_peer import (
    ACCEPT,
    Peer,
    closed,
    disconnect,
    received,
    scripted,
    send_text,
    text,
)
from tests.support.wire import BINARY, CONT, client_frame, close_frame

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
LARGE = 4 * UNCOUNTED
RSV1 = 4


class Holder:
    def __init__(self, budget: Budget, name: str, gone: list[str]) -> None:
        self.budget = budget
        self.name = name
        self.gone = gone

    def hold(self, size: int) -> None:
        self.budget.set(self, size)

    def let_go(self) -> None:
        self.gone.append(self.name)
        self.hold(0)


def test_those_that_hold_most_let_go_until_the_limit_is_kept() -> None:
    gone: list[str] = []
    budget = Budget(100)
    holders = {name: Holder(budget, name, gone) for name in "abcd"}
    for name, size in (("a", 40), ("b", 25), ("c", 35)):
        holders[name].hold(size)
    assert (gone, budget.held) == ([], 100)
    holders["d"].hold(50)  # 150: the one that has grown holds most
    assert (gone, budget.held) == (["d"], 100)
    holders["b"].hold(26)  # 101: another one does
    assert (gone, budget.held) == (["d", "a"], 61)
    for holder in holders.values():
        holder.hold(0)
    assert budget.held == 0


def test_who_holds_less_than_before_ends_nobody() -> None:
    gone: list[str] = []
    budget = Budget(0)
    holders = [Holder(budget, name, gone) for name in "ab"]
    for holder in holders:
        holder.hold(100)
    budget.limit = 50
    holders[0].hold(90)
    assert (gone, budget.held) == ([], 190)


def test_no_limit() -> None:
    gone: list[str] = []
    budget = Budget(0)
    Holder(budget, "a", gone).hold(1 << 60)
    assert gone == []


def test_one_that_does_not_let_go_is_counted_no_more() -> None:
    class Stubborn(Holder):
        def let_go(self) -> None:
            self.gone.append(self.name)
            raise ValueError("no")

    gone: list[str] = []
    budget = Budget(10)
    with pytest.raises(ValueError, match="no"):
        Stubborn(budget, "a", gone).hold(11)
    assert (gone, budget.held) == (["a"], 0)


def test_the_largest_message_fits_in() -> None:
    async def limits(**options: Any) -> int:
        config = Config("main:app", **options)
        return Runtime(None, config, asyncio.get_running_loop(), None).budget.limit  # type: ignore[arg-type]

    assert asyncio.run(limits()) == Config("main:app").limit_incoming
    assert asyncio.run(limits(limit_incoming=1000)) == Config("main:app").ws_max_size
    assert asyncio.run(limits(limit_incoming=1000, ws_max_size=500)) == 1000
    assert asyncio.run(limits(limit_incoming=0)) == 0


# What a WebSocket holds, and how it gives it back.


def compressed(payload: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-12)
    return (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


FIRST = client_frame(BINARY, bytes(LARGE), fin=False)
HALF = client_frame(BINARY, bytes(LARGE))[: LARGE // 2 + 14]
BOMB = client_frame(BINARY, compressed(bytes(LARGE)), rsv=RSV1, fin=False)
#: What is held, the octets that come to that, and what completes it.
HELD = {
    "a fragment": (FIRST, LARGE, client_frame(CONT)),
    "a part of a frame": (HALF, LARGE // 2, client_frame(BINARY, bytes(LARGE))[len(HALF) :]),
    "what has inflated": (BOMB, LARGE, client_frame(CONT)),
    "messages": (client_frame(BINARY, bytes(LARGE)) * 2, 2 * LARGE, b""),
    "what was not taken": (client_frame(BINARY, bytes(LARGE)) * 8, 8 * LARGE, b""),
}


async def holding(data: bytes, **options: Any) -> tuple[Any, Peer]:
    app, peer = await scripted(DEFLATE, **options)
    await peer.feed(data)
    await settle()
    return app, peer


async def taken(app: Any, peer: Peer, rest: bytes) -> None:
    """All is completed, and received."""
    await peer.feed(rest)
    order = app.order("receive")
    await settle()
    while order.done():
        assert order.result()["type"] == "websocket.receive"
        order = app.order("receive")
        await settle()
    assert peer.runtime.budget.held == 0
    await peer.feed(close_frame(1000))
    assert await order == disconnect(1000)


async def closes(app: Any, peer: Peer) -> None:
    await peer.feed(close_frame(1000))
    await returns(app, peer)


async def is_reset(app: Any, peer: Peer) -> None:
    await peer.outlet.lose()
    await returns(app, peer)


async def ends_its_side(app: Any, peer: Peer) -> None:
    await peer.outlet.feed_eof()
    await returns(app, peer)


async def breaks_the_protocol(app: Any, peer: Peer) -> None:
    await peer.feed(client_frame(3))
    await returns(app, peer)


async def returns(app: Any, peer: Peer) -> None:
    app.order("return")
    await settle()
    if not peer.outlet.lost:
        await peer.outlet.lose()


async def raises(app: Any, peer: Peer) -> None:
    app.order("raise", ValueError("on purpose"))
    await settle()
    await peer.outlet.lose()


async def is_cancelled(app: Any, peer: Peer) -> None:
    peer.task.cancel()
    await settle()
    await peer.outlet.lose()


async def is_closed(app: Any, peer: Peer) -> None:
    await app.do("send", {"type": "websocket.close"})
    await peer.outlet.tick(peer.last_check() + 1)
    await returns(app, peer)


async def does_not_answer_pings(app: Any, peer: Peer) -> None:
    for _ in range(4):
        await peer.outlet.tick(peer.last_check() + 1000)
    await returns(app, peer)


async def meets_the_drain(app: Any, peer: Peer) -> None:
    await peer.outlet.shutdown()
    await returns(app, peer)


async def lets_go(app: Any, peer: Peer) -> None:
    await peer.outlet.call(peer.session.let_go)
    assert peer.runtime.budget.held == 0
    await returns(app, peer)


ENDS: list[Callable[[Any, Peer], Awaitable[None]]] = [
    closes,
    is_reset,
    ends_its_side,
    breaks_the_protocol,
    returns,
    raises,
    is_cancelled,
    is_closed,
    does_not_answer_pings,
    meets_the_drain,
    lets_go,
]


@pytest.mark.parametrize("what", HELD)
@pytest.mark.parametrize("end", ENDS)
@on_each_loop
async def test_what_is_held_is_counted_and_given_back(
    end: Callable[[Any, Peer], Awaitable[None]], what: str
) -> None:
    data, least, _ = HELD[what]
    app, peer = await holding(data)
    budget = peer.runtime.budget
    assert least <= budget.held <= least + 1024
    await end(app, peer)
    await settle()
    assert budget.held == 0


@pytest.mark.parametrize("what", HELD)
@on_each_loop
async def test_what_is_taken_is_counted_no_more(what: str) -> None:
    data, _, rest = HELD[what]
    app, peer = await holding(data)
    await taken(app, peer, rest)


@on_each_loop
async def test_what_is_held_before_the_handshake_was_answered() -> None:
    for accept in (True, False):
        app, peer = await scripted(accept=False)
        await peer.feed(text("x" * LARGE))
        budget = peer.runtime.budget
        assert LARGE < budget.held < 2 * LARGE
        if accept:
            await app.do("send", ACCEPT)
            assert budget.held > LARGE
            await app.do("receive")
        else:
            await app.do("send", {"type": "websocket.close"})
        assert budget.held == 0
        await returns(app, peer)


@on_each_loop
async def test_one_that_lets_go_before_its_handshake_was_answered_is_refused() -> None:
    app, peer = await scripted(accept=False)
    await peer.feed(text("x" * LARGE))
    await peer.outlet.call(peer.session.let_go)
    assert peer.take_response().startswith(b"HTTP/1.1 503 ")
    assert peer.runtime.budget.held == 0
    assert await app.do("receive") == disconnect(1006)


@on_each_loop
async def test_one_that_lets_go_within_a_denial_is_cut() -> None:
    app, peer = await scripted(accept=False)
    await app.do("send", {"type": "websocket.http.response.start", "status": 401, "headers": []})
    await peer.outlet.call(peer.session.let_go)
    assert peer.outlet.ended == "abort"
    assert await app.do("receive") == disconnect(1006)


@on_each_loop
async def test_small_messages_are_not_counted() -> None:
    app, peer = await holding(text("x" * 100) * 100)
    assert peer.runtime.budget.held == 0
    assert await app.do("receive") == received("x" * 100)


@on_each_loop
async def test_above_the_limit_the_largest_is_closed_with_1013(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "asgiws.error")
    app, peer = await holding(FIRST, limit_incoming=2 * LARGE, ws_max_size=2 * LARGE)
    budget = peer.runtime.budget
    other = Holder(budget, "other", [])
    await peer.outlet.call(other.hold, LARGE + 1)
    assert other.gone == ["other"]  # it holds more than the WebSocket
    await peer.outlet.call(other.hold, LARGE - 1)
    await peer.feed(client_frame(CONT, bytes(2), fin=False))
    assert (other.gone, budget.held) == (["other"], LARGE - 1)
    assert peer.take() == [closed(1013, "too much unfinished")]
    assert peer.outlet.ended == "close"
    assert await app.do("receive") == disconnect(1013, "too much unfinished")
    with pytest.raises(ClientDisconnected):
        await app.do("send", send_text("x"))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "asgiws.error"]
    assert line.endswith("bytes on their way to the application (limit_incoming)")
    assert line.startswith("192.0.2.1:4321 - ")


@on_each_loop
async def test_one_that_has_gone_lets_go_of_its_messages_too() -> None:
    """They wait for an application that is slow."""
    app, peer = await holding(HELD["messages"][0])
    await peer.outlet.lose()
    budget = peer.runtime.budget
    assert budget.held > LARGE
    await peer.outlet.call(peer.session.let_go)
    assert budget.held == 0
    assert await app.do("receive") == disconnect(1006)


@on_each_loop
async def test_what_inflates_is_counted_before_it_is_all_there() -> None:
    """16 MiB from 16 KiB in one read: the limit is met on the way."""
    limit = 1 << 20
    bomb = client_frame(BINARY, compressed(bytes(16 << 20)), rsv=RSV1)
    app, peer = await scripted(DEFLATE, limit_incoming=16 << 20)
    budget = peer.runtime.budget
    budget.limit = limit
    most = 0
    await peer.feed(bomb)
    while not peer.outlet.ended:
        most = max(most, budget.held)
        assert peer.outlet.turns  # it has asked for another
        await settle(1)
    assert 0 < most <= limit
    assert peer.take() == [closed(1013, "too much unfinished")]
    assert budget.held == 0
    assert await app.do("receive") == disconnect(1013, "too much unfinished")


# HTTP.

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


async def posting() -> tuple[Runtime, HTTPDriver, MemoryOutlet, list[Any], asyncio.Queue[Any]]:
    """A request whose body is not read yet; what the application was told, and what it is to do."""
    told: list[Any] = []
    orders: asyncio.Queue[Any] = asyncio.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            order = await orders.get()
            if order == "receive":
                told.append(await receive())
            elif order == "return":
                return
            else:
                await send(order)

    runtime = Runtime(app, Config("main:app"), asyncio.get_running_loop(), None)
    driver = HTTPDriver(HTTPParts(runtime), lambda head, outlet, carrier: None)
    outlet = MemoryOutlet(driver)
    await outlet.feed(HEAD + bytes(LARGE))
    await settle()
    assert runtime.budget.held == LARGE
    return runtime, driver, outlet, told, orders


@on_each_loop
async def test_a_body_is_counted_and_given_back() -> None:
    for end in ("taken", "lost", "let go", "returned"):
        runtime, driver, outlet, told, orders = await posting()
        if end == "taken":
            orders.put_nowait("receive")
            await settle()
            assert len(told[0]["body"]) == LARGE
        elif end == "lost":
            await outlet.lose()
        elif end == "let go":
            await outlet.call(driver.let_go)
            assert outlet.take().startswith(b"HTTP/1.1 503 ")
            orders.put_nowait("receive")
            await settle()
            assert told == [{"type": "http.disconnect"}]
        else:
            orders.put_nowait("return")
            await settle()
        assert runtime.budget.held == 0, end
        orders.put_nowait("return")
        await settle()
        if not outlet.lost:
            await outlet.lose()
        assert runtime.budget.held == 0, end


@on_each_loop
async def test_a_response_that_was_begun_is_cut() -> None:
    runtime, driver, outlet, _, orders = await posting()
    orders.put_nowait({"type": "http.response.start", "status": 200})
    orders.put_nowait({"type": "http.response.body", "body": b"x", "more_body": True})
    await settle()
    await outlet.call(driver.let_go)
    assert outlet.ended
    assert runtime.budget.held == 0
    orders.put_nowait("return")
    await settle()
