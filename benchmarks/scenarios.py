"""What is measured: each scenario as data.

Rules of this file:
- A scenario is an application of the folder `served`, what `native/load.c` does to it, and the
  metric that servers are ranked by. It is the same for every server.
- Over TLS it is version 1.3 with AES-256-GCM, and a certificate of ECDSA P-256 made for the run.
- Names and parameters are stable: results of different days are compared by name.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass, replace

CPU = "cpu_us_per_message"
MEMORY = "kb_per_connection"
P99_RATIO = "p99_ratio"

ECHO, BODIES, PUSH = "applications:echo", "applications:bodies", "applications:push"
TOPIC, TOPIC_BURST = "applications:topic", "applications:topic_burst"
#: The scenarios of topics that have a table of their own.
HOSTS, DEAF = "topic-hosts", "topic-deaf"
STARLETTE = "with_starlette:application"

#: The modes that speak WebSocket, and those that end with the TLS handshake.
_WEBSOCKET = ("echo", "broadcast", "fanout", "connect", "idle", "push")
_HANDSHAKE = ("handshake", "resume")

#: Files that a server needs open beside its connections, generously.
SPARE_FILES = 100


class ScenarioError(Exception):
    """A scenario that there is not; one line for the user."""


@dataclass(frozen=True)
class Scenario:
    """One measurement of a server. `floor` says whether the C floor can take part, `topics` that only a server
    with the extension `asgiws.pubsub` can, and `workers` how many there are.

    With several `nodes`, the server runs that often, with a Redis between them, and each server that can has
    its own way to reach the clients of all. `deaf` clients read nothing, and a second server beside it has the
    same load without them, message by message in turn. `options` are for asgiws.

    `size` is the payload of a message in octets, before compression; of a body for HTTP.
    """

    name: str
    what: str
    app: str
    mode: str
    connections: int
    in_flight: int = 1
    size: int = 32
    binary: bool = False
    deflate: bool = False
    floor: bool = False
    metric: str = CPU
    tls: bool = False
    topics: bool = False
    workers: int = 1
    nodes: int = 1
    deaf: int = 0
    options: tuple[str, ...] = ()

    @property
    def websocket(self) -> bool:
        return self.mode in _WEBSOCKET

    @property
    def handshake(self) -> bool:
        """Whether nothing follows the TLS handshake."""
        return self.mode in _HANDSHAKE

    @property
    def servers(self) -> int:
        """How often the server runs."""
        return 2 if self.deaf else self.nodes

    def load_arguments(self) -> list[str]:
        """The load generator's arguments, but for the server and the times."""
        numbers = {"-c": self.connections, "-d": self.in_flight, "-s": self.size}
        if self.deaf:
            numbers["-D"] = self.deaf
        arguments = [self.mode, *(str(part) for pair in numbers.items() for part in pair)]
        return arguments + ["-b"] * self.binary + ["-z"] * self.deflate + ["-T"] * self.tls


SCALING = (1, 10, 100, 1_000, 10_000, 20_000)


def _echo(
    name: str,
    what: str,
    connections: int,
    size: int = 32,
    *,
    app: str = ECHO,
    in_flight: int = 1,
    binary: bool = False,
    deflate: bool = False,
    floor: bool = True,
) -> Scenario:
    return Scenario(name, what, app, "echo", connections, in_flight, size, binary, deflate, floor)


def _wss(
    name: str, what: str, connections: int, size: int = 32, *, binary: bool = False
) -> Scenario:
    return Scenario(name, what, ECHO, "echo", connections, size=size, binary=binary, tls=True)


def _topic(
    name: str,
    what: str,
    connections: int,
    times: int = 1,
    *,
    floor: bool = False,
    workers: int = 1,
) -> Scenario:
    app = TOPIC if times == 1 else TOPIC_BURST
    return Scenario(
        name,
        what,
        app,
        "broadcast",
        connections,
        times,
        128,
        floor=floor,
        topics=True,
        workers=workers,
    )


_ALL = (
    _echo("echo-small", "32 B text, 32 clients, each waits for its echo", 32),
    _echo("echo-one", "32 B text, one client", 1),
    _echo("echo-pipelined", "32 B text, 32 clients with 16 messages in flight", 32, in_flight=16),
    _echo("echo-4k", "4 KiB text, 32 clients", 32, 4096),
    _echo("echo-64k", "64 KiB binary, 16 clients", 16, 65536, binary=True),
    _echo("echo-1m", "1 MB binary, 4 clients", 4, 1_000_000, binary=True),
    _echo("echo-64m", "64 MB binary, one client", 1, 64_000_000, binary=True),
    _echo(
        "echo-deflate", "1 KiB text, compressed, 32 clients", 32, 1024, deflate=True, floor=False
    ),
    _echo("echo-starlette", "echo-small through Starlette", 32, app=STARLETTE, floor=False),
    Scenario(
        "broadcast",
        "128 B text to 500 clients",
        "applications:broadcast",
        "broadcast",
        500,
        size=128,
        floor=True,
    ),
    _topic("topic", "128 B text published to 500 clients", 500, floor=True),
    _topic("topic-burst", "128 B text published eight times in a turn to 500 clients", 500, 8),
    _topic("topic-workers", "128 B text published to 1,000 clients of 4 workers", 1_000, workers=4),
    Scenario(
        HOSTS,
        "128 B text published at one of two nodes to 500 clients, half of them on each, through Redis",
        TOPIC,
        "fanout",
        500,
        size=128,
        topics=True,
        nodes=2,
    ),
    Scenario(
        DEAF,
        "1 KiB text published to 1,000 clients, of which one does not read",
        TOPIC,
        "fanout",
        1_000,
        size=1024,
        topics=True,
        deaf=1,
        options=("--ws-slow-consumer", "wait", "--ws-max-outbound", "256KiB"),
        metric=P99_RATIO,
    ),
    Scenario("connect", "handshakes, 64 at a time", ECHO, "connect", 64, floor=True),
    Scenario("idle", "5,000 idle clients", ECHO, "idle", 5_000, floor=True, metric=MEMORY),
    Scenario(
        "idle-deflate",
        "2,000 idle clients, compression negotiated",
        ECHO,
        "idle",
        2_000,
        deflate=True,
        metric=MEMORY,
    ),
    Scenario("idle-20k", "20,000 idle clients", ECHO, "idle", 20_000, floor=True, metric=MEMORY),
    _echo("echo-10k", "32 B text, 10,000 clients", 10_000),
    Scenario("http", "GET, keep-alive, 64 clients", ECHO, "http", 64, floor=True),
    Scenario("http-pipelined", "GET, 16 in flight, 64 clients", ECHO, "http", 64, 16, floor=True),
    Scenario("http-starlette", "http through Starlette", STARLETTE, "http", 64),
    Scenario("upload", "POST of 10 MB, 8 clients", BODIES, "upload", 8, size=10_000_000),
    Scenario("download", "GET of 10 MB, 8 clients", BODIES, "download", 8, size=10_000_000),
    Scenario(
        "push",
        "16 messages of 32 B at once to each of 200 clients, from a task of the application",
        PUSH,
        "push",
        200,
        16,
    ),
    _wss("wss-small", "32 B text over TLS, 32 clients", 32),
    _wss("wss-64k", "64 KiB binary over TLS, 16 clients", 16, 65536, binary=True),
    _wss("wss-1m", "1 MB binary over TLS, 4 clients", 4, 1_000_000, binary=True),
    Scenario("https", "GET over TLS, keep-alive, 64 clients", ECHO, "http", 64, tls=True),
    Scenario("tls-connect", "TLS handshakes, 16 at a time", ECHO, "handshake", 16, tls=True),
    Scenario(
        "tls-resume",
        "TLS handshakes that resume a session by its ticket, 16 at a time",
        ECHO,
        "resume",
        16,
        tls=True,
    ),
    Scenario(
        "wss-connect", "TLS and WebSocket handshakes, 16 at a time", ECHO, "connect", 16, tls=True
    ),
    *(_echo(f"scaling-{n}", f"32 B text, {n:,} clients", n) for n in SCALING),
)

SCENARIOS = {scenario.name: scenario for scenario in _ALL}


def select(names: str) -> list[Scenario]:
    """The scenarios of a list parted by commas: names, `*` for all, `scaling` for all `scaling-N`.

    Raises ScenarioError for a name that there is not, and for an empty list.
    """
    chosen: dict[str, Scenario] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name == "*":
            chosen.update(SCENARIOS)
        elif name == "scaling":
            chosen.update(
                (key, one) for key, one in SCENARIOS.items() if key.startswith("scaling-")
            )
        elif name in SCENARIOS:
            chosen[name] = SCENARIOS[name]
        else:
            known = ", ".join(key for key in SCENARIOS if not key.startswith("scaling-"))
            raise ScenarioError(f"unknown scenario {name!r}; known are {known}, scaling")
    if not chosen:
        raise ScenarioError("--scenarios: none was named")
    return list(chosen.values())


def within_limits(scenario: Scenario, open_files: int) -> Scenario:
    """The scenario with no more connections than a process may have files open."""
    return replace(scenario, connections=min(scenario.connections, open_files - SPARE_FILES))


def raise_open_files() -> int:
    """Let this process, and all that it starts, open as many files as allowed; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(one.connections for one in _ALL) + SPARE_FILES
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
