"""The generated blocks of `docs/performance.md`, and of `docs/pubsub.md` for what has topics.

Rules of this file:
- Only what stands between the two marks is ever changed, and the plots beside it.
- A block is made from results alone, so it can be made again from a file.
- A page that there are no results for stays as it is.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import plots, tables
from benchmarks.results import OWN, LeftOut, Results, ServerInfo, base_name
from benchmarks.scenarios import CPU, DEAF, HOSTS, MEMORY, SCENARIOS
from benchmarks.servers import PEERS
from benchmarks.targets import judge
from conformance.tables import Rows, markdown

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "performance.md"
PUBSUB = DOCS / "pubsub.md"
IMAGES = DOCS / "images"
BEGIN = "<!-- begin of what `python -m benchmarks --write-docs` writes -->"
END = "<!-- end of what `python -m benchmarks --write-docs` writes -->"


def pages(results: Results) -> list[tuple[Path, str]]:
    """Each page that the results are for, with its block; their plots are written. Raises PlotError."""
    topics = [name for name in results.scenarios() if _has_topics(name)]
    others = [name for name in results.scenarios() if not _has_topics(name)]
    found = []
    if others or not topics:
        some = _of_page(results, others, topics=False)
        found.append((PAGE, block(some, plots.write(some, IMAGES, plots.PERFORMANCE))))
    if topics:
        some = _of_page(results, topics, topics=True)
        found.append((PUBSUB, topics_block(some, plots.write(some, IMAGES, plots.PUBSUB))))
    return found


def _has_topics(scenario: str) -> bool:
    return scenario in SCENARIOS and SCENARIOS[scenario].topics


def _of_page(results: Results, scenarios: list[str], *, topics: bool) -> Results:
    """The results of a page, with the servers that are not there and would be measured for it."""
    some = results.of(scenarios)
    for one in results.left_out:
        known = PEERS.get(base_name(one.server))
        if not one.scenarios and bool(known and known.room) == topics:
            some.left_out.append(one)
    return some


def topics_block(results: Results, images: list[str]) -> str:
    """The Markdown of the scenarios that have topics."""
    parts = _opening(results)
    rows = tables.hosts(results, HOSTS)
    if len(rows) > 1:
        parts += [f"### Two nodes\n\n{_sentence(HOSTS)} {_ABOUT_HOSTS}"]
        if plots.HOSTS_PLOT in images:
            image = plots.file_name(plots.HOSTS_PLOT)
            parts += [f"![CPU time and latency of a delivery over two nodes](images/{image})"]
        parts += [markdown(rows)]
    rows = tables.deaf(results, DEAF)
    if len(rows) > 1:
        parts += [f"### A client that does not read\n\n{_sentence(DEAF)} {_ABOUT_DEAF}"]
        parts += [markdown(rows)]
    rows = tables.overview(results.of(set(results.scenarios()) - {HOSTS, DEAF}), CPU)
    if len(rows) > 1:
        parts += ["### One host\n\nCPU time of all processes for each delivery, in µs."]
        parts += [markdown(rows)]
    return "\n\n".join([*parts, *_closing(results, hashes="####")])


def _sentence(scenario: str) -> str:
    what = SCENARIOS[scenario].what
    return f"`{scenario}`: {what}."


_ABOUT_HOSTS = (
    "The next message is published once all clients have the last one, or after a second; what has not come"
    " by then counts as lost. CPU time is that of both nodes and of redis-server. asgiws runs the application"
    " of `topic` with `--pubsub redis://127.0.0.1:PORT/0`. The applications of the others are those of their"
    " documentation: a consumer with a group over each layer of channels_redis (`channels-redis` is"
    " `channels_redis.core`, `channels-pubsub` is `channels_redis.pubsub`; under uvicorn or daphne), and a"
    " WebSocket of Starlette with two tasks over broadcaster, under uvicorn. hiredis is installed for them."
)
_ABOUT_DEAF = (
    "The 99th percentile of the latency of all deliveries to the others, beside that of a second server, all"
    " clients of which read. Messages go to the two in turn, so that whatever else the machine does meets both."
    " Every hundred messages to each make one ratio; it is the median of those of a round, and then of the"
    " rounds. *Behind* is what was published to the client that does not read and did not reach it. asgiws runs"
    f" with `{' '.join(SCENARIOS[DEAF].options)}`."
)


def block(results: Results, images: list[str]) -> str:
    """The Markdown of the results; `images` are the plots there are, by their names in `plots`."""
    parts = _opening(results)
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
    return "\n\n".join([*parts, *_closing(results)])


def _opening(results: Results) -> list[str]:
    """What was run, and the targets."""
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
    return parts


def _closing(results: Results, hashes: str = "###") -> list[str]:
    """What failed, what was left out, what the scenarios are, and what was started."""
    parts = []
    failed = [
        f"- {scenario}: {line}"
        for scenario in results.scenarios()
        for line in tables.failures(results, scenario)
    ]
    if failed:
        parts += [f"{hashes} What failed", "\n".join(failed)]
    if results.left_out:
        parts += [f"{hashes} What was left out, and why", "\n".join(_left_out(results.left_out))]
    measured = [f"- {name}: {SCENARIOS[name].what}" for name in results.scenarios()]
    parts += [f"{hashes} The scenarios", "\n".join(measured)]
    started = [
        f"- {name} ({info.versions}): `{info.command}`{_without(info)}"
        for name, info in results.servers.items()
    ]
    parts += [f"{hashes} What was started", "\n".join(started)]
    return parts


def _left_out(several: list[LeftOut]) -> list[str]:
    """A line for each server and reason."""
    lines = []
    for one in several:
        where = f" ({', '.join(one.scenarios)})" if one.scenarios else ""
        lines.append(f"- {one.server}{where}: {one.why}")
    return lines


def _without(info: ServerInfo) -> str:
    """What an application misses with a server that does not run it on asyncio."""
    return "" if info.asyncio else f". Not on asyncio: {info.gives_up}"
