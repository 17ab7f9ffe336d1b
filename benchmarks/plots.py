"""The plots of a run, as SVG, by matplotlib.

Rules of this file:
- The same results give the same file, octet for octet: no date in it, no random ids.
- A server has the same colour in every plot, for each Python the same; asgiws the only strong one.
- A place is as high as its servers need.
- matplotlib is imported when a plot is made, and not before.
"""

from __future__ import annotations

import importlib.util
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import FLOOR, OWN, Results, base_name
from benchmarks.scenarios import CPU, HOSTS, MEMORY
from benchmarks.tables import WORDS, connections, metric_of, parts_of

CPU_PLOT, THROUGHPUT_PLOT, LATENCY_PLOT = "cpu", "throughput", "latency"
MEMORY_PLOT, SCALING_PLOT, HOSTS_PLOT = "memory", "scaling", "hosts"

#: The plots of each page of the docs.
PERFORMANCE = (CPU_PLOT, THROUGHPUT_PLOT, LATENCY_PLOT, MEMORY_PLOT, SCALING_PLOT)
PUBSUB = (HOSTS_PLOT,)

_OWN_COLOURS = ("#c1272d", "#e8743b", "#f2a65a")
_PEER_COLOURS = (
    *("#2f5d8a", "#5b8db8", "#93b7d6", "#6a8f5f", "#9dbb8f", "#8d7aa6", "#b7a8c9", "#d9cde4"),
    *("#3f8f8f", "#b09a5b", "#7a7a7a", "#c08f7a", "#a3a35a"),
)
_FLOOR_COLOUR = "#bbbbbb"
_PARTS_COLOURS = ("#2f5d8a", "#93b7d6", "#c1272d")
_COLUMNS = 4

#: A bar is no longer than this many times the median of its scenario, or one hides all the others.
_CUT = 4


class PlotError(Exception):
    """No plot can be made; one line for the user."""


def file_name(plot: str) -> str:
    return f"{'pubsub' if plot in PUBSUB else 'performance'}-{plot}.svg"


def are_possible() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def prepare() -> None:
    """Set up matplotlib for plots of ours. Raises PlotError."""
    if not are_possible():
        raise PlotError("the plots need matplotlib: pip install 'asgiws[bench]'")
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "asgiws",
            "svg.fonttype": "none",
            "font.size": 8,
            "font.family": "sans-serif",
        }
    )


def write(results: Results, folder: Path, plots: Sequence[str] = PERFORMANCE + PUBSUB) -> list[str]:
    """Write each of the plots that the results have figures for; their names. Raises PlotError."""
    prepare()
    folder.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[Results], Any]] = {
        CPU_PLOT: lambda results: _bars(results, CPU, WORDS[CPU], CPU),
        THROUGHPUT_PLOT: lambda results: _bars(results, "per_second", "messages/s", CPU),
        LATENCY_PLOT: _latency,
        MEMORY_PLOT: lambda results: _bars(results, MEMORY, WORDS[MEMORY], MEMORY),
        SCALING_PLOT: _scaling,
        HOSTS_PLOT: _hosts,
    }
    written = []
    for name in plots:
        figure = makers[name](results)
        if figure is not None:
            figure.savefig(folder / file_name(name), metadata={"Date": None}, bbox_inches="tight")
            _pyplot().close(figure)
            written.append(name)
    return written


def _pyplot() -> Any:
    import matplotlib.pyplot

    return matplotlib.pyplot


def _colours(results: Results) -> dict[str, str]:
    own, peers = iter(_OWN_COLOURS * 9), iter(_PEER_COLOURS * 9)
    of_base: dict[str, str] = {}
    for name, info in results.servers.items():
        if base_name(name) not in of_base:
            colours = own if info.kind == OWN else peers
            of_base[base_name(name)] = _FLOOR_COLOUR if info.kind == FLOOR else next(colours)
    return {name: of_base[base_name(name)] for name in results.servers}


def _most(results: Results, scenarios: list[str], metric: str) -> int:
    """The servers with a figure in the scenario that has the most of them."""
    return max(
        sum(results.median(one, name, metric) is not None for name in results.servers)
        for one in scenarios
    )


def _grid(count: int, bars: int = 9) -> tuple[Any, list[Any]]:
    """A figure with `count` places in rows of _COLUMNS, each with room for so many bars."""
    columns = min(_COLUMNS, count)
    rows = math.ceil(count / columns)
    height = 0.5 + 0.16 * max(bars, 4)
    figure, axes = _pyplot().subplots(
        rows,
        columns,
        figsize=(3.4 * columns, height * rows),
        squeeze=False,
        layout="constrained",
    )
    places = [place for row in axes for place in row]
    for place in places[count:]:
        place.set_visible(False)
    return figure, places[:count]


def _shown(results: Results, ranked_by: str) -> list[str]:
    return [
        name
        for name in results.scenarios()
        if metric_of(name) == ranked_by and not name.startswith("scaling-")
    ]


def _bars(results: Results, metric: str, label: str, ranked_by: str) -> Any:
    scenarios = _shown(results, ranked_by)
    if not scenarios:
        return None
    colours = _colours(results)
    figure, places = _grid(len(scenarios), _most(results, scenarios, metric))
    for scenario, place in zip(scenarios, places, strict=True):
        found = [(name, results.median(scenario, name, metric)) for name in results.servers]
        known = [(name, value) for name, value in reversed(found) if value]
        limit = _CUT * statistics.median([value for _, value in known] or [0.0])
        names = [name for name, _ in known]
        lengths = [min(value, limit) for _, value in known]
        bars = place.barh(names, lengths, color=[colours[name] for name in names])
        place.bar_label(bars, [_short(value) for _, value in known], padding=2, fontsize=7)
        place.set_title(scenario, fontsize=9, loc="left")
        place.margins(x=0.18)
        place.tick_params(axis="y", labelsize=7)
        place.set_xticks([])
        place.spines[["top", "right", "bottom"]].set_visible(False)
    figure.supxlabel(f"{label}; a bar is cut at {_CUT} times the median")
    return figure


def _latency(results: Results) -> Any:
    scenarios = _shown(results, CPU)
    if not scenarios:
        return None
    colours = _colours(results)
    figure, places = _grid(len(scenarios), _most(results, scenarios, "p50_us"))
    for scenario, place in zip(scenarios, places, strict=True):
        for name in reversed(list(results.servers)):
            low, high, highest = (
                results.median(scenario, name, metric) for metric in ("p50_us", "p99_us", "p999_us")
            )
            if low and high and highest:
                place.plot([low, highest], [name, name], color=colours[name], lw=1)
                place.plot([low, high], [name, name], color=colours[name], lw=4)
                place.plot([low], [name], "o", color=colours[name], ms=5)
        place.set_xscale("log")
        place.xaxis.set_minor_formatter("")
        place.set_title(scenario, fontsize=9, loc="left")
        place.grid(axis="x", which="both", lw=0.3)
        place.tick_params(axis="x", which="both", labelsize=6)
        place.tick_params(axis="y", labelsize=7)
        place.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("µs: dot p50, thick line to p99, thin line to p99.9")
    return figure


def _scaling(results: Results) -> Any:
    scenarios = [name for name in results.scenarios() if name.startswith("scaling-")]
    if not scenarios:
        return None
    colours = _colours(results)
    figure, places = _grid(2)
    for place, metric, label in zip(
        places, (CPU, "per_second"), (WORDS[CPU], "messages/s"), strict=True
    ):
        for name, info in results.servers.items():
            points = [
                (connections(results, scenario), results.median(scenario, name, metric))
                for scenario in scenarios
            ]
            known = [(x, y) for x, y in points if x and y]
            if known:
                place.plot(
                    *zip(*known, strict=True),
                    "o",
                    color=colours[name],
                    ls="-" if name == base_name(name) else "--",
                    lw=2 if info.kind == OWN else 1,
                    ms=3,
                    label=name,
                )
        place.set_xscale("log")
        place.set_yscale("log")
        place.set_xlabel("connections")
        place.set_title(label, fontsize=9, loc="left")
        place.grid(which="both", lw=0.3)
        place.spines[["top", "right"]].set_visible(False)
    figure.set_size_inches(11, 4)
    places[-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    return figure


def _hosts(results: Results) -> Any:
    """CPU time of a delivery over two nodes, with the part of each process, and its latency."""
    names = [
        name
        for name in reversed(list(results.servers))
        if results.median(HOSTS, name, CPU) is not None
    ]
    if not names:
        return None
    figure, (left, right) = _pyplot().subplots(
        1, 2, figsize=(10, 1 + 0.35 * len(names)), sharey=True, layout="constrained"
    )
    starts = [0.0] * len(names)
    labels = ("the publisher's node", "the other node", "Redis")
    for metric, label, colour in zip(parts_of(3), labels, _PARTS_COLOURS, strict=True):
        lengths = [results.median(HOSTS, name, metric) or 0.0 for name in names]
        bars = left.barh(names, lengths, left=starts, color=colour, label=label)
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
    totals = [_short(results.median(HOSTS, name, CPU) or 0.0) for name in names]
    left.bar_label(bars, totals, padding=3, fontsize=7)
    left.set_title("CPU time of all processes, µs per delivery", fontsize=9, loc="left")
    left.margins(x=0.12)
    left.legend(fontsize=7, frameon=False)
    colours = _colours(results)
    for name in names:
        low, high = (results.median(HOSTS, name, metric) for metric in ("p50_us", "p99_us"))
        if low and high:
            right.plot([low / 1000, high / 1000], [name, name], color=colours[name], lw=4)
            right.plot([low / 1000], [name], "o", color=colours[name], ms=6)
    right.set_xscale("log")
    right.xaxis.set_major_formatter("{x:g}")
    right.xaxis.set_minor_formatter("")
    right.set_title("latency of a delivery, ms: dot p50, line to p99", fontsize=9, loc="left")
    right.grid(axis="x", which="both", lw=0.3)
    for place in (left, right):
        place.spines[["top", "right"]].set_visible(False)
    return figure


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
