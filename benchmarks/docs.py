"""The generated block of `docs/performance.md`.

Rules of this file:
- Only what stands between the two marks is ever changed, and the plots beside it.
- The block is made from results alone, so it can be made again from a file.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import plots, tables
from benchmarks.results import OWN, Results, ServerInfo
from benchmarks.scenarios import CPU, MEMORY, SCENARIOS
from benchmarks.targets import judge
from conformance.tables import Rows, markdown

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "performance.md"
IMAGES = DOCS / "images"
BEGIN = "<!-- begin of what `python -m benchmarks --write-docs` writes -->"
END = "<!-- end of what `python -m benchmarks --write-docs` writes -->"


def block(results: Results, images: list[str]) -> str:
    """The Markdown of the results; `images` are the plots there are, by their names in `plots`."""
    about = results.about
    parts = [
        f"{about['date']}, {about['machine']}, {about['rounds']} rounds of {about['seconds']} s each:"
        f" `{about['command']}`. {about['compiler']}."
    ]
    for server in results.of_kind(OWN):
        found = judge(results, server)
        if found:
            met = sum(one.met for one in found)
            parts += [f"### Targets of {server}: {met} of {len(found)} met"]
            parts += [markdown(tables.verdicts(found))]
    sections: list[tuple[str, str, Rows]] = [
        ("Server CPU time, µs per message", plots.CPU_PLOT, tables.overview(results, CPU)),
        ("Messages per second", plots.THROUGHPUT_PLOT, tables.by_server(results, "per_second")),
        ("Latency", plots.LATENCY_PLOT, tables.latency(results)),
        ("Memory, kB per idle connection", plots.MEMORY_PLOT, tables.overview(results, MEMORY)),
        ("Memory before, with and after idle connections, MB", "", tables.memory(results)),
        ("CPU µs per message by connections", plots.SCALING_PLOT, tables.scaling(results, CPU, 2)),
        ("Messages per second by connections", "", tables.scaling(results, "per_second", 0)),
    ]
    for title, image, rows in sections:
        if len(rows) > 1:
            parts += [f"### {title}"]
            if image in images:
                parts += [f"![{title}](images/{plots.file_name(image)})"]
            parts += [markdown(rows)]
    failed = [
        f"- {scenario}: {line}"
        for scenario in results.scenarios()
        for line in tables.failures(results, scenario)
    ]
    if failed:
        parts += ["### What failed", "\n".join(failed)]
    if results.left_out:
        parts += ["### What was left out, and why", "\n".join(_left_out(results))]
    measured = [f"- {name}: {SCENARIOS[name].what}" for name in results.scenarios()]
    parts += ["### The scenarios", "\n".join(measured)]
    started = [
        f"- {name} ({info.versions}): `{info.command}`{_without(info)}"
        for name, info in results.servers.items()
    ]
    parts += ["### What was started", "\n".join(started)]
    return "\n\n".join(parts)


def _left_out(results: Results) -> list[str]:
    """A line for each server and reason."""
    lines = []
    for one in results.left_out:
        where = f" ({', '.join(one.scenarios)})" if one.scenarios else ""
        lines.append(f"- {one.server}{where}: {one.why}")
    return lines


def _without(info: ServerInfo) -> str:
    """What an application misses with a server that does not run it on asyncio."""
    return "" if info.asyncio else f". Not on asyncio: {info.gives_up}"
