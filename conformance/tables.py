"""The tables: by section for one server, side by side for several, as text and as Markdown.

Rules of this file:
- A table is rows of strings, the first row its head; how it is drawn is decided last.
- Of a repeated run a case counts with the worst of its passes, and seconds are the mean of them.
- CPU that could not be measured is a dash, as is what does not apply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from conformance.cases import SECTIONS, ranges, section, sections_of
from conformance.expectations import Deviation, Expected
from conformance.results import INFORMATIONAL, OK, VERDICTS, Run, ServerResult

Rows = list[list[str]]

_GOOD = (OK, INFORMATIONAL)
_TOTAL = "all"


def text(rows: Rows) -> str:
    """The rows in aligned columns: the first to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def markdown(rows: Rows) -> str:
    """The rows as a table of Markdown."""
    head, *body = rows
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ruler, *body])


def by_section(server: ServerResult, expected: dict[str, Expected]) -> Rows:
    """One server: a row for each section, with its verdicts, its closing, its seconds."""
    present = [name for name in VERDICTS if name in {_worst(server, case) for case in server.cases}]
    rows = [["section", "cases", *present, "closing wrong", "no close code", "CPU s", "wall s"]]
    for name, cases in _parts(server):
        verdicts = Counter(_worst(server, case) for case in cases)
        rows.append(
            [
                name if name == _TOTAL else f"{name} {SECTIONS[name]}",
                str(len(cases)),
                *(str(verdicts[verdict]) for verdict in present),
                str(len(_closed_wrong(server, cases))),
                str(len(_without_code(server, cases, expected))),
                _seconds(_cpu(server, name)),
                _seconds(_mean([_wall(run, name) for run in server.runs]), digits=1),
            ]
        )
    return rows


def side_by_side(servers: Sequence[ServerResult]) -> Rows:
    """Several servers: for each section, how many cases are good, and the server's CPU seconds."""
    names = sections_of(case for server in servers for case in server.cases)
    rows = [["section", *(server.name for server in servers)]]
    for name in [*names, _TOTAL]:
        cells = []
        for server in servers:
            cases = dict(_parts(server)).get(name, [])
            good = sum(_worst(server, case) in _GOOD for case in cases)
            cells.append(f"{good}/{len(cases)}, {_seconds(_cpu(server, name))} s" if cases else "-")
        rows.append([name if name == _TOTAL else f"{name} {SECTIONS[name]}", *cells])
    return rows


def overall(servers: Sequence[ServerResult], expected: dict[str, Expected]) -> Rows:
    """Several servers: a row for each, with all its verdicts and its closing."""
    seen = {_worst(server, case) for server in servers for case in server.cases}
    present = [name for name in VERDICTS if name in seen]
    rows = [["server", "passes", "cases", *present, "closing wrong", "no close code", "CPU s"]]
    for server in servers:
        verdicts = Counter(_worst(server, case) for case in server.cases)
        rows.append(
            [
                server.name,
                str(len(server.runs)),
                str(len(server.cases)),
                *(str(verdicts[verdict]) for verdict in present),
                str(len(_closed_wrong(server, server.cases))),
                str(len(_without_code(server, server.cases, expected))),
                _seconds(_cpu(server, _TOTAL)),
            ]
        )
    return rows


def shortcomings(server: ServerResult) -> list[str]:
    """The cases of each verdict that is neither OK nor informational, in a line each."""
    cases: dict[str, list[str]] = {}
    for case in server.cases:
        cases.setdefault(_worst(server, case), []).append(case)
    return [
        f"{verdict}: {ranges(cases[verdict])}"
        for verdict in VERDICTS
        if verdict in cases and verdict not in _GOOD
    ]


def deviations(found: Iterable[Deviation], passes: int) -> list[str]:
    """The deviations in few lines: like ones together, with how many passes had them."""
    times = Counter((one.case, one.what, one.got, one.expected, one.better) for one in found)
    alike: dict[tuple[str, str, str, bool, int], list[str]] = {}
    for (case, what, got, expected, better), count in times.items():
        alike.setdefault((what, got, expected, better, count), []).append(case)
    lines = []
    for (what, got, expected, better, count), cases in alike.items():
        than = "better than expected" if better else "expected"
        often = f", in {count} of {passes} passes" if passes > 1 else ""
        lines.append(f"{what} {got}, {than} {expected}{often}: {ranges(cases)}")
    return lines


def _parts(server: ServerResult) -> list[tuple[str, list[str]]]:
    """The server's cases by section, and all of them last."""
    parts = [
        (name, [case for case in server.cases if section(case) == name])
        for name in sections_of(server.cases)
    ]
    return [*parts, (_TOTAL, list(server.cases))]


def _worst(server: ServerResult, case: str, of: Callable[[Run, str], str] | None = None) -> str:
    pick = of or (lambda run, case: run.result(case).behavior)
    return max((pick(run, case) for run in server.runs), key=VERDICTS.index)


def _closed_wrong(server: ServerResult, cases: Iterable[str]) -> list[str]:
    def closing(run: Run, case: str) -> str:
        return run.result(case).behavior_close

    return [case for case in cases if _worst(server, case, closing) not in _GOOD]


def _without_code(
    server: ServerResult, cases: Iterable[str], expected: dict[str, Expected]
) -> list[str]:
    return [
        case
        for case in cases
        if expected[case].close_code
        and any(run.result(case).close_code is None for run in server.runs)
    ]


def _cpu(server: ServerResult, name: str) -> float | None:
    return _mean([_section_cpu(run, name) for run in server.runs])


def _section_cpu(run: Run, name: str) -> float | None:
    if name != _TOTAL:
        return run.cpu_seconds.get(name)
    known = [seconds for seconds in run.cpu_seconds.values() if seconds is not None]
    return sum(known) if known and len(known) == len(run.cpu_seconds) else None


def _wall(run: Run, name: str) -> float | None:
    return sum(run.wall_seconds.values()) if name == _TOTAL else run.wall_seconds.get(name)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _seconds(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits if value < 10 else 1}f}"
