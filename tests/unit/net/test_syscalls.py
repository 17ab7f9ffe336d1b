"""`asgiws/net/syscalls.py`; its compiled twin has no name at run time, and is reached through a Connection."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asgiws.net import syscalls, transport
from tests.support.loops import on_each_loop
from tests.support.pair import Pair, whose_transport

__all__ = ["whose_transport"]  # each test with a connection has either transport

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="no connection writes by itself there"
)

LARGE = bytes(range(256)) * 32768  # more than any buffer of the kernel's holds


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, peers = socket.socketpair()
    ours.setblocking(False)
    peers.setblocking(False)
    with ours, peers:
        yield ours, peers


def received(peers: socket.socket) -> bytes:
    """All that has come."""
    data = bytearray()
    try:
        while piece := peers.recv(1 << 20):
            data += piece
    except BlockingIOError:
        pass
    return bytes(data)


Sockets = tuple[socket.socket, socket.socket]


@pytest.mark.parametrize("data", [b"", b"\x00", b"text", bytes(range(256)) * 16])
def test_whole(pair: Sockets, data: bytes) -> None:
    ours, peers = pair
    assert syscalls.send(ours.fileno(), data) == len(data)
    assert received(peers) == data


def test_as_much_as_there_is_room_for(pair: Sockets) -> None:
    ours, peers = pair
    sent = syscalls.send(ours.fileno(), LARGE)
    assert 0 < sent < len(LARGE)
    assert syscalls.send(ours.fileno(), LARGE[sent:]) == 0, "it is full"
    assert received(peers) == LARGE[:sent]
    assert syscalls.send(ours.fileno(), b"there is room again") == 19


def test_a_peer_that_has_gone(pair: Sockets) -> None:
    ours, peers = pair
    peers.close()
    assert syscalls.send(ours.fileno(), b"anybody?") == 0  # and no SIGPIPE


def test_a_side_that_is_shut(pair: Sockets) -> None:
    ours, _ = pair
    ours.shutdown(socket.SHUT_WR)
    assert syscalls.send(ours.fileno(), b"too late") == 0


def test_a_descriptor_that_is_none() -> None:
    assert syscalls.send(-1, b"nobody") == 0


# Who connects.


@pytest.mark.parametrize("accept", [syscalls.accept, transport.accept])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "unix"])
def test_who_waits_is_accepted(
    accept: Callable[[socket.socket], Any], host: str, tmp_path: Path
) -> None:
    family = {"::1": socket.AF_INET6, "unix": socket.AF_UNIX}.get(host, socket.AF_INET)
    with socket.socket(family) as listening, socket.socket(family) as client:
        listening.bind(str(tmp_path / "s") if host == "unix" else (host, 0))
        listening.listen()
        listening.setblocking(False)
        assert accept(listening) is None
        client.connect(listening.getsockname())
        fd, address = accept(listening)
        assert accept(listening) is None
        with socket.socket(family, fileno=fd) as accepted:
            assert not os.get_inheritable(fd)
            assert not os.get_blocking(fd)
            if host == "unix":
                assert address is None
                assert syscalls.own_address(fd, family) is None
            else:
                assert address == client.getsockname()[:2]
                assert syscalls.own_address(fd, family) == client.getpeername()[:2]
            client.send(b"hello")
            assert accepted.recv(10) == b"hello"


@pytest.mark.parametrize("accept", [syscalls.accept, transport.accept])
def test_accepting_on_what_does_not_listen(accept: Callable[[socket.socket], Any]) -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(OSError) as caught:
            accept(sock)
        assert caught.value.errno == errno.EINVAL


# The same through a connection: what the socket does not take goes to the transport, in order.


def told_to_the_transport(pair: Pair) -> int:
    return pair.transport.get_write_buffer_size()


@on_each_loop
async def test_a_stream_sends_whole() -> None:
    pair = await Pair().open()
    for data in (b"\x00", b"text", bytes(range(256)) * 16):
        pair.connection.write(data)
        assert told_to_the_transport(pair) == 0
        assert await pair.read(len(data)) == data
    await pair.close()


@on_each_loop
async def test_a_stream_of_which_the_socket_takes_a_part() -> None:
    pair = await Pair().open(send_buffer=262144)
    large = LARGE[: 4 << 20]
    pair.connection.write(large)
    left = told_to_the_transport(pair)
    assert 0 < left < len(large)
    pair.connection.write(b"behind it")
    assert pair.connection.unsent() == left + 9
    assert await pair.read(len(large) + 9) == large + b"behind it"
    await pair.close()


@on_each_loop
async def test_a_stream_whose_socket_is_full() -> None:
    """Filled behind its back: nothing is sent, nothing is lost."""
    pair = await Pair().open(send_buffer=262144)
    fd = pair.fd
    filled = b""
    while True:
        try:
            sent = os.write(fd, LARGE[:1000])
        except BlockingIOError:
            break
        filled += LARGE[:sent]
    pair.connection.write(b"behind it")
    assert told_to_the_transport(pair) in (0, 9)  # 0 when the kernel has found room meanwhile
    assert await pair.read(len(filled) + 9) == filled + b"behind it"
    await pair.close()


@on_each_loop
async def test_a_stream_whose_peer_has_reset() -> None:
    """The write meets the reset first; the connection learns of the end by its transport, and once."""
    pair = await Pair().open()
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.peer.close()
    pair.connection.write(b"too late")
    await pair.driver.until("lost")
    assert pair.driver.events.count("lost") == 1
    pair.ticker.close()
