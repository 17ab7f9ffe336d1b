"""The report: what came out, and the verdict.

Rules of this file:
- The verdict is drawn here and nowhere else. `findings` are what is wrong whatever the machine; `delays` are
  the probe's answers that took too long, and decide only where that was asked for.
- An answer is late by what it took longer than that of the control which was asked at the same moment.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conformance.tables import text
from tests.chaos.probe import Answer
from tests.chaos.run import Outcome
from tests.chaos.styles import STYLES
from tests.chaos.ways import WAYS

#: Seconds within which a probe is to be answered.
LIMIT = 0.1
MIB = 1 << 20
#: How much more a server may hold at rest in the end than at the start, and at its peak.
GROWTH, PEAK = 48 * MIB, 256 * MIB
#: Findings of one kind that are shown.
SHOWN = 12

Rows = list[list[str]]


def findings(outcome: Outcome) -> list[str]:
    """What is wrong, a line or more for each; nothing when all is well."""
    lines = list(outcome.findings)
    if not outcome.visits:
        lines.append("nothing was done")
    if not outcome.answers:
        lines.append("no probe was answered")
    if any(math.isinf(answer.control) for answer in outcome.answers):
        lines.append("a control did not answer: no verdict is possible on this machine")
    for name, told in outcome.servers.items():
        fresh, after = told["fresh"]["pss"], told["after"]["pss"]
        if after > fresh + GROWTH:
            lines.append(
                f"{name}: {after / MIB:.0f} MiB at rest, {fresh / MIB:.0f} MiB at the start"
            )
        if told["peak"] > PEAK:
            lines.append(f"{name}: {told['peak'] / MIB:.0f} MiB at its peak")
    for name, found in outcome.unexpected.items():
        lines += [
            f"{name}: {count} times in the log: {record}" for record, count in found.most_common()
        ]
    for key, count in sorted(outcome.ended.items()):
        style, way, how = key.split("|")
        if how == "problem":
            lines.append(
                f"{count} calls of {style!r} ({way}) ended with an exception that was not requested"
            )
    return lines


def delays(outcome: Outcome) -> list[str]:
    """Answers that came too late, or never."""
    late = [answer for answer in outcome.answers if answer.excess > LIMIT]
    return [
        f"{answer.server}, {answer.kind}: an answer took {_ms(answer.seconds)},"
        f" its control's {_ms(answer.control)}, and {_ms(answer.waited)} were spent waiting for a processor"
        for answer in sorted(late, key=lambda answer: -answer.excess)
    ]


def _ms(seconds: float) -> str:
    return "forever" if math.isinf(seconds) else f"{1000 * seconds:.1f} ms"


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def probes(outcome: Outcome) -> Rows:
    """A row for each kind of question to each server, and its control's beside it."""
    rows: Rows = [
        [
            "probe",
            "asked",
            "median",
            "99.9 %",
            "largest",
            "control's 99.9 %",
            "largest",
            "longest wait for a processor",
            "largest excess",
        ]
    ]
    groups: dict[tuple[str, str], list[Answer]] = {}
    for answer in outcome.answers:
        groups.setdefault((answer.server, answer.kind), []).append(answer)
    for (server, kind), answers in sorted(groups.items()):
        loaded = [answer.seconds for answer in answers]
        control = [answer.control for answer in answers]
        rows.append(
            [
                f"{server}, {kind}",
                f"{len(answers):,}",
                _ms(percentile(loaded, 0.5)),
                _ms(percentile(loaded, 0.999)),
                _ms(max(loaded)),
                _ms(percentile(control, 0.999)),
                _ms(max(control)),
                _ms(max(answer.waited for answer in answers)),
                _ms(max(answer.excess for answer in answers)),
            ]
        )
    return rows


def inside(outcome: Outcome) -> Rows:
    """What the servers hold, and how late their loops were, as seen from within."""
    rows: Rows = [
        [
            "server",
            "calls begun",
            "ended",
            "sockets",
            "tasks",
            "PSS at the start",
            "peak",
            "at rest",
            "loop late by at most",
            "blocked by an application",
            "by the garbage collector",
            "stopped within",
        ]
    ]
    for name, told in outcome.servers.items():
        fresh, after = told["fresh"], told["after"]
        books = after["books"]
        if name.startswith("control"):
            continue
        rows.append(
            [
                name,
                f"{sum(books.get('begun', {}).values()):,}",
                f"{sum(books.get('ended', {}).values()):,}",
                f"{fresh['sockets']} → {after['sockets']}",
                f"{fresh['books'].get('tasks', 0)} → {books.get('tasks', 0)}",
                f"{fresh['pss'] / MIB:.1f} MiB",
                f"{told['peak'] / MIB:.1f} MiB",
                f"{after['pss'] / MIB:.1f} MiB",
                _ms(books.get("largest", 0.0)),
                _ms(books.get("blocked", 0.0)),
                _ms(books.get("collected", 0.0)),
                f"{told['stop']:.1f} s",
            ]
        )
    return rows


def visits(outcome: Outcome) -> Rows:
    """Styles by ways: how many visits there were."""
    counts: Counter[tuple[str, str]] = Counter()
    for key, count in outcome.seen.items():
        style, way, _ = key.split("|")
        counts[style, way] += count
    used = [way for way in WAYS if any(counts[style, way] for style in STYLES)]
    rows: Rows = [["application", *used, "all"]]
    for style in STYLES:
        cells = [counts[style, way] for way in used]
        if any(cells):
            rows.append([style, *(f"{one:,}" if one else "" for one in cells), f"{sum(cells):,}"])
    totals = [sum(counts[style, way] for style in STYLES) for way in used]
    rows.append(["all", *(f"{one:,}" for one in totals), f"{sum(totals):,}"])
    return rows


def ends(outcome: Outcome) -> Rows:
    """How the handlers of each style ended, and what its clients saw."""
    handlers = _by_style(outcome.ended)
    clients = _by_style(outcome.seen)
    rows: Rows = [["application", "how its calls ended", "what its clients saw"]]
    for style in [*STYLES, *sorted(set(handlers) - set(STYLES))]:
        if style in handlers or style in clients:
            rows.append([style, _shown(handlers.get(style)), _shown(clients.get(style))])
    return rows


def _by_style(counts: Counter[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for key, count in counts.items():
        style, _, how = key.split("|")
        found.setdefault(style, Counter())[how] += count
    return found


def _shown(counts: Counter[str] | None) -> str:
    return ", ".join(f"{how} {count:,}" for how, count in (counts or Counter()).most_common())


def closing(outcome: Outcome, judges_delays: bool) -> str:
    """All of it, for the terminal."""
    parts = [
        text(visits(outcome)),
        text(ends(outcome)),
        text(inside(outcome)),
        text(probes(outcome)),
    ]
    wrong = findings(outcome)
    late = delays(outcome)
    parts.append(_left_out(outcome))
    for title, lines in (("wrong", wrong), (f"answers above {1000 * LIMIT:g} ms", late)):
        parts.append("\n".join([f"{len(lines)} {title}", *(f"- {line}" for line in lines[:SHOWN])]))
        if len(lines) > SHOWN:
            parts[-1] += f"\n- and {len(lines) - SHOWN} more: see the results"
    good = not wrong and not (late and judges_delays)
    parts.append(
        f"{outcome.visits:,} visits in {outcome.settings.seconds:.0f} s, seed {outcome.settings.seed}:"
        f" {'all is well' if good else 'NOT WELL'}"
    )
    return "\n\n".join(part for part in parts if part)


def _left_out(outcome: Outcome) -> str:
    missing = [name for name in STYLES if name not in outcome.settings.styles]
    missing += [name for name in WAYS if name not in outcome.settings.ways]
    return f"Left out by the command line: {', '.join(missing)}" if missing else ""


def write_json(outcome: Outcome, path: Path) -> None:
    settings = asdict(outcome.settings)
    told: dict[str, Any] = {
        "settings": {**settings, "folder": str(outcome.settings.folder)},
        "version": outcome.version,
        "command": outcome.command,
        "seconds": outcome.seconds,
        "visits": outcome.visits,
        "findings": findings(outcome),
        "delays": delays(outcome),
        "probes": probes(outcome),
        "seen": outcome.seen,
        "ended": outcome.ended,
        "servers": outcome.servers,
        "unexpected": outcome.unexpected,
    }
    path.write_text(json.dumps(told, indent=1) + "\n")


# The page of the documentation.

BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"


def markdown(rows: Rows) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines)


def page(outcome: Outcome) -> str:
    """The measured part of `docs/chaos.md`."""
    settings = outcome.settings
    wrong, late = findings(outcome), delays(outcome)
    options = " ".join(settings.options)
    parts = [
        f"{outcome.version}{f', with `{options}`' if options else ''}; {settings.seconds / 60:g} minutes over"
        f" {' and '.join(settings.transports)}, seed {settings.seed}: {outcome.visits:,} visits,"
        f" {len(wrong)} findings, {len(late)} answers above {1000 * LIMIT:g} ms.",
        _left_out(outcome),
        "\n".join(f"- {line}" for line in [*wrong, *late][:SHOWN]),
        markdown(inside(outcome)),
        markdown(probes(outcome)),
        markdown(ends(outcome)),
        markdown(visits(outcome)),
    ]
    return "\n\n".join(part for part in parts if part)


def write_docs(outcome: Outcome, path: Path) -> None:
    """Put the measured part into the page."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{page(outcome)}\n\n{END}{after}")
