"""`asgiws/net/transport.py`: what test_connection.py does not show of it, over real sockets and both loops."""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from typing import Any

import pytest

from asgiws.net.connection import HIGH_WATER
from asgiws.net.poller import AVAILABLE
from asgiws.net.transport import LOW_PART, SocketTransport
from tests.support.loops import on_each_loop, settle
from tests.support.pair import OURS, Pair, ProtocolConnection, whose_transport

__all__ = ["whose_transport"]

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason="there is no epoll here"),
    pytest.mark.parametrize("whose_transport", [OURS], indirect=True),
]

RESET = struct.pack("ii", 1, 0)


def drain(peer: socket.socket) -> None:
    """Read what the kernel has for the peer, while the loop does not come to write more."""
    while True:
        time.sleep(0.05)  # for what is under way
        try:
            peer.recv(1 << 20)
        except BlockingIOError:
            return


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@on_each_loop
async def test_the_descriptor_is_closed_behind_the_last_call() -> None:
    pair = await Pair().open()
    fd = pair.fd
    open_then: list[bool] = []
    note = pair.driver.note
    pair.driver.note = lambda event: (open_then.append(is_open(fd)), note(event))  # type: ignore
    pair.connection.abort()
    await pair.driver.until("lost")
    assert open_then == [True]
    await settle()
    assert not is_open(fd)
    pair.peer.close()
    pair.ticker.close()


@on_each_loop
async def test_a_peer_that_resets_behind_its_end_is_noticed() -> None:
    """Nothing is read or written by then: it is the error itself that is told."""
    pair = await Pair().open()
    pair.peer.shutdown(socket.SHUT_WR)
    await pair.driver.until("eof")
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    pair.peer.close()
    await pair.driver.until("lost")
    assert pair.driver.events.count("lost") == 1
    pair.ticker.close()


@on_each_loop
async def test_a_paused_one_that_is_broken_is_told_once_and_ends_with_the_next_write() -> None:
    pair = await Pair().open()
    pair.connection.pause_reading()
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    pair.peer.close()
    await pair.driver.until("hung up")
    await settle()
    assert pair.driver.events.count("hung up") == 1
    pair.connection.write(b"anybody?")
    await pair.driver.until("lost")
    pair.ticker.close()


@on_each_loop
async def test_reading_goes_on_where_a_hang_up_was_told() -> None:
    pair = await Pair().open()
    pair.connection.pause_reading()
    pair.peer.send(b"last words")
    pair.peer.close()
    await pair.driver.until("hung up")
    pair.connection.resume_reading()
    pair.connection.pause_reading()
    pair.connection.resume_reading()
    await pair.driver.until("eof")
    assert pair.driver.events[-2:] == [b"last words", "eof"]
    pair.connection.abort()
    await pair.driver.until("lost")
    pair.ticker.close()


@on_each_loop
async def test_a_hang_up_is_told_again_in_the_next_pause() -> None:
    """What has come of a client that ended its side may fill the next queue as well."""
    pair = await Pair().open()
    pair.connection.pause_reading()
    pair.peer.send(b"last words")
    pair.peer.close()
    await pair.driver.until("hung up")
    assert pair.connection.hung_up
    pair.driver.react = pair.connection.pause_reading
    pair.driver.events.clear()
    pair.connection.resume_reading()
    await pair.driver.until(b"last words")
    await pair.driver.until("hung up")
    assert "eof" not in pair.driver.events
    assert pair.connection.hung_up
    assert not pair.connection.eof
    pair.connection.resume_reading()
    await pair.driver.until("eof")
    assert pair.driver.events == [b"last words", "hung up", "eof"]
    pair.connection.abort()
    await pair.driver.until("lost")
    pair.ticker.close()


class UnixPair(Pair):
    """Where a peer can end both sides, and what waits for it still takes up the room."""

    async def open(self, send_buffer: int = 0) -> Pair:
        self.peer, accepted = socket.socketpair()
        self.peer.setblocking(False)
        accepted.setblocking(False)
        self.poller = self.make_poller()
        self.connection = ProtocolConnection(self.runtime, self.ticker, self.io, self.driver)
        self.transport = SocketTransport(self.loop, self.poller, accepted.detach(), self.connection)
        self.transport.start(None, ("", None), socket.AF_UNIX)
        return self


@on_each_loop
async def test_a_paused_one_whose_peer_ends_both_sides_is_not_told_of_for_ever() -> None:
    pair = await UnixPair().open()
    while not pair.transport.get_write_buffer_size():
        pair.connection.write(bytes(8192))
    pair.connection.pause_reading()
    await settle()
    pair.peer.shutdown(socket.SHUT_RDWR)
    await pair.driver.until("lost")
    assert pair.driver.events.count("hung up") == 1
    pair.peer.close()
    pair.ticker.close()


@on_each_loop
async def test_pausing_in_the_moment_that_data_comes_is_no_hang_up() -> None:
    """The driver pauses because what it wrote was taken, and the socket was found readable as well."""
    pair = await Pair().open(send_buffer=65536)
    pair.transport.set_write_buffer_limits(0)
    while not pair.connection.write_paused:
        pair.connection.write(bytes(8192))
    note = pair.driver.note
    pair.driver.note = lambda event: (pair.connection.pause_reading(), note(event))  # type: ignore
    drain(pair.peer)
    pair.peer.send(b"more")
    await pair.driver.until("writable")
    await settle()
    assert "hung up" not in pair.driver.events
    pair.driver.note = note  # type: ignore[method-assign]
    pair.connection.resume_reading()
    await pair.driver.until(b"more")
    await pair.close()


@on_each_loop
async def test_the_marks_of_what_waits_to_be_written() -> None:
    pair = await Pair().open(send_buffer=4096)
    while not pair.transport.get_write_buffer_size():
        pair.connection.write(bytes(8192))
    assert not pair.connection.write_paused
    while pair.transport.get_write_buffer_size() <= HIGH_WATER:
        assert not pair.connection.write_paused
        pair.connection.write(bytes(8192))
    assert pair.connection.write_paused
    levels: list[int] = []
    note = pair.driver.note
    pair.driver.note = lambda event: (  # type: ignore
        levels.append(pair.transport.get_write_buffer_size()),
        note(event),
    )
    while not levels:
        await pair.read(8192)
    assert levels[0] <= HIGH_WATER // LOW_PART
    assert pair.driver.events[-1] == "writable"
    pair.transport.set_write_buffer_limits(0)
    if pair.transport.get_write_buffer_size():
        assert pair.connection.write_paused
    await pair.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="TCP_INFO is Linux's")
@on_each_loop
async def test_our_end_comes_behind_what_waits() -> None:
    pair = await Pair().open(send_buffer=4096)
    size = 0
    while pair.transport.get_write_buffer_size() < 50000:
        pair.connection.write(bytes(10000))
        size += 10000
    pair.connection.close()
    assert len(await pair.read_to_end()) == size
    pair.peer.close()
    await pair.driver.until("lost")
    pair.ticker.close()


@on_each_loop
async def test_a_peer_that_resets_when_it_gets_the_last_octets_is_no_fault_of_ours() -> None:
    told: list[dict[str, Any]] = []
    pair = await Pair().open(send_buffer=65536)
    pair.loop.set_exception_handler(lambda _, context: told.append(context))
    while not pair.transport.get_write_buffer_size():
        pair.connection.write(bytes(8192))
    pair.connection.close()
    drain(pair.peer)
    pair.peer.close()
    await pair.driver.until("lost")
    assert told == []
    pair.ticker.close()


@on_each_loop
async def test_nothing_at_all_behind_what_waits() -> None:
    """An empty piece would be written for ever."""
    pair = await Pair().open(send_buffer=4096)
    pair.transport.write(b"")
    assert pair.transport.get_write_buffer_size() == 0
    size = 0
    while pair.transport.get_write_buffer_size() < 20000:
        pair.connection.write(bytes(10000))
        pair.connection.write(b"")
        size += 10000
    pair.connection.write(b"end")
    assert await pair.read(size + 3) == bytes(size) + b"end"
    await pair.close()


@on_each_loop
async def test_a_driver_that_fails_at_the_start_ends_its_connection() -> None:
    told: list[dict[str, Any]] = []
    pair = Pair()
    pair.loop.set_exception_handler(lambda _, context: told.append(context))
    pair.driver.connected = lambda outlet: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    await pair.open()
    await pair.driver.until("lost")
    (context,) = told
    assert isinstance(context["exception"], ZeroDivisionError)
    assert pair.connection not in pair.runtime.connections
    assert await pair.read_to_end() == b""
    pair.peer.close()
    pair.ticker.close()
    pair.poller.close()


@on_each_loop
async def test_one_that_outlives_its_poller_still_ends() -> None:
    pair = await Pair().open()
    pair.poller.close()
    pair.connection.abort()
    await pair.driver.until("lost")
    pair.peer.close()
    pair.ticker.close()


@on_each_loop
async def test_nothing_is_taken_once_it_closes() -> None:
    pair = await Pair().open()
    pair.transport.close()
    assert pair.transport.is_closing()
    pair.transport.write(b"too late")
    assert pair.transport.get_write_buffer_size() == 0
    pair.transport.abort()
    pair.transport.close()
    pair.transport.resume_reading()
    await pair.driver.until("lost")
    assert await pair.read_to_end() == b""
    assert pair.driver.events.count("lost") == 1
    pair.peer.close()
    pair.ticker.close()
