"""The tables of a run.

Rules of this file:
- A table is rows of strings, the first row its head; `conformance.tables` draws it.
- Every figure is a median over the rounds. A dash is what was not measured; a server that failed has
  its error told beside the table.
- Less is better for the metric that a scenario ranks by; ratios are to the best peer.
"""

from __future__ import annotations

from benchmarks.results import Results
from benchmarks.scenarios import CPU, MEMORY, SCENARIOS
from benchmarks.targets import Verdict
from conformance.tables import Rows

WORDS = {CPU: "CPU µs/message", MEMORY: "kB/connection", "p50_us": "p50 µs"}
_SCALING = "scaling-"


def metric_of(scenario: str) -> str:
    """What the scenario ranks by."""
    known = SCENARIOS.get(scenario)
    return known.metric if known else CPU


def of_scenario(results: Results, scenario: str) -> Rows:
    """One scenario: a row for each server, with all that is asked for most."""
    metric = metric_of(scenario)
    best = results.best_peer(scenario, metric)
    columns = [(metric, WORDS[metric], 2)]
    if metric == CPU:
        columns += [
            ("per_second", "messages/s", 0),
            ("mb_per_second", "MB/s", 1),
            ("p50_us", "p50 µs", 0),
            ("p99_us", "p99 µs", 0),
            ("p999_us", "p99.9 µs", 0),
        ]
    head = [WORDS[metric], "to best peer", "spread", *(word for _, word, _ in columns[1:])]
    rows = [["server", *head]]
    for server in results.servers:
        value = results.median(scenario, server, metric)
        if value is None:
            continue
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
    own, others = results.of_kind("own"), results.peers() + results.of_kind("floor")
    rows = [["scenario", *own, "to best peer", *others]]
    for scenario in results.scenarios():
        if metric_of(scenario) != metric or scenario.startswith(_SCALING):
            continue
        best = results.best_peer(scenario, metric)
        first = results.median(scenario, own[0], metric) if own else None
        ratio = first / best[1] if first is not None and best else None
        told = "-" if ratio is None or best is None else f"{ratio:.2f} {best[0]}"
        cells = [number(results.median(scenario, name, metric), 2) for name in own + others]
        rows.append([scenario, *cells[: len(own)], told, *cells[len(own) :]])
    return rows


def by_server(results: Results, metric: str, digits: int = 0) -> Rows:
    """A row for each scenario that sends messages, a column for each server."""
    rows = [["scenario", *results.servers]]
    for scenario in results.scenarios():
        if metric_of(scenario) == CPU and not scenario.startswith(_SCALING):
            cells = [
                number(results.median(scenario, name, metric), digits) for name in results.servers
            ]
            rows.append([scenario, *cells])
    return rows


def latency(results: Results) -> Rows:
    """As `by_server`, with the median and the 99th percentile in a cell, in microseconds."""
    rows = [["scenario, p50 / p99 µs", *results.servers]]
    middle, high = by_server(results, "p50_us"), by_server(results, "p99_us")
    for one, other in zip(middle[1:], high[1:], strict=True):
        pairs = zip(one[1:], other[1:], strict=True)
        rows.append([one[0], *(f"{a} / {b}" if a != "-" else "-" for a, b in pairs)])
    return rows


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
