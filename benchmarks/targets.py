"""What asgiws is held to: ratios within one run, as data, and whether a run meets them.

Rules of this file:
- A target is a ratio of medians, or a median of ratios, so a machine's speed has no part in it.
- Servers are compared with those of the same Python.
- A peer that answers wrongly in a scenario is not measured there, and so no reference.
- One whose scenario or reference was not measured is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.results import Results
from benchmarks.scenarios import CPU, MEMORY, P99_RATIO

SANSIO = ("uvicorn-sansio",)
FLOOR = ("floor",)
#: The best of all peers that were measured.
BEST: tuple[str, ...] = ("*",)
#: The best of those that run an application as a task on an asyncio loop.
BEST_ON_ASYNCIO: tuple[str, ...] = ("* on asyncio",)
#: The server itself, in another scenario.
ITSELF: tuple[str, ...] = ()
#: Nothing: the metric is a ratio by itself, made in each round.
A_RATIO: tuple[str, ...] = ("without it",)

CHANNELS_REDIS = (
    "channels-redis",
    "channels-redis-daphne",
    "channels-pubsub",
    "channels-pubsub-daphne",
)
BROADCASTER = ("broadcaster",)

P50 = "p50_us"


@dataclass(frozen=True)
class Target:
    """In `scenario`, `metric` is to be `at_most` times that of the best of `of`.

    `base` names the scenario that the reference is taken from, when it is another one. A target with
    a `python` is for that version alone.
    """

    scenario: str
    at_most: float
    of: tuple[str, ...]
    metric: str = CPU
    base: str | None = None
    python: str | None = None


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
    Target("push", 0.25, SANSIO),
    Target("topic", 1.15, FLOOR),
    Target("topic-burst", 0.17, ITSELF, base="topic"),
    Target("topic-workers", 1.3, ITSELF, base="topic"),
    Target("topic-hosts", 0.20, CHANNELS_REDIS),
    Target("topic-hosts", 0.20, BROADCASTER),
    Target("topic-deaf", 1.1, A_RATIO, metric=P99_RATIO),
    Target("connect", 0.95, BEST),
    Target("idle", 0.40, BEST, metric=MEMORY),
    Target("idle-deflate", 0.40, BEST, metric=MEMORY),
    Target("echo-10k", 0.36, SANSIO),
    Target("echo-10k", 1.5, ITSELF, base="echo-small"),
    Target("http", 0.95, BEST_ON_ASYNCIO),
    Target("http-pipelined", 0.95, BEST_ON_ASYNCIO),
    Target("http-starlette", 0.95, BEST_ON_ASYNCIO),
    Target("wss-small", 0.90, BEST),
    Target("wss-64k", 0.95, BEST),
    Target("wss-1m", 0.95, BEST),
    Target("https", 0.90, BEST),
    Target("tls-connect", 1.10, BEST),
    Target("wss-connect", 1.10, BEST),
    Target("tls-resume", 0.90, BEST),
    Target("echo-small", 0.90, BEST, python="3.13"),
    Target("echo-one", 0.90, BEST, python="3.13"),
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


def _references(results: Results, target: Target, server: str) -> list[str]:
    """The servers of the same Python, the best of which the target is a ratio to."""
    python = results.servers[server].python
    if target.of == ITSELF:
        return [server]
    if target.of in (BEST, BEST_ON_ASYNCIO):
        peers = results.peers(python)
        return [one for one in peers if target.of == BEST or results.servers[one].asyncio]
    return [name for name in (results.named(base, python) for base in target.of) if name]


def judge(results: Results, server: str) -> list[Verdict]:
    """Each target that the results can tell of, for one server."""
    verdicts = []
    python = results.servers[server].python
    for target in TARGETS:
        if target.python not in (None, python):
            continue
        base = target.base or target.scenario
        own = results.median(target.scenario, server, target.metric)
        if target.of == A_RATIO and own is not None:
            verdicts.append(Verdict(target, own, *target.of))
            continue
        names = _references(results, target, server)
        values = [(results.median(base, name, target.metric), name) for name in names]
        known = [(value, name) for value, name in values if value]
        if own is None or not known:
            continue
        value, name = min(known)
        reference = f"{name} in {base}" if target.base else name
        verdicts.append(Verdict(target, own / value, reference))
    return verdicts
