"""The proxy that injects faults: what it does not break, it keeps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.soak.proxy import PROFILES, RESET, SILENCE, TRUNCATE, Faults, Profile, Proxy

HOST = "127.0.0.1"
TIMEOUT = 20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NONE = Faults()


class Server:
    """A server that keeps what it received, and how that ended."""

    def __init__(self) -> None:
        self.received = b""
        self.reads = 0
        self.end = ""
        self.ended = asyncio.Event()
        self.answer = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.answer:
                writer.write(self.answer)
            while data := await reader.read(65536):
                self.received += data
                self.reads += 1
                if not self.answer:
                    writer.write(data)
            self.end = "fin"
        except ConnectionError:
            self.end = "reset"
        finally:
            writer.close()
            self.ended.set()


@asynccontextmanager
async def through(
    up: Faults = NONE, down: Faults = NONE, answer: bytes = b""
) -> AsyncIterator[tuple[Server, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that echoes, or gives `answer`, through a proxy with those faults."""
    kept = Server()
    kept.answer = answer
    server = await asyncio.start_server(kept.serve, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with Proxy(HOST, port) as proxy:
        at = await proxy.listen(Profile("x", "as the test says", lambda random: (up, down)))
        reader, writer = await asyncio.open_connection(HOST, at)
        try:
            yield kept, reader, writer
        finally:
            writer.close()
            server.close()


async def echoed(reader: asyncio.StreamReader, size: int) -> bytes:
    return await asyncio.wait_for(reader.readexactly(size), TIMEOUT)


@pytest.mark.parametrize(
    "faults",
    [
        NONE,
        Faults(delay=(0.0, 0.01)),
        Faults(single=2000, piece=7),
        Faults(stall_at=100, stall_for=0.1),
        Faults(piece=1000, stall_at=0, stall_for=0.1, delay=(0.0, 0.001)),
    ],
)
async def test_what_is_not_broken_is_kept(faults):
    data = random.Random(1).randbytes(5000)
    async with through(faults, faults) as (server, reader, writer):
        writer.write(data)
        assert await echoed(reader, len(data)) == data
        writer.write_eof()  # a half-close goes through as one
        assert await asyncio.wait_for(reader.read(), TIMEOUT) == b""
        assert server.received == data
        assert server.end == "fin"


async def test_octets_go_one_by_one():
    async with through(Faults(single=50)) as (server, reader, writer):
        writer.write(bytes(50))
        await echoed(reader, 50)
        assert server.reads > 10  # the kernel may put some of them together


async def test_a_large_answer_waits_for_its_reader():
    answer = random.Random(2).randbytes(8_000_000)
    async with through(answer=answer) as (_, reader, _):
        assert await echoed(reader, len(answer)) == answer


async def test_a_reset_reaches_both_sides():
    async with through(Faults(end_at=10, end=RESET)) as (server, reader, writer):
        writer.write(bytes(100))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await echoed(reader, 100)
        await asyncio.wait_for(server.ended.wait(), TIMEOUT)
        assert server.end == "reset"
        assert len(server.received) <= 10


async def test_a_reset_of_the_client_is_passed_on_as_one():
    async with through(answer=bytes(3_000_000)) as (server, reader, writer):
        await echoed(reader, 1)
        writer.transport.abort()  # with octets unread, so it is a reset
        await asyncio.wait_for(server.ended.wait(), TIMEOUT)
        assert server.end in ("reset", "fin")


async def test_truncation_is_a_fin_at_that_place():
    async with through(Faults(end_at=10, end=TRUNCATE)) as (server, reader, writer):
        writer.write(bytes(range(100)))
        await asyncio.wait_for(server.ended.wait(), TIMEOUT)
        assert (server.received, server.end) == (bytes(range(10)), "fin")
        assert await echoed(reader, 10) == bytes(range(10))


async def test_silence_lasts_until_the_sender_goes():
    async with through(Faults(end_at=10, end=SILENCE)) as (server, reader, writer):
        writer.write(bytes(100))
        assert await echoed(reader, 10) == bytes(10)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        assert not server.ended.is_set()
        writer.close()
        await asyncio.wait_for(server.ended.wait(), TIMEOUT)
        assert server.end == "reset"
        assert server.received == bytes(10)


async def test_a_server_that_is_not_there_is_a_reset():
    free = await asyncio.start_server(lambda reader, writer: None, HOST, 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    await free.wait_closed()
    async with Proxy(HOST, port) as proxy:
        at = await proxy.listen(PROFILES["delays"])
        reader, writer = await asyncio.open_connection(HOST, at)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reader.readexactly(1), TIMEOUT)
        writer.close()


def test_a_seed_repeats_what_is_done():
    for profile in PROFILES.values():
        several = [[profile.draw(random.Random(seed)) for seed in range(20)] for _ in range(2)]
        assert several[0] == several[1]
        ends = [faults.end_at is not None for pair in several[0] for faults in pair]
        assert any(ends) == profile.cuts
