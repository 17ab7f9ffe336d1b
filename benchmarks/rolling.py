"""What a fleet of WebSockets sees of a rolling restart: asgiws beside servers that have one.

    python -m benchmarks.rolling                 # a minute; prints the table
    python -m benchmarks.rolling --write-docs    # and writes it, with the plot, into docs/workers.md

Rules of this file:
- Every server runs two workers, gets one SIGHUP, and has all else at its default; asgiws has a drain
  window of WINDOW seconds, which the table says.
- A client that loses its connection, however that comes, connects again at once: the storm is the server's
  doing alone. It is written by hand, so that the load costs little.
- Nothing is measured but what the clients see.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import peers, plots, servers
from benchmarks.run import wait_until_answering
from benchmarks.scenarios import raise_open_files
from benchmarks.servers import SERVED, Server, environment
from conformance.docs import DocsError
from conformance.docs import write as write_docs
from conformance.process import free_port, started
from conformance.servers import ServerError
from conformance.tables import Rows, markdown, text

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "workers.md"
PLOT = "rolling-restart.svg"
BEGIN = "<!-- begin of what `python -m benchmarks.rolling --write-docs` writes -->"
END = "<!-- end of what `python -m benchmarks.rolling --write-docs` writes -->"

WINDOW = 5
APP = "applications:echo"
NAMES = ("asgiws", "uvicorn", "granian")
_PEERS = {
    "uvicorn": "uvicorn-sansio",
    "granian": "granian",
}

#: Seconds that are looked at before the restart and after it, between two looks, and before a refused client
#: tries again.
BEFORE, AFTER, LOOK, RETRY = 1.0, 14.0, 0.05, 0.05

#: Seconds that the whole fleet has to connect for the first time.
PATIENCE = 60.0

_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
#: A masked close frame without a code, which answers any other.
_CLOSE = b"\x88\x80\x00\x00\x00\x00"


@dataclass
class Seen:
    """What a fleet has seen of one server. Moments are seconds since the restart."""

    server: str
    clients: int
    #: How connections ended: a close code, or 1006 without a close frame.
    codes: Counter[int] = field(default_factory=Counter)
    #: Attempts to connect that failed.
    refused: int = 0
    #: When connections were opened.
    opened: list[float] = field(default_factory=list)
    #: (moment, connections that are open).
    looks: list[tuple[float, int]] = field(default_factory=list)

    @property
    def steepest(self) -> int:
        """The most connections that were opened within a tenth of a second after the restart."""
        moments = sorted(moment for moment in self.opened if moment >= 0)
        first = most = 0
        for last, moment in enumerate(moments):
            while moment - moments[first] > 0.1:
                first += 1
            most = max(most, last - first + 1)
        return most

    @property
    def fewest(self) -> int:
        """The fewest connections that were open at any look after the restart."""
        return min((count for moment, count in self.looks if moment >= 0), default=0)


class Client(asyncio.Protocol):
    """One connection of the fleet: it answers a close frame, and reads everything else away."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.rest = b""
        self.is_open = False
        self.code = 1006

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.fleet.clients.add(self)
        transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        if not self.is_open:
            head, end, rest = self.rest.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.transport.abort()
                return
            self.is_open = True
            self.fleet.opened(self)
            self.rest = rest
        while len(self.rest) >= 2:
            # Servers send short frames here: pings and close frames.
            size = 2 + (self.rest[1] & 0x7F)
            frame, self.rest = self.rest[:size], self.rest[size:]
            if len(frame) < size:
                self.rest = frame
                return
            if frame[0] & 0x0F == 8:
                self.code = int.from_bytes(frame[2:4], "big") if size >= 4 else 1005
                self.transport.write(_CLOSE)
                self.transport.close()
                return
            if frame[0] & 0x0F == 9:
                self.transport.write(b"\x8a" + bytes([0x80 | size - 2]) + bytes(4) + frame[2:])

    def connection_lost(self, error: Exception | None) -> None:
        self.fleet.lost(self)


class Fleet:
    """So many clients of the server at `port`, which come back whenever they lose their connection."""

    def __init__(self, seen: Seen, port: int) -> None:
        self.seen = seen
        self.port = port
        self.count = 0
        self.clients: set[Client] = set()
        self.is_over = False
        self.loop = asyncio.get_running_loop()
        self.zero = self.loop.time()
        self.tasks: set[asyncio.Task[None]] = set()

    def moment(self) -> float:
        return self.loop.time() - self.zero

    def connect(self, delay: float = 0.0) -> None:
        task = self.loop.create_task(self._connect(delay))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connect(self, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            await self.loop.create_connection(lambda: Client(self), "127.0.0.1", self.port)
        except OSError:
            self._refused()

    def _refused(self) -> None:
        if not self.is_over:
            self.seen.refused += 1
            self.connect(RETRY)

    def opened(self, client: Client) -> None:
        self.count += 1
        self.seen.opened.append(self.moment())

    def lost(self, client: Client) -> None:
        self.clients.discard(client)
        if not client.is_open:
            self._refused()
            return
        self.count -= 1
        if not self.is_over:
            self.seen.codes[client.code] += 1
            self.connect()

    async def end(self) -> None:
        """Let go of all connections."""
        self.is_over = True
        for task in list(self.tasks):
            task.cancel()
        while self.tasks or self.clients:
            for client in list(self.clients):
                client.transport.abort()
            await asyncio.sleep(LOOK)

    async def watch(self, seconds: float) -> None:
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            self.seen.looks.append((self.moment(), self.count))
            await asyncio.sleep(LOOK)


async def measure(server: Server, clients: int, seconds: float, port: int, pid: int) -> Seen:
    """Restart the server whose supervisor is `pid` under a fleet. Raises ServerError."""
    seen = Seen(server.name, clients)
    fleet = Fleet(seen, port)
    for number in range(clients):
        fleet.connect(number / clients)  # not a storm of our own
    deadline = fleet.loop.time() + PATIENCE
    while fleet.count < clients:
        if fleet.loop.time() > deadline:
            raise ServerError(f"{server.name}: {fleet.count} of {clients} clients were let in")
        await asyncio.sleep(LOOK)
    seen.refused = 0
    fleet.zero = fleet.loop.time() + BEFORE
    seen.opened.clear()
    await fleet.watch(BEFORE)
    os.kill(pid, signal.SIGHUP)
    await fleet.watch(seconds)
    await fleet.end()
    return seen


def choose(name: str, peers_bin: Path | None) -> Server:
    """The server of that name with two workers. Raises ServerError."""
    if name == "asgiws":
        own = servers.asgiws(name, None)
        more = ("--workers", "2", "--drain-window", f"{WINDOW}s")
        return Server(name, own.kind, (*own.argv, *more))
    if name not in _PEERS:
        raise ServerError(f"unknown server {name!r}; known are {', '.join(NAMES)}")
    assert peers_bin is not None
    peer = servers.peer(_PEERS[name], peers_bin)
    argv = list(peer.argv)
    if "--workers" in argv:
        index = argv.index("--workers")
        del argv[index : index + 2]
    return Server(name, peer.kind, (*argv, "--workers", "2"))


def table(several: Sequence[Seen]) -> Rows:
    """The figures, a row for each server."""
    rows = [["server", "ended with", "refused", "fewest open", "most reconnects in 0.1 s"]]
    for seen in several:
        codes = ", ".join(f"{count} x {code}" for code, count in sorted(seen.codes.items()))
        rows.append(
            [
                *(seen.server, codes or "none", str(seen.refused)),
                *(f"{seen.fewest} of {seen.clients}", str(seen.steepest)),
            ]
        )
    return rows


def draw(several: Sequence[Seen], folder: Path) -> None:
    """The plot of open connections, and of reconnects, over time. Raises PlotError."""
    plots.prepare()
    import matplotlib.pyplot as pyplot

    colours = ("#c1272d", "#2f5d8a", "#6a8f5f", "#8d7aa6")
    figure, places = pyplot.subplots(2, 1, sharex=True, figsize=(9, 4.5), layout="constrained")
    for seen, colour in zip(several, colours, strict=False):
        width = 2 if seen.server == "asgiws" else 1
        moments = [moment for moment, _ in seen.looks]
        counts = [count for _, count in seen.looks]
        places[0].plot(moments, counts, color=colour, lw=width, label=seen.server)
        edges = [index / 10 for index in range(int(-10 * BEFORE), int(10 * AFTER) + 1)]
        places[1].hist(seen.opened, bins=edges, histtype="step", color=colour, lw=width, log=True)
    places[0].set_title("connections that are open", fontsize=9, loc="left")
    places[0].set_ylim(bottom=0)
    places[0].legend(fontsize=7, loc="lower right")
    places[1].set_title("connections opened in each tenth of a second", fontsize=9, loc="left")
    places[1].set_xlabel("seconds since SIGHUP")
    for place in places:
        place.grid(lw=0.3)
        place.spines[["top", "right"]].set_visible(False)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / PLOT, metadata={"Date": None})
    pyplot.close(figure)


def block(several: Sequence[Seen], used: Sequence[Server]) -> str:
    """The Markdown of the results."""
    system = platform.uname()
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    machine = f"{system.system} {system.release} {system.machine}, {os.cpu_count()} cores"
    lines = [
        f"{today}, {machine}, which had other things to do as well; {several[0].clients} clients.",
        f"![Connections and reconnects over time](images/{PLOT})",
        markdown(table(several)),
        "What was started:",
        "\n".join(
            f"- {one.name} ({servers.describe(one).versions}): `{one.shown}`" for one in used
        ),
    ]
    return "\n\n".join(lines)


def run(server: Server, clients: int, seconds: float) -> Seen:
    """Start the server, restart it under a fleet, stop it. Raises ServerError."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        log = Path(folder) / "server.log"
        command = server.command(APP, port)
        with started(command, port, environment(server), log, SERVED) as running:
            wait_until_answering(port)
            return asyncio.run(measure(server, clients, seconds, port, running.pid))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 2 when it could not be run, with one line on the error stream."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rolling", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--servers", default=",".join(NAMES), help=f"default: {','.join(NAMES)}")
    parser.add_argument("--clients", type=int, default=1000, metavar="N", help="(1000)")
    parser.add_argument("--seconds", type=float, default=AFTER, metavar="S", help=f"({AFTER:g})")
    parser.add_argument("--peers-bin", type=Path, metavar="DIR", help="where the peers are")
    parser.add_argument("--plots", type=Path, default=Path("reports") / "benchmarks", metavar="DIR")
    parser.add_argument("--write-docs", action="store_true", help=f"write into docs/{PAGE.name}")
    options = parser.parse_args(argv)
    try:
        raise_open_files()
        names = options.servers.split(",")
        folder = options.peers_bin
        if folder is None and any(name in _PEERS for name in names):
            folder = peers.bin_folder(_say)
        used = [choose(name, folder) for name in names]
        several = []
        for server in used:
            _say(f"{server.name}: {options.clients} clients, {options.seconds:g} s")
            several.append(run(server, options.clients, options.seconds))
        print(text(table(several)))
        if options.write_docs:
            draw(several, DOCS / "images")
            write_docs(block(several, used), PAGE, BEGIN, END)
        elif plots.are_possible():
            draw(several, options.plots)
    except (ServerError, peers.PeersError, plots.PlotError, DocsError, OSError) as error:
        print(f"benchmarks.rolling: {error}", file=sys.stderr)
        return 2
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
