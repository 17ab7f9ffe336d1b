"""A line over a pair of real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asgiws.processes.line import Dialer, Line
from asgiws.topics.link import Outgoing
from tests.support.loops import on_each_loop, settle

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are not for Windows")


class End:
    """One end, and what it has heard."""

    def __init__(self, sock: socket.socket) -> None:
        self.octets = b""
        self.ends = 0
        self.sents = 0
        self.writes = 0
        self.outgoing = Outgoing(1 << 20)
        self.line = Line(
            asyncio.get_running_loop(), sock, self.outgoing, self.received, self.ended, self.sent
        )

    def received(self, data: bytes) -> None:
        self.octets += data

    def ended(self) -> None:
        self.ends += 1

    def sent(self) -> None:
        self.sents += 1

    def send(self, *parts: bytes) -> None:
        self.outgoing.add(*parts)
        self.line.flush_soon()


async def until(condition: Callable[[], object]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), 40)


@on_each_loop
async def test_all_of_a_turn_leaves_in_one_write() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    end = End(ours)
    with theirs:
        theirs.setblocking(False)
        for number in range(100):
            end.send(b"%d " % number)
        assert not end.sents
        await settle()
        assert end.sents == 1
        assert theirs.recv(65536) == b"".join(b"%d " % number for number in range(100))
        assert end.outgoing.size == 0
        end.line.close()


@on_each_loop
async def test_more_than_the_socket_takes_arrives_in_order() -> None:
    one, other = map(End, socket.socketpair())
    parts = [b"%7d" % number + b"x" * 993 for number in range(5000)]
    other.line.pause()
    one.send(*parts)
    await settle()
    size = one.outgoing.size
    assert 0 < size < 5_000_000
    one.send(b"end")  # it waits behind
    await settle()
    assert one.outgoing.size == size + 3
    other.send(b"the other way")
    await until(lambda: one.octets)
    other.line.resume()
    await until(lambda: other.octets.endswith(b"end"))
    assert other.octets == b"".join(parts) + b"end"
    one.line.close()
    await until(lambda: other.ends)
    assert (one.ends, other.ends) == (0, 1)
    assert other.line.fileno() == -1


@on_each_loop
async def test_what_was_sent_last_is_read_though_nothing_can_be_written_any_more() -> None:
    ours, theirs = socket.socketpair()
    end = End(ours)
    end.line.pause()
    theirs.sendall(b"last words")
    theirs.close()
    end.send(b"nobody reads this")
    await settle()
    assert end.outgoing.size == 0
    assert end.ends == 0
    end.line.resume()
    await until(lambda: end.ends)
    assert end.octets == b"last words"


@on_each_loop
async def test_the_close_sends_what_waits() -> None:
    one, other = map(End, socket.socketpair())
    one.send(b"goodbye")
    one.line.close(1.0)
    one.line.close()
    await until(lambda: other.ends)
    assert other.octets == b"goodbye"


@on_each_loop
async def test_the_close_does_not_wait_for_somebody_who_does_not_read() -> None:
    one, other = map(End, socket.socketpair())
    other.line.pause()
    one.send(b"x" * 5_000_000)
    await settle()
    one.line.close(0.1)
    assert one.outgoing.size == 0
    other.line.close()


@on_each_loop
async def test_a_connection_is_made_though_nobody_accepts_yet(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "hub"))
        listener.listen(5)
        dial = Dialer(loop, str(tmp_path / "hub"))
        outgoing = Outgoing(1 << 20)
        outgoing.add(b"hello")
        heard: list[bytes] = []
        line = dial(outgoing, heard.append, bool)
        await settle()
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(100) == b"hello"
            # A process that the application forks neither holds the line open nor can write to it.
            pid = os.fork()
            if not pid:
                try:
                    os.write(line.fileno(), b"from a fork")
                finally:
                    os._exit(0)
            await asyncio.to_thread(os.waitpid, pid, 0)
            line.close()
            assert sock.recv(100) == b""
    (tmp_path / "hub").unlink()
    with pytest.raises(OSError, match="No such file"):
        dial(outgoing, heard.append, bool)
