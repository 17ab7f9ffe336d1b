"""asgiws/net/files.py: a file on a connection, by the kernel and without it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from asgiws.net import files
from tests.support.loops import on_each_loop
from tests.support.pair import Pair, whose_transport

__all__ = ["whose_transport"]  # each test has either transport


@on_each_loop
async def test_send_file(tmp_path: Path) -> None:
    content = os.urandom(700_000)
    file = tmp_path / "content"
    file.write_bytes(content)
    pair = await Pair().open(send_buffer=65536)
    reading = asyncio.ensure_future(pair.read(len(content) + 4))
    pair.connection.write(b"head")
    with file.open("rb") as opened:
        assert await pair.connection.send_file(opened, len(content)) == len(content)
    assert await reading == b"head" + content
    with file.open("rb") as opened:
        # No more than was asked for, from where it stands, and no more than there is.
        opened.seek(10)
        assert await pair.connection.send_file(opened, 5) == 5
        assert await pair.read(5) == content[10:15]
        opened.seek(-3, os.SEEK_END)
        assert await pair.connection.send_file(opened, 5) == 3
        assert await pair.read(3) == content[-3:]
        pair.connection.close()
        assert await pair.connection.send_file(opened, 5) == 0
    assert await pair.read_to_end() == b""
    pair.peer.close()
    await pair.close()


@on_each_loop
async def test_a_file_follows_what_the_transport_still_holds(tmp_path: Path) -> None:
    file = tmp_path / "content"
    file.write_bytes(b"file" * 100_000)
    pair = await Pair().open(send_buffer=65536)
    before = b"x" * 3_000_000  # far more than the socket takes at once
    pair.connection.write(before)
    with file.open("rb") as opened:
        sending = asyncio.ensure_future(pair.connection.send_file(opened, 400_000))
        assert await pair.read(len(before) + 400_000) == before + b"file" * 100_000
        assert await sending == 400_000
    pair.connection.write(b"and on it goes")
    assert await pair.read(14) == b"and on it goes"
    pair.peer.close()
    await pair.close()


@on_each_loop
async def test_a_file_for_a_peer_that_goes(tmp_path: Path) -> None:
    file = tmp_path / "content"
    file.write_bytes(bytes(20_000_000))
    pair = await Pair().open(send_buffer=65536)
    with file.open("rb") as opened:
        sending = asyncio.ensure_future(pair.connection.send_file(opened, 20_000_000))
        await pair.read(100_000)
        pair.peer.close()
        assert await sending < 20_000_000
        assert pair.connection.is_closing()
    await pair.close()


@on_each_loop
async def test_a_file_that_is_no_longer_wanted(tmp_path: Path) -> None:
    """A cancelled send_file lets go of its descriptors, and the connection is good for more."""
    file = tmp_path / "content"
    file.write_bytes(bytes(20_000_000))
    pair = await Pair().open(send_buffer=65536)
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    with file.open("rb") as opened:
        sending = asyncio.ensure_future(pair.connection.send_file(opened, 20_000_000))
        await pair.read(100_000)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    while descriptors and len(os.listdir("/proc/self/fd")) > descriptors:
        await asyncio.sleep(0.01)
    pair.connection.abort()
    pair.peer.close()
    await pair.close()


@on_each_loop
async def test_a_file_that_is_read_and_written(tmp_path: Path) -> None:
    """As on a system, or under TLS, where the kernel does not send it."""
    content = os.urandom(files.READ_CHUNK + 100)
    file = tmp_path / "content"
    file.write_bytes(content)
    pair = await Pair().open(send_buffer=65536)
    reading = asyncio.ensure_future(pair.read(len(content) - 10))
    with file.open("rb") as opened:
        opened.seek(10)
        # There is less than was asked for.
        assert await files.read_and_write(pair.connection, opened, 1 << 30) == len(content) - 10
        assert await reading == content[10:]
        opened.seek(0)
        assert await files.read_and_write(pair.connection, opened, 5) == 5
        assert await pair.read(5) == content[:5]
        pair.connection.close()
        assert await files.read_and_write(pair.connection, opened, 5) == 0
    pair.peer.close()
    await pair.close()


@on_each_loop
async def test_the_file_may_be_closed_while_it_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "content"
    file.write_bytes(b"file" * 500_000)
    pair = await Pair().open(send_buffer=65536)
    with file.open("rb") as opened:
        sending = asyncio.ensure_future(pair.connection.send_file(opened, 2_000_000))
        await pair.read(4)
    assert await pair.read(2_000_000 - 4) == (b"file" * 500_000)[4:]
    assert await sending == 2_000_000
    await pair.close()
