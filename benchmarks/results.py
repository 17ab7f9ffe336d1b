"""What came out of a run, as data, and the file that keeps it.

Rules of this file:
- A measurement is kept as the load generator printed it; medians and ratios are made when asked for.
- The file holds everything that tables and plots need, so that they can be made again.
- A server that failed in a scenario has its error kept: that is a result too. So has one that was not
  measured in it.
- A server is named `NAME`, or `NAME@VERSION` for one of the further Pythons of a run.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Container, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

OWN, PEER, FLOOR = "own", "peer", "floor"


class ResultError(Exception):
    """A file that holds no results; one line for the user."""


@dataclass(frozen=True)
class Measurement:
    """One run of one scenario against one server: the numbers by name, or the error."""

    scenario: str
    server: str
    round: int
    values: dict[str, float] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class ServerInfo:
    """What is to be known of a server: its kind (OWN, PEER or FLOOR), its command line, versions."""

    kind: str
    command: str
    versions: str
    #: As in `3.11`; empty for what runs no Python.
    python: str = ""
    #: Whether it runs an application as a task on an asyncio loop, and what an application misses if not.
    asyncio: bool = True
    gives_up: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A server that was not measured in these scenarios (none named: in any), and why."""

    server: str
    scenarios: list[str]
    why: str


def base_name(server: str) -> str:
    """The name of a server without its Python."""
    return server.partition("@")[0]


@dataclass
class Results:
    """A run. `about` is what is to be known of it: date, machine, rounds and the like."""

    about: dict[str, str]
    servers: dict[str, ServerInfo]
    measurements: list[Measurement] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def scenarios(self) -> list[str]:
        """The scenarios in the order in which they were measured."""
        return list(dict.fromkeys(one.scenario for one in self.measurements))

    def of(self, scenarios: Container[str]) -> Results:
        """These scenarios alone, with the servers that were measured in them and those that were left out."""
        measurements = [one for one in self.measurements if one.scenario in scenarios]
        names = {one.server for one in measurements}
        left_out = []
        for one in self.left_out:
            some = [name for name in one.scenarios if name in scenarios]
            if some:
                left_out.append(LeftOut(one.server, some, one.why))
        servers = {name: info for name, info in self.servers.items() if name in names}
        return Results(self.about, servers, measurements, left_out)

    def of_kind(self, kind: str) -> list[str]:
        return [name for name, info in self.servers.items() if info.kind == kind]

    def peers(self, python: str | None = None) -> list[str]:
        """The names of the other servers, all or those of a Python; the floor is none."""
        peers = self.of_kind(PEER)
        return [one for one in peers if python in (None, self.servers[one].python)]

    def pythons(self) -> list[str]:
        """The Pythons of the servers, in the order in which they came."""
        found = [info.python for info in self.servers.values() if info.kind != FLOOR]
        return list(dict.fromkeys(found))

    def named(self, base: str, python: str) -> str | None:
        """The server of that name for a Python. What runs no Python stands beside each of them."""
        for name, info in self.servers.items():
            if base_name(name) == base and (info.kind == FLOOR or info.python == python):
                return name
        return None

    def values(self, scenario: str, server: str, metric: str) -> list[float]:
        """The metric in each round that went well."""
        return [
            one.values[metric]
            for one in self.measurements
            if one.scenario == scenario and one.server == server and metric in one.values
        ]

    def median(self, scenario: str, server: str, metric: str) -> float | None:
        """The median over the rounds that went well; None when none did."""
        values = self.values(scenario, server, metric)
        return statistics.median(values) if values else None

    def spread(self, scenario: str, server: str, metric: str) -> float | None:
        """How far the rounds lie apart: (largest - smallest) / median. None for fewer than two."""
        values = self.values(scenario, server, metric)
        middle = statistics.median(values) if len(values) > 1 else 0
        return (max(values) - min(values)) / middle if middle else None

    def best_peer(
        self, scenario: str, metric: str, python: str | None = None
    ) -> tuple[str, float] | None:
        """The peer (of a Python) with the smallest median, and that; None when none was measured."""
        medians = [(name, self.median(scenario, name, metric)) for name in self.peers(python)]
        known = [(name, value) for name, value in medians if value]
        return min(known, key=lambda pair: pair[1], default=None)

    def errors(self, scenario: str, server: str) -> list[str]:
        """What went wrong, once for each round in which something did."""
        return [
            one.error
            for one in self.measurements
            if one.scenario == scenario and one.server == server and one.error
        ]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Results:
    """Results as they were written. Raises ResultError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Results(
            dict(content["about"]),
            {name: ServerInfo(**info) for name, info in content["servers"].items()},
            [Measurement(**one) for one in content["measurements"]],
            [LeftOut(**one) for one in content.get("left_out", ())],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"{path} holds no results of a run: {error!r}") from error


def merge(several: Iterable[Results]) -> Results:
    """Several runs as one; a scenario may be in one of them only, for ratios hold within a run.

    Raises ResultError when it is in two, or when a server was started in two ways.
    """
    about: dict[str, str] = {}
    servers: dict[str, ServerInfo] = {}
    measurements: list[Measurement] = []
    left_out: list[LeftOut] = []
    for results in several:
        for name, value in results.about.items():
            if value not in about.setdefault(name, value).split(" / "):
                about[name] += f" / {value}"
        for name, info in results.servers.items():
            if servers.setdefault(name, info).command != info.command:
                raise ResultError(f"{name} was started in two ways")
        twice = {one.scenario for one in measurements} & set(results.scenarios())
        if twice:
            raise ResultError(f"{min(twice)} is in more than one of the files")
        measurements += results.measurements
        left_out += [one for one in results.left_out if one not in left_out]
    return Results(about, servers, measurements, left_out)
