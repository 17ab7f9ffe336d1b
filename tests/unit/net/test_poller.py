"""`asgiws/net/poller.py`: many sockets behind one watch of the loop's, on both event loops."""

from __future__ import annotations

import asyncio
import functools
import os
import select
import socket
import time
from typing import Any

import pytest

from asgiws.net.loop_io import LoopIO
from asgiws.net.poller import AVAILABLE, BATCH, HOLD, Poller
from tests.support.loops import Loop, on_each_loop, settle
from tests.support.nested import NestableLoop
from tests.support.pair import OURS, Pair, whose_transport

__all__ = ["whose_transport"]

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason="there is no epoll here"),
    pytest.mark.parametrize("whose_transport", [OURS], indirect=True),
]


class Shared(Pair):
    """One of several with the same Poller."""

    def __init__(self, poller: Poller, io: LoopIO) -> None:
        super().__init__()
        self.poller = poller
        self.io = io

    def make_poller(self) -> Poller:
        return self.poller


@on_each_loop
async def test_each_socket_is_told_of_and_none_starves() -> None:
    """More than are served in one turn, all ready at once."""
    io = LoopIO(asyncio.get_running_loop().call_soon)
    poller = Poller(asyncio.get_running_loop(), io.outbox)
    pairs = [await Shared(poller, io).open() for _ in range(BATCH + 20)]
    for number, pair in enumerate(pairs):
        pair.peer.send(b"%d" % number)
    for number, pair in enumerate(pairs):
        await pair.driver.until(b"%d" % number)
    for pair in pairs:
        assert len(pair.driver.events) == 2  # connected, and what it was sent
        await pair.close()
    poller.close()


@on_each_loop
async def test_one_that_ends_others_in_the_same_turn() -> None:
    """What was ready behind it is not served any more."""
    io = LoopIO(asyncio.get_running_loop().call_soon)
    poller = Poller(asyncio.get_running_loop(), io.outbox)
    pairs = [await Shared(poller, io).open() for _ in range(5)]

    def end_all() -> None:
        for pair in pairs:
            pair.connection.abort()

    for pair in pairs:
        pair.driver.react = end_all
        pair.peer.send(b"x")
    for pair in pairs:
        await pair.driver.until("lost")
    assert sum(pair.driver.events.count(b"x") for pair in pairs) == 1
    assert [pair.driver.events.count("lost") for pair in pairs] == [1] * 5
    for pair in pairs:
        pair.peer.close()
        pair.ticker.close()
    poller.close()


@on_each_loop
async def test_an_exception_ends_its_own_connection_alone() -> None:
    loop = asyncio.get_running_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    io = LoopIO(loop.call_soon)
    poller = Poller(loop, io.outbox)
    pairs = [await Shared(poller, io).open() for _ in range(3)]

    def fail() -> None:
        raise ValueError("a driver's fault")

    pairs[1].driver.react = fail
    for pair in pairs:
        pair.peer.send(b"x")
    await pairs[1].driver.until("lost")
    for pair in (pairs[0], pairs[2]):
        await pair.driver.until(b"x")
        await pair.close()
    (context,) = told
    assert str(context["exception"]) == "a driver's fault"
    pairs[1].peer.close()
    pairs[1].ticker.close()
    poller.close()


@on_each_loop
async def test_the_answers_of_several_that_are_ready_leave_together() -> None:
    loop = asyncio.get_running_loop()
    io = LoopIO(loop.call_soon)
    poller = Poller(loop, io.outbox)
    pairs = [await Shared(poller, io).open() for _ in range(4)]
    there: list[bool] = []
    times: list[float] = []

    def answer(pair: Pair) -> None:
        times.append(time.monotonic())
        there.append(any(select.select([one.peer for one in pairs], [], [], 0)[0]))
        pair.connection.write(b"answer")

    for pair in pairs:
        pair.driver.react = functools.partial(answer, pair)
    for _ in range(200):
        there.clear()
        times.clear()
        for pair in pairs:
            pair.peer.send(b"x")
        for pair in pairs:
            assert await pair.read(6) == b"answer"
        if len(there) == 4 and times[-1] - times[0] < HOLD / 2:
            break  # otherwise this machine was too busy for them to leave together
    else:
        pytest.skip("no four answers within a millisecond, in 200 tries")
    assert there == [False] * 4
    for pair in pairs:
        await pair.close()
    poller.close()


@on_each_loop
async def test_an_answer_does_not_wait_for_those_that_take_long() -> None:
    loop = asyncio.get_running_loop()
    io = LoopIO(loop.call_soon)
    poller = Poller(loop, io.outbox)
    pairs = [await Shared(poller, io).open() for _ in range(3)]
    got: list[bytes] = []

    asked: list[Pair] = []

    def answer(pair: Pair) -> None:
        if len(asked) == 1:
            got.append(asked[0].peer.recv(6))
        asked.append(pair)
        time.sleep(2 * HOLD)  # a step of the application that takes long
        pair.connection.write(b"answer")

    for pair in pairs:
        pair.driver.react = functools.partial(answer, pair)
        pair.peer.send(b"x")
    for pair in pairs:
        await pair.driver.until(b"x")
    await settle()
    assert got == [b"answer"]  # of the first, when the second was asked
    for pair in pairs:
        await pair.close()
    poller.close()


def test_no_answer_waits_for_a_step_that_runs_the_loop_from_within_itself() -> None:
    """As with nest_asyncio: whoever was answered before it, or is answered meanwhile, gets the answer."""

    async def main() -> None:
        running: Any = asyncio.get_running_loop()
        io = LoopIO(running.call_soon)
        poller = Poller(running, io.outbox)
        pairs = [await Shared(poller, io).open() for _ in range(2)]
        late = await Shared(poller, io).open()
        late.driver.react = lambda: late.connection.write(b"late")
        asked: list[Pair] = []
        got: list[bytes] = []
        looked = asyncio.Event()

        def answer(pair: Pair) -> None:
            asked.append(pair)
            if len(asked) == 2:
                late.peer.send(b"x")
                for _ in range(50):
                    running.call_soon(bool)  # so that this turn waits for nothing
                    running._run_once()
                got.extend(received(one.peer) for one in (asked[0], late))
                looked.set()
            pair.connection.write(b"answer")

        for pair in pairs:
            pair.driver.react = functools.partial(answer, pair)
            pair.peer.send(b"x")
        await asyncio.wait_for(looked.wait(), 10)
        assert got == [b"answer", b"late"]
        for pair in [*pairs, late]:
            await pair.close()
        poller.close()

    loop = Loop(factory=NestableLoop)
    try:
        loop.run(main())
    finally:
        loop.close()


def received(peer: socket.socket) -> bytes:
    """What has arrived at a socket that does not block; empty if nothing has."""
    try:
        return peer.recv(100)
    except BlockingIOError:
        return b""


@on_each_loop
async def test_what_a_closed_one_leaves() -> None:
    before = os.listdir("/proc/self/fd")
    io = LoopIO(asyncio.get_running_loop().call_soon)
    poller = Poller(asyncio.get_running_loop(), io.outbox)
    poller.close()
    poller.close()
    assert os.listdir("/proc/self/fd") == before


@on_each_loop
async def test_no_descriptor_for_it() -> None:
    """It says so by OSError, and holds nothing."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = socket.socket()
    resource.setrlimit(resource.RLIMIT_NOFILE, (held.fileno(), hard))
    try:
        with pytest.raises(OSError):
            Poller(asyncio.get_running_loop(), LoopIO(asyncio.get_running_loop().call_soon).outbox)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        held.close()
