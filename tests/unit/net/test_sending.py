"""asgiws/net/sending.py: how what is written leaves, over real sockets and both event loops."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys

import pytest

from tests.support.loops import on_each_loop, settle
from tests.support.pair import Pair, whose_transport

__all__ = ["whose_transport"]  # each test has either transport


def segments_sent(sock: socket.socket) -> int:
    """How many TCP segments with data the kernel has sent on it (tcpi_data_segs_out of Linux's tcp_info)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("I", info, 156)[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many segments it sent")
@on_each_loop
async def test_writes_of_one_read_leave_in_one_piece() -> None:
    pair = await Pair().open()
    ours = socket.socket(fileno=os.dup(pair.fd))

    def react() -> None:
        for _ in range(5):
            pair.connection.write(b"abc")
        assert segments_sent(ours) == 0

    pair.driver.react = react
    await pair.say(b"go")
    assert await pair.read(15) == b"abc" * 5
    assert segments_sent(ours) == 1
    ours.close()
    await pair.close()


@on_each_loop
async def test_what_is_written_within_a_read_meets_the_peer_that_does_not_read() -> None:
    pair = await Pair().open(send_buffer=65536)
    written = 0

    def react() -> None:
        nonlocal written
        while not pair.connection.write_paused and written < 1_000_000_000:
            pair.connection.write(b"x" * 65536)
            written += 65536

    pair.driver.react = react
    await pair.say(b"go")
    assert written < 100_000_000
    assert await pair.read(written) == b"x" * written
    await pair.close()


@on_each_loop
async def test_a_write_outside_a_read_leaves_at_once() -> None:
    pair = await Pair().open()
    pair.connection.write(b"now")
    # No turn of the loop was given: the octets are in the socket already.
    assert pair.peer.recv(10) == b"now"
    await settle()
    pair.connection.writelines([b"a", b"b"])
    assert pair.peer.recv(10) == b"ab"
    await pair.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many segments it sent")
@on_each_loop
async def test_writes_that_follow_in_the_same_turn_leave_together_at_its_end() -> None:
    pair = await Pair().open()
    ours = socket.socket(fileno=os.dup(pair.fd))
    pair.connection.write(b"first ")
    for number in range(5):
        pair.connection.write(b"%d " % number)
        pair.connection.writelines([b"(", b"%d" % number, b") "])
    assert segments_sent(ours) == 1
    assert pair.connection.unsent() == 5 * len(b"0 (0) ")
    assert await pair.read(36) == b"first 0 (0) 1 (1) 2 (2) 3 (3) 4 (4) "
    assert segments_sent(ours) == 2
    assert pair.connection.unsent() == 0
    ours.close()
    await pair.close()


@on_each_loop
async def test_what_is_held_back_goes_before_what_a_read_brings_about() -> None:
    pair = await Pair().open()
    pair.driver.react = lambda: pair.connection.write(b" answer")
    pair.connection.write(b"one")
    pair.connection.write(b" two")
    # As if the read came before the end of the turn.
    pair.connection.get_buffer(-1)[:1] = b"x"
    pair.connection.buffer_updated(1)
    assert await pair.read(14) == b"one two answer"
    await pair.close()


@on_each_loop
async def test_what_is_held_back_is_sent_before_the_close() -> None:
    pair = await Pair().open()
    pair.connection.write(b"one")
    pair.connection.write(b" two")
    pair.connection.close()
    pair.connection.write(b" three")
    assert await pair.read_to_end() == b"one two"
    await pair.close()


@on_each_loop
async def test_what_is_held_back_goes_with_the_connection() -> None:
    pair = await Pair().open()
    pair.connection.write(b"one")
    pair.connection.write(b" two")
    pair.connection.abort()
    assert pair.connection.unsent() == 0
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_a_turn_that_writes_without_end_meets_the_peer_that_does_not_read() -> None:
    pair = await Pair().open(send_buffer=65536)
    written = 0
    while not pair.connection.write_paused and written < 100_000_000:
        pair.connection.write(b"x" * 1000)
        written += 1000
    assert written < 100_000_000
    assert await pair.read(written) == b"x" * written
    await pair.close()


@on_each_loop
async def test_order_is_kept_when_the_socket_is_full() -> None:
    pair = await Pair().open(send_buffer=65536)
    sent = bytearray()
    for number in range(200):
        piece = number.to_bytes(2, "big") * 4000
        sent += piece
        if number % 3:
            pair.connection.write(bytes(piece))
        else:
            pair.connection.writelines([bytes(piece[:100]), bytes(piece[100:])])
    assert await pair.read(len(sent)) == sent
    pair.connection.write(b"end")
    assert await pair.read(3) == b"end"
    await pair.close()


@on_each_loop
async def test_many_large_pieces_in_one_call() -> None:
    pair = await Pair().open(send_buffer=65536)
    pieces = [bytes([number % 251]) * 300 for number in range(3000)]
    pair.connection.writelines(pieces)
    assert await pair.read(900000) == b"".join(pieces)
    large = [b"x" * 100000, b"", b"y" * 100000]
    pair.connection.writelines(large)
    assert await pair.read(200000) == b"".join(large)
    await pair.close()


@on_each_loop
async def test_drain_waits_for_the_peer_and_tells_the_driver() -> None:
    pair = await Pair().open(send_buffer=65536)
    await pair.connection.drain()
    payload = b"z" * 2_000_000
    pair.connection.write(payload)
    assert pair.connection.write_paused
    waiting = [asyncio.ensure_future(pair.connection.drain()) for _ in range(2)]
    await settle()
    assert not any(task.done() for task in waiting)
    assert await pair.read(len(payload)) == payload
    await asyncio.gather(*waiting)
    assert not pair.connection.write_paused
    assert "writable" in pair.driver.events
    await pair.close()


@on_each_loop
async def test_drain_ends_with_the_connection() -> None:
    pair = await Pair().open(send_buffer=65536)
    pair.connection.write(b"z" * 2_000_000)
    waiting = asyncio.ensure_future(pair.connection.drain())
    await settle()
    pair.connection.abort()
    await waiting
    assert pair.connection.write_paused
    assert pair.connection.is_closing()
    pair.connection.write(b"nobody hears this")
    pair.connection.writelines([b"nor", b"this"])
    await pair.close()


@on_each_loop
async def test_drain_ends_with_our_own_close() -> None:
    pair = await Pair().open(send_buffer=65536)
    pair.connection.write(b"z" * 8_000_000)
    waiting = asyncio.ensure_future(pair.connection.drain())
    await settle()
    assert not waiting.done()
    pair.connection.close()
    await waiting
    assert len(await pair.read_to_end()) == 8_000_000
    await pair.close()


@on_each_loop
async def test_nothing_goes_to_a_descriptor_that_the_transport_gave_up() -> None:
    pair = await Pair().open()
    pair.transport.abort()  # behind our back, as the loop does when a read fails
    pair.connection.write(b"for nobody")
    await pair.driver.until("lost")
    assert await pair.read_to_end() == b""
    await pair.close()


@on_each_loop
async def test_a_broken_socket_is_the_transports_to_find() -> None:
    pair = await Pair().open()
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.peer.close()  # a reset, which the loop has not seen yet
    pair.connection.write(b"into a pipe that is broken")
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_a_peer_that_takes_nothing_is_told_of_and_one_that_takes_a_little_is_not() -> None:
    pair = await Pair().open()
    pair.connection.watch_sending(1.0)
    size = 30_000_000
    pair.connection.write(b"x" * size)
    assert pair.connection.write_paused
    assert 0 < pair.connection.unsent() <= size
    begin = pair.loop.time()
    taken = 0
    while pair.loop.time() < begin + 2.5:
        # Much less than what makes the socket writable again.
        taken += len(await pair.loop.sock_recv(pair.peer, 65536))
        await asyncio.sleep(0.05)
    assert "stalled" not in pair.driver.events
    await pair.driver.until("stalled")
    pair.driver.events.clear()
    await pair.driver.until("stalled")  # and again, while that is so
    await pair.read(size - taken)
    await pair.driver.until("writable")
    pair.driver.events.clear()
    await asyncio.sleep(1.5)
    assert "stalled" not in pair.driver.events
    pair.connection.abort()
    await pair.driver.until("lost")
    pair.peer.close()


@on_each_loop
async def test_nobody_is_told_of_a_slow_peer_without_a_timeout() -> None:
    pair = await Pair().open(send_buffer=4096)
    pair.connection.write(b"x" * 1_000_000)
    assert pair.connection.write_paused
    assert len(pair.ticker) == 0
    pair.connection.abort()
    await pair.driver.until("lost")
    pair.peer.close()


@on_each_loop
async def test_what_the_peer_has_taken() -> None:
    pair = await Pair().open()
    pair.connection.write(b"x" * 1000)
    pair.connection.write(b"x" * 100)
    await pair.read(1100)
    while pair.connection.taken() != (1100, 0):
        await asyncio.sleep(0.01)  # until it is acknowledged
    pair.connection.writelines([b"x" * 5_000_000, b"x" * 5_000_000])
    taken, outstanding = pair.connection.taken()
    assert taken + outstanding == 10_001_100
    assert outstanding > 1_000_000
    await pair.read(10_000_000)
    while pair.connection.taken() != (10_001_100, 0):
        await asyncio.sleep(0.01)
    pair.connection.abort()
    await pair.driver.until("lost")
    pair.peer.close()
