"""asgiws/server/hangups.py: who has gone while nobody reads."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

import pytest

from asgiws.server import hangups
from asgiws.server.hangups import Hangups
from tests.unit.asgi.loops import on_each_loop

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone tells")


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    return ours, theirs


@pytest.mark.parametrize("way", ["close", "half", "reset"])
@on_each_loop
async def test_an_end_behind_what_is_not_read(way: str) -> None:
    one = Hangups(asyncio.get_running_loop())
    ours, theirs = pair()
    told = asyncio.Event()
    calls = []

    def tell() -> None:
        calls.append(way)
        told.set()

    one.watch(ours.fileno(), tell)
    one.watch(ours.fileno(), tell)
    theirs.send(b"x" * 1000)
    await asyncio.sleep(0.05)
    assert not calls
    if way == "half":
        theirs.shutdown(socket.SHUT_WR)
    else:
        if way == "reset":
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
    await asyncio.wait_for(told.wait(), 10)
    await asyncio.sleep(0.05)
    assert calls == [way]
    one.close()
    ours.close()
    theirs.close()


@on_each_loop
async def test_who_is_forgotten_is_not_told_of() -> None:
    one = Hangups(asyncio.get_running_loop())
    ours, theirs = pair()
    one.forget(ours.fileno())
    one.watch(ours.fileno(), lambda: pytest.fail("it was forgotten"))
    one.forget(ours.fileno())
    theirs.close()
    await asyncio.sleep(0.1)
    number = ours.fileno()
    one.watch(number, lambda: None)
    ours.close()
    one.forget(number)
    one.watch(-1, lambda: None)
    one.close()
    one.close()


@on_each_loop
async def test_there_is_one_for_each_loop() -> None:
    loop = asyncio.get_running_loop()
    assert hangups.of(loop) is hangups.of(loop)
