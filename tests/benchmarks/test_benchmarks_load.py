"""The load generator: what is right passes, what is wrong ends the run and is named."""

from __future__ import annotations

import itertools
import json
import socket
import struct
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator

import pytest

ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
PATTERN = b'{"user": 4711, "text": "lorem ipsum dolor sit amet"}, '
UPGRADE = b"HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n"
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def payload(size: int) -> bytes:
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


def frame(data: bytes, first: int = 0x81) -> bytes:
    if len(data) < 126:
        return struct.pack("!BB", first, len(data)) + data
    if len(data) < 65536:
        return struct.pack("!BBH", first, 126, len(data)) + data
    return struct.pack("!BBQ", first, 127, len(data)) + data


def frame_size(data: bytes) -> int:
    """The octets of the masked frame at the beginning, or more than there are."""
    if len(data) < 4:
        return 4
    length = data[1] & 127
    return length + 6 if length < 126 else int.from_bytes(data[2:4], "big") + 8


def request_size(data: bytes) -> int:
    head, end, _ = data.partition(b"\r\n\r\n")
    return len(head + end) if end else len(data) + 1


class Peer:
    """A server of one connection: `head` to the first request, if any, and then an answer to each
    message, but for pongs, whose payloads it keeps."""

    def __init__(self, head: bytes, answer: Callable[[], bytes]) -> None:
        self.head, self.answer = head, answer
        self.pongs: set[bytes] = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        received = b""

        def take(size_of: Callable[[bytes], int]) -> bytes:
            nonlocal received
            while len(received) < (size := size_of(received)):
                more = connection.recv(65536)
                if not more:
                    raise OSError("the load generator has gone")
                received += more
            taken, received = received[:size], received[size:]
            return taken

        with connection:
            try:
                if self.head:
                    take(request_size)
                    connection.sendall(self.head)
                while True:
                    message = take(frame_size if self.head else request_size)
                    if message[0] == 0x8A:
                        assert message[2:6] == bytes(4)
                        self.pongs.add(message[6:])
                    else:
                        connection.sendall(self.answer())
            except OSError:
                return


@pytest.fixture
def against(load) -> Iterator[Callable[..., dict]]:
    """What the load generator prints of a Peer; its exit code says the same."""
    peers: list[Peer] = []

    def run(mode: str, head: bytes, answer: bytes | Callable[[], bytes], *options: str) -> dict:
        peer = Peer(head, answer if callable(answer) else lambda: answer)
        peers.append(peer)
        command = [str(load), mode, "-p", str(peer.port), "-w", "0", "-t", "0.05", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
        said = json.loads(done.stdout)
        assert done.returncode == ("error" in said), done
        return {**said, "pongs": peer.pongs}

    yield run
    for peer in peers:
        peer.listener.close()
        peer.thread.join()


def echo(against, answer, head: bytes = UPGRADE + b"\r\n") -> dict:
    return against("echo", head, answer, "-s", "4")


@pytest.mark.parametrize(
    ("answer", "pongs"),
    [
        (frame(b'{"us'), set()),
        (frame(b"hello?", 0x89) + frame(b'{"us'), {b"hello?"}),
        (frame(b'{"', 0x01) + frame(b"", 0x89) + frame(b"us", 0x80), {b""}),
    ],
    ids=["whole", "after a ping", "fragments around a ping"],
)
def test_the_right_echo(against, answer, pongs):
    said = echo(against, answer)
    assert "error" not in said
    assert said["messages"] > 1
    assert said["pongs"] == pongs


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (frame(b'{"uS'), "a message that differs from what was sent"),
        (frame(b'{"u'), "a message shorter than sent"),
        (frame(b'{"use'), "a message longer than sent"),
        (frame(b'{"us', 0x82), "a message of another type than sent"),
        (frame(b'{"us', 0xC1), "a reserved bit that was not negotiated"),
        (b"\x81\x84\0\0\0\0" + b'{"us', "a masked frame from the server"),
        (frame(b"us", 0x80), "fragments out of order"),
        (frame(b'{"us') + frame(b'{"us'), "an answer to nothing"),
        (frame(b"\x03\xf3", 0x88), "the server closed with 1011"),
        (frame(b"", 0x88), "the server closed with 1005"),
        (frame(bytes(126), 0x89), "a bad control frame"),
    ],
)
def test_a_wrong_echo_is_named(against, answer, error):
    assert echo(against, answer)["error"] == error


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "the answer is not 101 but HTTP/1.1 403 Forbidden"),
        (UPGRADE.replace(b"s3p", b"S3p") + b"\r\n", "a wrong Sec-WebSocket-Accept"),
        (UPGRADE + DEFLATE + b"\r\n", "an extension that was not asked for"),
    ],
)
def test_a_wrong_handshake_is_named(against, head, error):
    assert echo(against, b"", head=head)["error"].startswith(error)


def test_a_connection_that_ends_is_named(against):
    def end() -> bytes:
        raise OSError

    assert echo(against, end)["error"] == "the server ended the connection"


STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY)


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("level", [0, 1, 6])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_compressed_echoes_are_inflated(against, takeover, level, strategy):
    size = 3000

    def answers(data: bytes) -> Callable[[], bytes]:
        compressor = None

        def answer() -> bytes:
            nonlocal compressor
            if compressor is None or not takeover:
                compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy)
            packed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
            return frame(packed[:-4], 0xC1)

        return answer

    head, options = UPGRADE + DEFLATE + b"\r\n", ("-s", str(size), "-z")
    said = against("echo", head, answers(payload(size)), *options)
    assert "error" not in said
    assert said["messages"] > 1
    said = against("echo", head, answers(payload(size)[:-1] + b"?"), *options)
    assert said["error"] == "a compressed message that differs from what was sent"


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (OK, None),
        (OK.replace(b"200", b"500"), "the answer is not 200 but HTTP/1.1 500 OK"),
        (OK.replace(b"world", b"World"), "a body that is not the one expected"),
        (OK.replace(b"13", b"12"), "a body of 12 octets instead of 13"),
        (OK.replace(b"Content-", b"X-"), "a response without Content-Length"),
    ],
)
def test_responses(against, answer, error):
    said = against("http", b"", answer)
    assert (said["error"].startswith(error)) if error else "error" not in said


def burst(*numbers: int) -> bytes:
    return b"".join(frame(b"%010d" % number + payload(32)[10:]) for number in numbers)


def test_pushed_messages_in_order(against):
    numbers = itertools.count(16, 2)

    def answer() -> bytes:
        first = next(numbers)
        return burst(first, first + 1)

    said = against("push", UPGRADE + b"\r\n", answer, "-d", "2")
    assert "error" not in said
    assert said["messages"] > 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (burst(0, 1, 3), "pushed message 3 came where 2 was due"),
        (burst(0, 0), "pushed message 0 came where 1 was due"),
        (burst(0, 1) + burst(0, 1), "pushed message 0 came where 2 was due"),
        (burst(1), "pushed message 1 came where 0 was due"),
        (frame(b"000000000x" + payload(32)[10:]), "a pushed message that is not the one expected"),
        (frame(b"%010d" % 0 + b"x" * 22), "a pushed message that is not the one expected"),
        (frame(b"%010d" % 0), "a message shorter than sent"),
    ],
)
def test_pushed_messages_that_are_lost_or_out_of_order(against, answer, error):
    assert against("push", UPGRADE + b"\r\n", answer, "-d", "2")["error"] == error


def numbered(number: int) -> bytes:
    return frame(b"%010d" % number + payload(32)[10:])


def fanout(against, answers: Callable[[int], bytes], seconds: float = 0.05) -> dict:
    """`answers` is given the number of each message, from 0."""
    numbers = itertools.count()
    answer = lambda: answers(next(numbers))  # noqa: E731
    return against("fanout", UPGRADE + b"\r\n", answer, "-t", str(seconds))


def test_published_messages_that_come(against):
    said = fanout(against, numbered)
    assert "error" not in said
    assert said["messages"] > 2
    assert said["lost"] == 0


def test_published_messages_that_do_not_come_are_counted(against):
    said = fanout(against, lambda number: b"" if number % 50 == 9 else numbered(number), 1.5)
    assert said["lost"] >= 1
    assert said["messages"] > 2


def test_a_published_message_that_comes_late_is_not_lost(against):
    def answers(number: int) -> bytes:
        if number == 9:
            return b""
        return numbered(9) + numbered(10) if number == 10 else numbered(number)

    said = fanout(against, answers, 1.5)
    assert said["lost"] == 0
    assert said["p999_us"] > 0
    assert said["seconds"] >= 1.5


def test_published_messages_that_reach_nobody_are_an_error(against):
    said = fanout(against, lambda number: b"")
    assert said["error"] == "no message was delivered"
    said = fanout(against, lambda number: b"", 9)
    assert said["error"] == "5 messages reached nobody within 1 s each"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (numbered(0) * 2, "published message 0 came where 1 was due"),
        (numbered(1), "published message 1 came where 0 was due"),
        (frame(b"%010d" % 0 + b"x" * 22), "a published message that is not the one expected"),
        (frame(b"%010d" % 0), "a message shorter than sent"),
    ],
)
def test_published_messages_that_are_wrong(against, answer, error):
    assert fanout(against, lambda number: answer)["error"] == error


def test_options_that_cannot_be_meant(load):
    for wrong in (
        ["walk"],
        ["echo", "-c", "0"],
        ["echo", "-c", "x"],
        ["echo", "-d", "65"],
        ["echo", "-T"],
        ["resume"],
        ["push", "-s", "9"],
        ["fanout", "-s", "9"],
        ["fanout", "-c", "4", "-D", "1"],
        ["fanout", "-c", "4", "-D", "4", "-p", "1", "-p", "2"],
        ["echo", "-c", "4", "-D", "1", "-p", "1", "-p", "2"],
        ["echo", *(["-p", "1"] * 9)],
    ):
        done = subprocess.run([str(load), *wrong], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
