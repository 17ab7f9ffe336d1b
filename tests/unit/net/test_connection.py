"""The stream between a transport and a driver, over real sockets and both event loops."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asgiws.bridge.outlet import Driver, Outlet
from asgiws.config import Config
from asgiws.net.connection import Connection
from asgiws.net.ending import FLUSH, LINGER, QUIET
from asgiws.net.handshakes import Handshaking
from asgiws.net.poller import AVAILABLE, Poller
from asgiws.net.ticker import Ticker
from asgiws.net.tls_transport import TLSTransport
from asgiws.net.transport import SocketTransport
from asgiws.services.runtime import Runtime
from asgiws.tls.context import make_context
from tests.support.loops import on_each_loop, settle
from tests.support.pki import Authority


class Recorder(Driver):
    """Notes what it is told; `react` runs when data comes, as an application's step would."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.changed = asyncio.Event()
        self.outlet: Outlet
        self.react: Any = None
        self.next_check = 0.0

    def note(self, event: Any) -> None:
        self.events.append(event)
        self.changed.set()

    def connected(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.note("connected")

    def receive_data(self, data: bytearray, start: int, end: int) -> None:
        self.note(bytes(data[start:end]))
        if self.react is not None:
            self.react()

    def receive_eof(self) -> None:
        self.note("eof")

    def connection_lost(self) -> None:
        self.note("lost")

    def writable(self) -> None:
        self.note("writable")

    def check(self, now: float) -> float:
        self.note("check")
        return self.next_check

    def shutdown(self) -> None:
        self.note("shutdown")

    def stalled(self) -> None:
        self.note("stalled")

    def hung_up(self) -> None:
        self.note("hung up")

    async def until(self, event: Any) -> None:
        async with asyncio.timeout(10) if hasattr(asyncio, "timeout") else _no_timeout():
            while event not in self.events:
                self.changed.clear()
                await self.changed.wait()


class _no_timeout:
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *error: object) -> None: ...


class ProtocolConnection(Connection, asyncio.BufferedProtocol):
    """As `server.connection.Connection`, with a driver of the test's."""


#: Whose transport a stream has without TLS.
OURS, LOOPS_OWN = "our transport", "the loop's transport"

_transport = LOOPS_OWN


@pytest.fixture(autouse=True, params=[OURS, LOOPS_OWN] if AVAILABLE else [LOOPS_OWN])
def whose_transport(request: pytest.FixtureRequest) -> str:
    global _transport
    _transport = request.param
    return _transport


class Pair:
    """A stream with its recorder, and the peer's end as a socket."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.driver = Recorder()
        self.loop = asyncio.get_running_loop()
        self.runtime = Runtime(cast(Any, None), Config("main:app"), self.loop, None)
        self.ticker = Ticker(self.loop)

    def make_poller(self) -> Poller:
        return Poller(self.loop)

    def make_transport(self, fd: int) -> SocketTransport:
        if self.tls is None:
            return SocketTransport(self.loop, self.poller, fd, self.stream)
        certificates = SimpleNamespace(context=self.tls, handshake_timeout=10.0)
        self.pending: set[Any] = set()
        self.handshaking = Handshaking(
            self.loop, self.ticker, certificates, self.pending, self.runtime.notices
        )
        return TLSTransport(self.loop, self.poller, fd, self.stream, self.handshaking)

    async def open(self, send_buffer: int = 0) -> Pair:
        listener = socket.create_server(("127.0.0.1", 0))
        self.peer = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        listener.close()
        if send_buffer:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, send_buffer)
        self.peer.setblocking(False)
        accepted.setblocking(False)
        self.fd = accepted.fileno()
        self.transport: Any
        if _transport == OURS:
            self.poller = self.make_poller()
            self.stream = ProtocolConnection(self.runtime, self.ticker, self.driver)
            self.transport = self.make_transport(accepted.detach())
            self.transport.start(self.peer.getsockname(), None, socket.AF_INET)
        else:
            self.transport, self.stream = await self.loop.connect_accepted_socket(
                lambda: ProtocolConnection(self.runtime, self.ticker, self.driver),
                accepted,
                ssl=self.tls,
            )
        return self

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = await self.loop.sock_recv(self.peer, size - len(data))
            if not piece:
                break
            data += piece
        return data

    async def until_all_is_taken(self) -> None:
        """Until the peer's kernel has acknowledged it, the end of our side with it."""
        while self.stream.taken()[1]:
            await asyncio.sleep(0.01)

    async def read_to_end(self) -> bytes:
        data = b""
        while piece := await self.loop.sock_recv(self.peer, 65536):
            data += piece
        return data

    async def say(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.peer, data)
        await self.driver.until(data)

    async def close(self) -> None:
        self.stream.abort()
        self.peer.close()
        await self.driver.until("lost")
        self.ticker.close()


@on_each_loop
async def test_addresses_and_registration() -> None:
    pair = await Pair().open()
    assert pair.stream.client == pair.peer.getsockname()
    assert pair.stream.server == pair.peer.getpeername()
    assert pair.stream.secure is False
    assert pair.stream in pair.runtime.connections
    await pair.close()
    assert pair.stream not in pair.runtime.connections
    assert pair.driver.events.count("lost") == 1


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
            pair.stream.write(b"abc")
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
        while not pair.stream.write_paused and written < 1_000_000_000:
            pair.stream.write(b"x" * 65536)
            written += 65536

    pair.driver.react = react
    await pair.say(b"go")
    assert written < 100_000_000
    assert await pair.read(written) == b"x" * written
    await pair.close()


@on_each_loop
async def test_a_write_outside_a_read_leaves_at_once() -> None:
    pair = await Pair().open()
    pair.stream.write(b"now")
    # No turn of the loop was given: the octets are in the socket already.
    assert pair.peer.recv(10) == b"now"
    pair.stream.writelines([b"a", b"b"])
    assert pair.peer.recv(10) == b"ab"
    await pair.close()


@on_each_loop
async def test_order_is_kept_when_the_socket_is_full() -> None:
    pair = await Pair().open(send_buffer=65536)
    sent = bytearray()
    for number in range(200):
        piece = number.to_bytes(2, "big") * 4000
        sent += piece
        if number % 3:
            pair.stream.write(bytes(piece))
        else:
            pair.stream.writelines([bytes(piece[:100]), bytes(piece[100:])])
    assert await pair.read(len(sent)) == sent
    pair.stream.write(b"end")
    assert await pair.read(3) == b"end"
    await pair.close()


@on_each_loop
async def test_many_large_pieces_in_one_call() -> None:
    pair = await Pair().open(send_buffer=65536)
    pieces = [bytes([number % 251]) * 300 for number in range(3000)]
    pair.stream.writelines(pieces)
    assert await pair.read(900000) == b"".join(pieces)
    large = [b"x" * 100000, b"", b"y" * 100000]
    pair.stream.writelines(large)
    assert await pair.read(200000) == b"".join(large)
    await pair.close()


@on_each_loop
async def test_drain_waits_for_the_peer_and_tells_the_driver() -> None:
    pair = await Pair().open(send_buffer=65536)
    await pair.stream.drain()
    payload = b"z" * 2_000_000
    pair.stream.write(payload)
    assert pair.stream.write_paused
    waiting = [asyncio.ensure_future(pair.stream.drain()) for _ in range(2)]
    await settle()
    assert not any(task.done() for task in waiting)
    assert await pair.read(len(payload)) == payload
    await asyncio.gather(*waiting)
    assert not pair.stream.write_paused
    assert "writable" in pair.driver.events
    await pair.close()


@on_each_loop
async def test_drain_ends_with_the_connection() -> None:
    pair = await Pair().open(send_buffer=65536)
    pair.stream.write(b"z" * 2_000_000)
    waiting = asyncio.ensure_future(pair.stream.drain())
    await settle()
    pair.stream.abort()
    await waiting
    assert pair.stream.write_paused
    assert pair.stream.is_closing()
    pair.stream.write(b"nobody hears this")
    pair.stream.writelines([b"nor", b"this"])
    await pair.close()


@on_each_loop
async def test_drain_ends_with_our_own_close() -> None:
    pair = await Pair().open(send_buffer=65536)
    pair.stream.write(b"z" * 8_000_000)
    waiting = asyncio.ensure_future(pair.stream.drain())
    await settle()
    assert not waiting.done()
    pair.stream.close()
    await waiting
    assert len(await pair.read_to_end()) == 8_000_000
    await pair.close()


@on_each_loop
async def test_last_words_reach_a_peer_that_is_still_sending() -> None:
    pair = await Pair().open()

    def react() -> None:
        pair.stream.write(b"goodbye")
        pair.stream.close()
        pair.stream.write(b"not any more")
        assert pair.stream.is_closing()

    pair.driver.react = react
    await pair.say(b"first")
    # Octets that arrive after the close would reset the connection, were they left unread.
    for _ in range(20):
        await pair.loop.sock_sendall(pair.peer, b"more" * 5000)
        await settle()
    assert await pair.read_to_end() == b"goodbye"
    assert pair.driver.events == ["connected", b"first"]
    pair.peer.close()
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_close_without_linger_closes_both_sides() -> None:
    pair = await Pair().open()
    pair.stream.write(b"goodbye")
    pair.stream.close(linger=False)
    pair.stream.close()
    assert await pair.read_to_end() == b"goodbye"
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_close_sends_all_that_was_written() -> None:
    for linger in (True, False):
        pair = await Pair().open(send_buffer=65536)
        payload = b"p" * 1_000_000
        pair.stream.write(payload)
        pair.stream.close(linger=linger)
        assert await pair.read_to_end() == payload
        await pair.close()


@on_each_loop
async def test_our_side_ends_once_what_is_awaited_has_passed() -> None:
    pair = await Pair().open()
    pair.stream.await_rest(1000)
    pair.stream.write(b"no")
    pair.stream.close()
    await pair.loop.sock_sendall(pair.peer, b"x" * 999)
    assert await pair.read(2) == b"no"
    await pair.loop.sock_sendall(pair.peer, b"x")
    assert await pair.read_to_end() == b""
    pair.peer.close()
    await pair.driver.until("lost")


@on_each_loop
async def test_our_side_ends_when_no_more_comes_of_what_is_awaited() -> None:
    pair = await Pair().open()
    pair.stream.await_rest(1 << 62)
    pair.stream.close()
    now = pair.loop.time()
    assert pair.stream.tick(now) > now
    assert pair.stream.tick(now + QUIET) > now
    assert await pair.read_to_end() == b""
    pair.peer.close()
    await pair.driver.until("lost")


@on_each_loop
async def test_a_lingering_peer_is_cut_off() -> None:
    pair = await Pair().open()
    pair.stream.close()
    assert await pair.read_to_end() == b""
    await pair.until_all_is_taken()
    assert pair.stream.tick(pair.loop.time() + LINGER) == 0.0
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_a_server_that_stops_does_not_wait_for_a_peer_that_sends_on() -> None:
    pair = await Pair().open()
    pair.stream.shutdown()
    pair.stream.close()  # later, when the driver has come to its end
    closed = pair.loop.time()
    assert await pair.read_to_end() == b""
    await pair.until_all_is_taken()
    await pair.loop.sock_sendall(pair.peer, b"more of an upload")
    await settle()
    assert pair.stream.tick(closed + LINGER / 2) <= closed + LINGER
    assert pair.stream.tick(closed + LINGER) == 0.0
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_a_slow_peer_is_waited_for_and_one_that_stands_still_is_cut_off() -> None:
    pair = await Pair().open(send_buffer=65536)
    pair.stream.write(b"p" * 1_000_000)
    pair.stream.close()
    now = pair.loop.time()
    await pair.read(300_000)
    await settle()
    assert pair.stream.tick(now) == now + LINGER
    assert pair.stream.tick(now + FLUSH) == 0.0
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_after_the_last_octet_was_taken_the_peer_has_time_to_close() -> None:
    pair = await Pair().open(send_buffer=65536)
    pair.stream.write(b"p" * 1_000_000)
    pair.stream.close()
    assert len(await pair.read_to_end()) == 1_000_000
    now = pair.loop.time()
    await pair.until_all_is_taken()
    assert pair.stream.tick(now) >= now
    assert pair.stream.tick(now + LINGER) == 0.0
    await pair.close()


@on_each_loop
async def test_end_of_stream_leaves_our_side_open() -> None:
    pair = await Pair().open()
    pair.peer.shutdown(socket.SHUT_WR)
    await pair.driver.until("eof")
    pair.stream.write(b"still here")
    assert await pair.read(10) == b"still here"
    pair.stream.close()
    assert await pair.read_to_end() == b""
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_reading_pauses_and_goes_on() -> None:
    pair = await Pair().open()
    pair.stream.pause_reading()
    pair.stream.pause_reading()
    await pair.loop.sock_sendall(pair.peer, b"later")
    await settle(50)
    assert b"later" not in pair.driver.events
    pair.stream.resume_reading()
    pair.stream.resume_reading()
    await pair.driver.until(b"later")
    await pair.close()


@on_each_loop
async def test_closing_behind_a_reset_is_no_error() -> None:
    for _ in range(10):
        pair = await Pair().open()

        def react(pair: Pair = pair) -> None:
            pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            pair.peer.close()
            pair.stream.write(b"too late")
            pair.stream.close()

        pair.driver.react = react
        await pair.say(b"bye")
        await pair.driver.until("lost")
        await pair.close()


@on_each_loop
async def test_a_paused_stream_still_closes() -> None:
    pair = await Pair().open()
    pair.stream.pause_reading()
    pair.stream.close()
    pair.stream.pause_reading()
    assert await pair.read_to_end() == b""
    pair.peer.close()
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_nothing_goes_to_a_descriptor_that_the_transport_gave_up() -> None:
    pair = await Pair().open()
    pair.transport.abort()  # behind our back, as the loop does when a read fails
    pair.stream.write(b"for nobody")
    await pair.driver.until("lost")
    assert await pair.read_to_end() == b""
    await pair.close()


@on_each_loop
async def test_a_broken_socket_is_the_transports_to_find() -> None:
    pair = await Pair().open()
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.peer.close()  # a reset, which the loop has not seen yet
    pair.stream.write(b"into a pipe that is broken")
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_hand_over_gives_the_tail_to_the_next_driver() -> None:
    pair = await Pair().open()
    following = Recorder()
    pair.driver.react = lambda: pair.stream.hand_over(following, b"tail")
    await pair.say(b"head")
    assert following.events == ["connected", b"tail"]
    await pair.loop.sock_sendall(pair.peer, b"more")
    await following.until(b"more")
    pair.stream.hand_over(pair.driver, b"")
    assert pair.driver.events == ["connected", b"head", "connected"]
    await pair.close()


@on_each_loop
async def test_ticks_and_shutdown_go_to_the_driver() -> None:
    pair = await Pair().open()
    pair.driver.next_check = 12.5
    assert pair.stream.tick(1.0) == 12.5
    pair.stream.check_at(pair.loop.time())
    await pair.driver.until("check")
    pair.stream.shutdown()
    assert pair.driver.events[-1] in ("shutdown", "check")
    pair.stream.close()
    pair.driver.events.clear()
    pair.stream.shutdown()
    assert pair.driver.events == []
    pair.peer.close()
    await pair.close()


@on_each_loop
async def test_send_file(tmp_path: Path) -> None:
    content = os.urandom(700_000)
    file = tmp_path / "content"
    file.write_bytes(content)
    pair = await Pair().open(send_buffer=65536)
    reading = asyncio.ensure_future(pair.read(len(content) + 4))
    pair.stream.write(b"head")
    with file.open("rb") as opened:
        assert await pair.stream.send_file(opened, len(content)) == len(content)
    assert await reading == b"head" + content
    with file.open("rb") as opened:
        # No more than was asked for, from where it stands, and no more than there is.
        opened.seek(10)
        assert await pair.stream.send_file(opened, 5) == 5
        assert await pair.read(5) == content[10:15]
        opened.seek(-3, os.SEEK_END)
        assert await pair.stream.send_file(opened, 5) == 3
        assert await pair.read(3) == content[-3:]
        pair.stream.close()
        assert await pair.stream.send_file(opened, 5) == 0
    assert await pair.read_to_end() == b""
    pair.peer.close()
    await pair.close()


@on_each_loop
async def test_a_file_follows_what_the_transport_still_holds(tmp_path: Path) -> None:
    file = tmp_path / "content"
    file.write_bytes(b"file" * 100_000)
    pair = await Pair().open(send_buffer=65536)
    before = b"x" * 3_000_000  # far more than the socket takes at once
    pair.stream.write(before)
    with file.open("rb") as opened:
        sending = asyncio.ensure_future(pair.stream.send_file(opened, 400_000))
        assert await pair.read(len(before) + 400_000) == before + b"file" * 100_000
        assert await sending == 400_000
    pair.stream.write(b"and on it goes")
    assert await pair.read(14) == b"and on it goes"
    pair.peer.close()
    await pair.close()


@on_each_loop
async def test_a_file_for_a_peer_that_goes(tmp_path: Path) -> None:
    file = tmp_path / "content"
    file.write_bytes(bytes(20_000_000))
    pair = await Pair().open(send_buffer=65536)
    with file.open("rb") as opened:
        sending = asyncio.ensure_future(pair.stream.send_file(opened, 20_000_000))
        await pair.read(100_000)
        pair.peer.close()
        assert await sending < 20_000_000
        assert pair.stream.is_closing()
    await pair.close()


@on_each_loop
async def test_a_file_that_is_no_longer_wanted(tmp_path: Path) -> None:
    """A cancelled send_file lets go of its descriptors, and the connection is good for more."""
    file = tmp_path / "content"
    file.write_bytes(bytes(20_000_000))
    pair = await Pair().open(send_buffer=65536)
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    with file.open("rb") as opened:
        sending = asyncio.ensure_future(pair.stream.send_file(opened, 20_000_000))
        await pair.read(100_000)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    while descriptors and len(os.listdir("/proc/self/fd")) > descriptors:
        await asyncio.sleep(0.01)
    pair.stream.abort()
    pair.peer.close()
    await pair.close()


@on_each_loop
async def test_a_peer_that_takes_nothing_is_told_of_and_one_that_takes_a_little_is_not() -> None:
    pair = await Pair().open()
    pair.stream.watch_sending(1.0)
    size = 30_000_000
    pair.stream.write(b"x" * size)
    assert pair.stream.write_paused
    assert 0 < pair.stream.unsent() <= size
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
    pair.stream.abort()
    await pair.driver.until("lost")
    pair.peer.close()


@on_each_loop
async def test_nobody_is_told_of_a_slow_peer_without_a_timeout() -> None:
    pair = await Pair().open(send_buffer=4096)
    pair.stream.write(b"x" * 1_000_000)
    assert pair.stream.write_paused
    assert len(pair.ticker) == 0
    pair.stream.abort()
    await pair.driver.until("lost")
    pair.peer.close()


@on_each_loop
async def test_a_peer_that_goes_while_reading_is_paused_is_told_of() -> None:
    pair = await Pair().open()
    pair.stream.pause_reading()
    pair.peer.send(b"x" * 1000)
    pair.peer.close()
    if _transport == OURS:
        await pair.driver.until("hung up")
    assert b"x" * 1000 not in pair.driver.events
    pair.stream.resume_reading()
    await pair.driver.until("eof")
    assert b"x" * 1000 in pair.driver.events
    pair.stream.pause_reading()
    pair.stream.abort()
    await pair.driver.until("lost")


@on_each_loop
async def test_what_the_peer_has_taken() -> None:
    pair = await Pair().open()
    pair.stream.write(b"x" * 1000)
    pair.stream.write(b"x" * 100)
    await pair.read(1100)
    while pair.stream.taken() != (1100, 0):
        await asyncio.sleep(0.01)  # until it is acknowledged
    pair.stream.writelines([b"x" * 5_000_000, b"x" * 5_000_000])
    taken, outstanding = pair.stream.taken()
    assert taken + outstanding == 10_001_100
    assert outstanding > 1_000_000
    await pair.read(10_000_000)
    while pair.stream.taken() != (10_001_100, 0):
        await asyncio.sleep(0.01)
    pair.stream.abort()
    await pair.driver.until("lost")
    pair.peer.close()


@on_each_loop
async def test_without_tls_there_is_nothing_to_tell_of_it() -> None:
    pair = await Pair().open()
    assert pair.stream.tls() is None
    pair.stream.abort()
    await pair.driver.until("lost")
    pair.peer.close()


@on_each_loop
async def test_what_is_told_of_tls_is_found_once_and_is_the_callers_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = make_context(authority.config(ssl_ca_certs=authority.roots, ssl_cert_reqs="required"))
    certificate = authority.issue(common_name="device 7")
    pair = Pair(context)
    opening = asyncio.ensure_future(pair.open())
    await settle()
    _, writer = await asyncio.open_connection(
        sock=pair.peer, ssl=authority.client(certificate), server_hostname="localhost"
    )
    await opening
    await pair.driver.until("connected")
    outlet = pair.driver.outlet  # uvloop has its own protocol in front of the stream
    first = outlet.tls()
    second = outlet.tls()
    assert first is not None
    assert first == second
    assert first is not second
    assert first["client_cert_name"].startswith("CN=device 7,")
    assert first["client_cert_chain"] is second["client_cert_chain"]
    writer.close()
    if _transport == OURS:  # the loops' own ends both sides by itself
        await pair.driver.until("eof")
        outlet.close()
    await pair.driver.until("lost")


@on_each_loop
async def test_a_deadline_that_fails_ends_its_connection() -> None:
    pair = await Pair().open()
    told: list[Any] = []
    pair.loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
    error = RuntimeError("a fault of the driver's")

    def fails(now: float) -> float:
        raise error

    pair.driver.check = fails  # type: ignore[method-assign]
    assert pair.stream.tick(pair.loop.time()) == 0.0
    await pair.driver.until("lost")
    assert told == [error]
    pair.peer.close()
