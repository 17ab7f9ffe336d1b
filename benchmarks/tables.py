"""The tables of a run.

Rules of this file:
- A table is rows of strings, the first row its head; `conformance.tables` draws it.
- Where a run has several Pythons, a scenario has a row for each of them, and a server one column.
  A column without a figure is not there.
- Every figure is a median over the rounds. A dash is what was not measured; a server that failed has
  its error told beside the table.
- Less is better for the metric that a scenario ranks by; ratios are to the best peer of the same Python.
"""

from __future__ import annotations

from benchmarks.results import FLOOR, OWN, PEER, Results, base_name
from benchmarks.scenarios import CPU, MEMORY, P99_RATIO, SCENARIOS
from benchmarks.targets import Verdict
from conformance.tables import Rows

WORDS = {
    CPU: "CPU µs/message",
    MEMORY: "kB/connection",
    "p50_us": "p50 µs",
    P99_RATIO: "p99 to p99 without it",
}
_SCALING = "scaling-"


def metric_of(scenario: str) -> str:
    """What the scenario ranks by."""
    known = SCENARIOS.get(scenario)
    return known.metric if known else CPU


def of_scenario(results: Results, scenario: str) -> Rows:
    """One scenario: a row for each server, with all that is asked for most."""
    metric = metric_of(scenario)
    columns = [(metric, WORDS[metric], 2)]
    if metric == CPU:
        columns += [
            ("per_second", "messages/s", 0),
            ("mb_per_second", "MB/s", 1),
            ("p50_us", "p50 µs", 0),
            ("p99_us", "p99 µs", 0),
            ("p999_us", "p99.9 µs", 0),
        ]
        if any(results.values(scenario, server, "lost") for server in results.servers):
            columns += [("lost", "lost", 0)]
    if metric == P99_RATIO:
        columns += [
            ("p99_us", "p99 µs with it", 0),
            ("p99_us_without", "p99 µs without", 0),
            ("behind_kb", "kB not delivered to it", 0),
        ]
    head = [WORDS[metric], "to best peer", "spread", *(word for _, word, _ in columns[1:])]
    rows = [["server", *head]]
    for server in results.servers:
        value = results.median(scenario, server, metric)
        if value is None:
            continue
        info = results.servers[server]
        python = None if info.kind == FLOOR and len(results.pythons()) < 2 else info.python
        best = results.best_peer(scenario, metric, python)
        spread = results.spread(scenario, server, metric)
        rows.append(
            [
                server,
                number(value, 2),
                number(value / best[1] if best else None, 2),
                "-" if spread is None else f"{spread:.0%}",
                *(
                    number(results.median(scenario, server, name), digits)
                    for name, _, digits in columns[1:]
                ),
            ]
        )
    return rows


def failures(results: Results, scenario: str) -> list[str]:
    """A line for each server that failed in the scenario."""
    lines = []
    for server in results.servers:
        errors = results.errors(scenario, server)
        if errors:
            well = len(results.values(scenario, server, metric_of(scenario)))
            often = f" in {len(errors)} of {len(errors) + well} rounds" if well else ""
            lines.append(f"{server} failed{often}: {errors[0]}")
    return lines


def overview(results: Results, metric: str) -> Rows:
    """A row for each scenario that ranks by the metric, a column for each server, the ratios."""
    own = _bases(results, OWN)
    others = _bases(results, PEER) + _bases(results, FLOOR)
    rows = [["scenario", *own, "to best peer", *others]]
    for scenario, python in _rows(results, metric):
        best = results.best_peer(scenario, metric, python)
        first = _median(results, scenario, own[0], python, metric) if own else None
        ratio = first / best[1] if first is not None and best else None
        told = "-" if ratio is None or best is None else f"{ratio:.2f} {base_name(best[0])}"
        cells = [
            number(_median(results, scenario, base, python, metric), 2) for base in own + others
        ]
        label = _label(results, scenario, python)
        rows.append([label, *cells[: len(own)], told, *cells[len(own) :]])
    return _without_empty(rows)


def by_server(results: Results, metric: str, digits: int = 0) -> Rows:
    """A row for each scenario that sends messages, a column for each server."""
    bases = _bases(results)
    rows = [["scenario", *bases]]
    for scenario, python in _rows(results, CPU):
        cells = [number(_median(results, scenario, base, python, metric), digits) for base in bases]
        rows.append([_label(results, scenario, python), *cells])
    return _without_empty(rows)


def latency(results: Results) -> Rows:
    """As `by_server`, with the median and the 99th percentile in a cell, in microseconds."""
    bases = _bases(results)
    rows = [["scenario, p50 / p99 µs", *bases]]
    for scenario, python in _rows(results, CPU):
        cells = [_label(results, scenario, python)]
        for base in bases:
            middle, high = (
                number(_median(results, scenario, base, python, metric), 0)
                for metric in ("p50_us", "p99_us")
            )
            cells.append("-" if middle == "-" else f"{middle} / {high}")
        rows.append(cells)
    return _without_empty(rows)


def _bases(results: Results, kind: str | None = None) -> list[str]:
    """The servers (of a kind), each once for all Pythons."""
    names = [name for name, info in results.servers.items() if kind in (None, info.kind)]
    return list(dict.fromkeys(base_name(name) for name in names))


def _rows(results: Results, metric: str) -> list[tuple[str, str]]:
    """Each scenario that ranks by the metric, with each Python that has a figure there."""
    return [
        (scenario, python)
        for scenario in results.scenarios()
        if metric_of(scenario) == metric and not scenario.startswith(_SCALING)
        for python in results.pythons() or [""]
        if any(
            results.median(scenario, name, metric) is not None
            for name, info in results.servers.items()
            if info.python == python or not results.pythons()
        )
    ]


def _label(results: Results, scenario: str, python: str) -> str:
    return f"{scenario}, {python}" if len(results.pythons()) > 1 else scenario


def _median(results: Results, scenario: str, base: str, python: str, metric: str) -> float | None:
    name = results.named(base, python)
    return None if name is None else results.median(scenario, name, metric)


def _without_empty(rows: Rows) -> Rows:
    """Without the columns that have dashes alone."""
    kept = [
        index
        for index in range(len(rows[0]))
        if index == 0 or any(row[index] != "-" for row in rows[1:])
    ]
    return [[row[index] for index in kept] for row in rows]


def memory(results: Results) -> Rows:
    """Idle connections: the memory of a server before, with and after them, in MB."""
    rows = [["scenario", "server", "connections", "before", "with", "after", "kB/connection"]]
    for scenario in results.scenarios():
        if metric_of(scenario) != MEMORY:
            continue
        for server in results.servers:
            connections = results.median(scenario, server, "connections")
            if connections is None:
                continue
            moments = [
                results.median(scenario, server, f"memory_{moment}_kb")
                for moment in ("before", "with", "after")
            ]
            rows.append(
                [
                    scenario,
                    server,
                    number(connections, 0),
                    *(number(None if kb is None else kb / 1000, 1) for kb in moments),
                    number(results.median(scenario, server, MEMORY), 2),
                ]
            )
    return rows


def scaling(results: Results, metric: str, digits: int) -> Rows:
    """A row for each number of connections, a column for each server."""
    rows = [["connections", *results.servers]]
    for scenario in results.scenarios():
        if scenario.startswith(_SCALING):
            cells = [
                number(results.median(scenario, name, metric), digits) for name in results.servers
            ]
            rows.append([number(connections(results, scenario), 0), *cells])
    return _without_empty(rows)


def hosts(results: Results, scenario: str) -> Rows:
    """A scenario of two nodes: what a delivery costs each of its processes, what was lost, the latency."""
    own = results.of_kind(OWN)
    first = results.median(scenario, own[0], CPU) if own else None
    head = ["server", "CPU µs/delivery", f"{own[0]} to it" if own else "", "the publisher's node"]
    rows = [[*head, "the other", "Redis", "deliveries/s", "p50 / p99 ms", "lost"]]
    for server in results.servers:
        value = results.median(scenario, server, CPU)
        if value is None:
            continue
        parts = [results.median(scenario, server, metric) for metric in parts_of(3)]
        times = [results.median(scenario, server, metric) for metric in ("p50_us", "p99_us")]
        rows.append(
            [
                server,
                number(value, 2),
                "-" if first is None or server == own[0] else f"{first / value:.2f}",
                *(number(part, 2) for part in parts),
                number(results.median(scenario, server, "per_second"), 0),
                " / ".join(number(None if one is None else one / 1000, 1) for one in times),
                _lost(results, scenario, server),
            ]
        )
    return rows


def parts_of(processes: int) -> list[str]:
    """The metrics of the processes that are measured together: nodes in their order, then Redis."""
    return [f"{CPU}_{number}" for number in range(1, processes + 1)]


def _lost(results: Results, scenario: str, server: str) -> str:
    """Deliveries that did not come, of all rounds together."""
    lost = sum(results.values(scenario, server, "lost"))
    came = sum(results.values(scenario, server, "messages"))
    return "0" if not lost else f"{lost:,.0f} ({lost / (lost + came):.1%})"


def deaf(results: Results, scenario: str) -> Rows:
    """A scenario with a client that does not read: the latency of the others with it and without."""
    rows = [
        ["server", "p99 with it", "p99 without, ms", "ratio", "of a round", "behind, MB", "rounds"]
    ]
    for server in results.servers:
        ratios = results.values(scenario, server, P99_RATIO)
        if not ratios:
            continue
        times = [results.median(scenario, server, key) for key in ("p99_us", "p99_us_without")]
        behind = results.median(scenario, server, "behind_kb")
        rows.append(
            [
                server,
                *(number(None if one is None else one / 1000, 2) for one in times),
                number(results.median(scenario, server, P99_RATIO), 2),
                f"{min(ratios):.2f} to {max(ratios):.2f}",
                number(None if behind is None else behind / 1000, 1),
                str(len(ratios)),
            ]
        )
    return rows


def connections(results: Results, scenario: str) -> float | None:
    """How many there were: fewer than the scenario says where the machine allows no more."""
    counts = [
        one.values["connections"]
        for one in results.measurements
        if one.values and one.scenario == scenario
    ]
    return min(counts, default=None)


def verdicts(several: list[Verdict]) -> Rows:
    """The targets: what was measured, what was asked for, whether it is met."""
    rows = [["scenario", "metric", "measured", "at most", "of", "met"]]
    for one in several:
        target = one.target
        rows.append(
            [
                target.scenario,
                WORDS[target.metric],
                f"{one.ratio:.2f}",
                f"{target.at_most:.2f}",
                one.reference,
                "yes" if one.met else "no",
            ]
        )
    return rows


def number(value: float | None, digits: int) -> str:
    """`value` with that many digits behind the point, fewer for large ones; a dash for None."""
    if value is None:
        return "-"
    return f"{value:,.{0 if value >= 1000 else min(digits, 1) if value >= 100 else digits}f}"
