"""What asgiws is held to: ratios within one run, as data, and whether a run meets them.

Rules of this file:
- A target is a ratio of medians, so a machine's speed has no part in it.
- One whose scenario or reference was not measured is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.results import Results
from benchmarks.scenarios import CPU, MEMORY

SANSIO = ("uvicorn-sansio",)
HTTP_PEERS = ("uvicorn-sansio", "granian")
FLOOR = ("floor",)
#: The best of all peers that were measured.
BEST: tuple[str, ...] = ("*",)
#: The server itself, in another scenario.
ITSELF: tuple[str, ...] = ()

P50 = "p50_us"


@dataclass(frozen=True)
class Target:
    """In `scenario`, `metric` is to be `at_most` times that of the best of `of`.

    `base` names the scenario that the reference is taken from, when it is another one.
    """

    scenario: str
    at_most: float
    of: tuple[str, ...]
    metric: str = CPU
    base: str | None = None


TARGETS = (
    Target("echo-small", 0.48, SANSIO),
    Target("echo-small", 1.5, FLOOR),
    Target("echo-one", 0.58, SANSIO),
    Target("echo-one", 0.58, SANSIO, metric=P50),
    Target("echo-pipelined", 0.36, SANSIO),
    Target("echo-4k", 0.42, SANSIO),
    Target("echo-64k", 0.80, SANSIO),
    Target("echo-1m", 0.58, SANSIO),
    Target("echo-deflate", 0.60, SANSIO),
    Target("echo-starlette", 0.60, SANSIO),
    Target("broadcast", 0.40, SANSIO),
    Target("connect", 0.60, BEST),
    Target("idle", 0.40, BEST, metric=MEMORY),
    Target("idle-deflate", 0.40, BEST, metric=MEMORY),
    Target("echo-10k", 0.36, BEST),
    Target("echo-10k", 1.5, ITSELF, base="echo-small"),
    Target("http", 0.60, HTTP_PEERS),
    Target("http-pipelined", 0.60, HTTP_PEERS),
    Target("http-starlette", 0.75, HTTP_PEERS),
)


@dataclass(frozen=True)
class Verdict:
    """A target, the ratio that was measured, and what it is a ratio of."""

    target: Target
    ratio: float
    reference: str

    @property
    def met(self) -> bool:
        return self.ratio <= self.target.at_most


def judge(results: Results, server: str) -> list[Verdict]:
    """Each target that the results can tell of, for one server."""
    verdicts = []
    for target in TARGETS:
        base = target.base or target.scenario
        own = results.median(target.scenario, server, target.metric)
        names = results.peers() if target.of == BEST else list(target.of or (server,))
        values = [(results.median(base, name, target.metric), name) for name in names]
        known = [(value, name) for value, name in values if value]
        if own is None or not known:
            continue
        value, name = min(known)
        reference = f"{name} in {base}" if target.base else name
        verdicts.append(Verdict(target, own / value, reference))
    return verdicts
