"""The closing report: tables, JSON, a plot, and the verdict.

Rules of this file:
- The verdict is drawn here and nowhere else, from the outcome alone: `verdict` names everything that is wrong.
- Sockets, tasks and calls must be as many as at the start. Other descriptors, memory and objects may differ
  by what the tolerances say, since memory is had in pages and a library keeps caches. Free pages that the
  allocator keeps for the next time are shown and not judged.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.soak.judge import KINDS
from benchmarks.soak.run import Outcome
from conformance.tables import text

Rows = list[list[str]]

MIB = 1024 * 1024
#: Memory that may stay beside what there was at rest: so much, and a share of it.
MEMORY, MEMORY_SHARE = 8 * MIB, 0.10
#: Descriptors that are no sockets: asgiws makes one for hang-ups when it first needs it.
DESCRIPTORS = 2
#: Objects that the garbage collector knows, and blocks of Python's allocator, that may stay.
OBJECTS, BLOCKS = 300, 3000


def verdict(outcome: Outcome) -> list[str]:
    """What is wrong, a line for each; nothing when all is well."""
    found = outcome.judgement
    lines = [f"{kind}: {found.wrong[kind]}" for kind in KINDS if found.wrong[kind]]
    for name, before, after, allowed, _ in _resources(outcome):
        if after > before + allowed:
            lines.append(f"{name}: {_number(after)} at the end, {_number(before)} before")
    if not found.connections:
        lines.append("nothing was done")
    return lines + outcome.findings


def _resources(outcome: Outcome) -> list[tuple[str, int, int, int, int]]:
    """(what, before, after, how much more is allowed, the peak)."""
    fresh, before, after = outcome.fresh, outcome.before, outcome.after
    peaks = outcome.samples

    def peak(name: str) -> int:
        return max((getattr(one, name) for one in peaks), default=0)

    memory = MEMORY + round(MEMORY_SHARE * before.pss)
    rows = [
        ("sockets", fresh.sockets, after.sockets, 0, 0),
        ("descriptors", before.descriptors, after.descriptors, DESCRIPTORS, peak("descriptors")),
        ("tasks", fresh.tasks, after.tasks, 0, peak("tasks")),
        ("calls of the application", fresh.running, after.running, 0, peak("running")),
        ("PSS", before.pss, after.pss, memory, peak("pss")),
        ("RSS", before.rss, after.rss, memory, peak("rss")),
        ("objects", before.objects, after.objects, OBJECTS, 0),
        ("blocks", before.blocks, after.blocks, BLOCKS, 0),
    ]
    return [row for row in rows if row[1] or row[2]]


def _number(value: float) -> str:
    return f"{value / MIB:.1f} MiB" if value >= 4 * MIB else f"{value:,.0f}"


def behaviours(outcome: Outcome) -> Rows:
    """A row for each behaviour; the violations together."""
    rows: Rows = [["behaviour", "connections", "proxied", "cut", "up", "down", "wrong"]]
    sums: dict[str, list[int]] = {}
    for name, row in outcome.judgement.rows.items():
        cells = [row.connections, row.proxied, row.cut, row.up, row.down, row.wrong]
        for among in (name.partition(":")[0], "all"):
            before = sums.get(among, [0] * len(cells))
            sums[among] = [one + other for one, other in zip(before, cells, strict=True)]
    total = sums.pop("all", [])
    for name, several in [*sorted(sums.items()), ("all", total)]:
        rows.append([name, *(f"{cell:,}" for cell in several)])
    return rows


def counters(outcome: Outcome) -> Rows:
    """What must be none, beside what it was looked for in."""
    found = outcome.judgement
    rows: Rows = [["", "count"]]
    rows.append(["connections judged", f"{found.connections:,}"])
    rows.append(["messages followed", f"{found.messages:,}"])
    rows.append(["disconnects due", f"{found.disconnects:,}"])
    for kind in KINDS:
        rows.append([f"- {kind}", f"{found.wrong[kind]:,}"])
    return rows


def resources(outcome: Outcome) -> Rows:
    rows: Rows = [["of the server", "at the start", "before", "peak", "after", "may be more"]]
    fields = {"PSS": "pss", "RSS": "rss", "calls of the application": "running"}
    kept = [outcome.fresh.kept, outcome.before.kept, 0, outcome.after.kept]
    for name, before, after, allowed, peak in _resources(outcome):
        fresh: int = getattr(outcome.fresh, fields.get(name, name))
        shown = [fresh, before, peak, after, allowed]
        rows.append([name, *(_number(one) if one or one is allowed else "" for one in shown)])
    rows.append(["PSS with free pages", *(_number(one) if one else "" for one in kept), ""])
    return rows


def faults(outcome: Outcome) -> Rows:
    """What the proxy did."""
    rows: Rows = [["the proxy", "count"]]
    for name, count in sorted(outcome.counts.items()):
        if name.startswith("proxy: "):
            rows.append([name.removeprefix("proxy: "), f"{count:,}"])
    return rows


def topics(outcome: Outcome) -> Rows:
    """What went through topics; a gap that was told is none of the faults."""
    rows: Rows = [["topics", "count"]]
    for name, count in sorted(outcome.counts.items()):
        if name.startswith("topics: "):
            rows.append([name.removeprefix("topics: "), f"{count:,}"])
    return rows


def codes(outcome: Outcome) -> Rows:
    rows: Rows = [["disconnect code", "count"]]
    for code, count in sorted(outcome.judgement.codes.items()):
        rows.append([code, f"{count:,}"])
    return rows


def growth(outcome: Outcome) -> list[str]:
    """The kinds of objects of which there are more than before."""
    before, after = outcome.before.kinds, outcome.after.kinds
    more = {name: count - before.get(name, 0) for name, count in after.items()}
    most = sorted(more.items(), key=lambda one: -one[1])[:8]
    return [f"{name} +{count:,}" for name, count in most if count > 20]


def closing(outcome: Outcome) -> str:
    """The whole report as text."""
    tables = (behaviours, counters, topics, codes, faults, resources)
    parts = [f"{outcome.settings['command']}\n"]
    parts += [text(one(outcome)) + "\n" for one in tables if len(one(outcome)) > 1]
    soaked = outcome.settings
    parts.append(
        f"{soaked['minutes']:g} minutes, {soaked['connections']:,} connections at a time, seed"
        f" {soaked['seed']}; {outcome.seconds / 60:.1f} minutes in all; server's log:"
        f" {outcome.log['lines']:,} lines, {outcome.log['tracebacks']:,} tracebacks for"
        f" {outcome.log['asked to raise']:,} exceptions asked for.\n"
    )
    wrong = verdict(outcome)
    if wrong:
        parts.append("FAILED\n" + "\n".join(f"  {line}" for line in wrong))
        parts += [f"    {line}" for line in outcome.judgement.findings[:20]]
        more = growth(outcome)
        if more:
            parts.append("  Objects of which there are more than before: " + ", ".join(more))
    else:
        parts.append(
            "PASSED: nothing lost, doubled or out of order; each disconnect once; all is given back."
        )
    return "\n".join(parts)


def write_json(outcome: Outcome, path: Path) -> None:
    """Everything, for other programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = outcome.judgement
    content: dict[str, Any] = {
        "verdict": verdict(outcome),
        "settings": outcome.settings,
        "judgement": {
            **{name: getattr(found, name) for name in ("connections", "messages", "disconnects")},
            **{name: getattr(found, name) for name in ("wrong", "codes", "routes", "findings")},
            "behaviours": {name: asdict(row) for name, row in found.rows.items()},
        },
        **{name: asdict(getattr(outcome, name)) for name in ("fresh", "before", "after")},
        "counts": outcome.counts,
        "log": outcome.log,
        "seconds": round(outcome.seconds, 1),
        "samples": [asdict(one) for one in outcome.samples],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def plot(outcome: Outcome, path: Path) -> bool:
    """Connections, memory and descriptors over time, as SVG; false where matplotlib is not there."""
    if importlib.util.find_spec("matplotlib") is None or not outcome.samples:
        return False
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as pyplot

    samples = outcome.samples
    minutes = [one.at / 60 for one in samples]
    figure, places = pyplot.subplots(4, 1, figsize=(8, 7), sharex=True, layout="constrained")
    several: Sequence[tuple[str, list[float], str]] = [
        ("connections", [one.connections for one in samples], "#2f5d8a"),
        ("descriptors", [one.descriptors for one in samples], "#6a8f5f"),
        ("PSS, MiB", [one.pss / MIB for one in samples], "#c1272d"),
        ("messages/s", _per_second(samples), "#8d7aa6"),
    ]
    for place, (name, values, colour) in zip(places, several, strict=True):
        place.plot(minutes, values, color=colour, lw=1)
        place.set_ylabel(name)
        place.set_ylim(bottom=0)
        place.grid(lw=0.3)
        place.spines[["top", "right"]].set_visible(False)
    places[-1].set_xlabel("minutes")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
    return True


def _per_second(samples: Sequence[Any]) -> list[float]:
    rates = [0.0]
    for before, after in itertools.pairwise(samples):
        rates.append((after.messages - before.messages) / max(0.1, after.at - before.at))
    return rates
