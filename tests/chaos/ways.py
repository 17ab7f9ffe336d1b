"""How a client leaves: one function for each way, and what it does before.

Rules of this file:
- A way is told the style's path and method, and nothing of what the application does there.
- It returns in a word what it saw. `Stuck` is raised for what must not be: the server has to act, and did not.
- What is random comes from the visit's own generator, so that it can be repeated.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.soak import wire as frames
from benchmarks.soak.client import handshake
from tests.chaos.styles import HTTP, WEBSOCKET, Style
from tests.chaos.wire import Late, Wire

#: Seconds within which a server must have ended its side of a connection that is over, or have answered one
#: that stays. Generous: machines are shared, and this is no verdict on speed.
PATIENCE = 20.0
#: Receive buffer of a client that is to be slow, in octets.
SMALL = 8192


class Stuck(Exception):
    """The server did not do what it has to."""


@dataclass
class Visit:
    """One connection to come: where to, and what for."""

    host: str
    port: int
    context: ssl.SSLContext | None
    style: Style
    way: str
    random: random.Random
    hurry: float = 1.0

    def target(self, stays: bool) -> str:
        return f"{self.style.path}?way={self.way.replace(' ', '+')}{'&stays=1' if stays else ''}"

    def seconds(self, least: float, most: float) -> float:
        return self.random.uniform(least, most) * self.hurry


class _Guest:
    """A client on its connection."""

    def __init__(self, visit: Visit, wire: Wire) -> None:
        self.visit = visit
        self.random = visit.random
        self.wire = wire
        self.data = bytearray()
        self.reader: frames.Reader | None = None
        self.deflater: frames.Deflater | None = None

    @property
    def websocket(self) -> bool:
        return self.visit.style.kind == WEBSOCKET

    # What is asked for.

    def request(self, stays: bool) -> bytes:
        """The head of the request, with a part of the body behind it where there is one."""
        style = self.visit.style
        target = self.visit.target(stays)
        if self.websocket:
            key = base64.b64encode(self.random.randbytes(16))
            return handshake(target, key, self.random.random() < 0.4)
        head = f"{style.method} {target} HTTP/1.1\r\nHost: chaos\r\n"
        if style.uploads:
            return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n"
        return head.encode() + b"\r\n"

    def chunk(self) -> bytes:
        size = self.random.choice([1, 100, 20_000])
        return b"%x\r\n%b\r\n" % (size, bytes(size))

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and fields of the response. Raises Stuck, ConnectionError."""
        while (end := self.data.find(b"\r\n\r\n")) < 0:
            if not await self.more():
                raise ConnectionResetError("ended within the head")
        lines = bytes(self.data[:end]).decode("latin-1").split("\r\n")
        del self.data[: end + 4]
        fields = [line.partition(":") for line in lines[1:]]
        return int(lines[0].split(" ")[1]), {
            name.lower(): value.strip() for name, _, value in fields
        }

    async def more(self, patience: float = PATIENCE) -> bool:
        try:
            data = await self.wire.receive(patience)
        except Late as error:
            raise Stuck(f"{error}, and no end either") from None
        self.data += data
        return bool(data)

    async def upgraded(self, stays: bool) -> int:
        """The opening handshake; its status."""
        await self.wire.send(self.request(stays))
        status, fields = await self.head()
        if status == 101:
            agreed = "permessage-deflate" in fields.get("sec-websocket-extensions", "")
            if agreed:
                self.deflater = frames.Deflater(9, False)
            self.reader = frames.Reader(agreed)
            self.reader.feed(bytes(self.data))
            self.data.clear()
        return status

    def message(self, size: int | None = None) -> bytes:
        size = self.random.choice([0, 5, 200, 3000, 70_000]) if size is None else size
        payload = self.random.randbytes(size)
        if self.deflater is not None and self.random.random() < 0.7:
            data = self.deflater.compress(payload)
            return frames.frame(frames.BINARY, data, flags=frames.FIN | frames.RSV1)
        return frames.frame(frames.BINARY, payload)

    async def settle(self) -> None:
        """Get to the middle of it: as far as the style lets a client."""
        if self.websocket:
            status = await self.upgraded(False)
            if status == 101:
                for _ in range(self.random.randrange(4)):
                    await self.wire.send(self.message())
                await self.glance()
            return
        await self.wire.send(self.request(False))
        if self.visit.style.uploads:
            for _ in range(self.random.randrange(4)):
                await self.wire.send(self.chunk())
        await self.glance()

    async def glance(self) -> None:
        """Read a little, if something comes."""
        for _ in range(self.random.randrange(4)):
            with contextlib.suppress(Late):
                if not await self.wire.receive(self.visit.seconds(0.02, 0.2), 4096):
                    return

    async def until_ended(self, patience: float = PATIENCE) -> str:
        """Read until the server has ended its side. Raises Stuck when it does not, however much comes."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        try:
            while await self.wire.receive(max(0.01, until - loop.time())):
                if loop.time() > until:
                    raise Stuck(f"more and more for {patience:g} s behind the client's end")
        except Late:
            raise Stuck(f"no end of the connection for {patience:g} s") from None
        except OSError:
            return "reset"
        return "ended"


async def _guest(visit: Visit, receive_buffer: int = 0) -> _Guest:
    wire = await Wire.connect(visit.host, visit.port, visit.context, receive_buffer)
    guest = _Guest(visit, wire)
    try:
        await wire.secure()
    except BaseException:
        wire.close()
        raise
    return guest


# Those that stay.


async def in_order(visit: Visit) -> str:
    """Take all there is, and end as one should."""
    guest = await _guest(visit)
    try:
        if guest.websocket:
            return await _talk(guest)
        return await _exchange(guest)
    finally:
        guest.wire.close()


async def _exchange(guest: _Guest) -> str:
    style = guest.visit.style
    await guest.wire.send(guest.request(True))
    if style.uploads:
        with contextlib.suppress(OSError):  # refused before it was all sent
            for _ in range(guest.random.randrange(1, 6)):
                await guest.wire.send(guest.chunk())
            await guest.wire.send(b"0\r\n\r\n")
    try:
        status, fields = await guest.head()
        if style.whole and status != style.status:
            raise Stuck(f"status {status} in place of {style.status}")
        whole = await _body(guest, status, fields)
    except OSError as error:
        if style.whole:
            raise Stuck(f"a response that ends early: {error!r}") from None
        return "cut"
    if style.whole and not whole:
        raise Stuck("a response that ends early")
    return "whole" if whole else "cut"


async def _body(guest: _Guest, status: int, fields: dict[str, str]) -> bool:
    """Read the body; whether it was whole."""
    if guest.visit.style.method == "HEAD" or status in (204, 304):
        return True
    if "content-length" in fields:
        left = int(fields["content-length"])
        while len(guest.data) < left:
            if not await guest.more():
                return False
        return True
    if fields.get("transfer-encoding") != "chunked":
        while await guest.more():
            pass
        return True
    while True:
        while (end := guest.data.find(b"\r\n")) < 0:
            if not await guest.more():
                return False
        size = int(guest.data[:end], 16)
        while len(guest.data) < end + 4 + size:
            if not await guest.more():
                return False
        del guest.data[: end + 4 + size]
        if not size:
            return True


async def _talk(guest: _Guest) -> str:
    style = guest.visit.style
    try:
        status = await guest.upgraded(True)
        if status != 101:
            if style.status not in (status, 200):
                raise Stuck(f"status {status} in place of {style.status}")
            await guest.until_ended()
            return f"refused {status}"
        for _ in range(guest.random.randrange(1, 5)):
            await guest.wire.send(guest.message())
        return await _leave(guest)
    except OSError as error:
        raise Stuck(f"no close frame: {error!r}") from None


async def _leave(guest: _Guest) -> str:
    """The closing handshake: ours after a moment, or the server's before."""
    reader = guest.reader
    assert reader is not None
    loop = asyncio.get_running_loop()
    ours = loop.time() + guest.visit.seconds(0.05, 0.3)
    until = loop.time() + PATIENCE
    closed = False
    while True:
        while (event := reader.next()) is not None:
            if isinstance(event, frames.Closed):
                if not closed:
                    await guest.wire.send(frames.frame(frames.CLOSE, frames.close_payload(1000)))
                await guest.until_ended()
                return f"closed {event.code}"
            if isinstance(event, frames.Ping) and not closed:
                await guest.wire.send(frames.frame(frames.PONG, event.payload))
        now = loop.time()
        if now >= until:
            raise Stuck(f"no close frame for {PATIENCE:g} s")
        if not closed and now >= ours:
            await guest.wire.send(frames.frame(frames.CLOSE, frames.close_payload(1000)))
            closed = True
        try:
            data = await guest.wire.receive(0.05 if closed else max(0.01, ours - now))
        except Late:
            continue
        if not data:
            raise Stuck("the end of TCP without a close frame")
        reader.feed(data)


# Those that go.


async def fin(visit: Visit) -> str:
    """A FIN in the middle of it, without close_notify."""
    guest = await _guest(visit)
    await _settled(guest)
    guest.wire.shut()
    await asyncio.sleep(visit.seconds(0, 0.2))
    guest.wire.close()
    return "left"


async def rst(visit: Visit) -> str:
    guest = await _guest(visit)
    await _settled(guest)
    guest.wire.reset()
    return "left"


async def at_once(visit: Visit) -> str:
    """The request and the end in one breath."""
    guest = await _guest(visit)
    with contextlib.suppress(OSError):
        await guest.wire.send(guest.request(False))
    visit.random.choice([guest.wire.close, guest.wire.reset])()
    return "left"


async def half_close(visit: Visit) -> str:
    """The end of this side alone. A WebSocket is over by that; a response may go on, and is read a while."""
    guest = await _guest(visit)
    try:
        await _settled(guest)
        guest.wire.shut()
        if guest.websocket:
            return await guest.until_ended()
        return await _watch(guest, visit.seconds(0.3, 2))
    finally:
        guest.wire.close()


async def notify(visit: Visit) -> str:
    """An orderly end of TLS and TCP."""
    guest = await _guest(visit)
    try:
        await _settled(guest)
        with contextlib.suppress(OSError, Late):
            await guest.wire.notify()
        return "left"
    finally:
        guest.wire.close()


async def notify_alone(visit: Visit) -> str:
    """A close_notify without the end of TCP."""
    guest = await _guest(visit)
    try:
        await _settled(guest)
        with contextlib.suppress(OSError, Late):
            await guest.wire.notify()
        if guest.websocket:
            return await guest.until_ended()
        return await _watch(guest, visit.seconds(0.3, 2))
    finally:
        guest.wire.close()


async def stall(visit: Visit) -> str:
    """Read nothing for a while, then go."""
    guest = await _guest(visit, SMALL)
    try:
        with contextlib.suppress(OSError):
            if guest.websocket:
                await guest.upgraded(False)
                await guest.wire.send(guest.message(5))
            else:
                await guest.wire.send(guest.request(False))
        await asyncio.sleep(visit.seconds(0.3, 6))
        return "left"
    finally:
        visit.random.choice([guest.wire.close, guest.wire.reset])()


async def slow(visit: Visit) -> str:
    """Read a little now and then, then go."""
    guest = await _guest(visit, SMALL)
    try:
        if guest.websocket:
            await guest.upgraded(False)
        else:
            await guest.wire.send(guest.request(False))
        loop = asyncio.get_running_loop()
        until = loop.time() + visit.seconds(0.5, 4)
        with contextlib.suppress(Late):
            while loop.time() < until and await guest.wire.receive(0.5, 2000):
                await asyncio.sleep(0.05)
    except OSError:
        return "cut"
    finally:
        visit.random.choice([guest.wire.close, guest.wire.reset])()
    return "left"


async def mid_handshake(visit: Visit) -> str:
    """In the middle of the handshake of TLS."""
    wire = await Wire.connect(visit.host, visit.port, visit.context)
    try:
        await wire.hello(visit.random.choice([0.1, 0.5, 1.0]))
        with contextlib.suppress(Late):
            if visit.random.random() < 0.5:
                await wire._fill(visit.seconds(0.05, 0.5))
        await asyncio.sleep(visit.seconds(0, 0.5))
        return "left"
    finally:
        visit.random.choice([wire.close, wire.reset])()


async def mid_head(visit: Visit) -> str:
    guest = await _guest(visit)
    request = guest.request(False)
    with contextlib.suppress(OSError):
        await guest.wire.send(request[: visit.random.randrange(1, len(request) - 1)])
        await asyncio.sleep(visit.seconds(0, 0.5))
    visit.random.choice([guest.wire.close, guest.wire.reset])()
    return "left"


async def mid_chunk(visit: Visit) -> str:
    """In the middle of a chunk of an upload."""
    guest = await _guest(visit)
    with contextlib.suppress(OSError, Late):
        await guest.wire.send(guest.request(False) + guest.chunk() + b"5000\r\n" + bytes(100))
        await guest.glance()
    if visit.random.random() < 0.4:
        guest.wire.shut()
        await asyncio.sleep(visit.seconds(0.1, 1))
    visit.random.choice([guest.wire.close, guest.wire.reset])()
    return "left"


async def mid_frame(visit: Visit) -> str:
    """In the middle of a frame."""
    guest = await _guest(visit)
    return await _leave_within(guest, guest.message(3000)[: visit.random.randrange(1, 2500)])


async def mid_message(visit: Visit) -> str:
    """Between the fragments of a message."""
    guest = await _guest(visit)
    first = frames.frame(frames.TEXT, b"to be continued", flags=0)
    more = frames.frame(frames.CONTINUATION, b", and so on", flags=0)
    return await _leave_within(guest, first + more * visit.random.randrange(3))


async def _leave_within(guest: _Guest, octets: bytes) -> str:
    try:
        if await guest.upgraded(False) != 101:
            return "refused"
        await guest.wire.send(octets)
        await asyncio.sleep(guest.visit.seconds(0, 0.3))
    except OSError:
        return "cut"
    finally:
        guest.random.choice([guest.wire.close, guest.wire.reset])()
    return "left"


async def behind_close_frame(visit: Visit) -> str:
    """A close frame, and the end at once; or more behind it."""
    guest = await _guest(visit)
    close = frames.frame(frames.CLOSE, frames.close_payload(visit.random.choice([1000, None])))
    more = visit.random.choice([b"", frames.frame(frames.TEXT, b"one more thing")])
    return await _leave_within(guest, close + more)


async def close_frame_unread(visit: Visit) -> str:
    """A close frame of a client that reads nothing, and stays until the server has had enough."""
    guest = await _guest(visit, SMALL)
    try:
        if await guest.upgraded(False) != 101:
            return "refused"
        await guest.wire.send(frames.frame(frames.CLOSE, frames.close_payload(1000)))
        await asyncio.sleep(visit.seconds(0.5, 3))
    except OSError:
        return "cut"
    finally:
        visit.random.choice([guest.wire.close, guest.wire.reset])()
    return "left"


async def _settled(guest: _Guest) -> None:
    """To the middle of it; the server may have ended it before."""
    try:
        await guest.settle()
    except (OSError, Late, Stuck):
        pass


async def _watch(guest: _Guest, seconds: float) -> str:
    try:
        return await guest.until_ended(seconds)
    except Stuck:
        return "left"


# All of them.


class Way(NamedTuple):
    name: str
    go: Callable[[Visit], Awaitable[str]]
    kinds: tuple[str, ...] = (HTTP, WEBSOCKET)
    needs_tls: bool = False
    uploads_only: bool = False
    weight: float = 1.0


_ALL = [
    Way("in order", in_order, weight=2.5),
    Way("FIN", fin, weight=1.5),
    Way("RST", rst, weight=1.5),
    Way("at once", at_once),
    Way("half-close", half_close, weight=1.5),
    Way("stall", stall),
    Way("slow", slow),
    Way("mid-head", mid_head, weight=0.3),
    Way("mid-chunk", mid_chunk, (HTTP,), uploads_only=True),
    Way("mid-frame", mid_frame, (WEBSOCKET,)),
    Way("mid-message", mid_message, (WEBSOCKET,)),
    Way("behind close frame", behind_close_frame, (WEBSOCKET,)),
    Way("close frame unread", close_frame_unread, (WEBSOCKET,)),
    Way("mid-handshake", mid_handshake, needs_tls=True, weight=0.3),
    Way("close_notify", notify, needs_tls=True),
    Way("close_notify alone", notify_alone, needs_tls=True),
]

WAYS = {way.name: way for way in _ALL}


def fitting(style: Style, tls: bool, names: tuple[str, ...]) -> list[Way]:
    """The ways that there are to leave it."""
    return [
        WAYS[name]
        for name in names
        if style.kind in WAYS[name].kinds
        and (tls or not WAYS[name].needs_tls)
        and (style.uploads or not WAYS[name].uploads_only)
    ]
