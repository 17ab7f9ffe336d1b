"""A TCP proxy that does to a connection what networks do: delay it, take it apart, stall it, cut it.

Rules of this file:
- It knows octets and no protocol. Each direction is a `Faults` of its own; the two know nothing of each other.
- What it does not break it keeps: order, every octet, half-closes, resets, and backpressure, since it reads no
  more before what it read is written.
- A `Profile` names what a listening port does; the numbers within are drawn anew for each connection from the
  proxy's own `random.Random`, so that a seed repeats them.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

READ = 65536
#: Seconds for which octets go one by one at most: on a busy machine each takes its time.
SPLITTING = 2.0
_RESET = struct.pack("ii", 1, 0)

#: What happens at `end_at`: a reset to both sides; the rest is thrown away and a FIN sent on (a truncation, and
#: a half-close for the receiver); nothing is passed on any more, and nothing closed.
RESET, TRUNCATE, SILENCE = "reset", "truncate", "silence"


@dataclass(frozen=True)
class Faults:
    """What is done to one direction of a connection; by default nothing. Times are in seconds, places in octets
    from the beginning."""

    #: Each piece waits for as long, evenly between the two.
    delay: tuple[float, float] = (0.0, 0.0)
    #: So many octets go one by one, within the first SPLITTING seconds.
    single: int = 0
    #: Behind them, pieces are no longer than this, as long; 0: as they come.
    piece: int = 0
    #: At this place it stops for `stall_for`.
    stall_at: int | None = None
    stall_for: float = 0.0
    #: At this place it ends, as `end` says.
    end_at: int | None = None
    end: str = RESET


Draw = Callable[[random.Random], "tuple[Faults, Faults]"]


@dataclass(frozen=True)
class Profile:
    """What a port does to its connections: `draw` gives the faults of the way up (to the server) and down.

    `cuts` says that a connection may not live to its end.
    """

    name: str
    what: str
    draw: Draw
    cuts: bool = False


def _either(random: random.Random, faults: Faults) -> tuple[Faults, Faults]:
    """In one direction or in both."""
    none = Faults()
    return random.choice([(faults, none), (none, faults), (faults, faults)])


def _delays(random: random.Random) -> tuple[Faults, Faults]:
    most = random.choice([0.002, 0.02, 0.2])
    return Faults(delay=(0.0, most)), Faults(delay=(0.0, most))


def _octets(random: random.Random) -> tuple[Faults, Faults]:
    faults = Faults(single=random.randrange(200, 1500), piece=random.choice([7, 125, 1460]))
    return _either(random, faults)


def _stalls(random: random.Random) -> tuple[Faults, Faults]:
    at, seconds = random.randrange(0, 3000), random.uniform(0.2, 2.0)
    return _either(random, Faults(stall_at=at, stall_for=seconds))


def _ends(end: str, up: bool, down: bool) -> Draw:
    def draw(random: random.Random) -> tuple[Faults, Faults]:
        # Within the handshake, within the first frames, or far behind.
        at = random.choice([random.randrange(0, 250), random.randrange(250, 1000), 20_000])
        faults, none = Faults(end_at=at, end=end), Faults()
        return (faults if up else none), (faults if down else none)

    return draw


#: The profiles of the soak, by name.
PROFILES = {
    one.name: one
    for one in (
        Profile("delays", "each piece waits for up to 200 ms", _delays),
        Profile("octets", "a split at every octet, then small pieces", _octets),
        Profile("stalls", "a stall of up to 2 s, upwards, downwards or both", _stalls),
        Profile(
            "reset-up", "a reset, seen from the client's octets", _ends(RESET, True, False), True
        ),
        Profile("reset-down", "the same, from the server's", _ends(RESET, False, True), True),
        Profile(
            "truncate-up",
            "truncated towards the server, with a FIN",
            _ends(TRUNCATE, True, False),
            True,
        ),
        Profile(
            "truncate-down", "the same, towards the client", _ends(TRUNCATE, False, True), True
        ),
        Profile(
            "silence-up", "nothing reaches the server any more", _ends(SILENCE, True, False), True
        ),
        Profile(
            "silence-down", "nothing reaches the client any more", _ends(SILENCE, False, True), True
        ),
        Profile("silence", "nothing passes any more, either way", _ends(SILENCE, True, True), True),
    )
}


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by a TCP reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.is_closing():
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:
            pass  # it has gone already
    writer.transport.abort()


@dataclass
class Proxy:
    """Proxies in front of one server; use it as `async with`, then ask for the port of a profile.

    `done` counts what was done: connections by profile, and each kind of end that came about.
    """

    host: str
    port: int
    seed: int = 0
    done: Counter[str] = field(default_factory=Counter)
    _ports: dict[str, int] = field(default_factory=dict)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def __aenter__(self) -> Proxy:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def listen(self, profile: Profile) -> int:
        """The port whose connections get that profile."""
        known = self._ports.get(profile.name)
        if known is not None:
            return known

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._serve(profile, reader, writer))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        server = await asyncio.start_server(accepted, self.host, 0, limit=READ, backlog=1024)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        self._ports[profile.name] = port
        return port

    async def _serve(
        self, profile: Profile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.done[profile.name] += 1
        up, down = profile.draw(self._random)
        try:
            up_reader, up_writer = await asyncio.open_connection(self.host, self.port, limit=READ)
        except OSError:
            reset(writer)
            return
        ways = [
            asyncio.ensure_future(self._pass(reader, up_writer, up)),
            asyncio.ensure_future(self._pass(up_reader, writer, down)),
        ]
        try:
            ended, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            if any(one.exception() for one in ended):
                # A reset, ours or one side's, is passed on to the other.
                reset(writer)
                reset(up_writer)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for one in (writer, up_writer):
                one.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: Faults
    ) -> None:
        """One direction, to its end. Raises ConnectionError where both are to be reset."""
        at = 0
        stalled = False
        clock = asyncio.get_running_loop().time
        split_until = clock() + SPLITTING
        while data := await reader.read(READ):
            while data:
                size = len(data)
                if clock() < split_until:
                    if at < faults.single:
                        size = 1
                    elif faults.piece:
                        size = min(size, faults.piece)
                if faults.stall_at is not None and not stalled:
                    if at >= faults.stall_at:
                        stalled = True
                        self.done["stalls begun"] += 1
                        await asyncio.sleep(faults.stall_for)
                    else:
                        size = min(size, faults.stall_at - at)
                if faults.end_at is not None:
                    if at >= faults.end_at:
                        await self._end(reader, writer, faults.end)
                        return
                    size = min(size, faults.end_at - at)
                await asyncio.sleep(self._random.uniform(*faults.delay) if faults.delay[1] else 0)
                writer.write(data[:size])
                await writer.drain()
                at += size
                data = data[size:]
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    async def _end(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, end: str
    ) -> None:
        self.done[end] += 1
        if end == RESET:
            raise ConnectionResetError("by the proxy")
        if end == TRUNCATE and not writer.is_closing():
            writer.write_eof()
        while await reader.read(READ):
            pass  # thrown away, until its sender gives up
        if end == SILENCE:
            raise ConnectionResetError("the sender gave up")
