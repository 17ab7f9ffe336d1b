"""asgiws/net/tls_transport.py, over real sockets and both event loops."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from asgiws.net.poller import AVAILABLE
from asgiws.tls.context import make_context
from tests.support.loops import on_each_loop
from tests.support.pair import OURS, Pair, whose_transport
from tests.support.pki import Authority

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason="needs a Poller"),
    pytest.mark.parametrize("whose_transport", [OURS], indirect=True),
]
__all__ = ["whose_transport"]  # a fixture


class Secured(Pair):
    """A TLS connection: the connection on one side, an SSLObject of the test's on the other."""

    def __init__(self, directory: Path) -> None:
        authority = Authority(directory)
        super().__init__(make_context(authority.config()))
        self.up, self.down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = authority.client().wrap_bio(self.down, self.up, server_hostname="localhost")

    async def opened(self, send_buffer: int = 0) -> Secured:
        await self.open(send_buffer)
        await self.call(self.client.do_handshake)
        await self.driver.until("connected")
        return self

    async def flush(self) -> None:
        if data := self.up.read():
            await self.loop.sock_sendall(self.peer, data)

    async def call(self, function: Any, *arguments: Any) -> Any:
        """Call a method of the client's end, and feed it what it asks for."""
        while True:
            try:
                result = function(*arguments)
            except ssl.SSLWantReadError:  # noqa: PERF203
                await self.flush()
                data = await self.loop.sock_recv(self.peer, 65536)
                if data:
                    self.down.write(data)
                else:
                    self.down.write_eof()
            else:
                await self.flush()
                return result

    async def until_it_ends(self) -> str:
        """Read what is left on the socket, tickets perhaps: "orderly" or "reset"."""
        try:
            while await self.loop.sock_recv(self.peer, 1000):
                pass
        except ConnectionError:
            return "reset"
        return "orderly"

    async def say(self, data: bytes) -> None:
        self.client.write(data)
        await self.flush()
        await self.driver.until(data)

    async def hear(self, size: int) -> bytes:
        """What comes up to that many octets, or the peer's close_notify."""
        heard = b""
        while len(heard) < size:
            try:
                piece: bytes = await self.call(self.client.read, size - len(heard))
            except (
                ssl.SSLZeroReturnError
            ):  # as the empty piece, where our own end was closed before
                break
            if not piece:
                break
            heard += piece
        return heard


@on_each_loop
async def test_there_and_back(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).opened()
    assert pair.connection.secure
    assert pair.connection.client == pair.peer.getsockname()
    assert pair.pending == set()
    await pair.say(b"hello")
    pair.connection.write(b"hello ")
    pair.connection.writelines([b"to ", b"", b"you"])
    assert await pair.hear(12) == b"hello to you"
    assert pair.connection.tls()["tls_version"] == 0x0304  # type: ignore[index]
    await pair.close()


@on_each_loop
async def test_a_handshake_is_pending_until_it_is_complete(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).open()
    assert isinstance(pair, Secured)
    assert len(pair.pending) == 1
    assert len(pair.ticker) == 1
    assert pair.connection not in pair.runtime.connections
    assert pair.driver.events == []
    await pair.call(pair.client.do_handshake)
    await pair.driver.until("connected")
    assert pair.pending == set()
    await pair.close()


@on_each_loop
async def test_a_handshake_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).open()
    assert isinstance(pair, Secured)
    await pair.loop.sock_sendall(pair.peer, b"\x16\x03")  # it has begun
    (transport,) = pair.pending
    now = pair.loop.time()
    assert now < transport.tick(now) <= now + 10.0
    assert transport.tick(now + 10.0) == 0.0
    await pair.until_it_ends()
    while pair.pending:
        await asyncio.sleep(0.01)
    assert pair.driver.events == []
    pair.peer.close()


@on_each_loop
async def test_a_handshake_whose_last_octets_lie_in_the_socket_is_not_late(tmp_path: Path) -> None:
    """Nobody is judged by a clock before what his socket holds was read."""
    pair = await Secured(tmp_path).open()
    assert isinstance(pair, Secured)
    (transport,) = pair.pending
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.do_handshake()
    pair.peer.setblocking(True)
    pair.peer.sendall(pair.up.read())
    while transport.tick(pair.loop.time()):  # the loop stands still meanwhile
        pair.down.write(pair.peer.recv(65536))
        pair.client.do_handshake()
        pair.peer.sendall(pair.up.read())
        transport.tick(pair.loop.time() + 1000.0)
    assert "connected" in pair.driver.events
    pair.peer.setblocking(False)
    await pair.close()


@on_each_loop
async def test_a_server_that_stops_waits_for_no_handshake(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).open()
    assert isinstance(pair, Secured)
    (transport,) = pair.pending
    transport.cancel()
    assert await pair.loop.sock_recv(pair.peer, 1000) == b""
    assert pair.pending == set()
    pair.peer.close()


@on_each_loop
async def test_a_client_that_speaks_no_tls_is_told_so(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).open()
    await pair.loop.sock_sendall(pair.peer, b"\x16\x03\x01\x00\x04nope")
    alert = await pair.loop.sock_recv(pair.peer, 1000)
    assert alert[0] == 21
    while pair.pending:
        await asyncio.sleep(0.01)
    assert pair.driver.events == []
    pair.peer.close()


@on_each_loop
async def test_a_peer_that_closes_its_side_still_reads_the_answer(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).opened()
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    await pair.flush()
    await pair.driver.until("eof")
    pair.connection.write(b"the answer")
    assert await pair.hear(10) == b"the answer"
    pair.connection.close()
    assert await pair.hear(1) == b""
    await pair.driver.until("lost")
    pair.peer.close()


@on_each_loop
async def test_a_fin_without_a_close_notify_is_the_same(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).opened()
    pair.peer.shutdown(socket.SHUT_WR)
    await pair.driver.until("eof")
    pair.connection.write(b"the answer")
    assert await pair.hear(10) == b"the answer"
    await pair.close()


@on_each_loop
async def test_our_close_is_a_close_notify_behind_all_that_was_written(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).opened(send_buffer=65536)
    payload = bytes(range(256)) * 8000
    pair.connection.write(payload)
    pair.connection.close()
    assert pair.connection.write_paused
    assert await pair.hear(len(payload)) == payload
    assert await pair.hear(1) == b""  # and no SSLEOFError
    assert await pair.loop.sock_recv(pair.peer, 100) == b""
    pair.peer.close()
    await pair.driver.until("lost")


@on_each_loop
async def test_what_a_peer_does_not_take_is_not_encrypted(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).opened(send_buffer=65536)
    payload = b"z" * 20_000_000
    pair.connection.write(payload)
    assert pair.connection.write_paused
    overhead = pair.transport.overhead()
    assert overhead < 5_000
    taken, outstanding = pair.connection.taken()
    assert outstanding > 15_000_000
    drained = asyncio.ensure_future(pair.connection.drain())
    assert await pair.hear(len(payload)) == payload
    await drained
    while pair.connection.taken()[1]:
        await asyncio.sleep(0.01)
    assert pair.connection.taken()[0] == taken + outstanding + pair.transport.overhead() - overhead
    await pair.close()


@on_each_loop
async def test_small_pieces_share_records(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).opened()
    payload = bytes(range(256)) * 120
    pieces = [b"head", b"", payload[:20_000], b"", payload[20_000:], b"tail"]
    pair.connection.writelines([piece for piece in pieces if piece] * 3)
    expected = b"".join(pieces) * 3
    wire = b""
    lengths: list[int] = []
    while sum(lengths) < len(expected):
        wire += await pair.loop.sock_recv(pair.peer, 65536)
        lengths, at = [], 0
        while at + 5 <= len(wire):
            size = int.from_bytes(wire[at + 3 : at + 5], "big")
            at += 5 + size
            lengths.append(size - 17)  # the tag, and the type inside
        lengths = lengths[1:]  # the ticket comes first
    assert lengths[:-1] == [16384] * (len(expected) // 16384)
    pair.down.write(wire)
    assert await pair.hear(len(expected)) == expected
    await pair.close()


@on_each_loop
async def test_octets_that_wait_decrypted_are_given_out_when_reading_is_resumed(
    tmp_path: Path,
) -> None:
    pair = await Secured(tmp_path).opened()
    pair.driver.react = pair.connection.pause_reading
    first, second = b"1" * 200, b"2" * 60_000
    pair.client.write(first)
    pair.client.write(second)
    await pair.flush()
    while not any(isinstance(event, bytes) for event in pair.driver.events):
        await asyncio.sleep(0.01)
    pair.driver.react = None
    pair.connection.resume_reading()
    while sum(len(event) for event in pair.driver.events if isinstance(event, bytes)) < 60_200:
        await asyncio.sleep(0.01)
    assert b"".join(event for event in pair.driver.events if isinstance(event, bytes)) == (
        first + second
    )
    await pair.close()


@on_each_loop
async def test_an_end_in_the_read_that_pauses_is_told_when_reading_is_resumed(
    tmp_path: Path,
) -> None:
    pair = await Secured(tmp_path).opened()
    pair.driver.react = pair.connection.pause_reading
    pair.client.write(b"the last")
    with suppress(ssl.SSLWantReadError):
        pair.client.unwrap()
    await pair.flush()  # without the end of TCP
    await pair.driver.until(b"the last")
    pair.driver.react = None
    assert "eof" not in pair.driver.events
    pair.connection.resume_reading()
    await pair.driver.until("eof")
    await pair.close()


@on_each_loop
async def test_what_comes_behind_our_close_is_thrown_away(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).opened()
    pair.connection.write(b"413")
    pair.connection.close()
    for _ in range(20):
        pair.client.write(b"u" * 10_000)
        await pair.flush()
    assert await pair.hear(3) == b"413"
    pair.peer.close()
    await pair.driver.until("lost")
    assert not any(isinstance(event, bytes) for event in pair.driver.events)


@on_each_loop
async def test_a_spoilt_record_ends_the_connection(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).opened()
    pair.client.write(b"fine")
    await pair.flush()
    pair.client.write(b"spoilt")
    data = bytearray(pair.up.read())
    data[-1] ^= 1
    await pair.loop.sock_sendall(pair.peer, bytes(data))
    await pair.driver.until("lost")
    assert b"fine" in pair.driver.events
    assert pair.connection.write_paused
    assert pair.connection.is_closing()
    pair.peer.close()


@on_each_loop
async def test_a_reset_is_the_end(tmp_path: Path) -> None:
    pair = await Secured(tmp_path).opened()
    pair.connection.abort()
    assert pair.connection.write_paused
    await pair.driver.until("lost")
    assert await pair.until_it_ends() == "reset"
    pair.peer.close()
