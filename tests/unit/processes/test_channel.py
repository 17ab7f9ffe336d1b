"""Messages over a pair of sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from asgiws.processes.channel import Channel
from tests.support.loops import on_each_loop


class End:
    """One end, and what it has heard."""

    def __init__(self, sock: socket.socket) -> None:
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self.channel = Channel(
            loop, sock, self.heard.put_nowait, lambda: self.heard.put_nowait("ended")
        )

    async def next(self) -> Any:
        return await asyncio.wait_for(self.heard.get(), 30)


@on_each_loop
async def test_messages_both_ways_in_order() -> None:
    one, other = map(End, socket.socketpair())
    for number in range(100):
        one.channel.send({"number": number, "text": "ü\n"})
    other.channel.send([])
    for number in range(100):
        assert await other.next() == {"number": number, "text": "ü\n"}
    assert await one.next() == []
    one.channel.close()
    assert await other.next() == "ended"
    assert other.heard.empty()


@on_each_loop
async def test_a_message_in_pieces() -> None:
    ours, theirs = socket.socketpair()
    end = End(ours)
    for octet in b'{"a": 1}\n{"b"':
        theirs.send(bytes((octet,)))
        await asyncio.sleep(0)
    assert await end.next() == {"a": 1}
    theirs.close()
    assert await end.next() == "ended"


@on_each_loop
async def test_what_was_sent_before_the_end_is_taken_at_the_finish() -> None:
    ours, theirs = socket.socketpair()
    end = End(ours)
    theirs.send(b'1\n2\n"half')
    theirs.close()
    end.channel.finish()
    assert [end.heard.get_nowait() for _ in range(2)] == [1, 2]
    await asyncio.sleep(0.01)
    assert end.heard.empty()
    end.channel.send("nobody is there")
    end.channel.finish()


@on_each_loop
async def test_a_finish_does_not_wait() -> None:
    ours, theirs = socket.socketpair()
    end = End(ours)
    end.channel.finish()
    assert theirs.recv(1) == b""
    theirs.close()


@on_each_loop
async def test_one_that_does_not_read_holds_up_nobody() -> None:
    ours, theirs = socket.socketpair()
    end = End(ours)
    for _ in range(100_000):
        end.channel.send("x" * 100)
    theirs.close()
    assert await end.next() == "ended"
    end.channel.send("x")
