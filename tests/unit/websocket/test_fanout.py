"""A message to many connections: encoded once, compressed once, and right on each of them."""

from __future__ import annotations

import zlib

import pytest

from asgiws.websocket.compression import Compression, Settings
from asgiws.websocket.connection import LARGE, WebSocketConnection
from asgiws.websocket.deflate import Deflate, Parameters
from asgiws.websocket.fanout import LIMIT, FanOut

TEXT, BINARY, COMPRESSED = 0x81, 0x82, 0x40


class Client:
    """What a client makes of the frames of one connection."""

    def __init__(self, fanout: FanOut, deflate: Deflate | None = None, bits: int = 15) -> None:
        self.connection = WebSocketConnection(fanout)
        self.connection.open(1 << 30, deflate)
        self.inflater = zlib.decompressobj(-bits)

    def send(self, message: str | bytes) -> list[bytes]:
        if isinstance(message, str):
            return self.connection.text(message)
        return self.connection.binary(message)

    def read(self, chunks: list[bytes]) -> tuple[int, bytes]:
        """Opcode (with FIN) and payload of the one frame in `chunks`."""
        data = b"".join(chunks)
        size, start = data[1], 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        payload = data[start:]
        assert len(payload) == size
        if data[0] & COMPRESSED:
            payload = self.inflater.decompress(payload + b"\x00\x00\xff\xff")
        return data[0] & ~COMPRESSED, payload

    def get(self, message: str | bytes) -> tuple[int, bytes]:
        return self.read(self.send(message))


def unique(text: str) -> str:
    """A new object: equal literals would be one."""
    return "".join(list(text))


@pytest.mark.parametrize("size", [0, 5, 125, 126, LARGE - 1, LARGE, 65536, LIMIT, LIMIT + 1])
def test_everybody_gets_the_message(size: int) -> None:
    fanout = FanOut()
    clients = [Client(fanout) for _ in range(3)]
    for message in ("x" * size, b"y" * size, "\xe4" * (size // 2)):
        data = message if isinstance(message, bytes) else message.encode()
        for client in clients:
            assert client.get(message) == (TEXT if isinstance(message, str) else BINARY, data)


def test_it_is_encoded_once() -> None:
    fanout = FanOut()
    first, second = Client(fanout), Client(fanout)
    message = unique("hello")
    assert first.send(message) is second.send(message)
    assert first.send(unique("hello")) is not second.send(message)


def test_a_large_message_is_not_kept() -> None:
    fanout = FanOut()
    Client(fanout).send(b"x" * LIMIT)
    assert fanout.message is not None
    Client(fanout).send("y")
    assert fanout.message == "y"
    Client(fanout).send(b"x" * (LIMIT + 1))
    assert fanout.message == "y"


def agreed(bits: int = 12, keeps: bool = True) -> Parameters:
    return Parameters(not keeps, False, bits, 12)


def many(compression: Compression, fanout: FanOut, *parameters: Parameters) -> list[Client]:
    return [
        Client(fanout, Deflate(each, compression), each.server_max_window_bits)
        for each in parameters
    ]


def test_it_is_compressed_once_for_each_window() -> None:
    compression, fanout = Compression(), FanOut()
    clients = many(compression, fanout, *[agreed(bits) for bits in (12, 12, 12, 9, 9, 12)])
    message = unique("to be, or not to be, that is the question: " * 20)
    frames = [client.send(message) for client in clients]
    # The first one has compressed it as any message; only then was it known that there are many.
    assert frames[1] is frames[2] is frames[5]
    assert frames[3] is frames[4]
    assert frames[1] is not frames[3]
    for client, chunks in zip(clients, frames, strict=True):
        assert client.read(chunks) == (TEXT, message.encode())


@pytest.mark.parametrize("keeps", [True, False])
def test_messages_to_one_and_to_all_in_any_order(keeps: bool) -> None:
    compression, fanout = Compression(), FanOut()
    clients = many(compression, fanout, *[agreed(keeps=keeps)] * 3, agreed(10, keeps))
    plain = Client(fanout)
    for turn in range(5):
        for client in (*clients, plain):
            own = unique(
                f"a message of its own in turn {turn}, which is long enough to compress " * 2
            )
            assert client.get(own) == (TEXT, own.encode())
        for message in (unique(f"news of turn {turn}: " * 9), b"\x00\x01" * 60, unique("short")):
            data = message if isinstance(message, bytes) else message.encode()
            for client in (*clients[turn % 4 :], plain, *clients[: turn % 4]):
                assert client.get(message)[1] == data


def test_a_short_message_is_not_compressed() -> None:
    compression, fanout = Compression(Settings(min_size=100)), FanOut()
    clients = many(compression, fanout, agreed(), agreed())
    for message in (unique("x" * 99), unique("\xe4" * 40)):
        for client in clients:
            assert client.send(message)[0][0] == TEXT
    for client in clients:
        assert client.send(unique("\xe4" * 60))[0][0] == TEXT | COMPRESSED
