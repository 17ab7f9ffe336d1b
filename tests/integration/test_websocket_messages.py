"""Messages both ways: kinds, sizes, fragments, control frames, compression, slow peers, tasks."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from tests.support.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Desk,
    Raw,
    close_frame,
    frame,
    unused_name,
)
from tests.support.server import RunningServer

APP = "apps:app"
#: Of the fixtures `server` and `faulty`.
OPTIONS = ("--ws-max-size", "64MiB")
MEGABYTE = 1024 * 1024
#: What the server's memory may grow by while one client is slow. Far above what the buffers of one
#: connection hold (a few hundred KiB and a message), far below what is sent in those tests.
BOUND = 60 * MEGABYTE


def opened(server: RunningServer, path: str, receive_buffer: int = 0) -> Raw:
    raw = Raw.connect(server, receive_buffer)
    raw.upgrade(path)
    return raw


def client(server: RunningServer, path: str, compression: str | None = None) -> connect:
    return connect(
        server.ws_url(path), proxy=None, max_size=None, compression=compression, ping_interval=None
    )


# Kinds and sizes.


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 262144, 262145, 2 * MEGABYTE])
async def test_sizes(server: RunningServer, name: str, size: int, compression: str | None) -> None:
    binary = random.Random(size).randbytes(size)
    text = "ü" * (size // 2) + "y" * (size % 2)
    async with client(server, f"/echo?{name}", compression) as socket:
        await socket.send(binary)
        assert await socket.recv() == binary
        await socket.send(text)
        assert await socket.recv() == text


def test_20_mebibytes(server: RunningServer, name: str) -> None:
    payload = b"0123456789abcdef" * (20 * MEGABYTE // 16)
    with opened(server, f"/echo?{name}") as raw:
        raw.send_frame(TEXT, payload)
        assert raw.frame().payload == payload
        raw.send_frame(BINARY, payload[: 15 * MEGABYTE], fin=False)
        raw.send_frame(CONTINUATION, payload[15 * MEGABYTE :])
        assert raw.frame().payload == payload


async def test_empty_messages_are_messages(server: RunningServer, desk: Desk, name: str) -> None:
    async with client(server, f"/echo?{name}") as socket:
        for message in ("", b"", "", "not empty", b""):
            await socket.send(message)
            assert await socket.recv() == message
    report = await asyncio.to_thread(desk.report, name)
    assert report["events"][:2] == [
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive", "bytes": ""},
    ]


@pytest.mark.parametrize(
    "text", ["\0", "ä", "€uro", "😀" * 1000, "\ufeff", "\u2028", "\ud7ff\ue000"]
)
async def test_text(server: RunningServer, name: str, text: str) -> None:
    async with client(server, f"/echo?{name}") as socket:
        await socket.send(text)
        assert await socket.recv() == text


@pytest.mark.parametrize("kind", ["text", "bytes"])
@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 16383, 16384])
def test_frames_from_the_server(server: RunningServer, name: str, kind: str, size: int) -> None:
    """Each length in its shortest form, checked by the raw client."""
    with opened(server, f"/produce?{name}&{kind}&{size}&3") as raw:
        for _ in range(3):
            message = raw.message()
            assert message == ("ü" * size if kind == "text" else b"\x07" * size)
        assert raw.close_frame() == (1000, "")


def test_many_messages_in_one_segment(server: RunningServer, name: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        messages = [str(number) * (number % 50) for number in range(2000)]
        raw.send(b"".join(frame(TEXT, message.encode()) for message in messages))
        assert [raw.message() for _ in messages] == messages


# Fragments and control frames.


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_fragments(server: RunningServer, name: str, opcode: int) -> None:
    pieces = [b"", b"one ", b"", b"two " * 100, b"three" * 20_000, b""]
    with opened(server, f"/echo?{name}") as raw:
        for number, piece in enumerate(pieces):
            first, last = number == 0, number == len(pieces) - 1
            raw.send_frame(opcode if first else CONTINUATION, piece, fin=last)
        whole = b"".join(pieces)
        assert raw.message() == (whole.decode() if opcode == TEXT else whole)


def test_empty_message_in_fragments(server: RunningServer, name: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        for _ in range(2):
            raw.send_frame(TEXT, b"", fin=False)
            raw.send_frame(CONTINUATION, b"", fin=False)
            raw.send_frame(CONTINUATION, b"")
            assert raw.message() == ""


def test_control_frames_between_fragments(server: RunningServer, name: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send_frame(TEXT, b"one ", fin=False)
        raw.send_frame(PING, b"in the middle")
        assert raw.frame() == (PONG, b"in the middle", True, False)
        raw.send_frame(PONG, b"nobody asked")
        raw.send_frame(CONTINUATION, b"two", fin=False)
        raw.send_frame(PING)
        assert raw.frame() == (PONG, b"", True, False)
        raw.send_frame(CONTINUATION, b"")
        assert raw.message() == "one two"


def test_fragments_byte_by_byte(server: RunningServer, name: str) -> None:
    data = (
        frame(TEXT, b"on", fin=False)
        + frame(PING, b"p" * 125)
        + frame(CONTINUATION, b"e")
        + frame(BINARY, b"b" * 300)
        + close_frame(4000, "bye")
    )
    with opened(server, f"/echo?{name}") as raw:
        for byte in data:
            raw.send(bytes([byte]))
        assert raw.frame() == (PONG, b"p" * 125, True, False)
        assert raw.message() == "one"
        assert raw.message() == b"b" * 300
        assert raw.closed_by_server() == (4000, "bye")


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"])
def test_masks(server: RunningServer, name: str, mask: bytes) -> None:
    with opened(server, f"/echo?{name}") as raw:
        for size in (0, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 1000, 100_001):
            payload = random.Random(size).randbytes(size)
            raw.send_frame(BINARY, payload, mask=mask)
            assert raw.message() == payload


def test_large_message_in_odd_pieces(server: RunningServer, name: str) -> None:
    """The mask's phase survives whatever the segments are."""
    chance = random.Random(7)
    payload = chance.randbytes(700_001)
    data = frame(BINARY, payload)
    with opened(server, f"/echo?{name}") as raw:
        position = 0
        while position < len(data):
            step = chance.choice((1, 3, 1000, 4097, 65537))
            raw.send(data[position : position + step])
            position += step
        assert raw.message() == payload


def test_pings_are_answered_while_the_application_is_busy(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with opened(server, f"/sleeper?{name}") as raw:
        raw.send_frame(TEXT, b"work")
        desk.wait_for(name, "waiting")
        for number in range(10):
            # More than one unread message lies before the ping: no peer gets that far.
            raw.send(frame(TEXT, b"more" * 1000) + frame(PING, b"%d" % number))
            assert raw.frame() == (PONG, b"%d" % number, True, False)
        desk.release(name)
        assert raw.message() == "work"
        raw.send(close_frame(1000))
        assert raw.close_frame() == (1000, "")
    assert len(desk.report(name)["events"]) == 12


def test_close_is_answered_while_the_application_is_busy(
    server: RunningServer, desk: Desk, name: str
) -> None:
    with opened(server, f"/ignores?{name}") as raw:
        desk.wait_for(name, "waiting")
        raw.send(close_frame(4000, "bye"))
        assert raw.closed_by_server() == (4000, "bye")
    desk.release(name)


# Compression.


async def test_compression_both_ways(server: RunningServer, name: str) -> None:
    chance = random.Random(1)
    async with client(server, f"/echo?{name}", "deflate") as socket:
        for message in (
            "",
            b"",
            "a" * 100_000,
            chance.randbytes(100_000),
            "repeat " * 10,
            "repeat " * 10,
            b"\0" * 5 * MEGABYTE,
        ):
            await socket.send(message)
            assert await socket.recv() == message


def test_context_takeover(server: RunningServer, name: str) -> None:
    """What is said a second time refers to the first, in both directions."""
    payload = random.Random(2).randbytes(500)
    deflate = zlib.compressobj(wbits=-15)
    inflate = zlib.decompressobj(wbits=-15)
    sent, got = [], []
    with Raw.connect(server) as raw:
        raw.upgrade(f"/echo?{name}", "Sec-WebSocket-Extensions: permessage-deflate")
        for _ in range(3):
            data = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
            assert data.endswith(b"\0\0\xff\xff")
            sent.append(len(data) - 4)
            raw.send_frame(BINARY, data[:-4], rsv=4)
            answer = raw.frame()
            assert answer.rsv1
            got.append(len(answer.payload))
            assert inflate.decompress(answer.payload + b"\0\0\xff\xff") == payload
    assert sent[0] > 400 > 50 > sent[1]
    assert got[0] > 400 > 50 > got[1]
    assert got[2] < 50


def test_no_context_takeover(server: RunningServer, name: str) -> None:
    payload = random.Random(2).randbytes(500)
    offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    with Raw.connect(server) as raw:
        raw.upgrade(f"/echo?{name}", f"Sec-WebSocket-Extensions: {offer}")
        for _ in range(3):
            deflate = zlib.compressobj(wbits=-15)
            data = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
            raw.send_frame(BINARY, data[:-4], rsv=4)
            answer = raw.frame()
            inflate = zlib.decompressobj(wbits=-15)
            assert inflate.decompress(answer.payload + b"\0\0\xff\xff") == payload


@pytest.mark.parametrize("bits", [9, 10, 15])
async def test_window_bits(server: RunningServer, name: str, bits: int) -> None:
    """The client inflates with the window that it asked for, so a server that ignores it fails."""
    factory = ClientPerMessageDeflateFactory(
        server_max_window_bits=bits, client_max_window_bits=bits
    )
    message = random.Random(3).randbytes(10_000) * 4
    async with connect(
        server.ws_url(f"/echo?{name}"), proxy=None, extensions=[factory], max_size=None
    ) as socket:
        for _ in range(3):
            await socket.send(message)
            assert await socket.recv() == message


def test_compressed_fragments_with_pings_between(server: RunningServer, name: str) -> None:
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(b"fragmented " * 100) + deflate.flush(zlib.Z_SYNC_FLUSH)
    data = data[:-4]
    with Raw.connect(server) as raw:
        raw.upgrade(f"/measure?{name}", "Sec-WebSocket-Extensions: permessage-deflate")
        raw.send_frame(TEXT, data[:1], fin=False, rsv=4)
        raw.send_frame(PING, b"uncompressed")
        assert raw.frame() == (PONG, b"uncompressed", True, False)
        for byte in data[1:]:
            raw.send_frame(CONTINUATION, bytes([byte]), fin=False)
        raw.send_frame(CONTINUATION, b"")
        # Too short to be compressed in its turn.
        assert raw.frame() == (TEXT, b"text 1100", True, False)
        # A message that is not compressed, on the same connection.
        raw.send_frame(TEXT, b"plain")
        assert raw.frame() == (TEXT, b"text 5", True, False)


# Slow peers.


@pytest.mark.parametrize("size", [100, 10_000, MEGABYTE])
def test_memory_is_bounded_while_the_client_does_not_read(
    server: RunningServer, desk: Desk, name: str, size: int
) -> None:
    """`send()` waits: of the 500 MiB that the application has, next to nothing is taken."""
    before = desk.memory()
    with opened(server, f"/flood?{name}&{size}", receive_buffer=65536) as raw:
        sent = settled(lambda: desk.ask(f"/progress?{name}"))
        assert sent[0] < BOUND  # type: ignore[index]
        assert desk.memory() - before < BOUND
        # It goes on when the client does.
        for _ in range(1 + 3 * sent[0] // size):  # type: ignore[index]
            assert len(raw.read(raw_size(raw))) == size
        assert desk.ask(f"/progress?{name}")[0] > sent[0]  # type: ignore[index]
        assert desk.memory() - before < BOUND
        raw.reset()
    assert desk.report(name)["raised"] == "ClientDisconnected"


def raw_size(raw: Raw) -> int:
    """The payload's length of the next frame, whose header is read."""
    first, second = raw.read(2)
    assert first == 0x80 | BINARY
    if second < 126:
        return second
    return int.from_bytes(raw.read(2 if second == 126 else 8), "big")


def settled(ask: Callable[[], object]) -> object:
    """The first answer that is there and stays the same several times."""
    last, same = ask(), 0
    while same < 5:
        answer = ask()
        same = same + 1 if answer == last and answer else 0
        last = answer
    return last


def test_memory_is_bounded_while_the_application_does_not_receive(
    server: RunningServer, desk: Desk, name: str
) -> None:
    before = desk.memory()
    data = frame(BINARY, bytes(65536)) * 16
    with opened(server, f"/sleeper?{name}") as raw:
        raw.send_frame(TEXT, b"work")
        desk.wait_for(name, "waiting")
        sent = 0
        raw.sock.settimeout(0.5)
        try:
            while sent < 200 * MEGABYTE:
                sent += raw.sock.send(data[sent % len(data) :])
        except TimeoutError:
            pass
        raw.sock.settimeout(25)
        # What was taken lies in the kernel's buffers for the most part.
        assert sent < BOUND
        assert desk.memory() - before < BOUND
        desk.release(name)
        assert raw.message() == "work"
        # Nothing of it is lost.
        rest = sent % len(data)
        raw.send((data[rest:] if rest else b"") + close_frame(1000))
        assert raw.close_frame() == (1000, "")
    whole = -(-sent // len(data)) * 16
    events = desk.report(name)["events"]
    assert [event["type"] for event in events] == [
        *["websocket.receive"] * (1 + whole),
        "websocket.disconnect",
    ]


def test_empty_messages_count_by_the_memory_they_take(
    server: RunningServer, desk: Desk, name: str
) -> None:
    """Millions of them are no octets of payload, and yet may not pile up: reading pauses."""
    before = desk.memory()
    data = frame(BINARY, b"") * 10_000
    with opened(server, f"/sleeper?{name}") as raw:
        raw.send_frame(TEXT, b"work")
        desk.wait_for(name, "waiting")
        raw.sock.settimeout(1.5)
        sent = 0
        try:
            while sent < 400:
                raw.send(data)
                sent += 1
        except TimeoutError:
            pass
        # The kernel holds some ten megabytes of it, which is less than half.
        assert sent < 400
        assert desk.memory() - before < BOUND
        raw.reset()
    desk.release(name)


def test_client_that_pings_and_does_not_read(server: RunningServer, desk: Desk) -> None:
    """Unanswered pings are answered by the latest; they are not stored (5.5.3)."""
    before = desk.memory()
    data = frame(PING, b"x" * 125) * 1000
    with opened(server, f"/listen?{unused_name()}", receive_buffer=4096) as raw:
        raw.sock.settimeout(0.5)
        try:
            for _ in range(200):
                raw.send(data)
        except TimeoutError:
            pass
        # A pong for each of them would be 25 MB.
        assert desk.memory() - before < 12 * MEGABYTE
        raw.reset()


async def test_broadcast_with_a_wedged_member(server: RunningServer, desk: Desk) -> None:
    """One that does not read keeps nothing from the others."""
    room = unused_name()
    wedged = await asyncio.to_thread(
        opened, server, f"/broadcast?{unused_name()}&{room}", receive_buffer=4096
    )
    assert await asyncio.to_thread(wedged.message) == "in"
    async with (
        client(server, f"/broadcast?{unused_name()}&{room}") as one,
        client(server, f"/broadcast?{unused_name()}&{room}") as two,
    ):
        for socket in (one, two):
            assert await socket.recv() == "in"
        members = await asyncio.to_thread(desk.ask, f"/announce?x&{room}&20")
        assert members == 3
        for socket in (one, two):
            for _ in range(20):
                assert await socket.recv() == bytes(MEGABYTE)
    await asyncio.to_thread(wedged.reset)


# What an application may do with receive() and send().


async def echo_many(socket: ClientConnection, count: int) -> None:
    """Numbers come back in order, one by one and many at once."""
    for number in range(count):
        await socket.send(f"{number}")
        assert await socket.recv() == f"{number}"
    for number in range(count):
        await socket.send(f"{number}")
    for number in range(count):
        assert await socket.recv() == f"{number}"


@pytest.mark.parametrize(
    "path", ["in_tasks", "with_timeouts", "with_anyio", "reader_and_writer", "slow_echo"]
)
async def test_nothing_is_lost(server: RunningServer, desk: Desk, name: str, path: str) -> None:
    async with client(server, f"/{path}?{name}") as socket:
        if path == "with_timeouts":
            await asyncio.to_thread(desk.wait_for, name, "tried")
        await echo_many(socket, 10 if path == "slow_echo" else 100)
        await socket.close(4000, "enough")
    report = await asyncio.to_thread(desk.report, name)
    assert report["raised"] == ""
    assert report["events"][-1] == {
        "type": "websocket.disconnect",
        "code": 4000,
        "reason": "enough",
    }


async def test_two_tasks_send_at_once(server: RunningServer, name: str) -> None:
    """Each in its order, and no message in pieces, also while `send()` waits for the client."""
    async with client(server, f"/two_senders?{name}") as socket:
        await asyncio.sleep(0.2)
        numbers: dict[str, list[int]] = {"left": [], "right": []}
        async for message in socket:
            assert isinstance(message, str)
            side, number, padding = message.split()
            assert padding == "x" * 100_000
            numbers[side].append(int(number))
        assert socket.close_code == 1000
    assert numbers == {"left": list(range(100)), "right": list(range(100))}


async def test_two_tasks_receive_at_once(server: RunningServer, desk: Desk, name: str) -> None:
    async with client(server, f"/two_readers?{name}") as socket:
        for number in range(20):
            await socket.send(f"{number}")
        assert sorted([int(await socket.recv()) for _ in range(20)]) == list(range(20))
    report = await asyncio.to_thread(desk.report, name)
    assert sorted(map(int, report["notes"])) == list(range(20))


async def test_receive_continues_in_the_task_that_called_it(
    server: RunningServer, name: str
) -> None:
    async with client(server, f"/current_task?{name}") as socket:
        await socket.send("hello")
        assert await socket.recv() == "True hello"


async def test_many_connections_at_once(server: RunningServer) -> None:
    async def one(number: int) -> None:
        async with client(server, f"/echo?{unused_name()}") as socket:
            for _ in range(5):
                await socket.send(f"mine {number}")
                assert await socket.recv() == f"mine {number}"

    await asyncio.gather(*(one(number) for number in range(100)))


def test_half_a_frame_is_nothing_yet(server: RunningServer, desk: Desk, name: str) -> None:
    """A frame that is announced and not sent costs no memory, and blocks no one."""
    before = desk.memory()
    raws = [opened(server, f"/echo?{name}{number}") for number in range(20)]
    for raw in raws:
        raw.send(frame(BINARY, b"", length=60 * MEGABYTE))
    assert desk.memory() - before < BOUND
    with opened(server, f"/echo?{name}") as other:
        other.send_frame(TEXT, b"free")
        assert other.message() == "free"
    for raw in raws:
        raw.reset()


def test_close_frame_has_no_successor(server: RunningServer, name: str) -> None:
    with opened(server, f"/echo?{name}") as raw:
        raw.send(close_frame(1000) + frame(PING, b"late") + frame(TEXT, b"late"))
        assert raw.frame().opcode == CLOSE
        assert raw.read_all() == b""
