"""The command line: options in, a plan out, the plan carried out.

Rules of this file:
- All that is asked for is checked before anything is installed, built or started.
- Exit code 0: measured, or drawn again; 1: asgiws failed in a scenario (a missed target is a figure,
  not a failure); 2: it could not be run, and one line on the error stream says why.
- Results are saved after every scenario, so that what was measured is never lost.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks import docs, native, peers, plots, results, scenarios, servers, tables, targets
from benchmarks.progress import Progress
from benchmarks.results import OWN, Measurement, Results
from benchmarks.run import Plan, carry_out
from benchmarks.scenarios import CPU, Scenario
from benchmarks.servers import Server
from conformance.docs import DocsError
from conformance.docs import write as write_docs
from conformance.servers import ServerError
from conformance.tables import text

OUTPUT = Path("reports") / "benchmarks"
DONE, FAILED, CANNOT_RUN = 0, 1, 2

_ERRORS = (
    DocsError,
    ServerError,
    native.NativeError,
    peers.PeersError,
    plots.PlotError,
    results.ResultError,
    scenarios.ScenarioError,
    OSError,
)


class UsageError(Exception):
    """Options that cannot be meant; one line for the user."""


def main(argv: Sequence[str]) -> int:
    """Carry out the command line; the exit code says how it went."""
    options = _parser().parse_args(argv)
    try:
        if options.list:
            print(text(_listed()))
            return DONE
        if options.from_:
            found = results.merge(results.read(path) for path in options.from_)
        else:
            found = _measure(options, shlex.join(["python", "-m", "benchmarks", *argv]))
        _report(found, options)
    except (*_ERRORS, UsageError) as error:
        return _cannot(str(error))
    except KeyboardInterrupt:
        return _cannot("interrupted")
    own = found.of_kind(OWN)
    return FAILED if any(one.error and one.server in own for one in found.measurements) else DONE


def _measure(options: argparse.Namespace, command: str) -> Results:
    """Measure what the options ask for, and save it."""
    if options.rounds < 1:
        raise UsageError("--rounds: at least 1")
    if options.seconds <= 0 or options.warm_up < 0:
        raise UsageError("--seconds, --warm-up: a time in seconds")
    if options.write_docs and not plots.are_possible():
        raise plots.PlotError("the plots need matplotlib: pip install 'asgiws[bench]'")
    chosen = scenarios.select(options.scenarios)
    native.compiler()
    several = _servers(options)
    open_files = scenarios.raise_open_files()
    limited = [scenarios.within_limits(one, open_files) for one in chosen]
    for before, after in zip(chosen, limited, strict=True):
        if after != before:
            _say(
                f"{after.name}: {after.connections} connections, for a process may have no more than"
                f" {open_files} files open here"
            )
    plan = Plan(
        limited, several, options.rounds, options.seconds, options.warm_up, native.program("load")
    )
    infos = {one.name: servers.describe(one) for one in several}
    found = Results(_about(options, command), infos)
    _warn_of_differences(found)
    progress = Progress(sys.stderr, plan.count())

    def done(scenario: Scenario, measurements: list[Measurement]) -> None:
        found.measurements += measurements
        found.write(options.json)
        progress.finish()
        print(f"\n{scenario.name}: {scenario.what}\n")
        print(text(tables.of_scenario(found, scenario.name)))
        for line in tables.failures(found, scenario.name):
            print(f"  {line}")
        sys.stdout.flush()

    try:
        carry_out(plan, progress, done)
    finally:
        progress.finish()
    return found


def _servers(options: argparse.Namespace) -> list[Server]:
    """The servers, in the order asked for. Raises UsageError, ServerError and what making them does."""
    names = [name for name in (part.strip() for part in options.servers.split(",")) if name]
    known = (*servers.NAMES, *servers.EXTRA)
    for name in names:
        if name not in known:
            raise UsageError(f"--servers: unknown server {name!r}; known are {', '.join(known)}")
    added = [servers.custom(named) for named in options.add]
    builds = []
    for named in options.asgiws:
        name, equals, folder = named.partition("=")
        if not (name and equals and folder):
            raise UsageError("--asgiws: NAME=DIR, the folder where that asgiws is installed")
        builds.append(servers.asgiws(name, Path(folder)))
    peers_bin: Path | None = options.peers_bin
    if peers_bin is None and any(name in servers.PEERS for name in names):
        peers_bin = peers.bin_folder(_say)
    several = []
    for name in names:
        if name in servers.PEERS:
            assert peers_bin is not None
            several.append(servers.peer(name, peers_bin))
        elif name == "floor":
            several.append(servers.floor(native.program("floor")))
        else:
            several.append(servers.asgiws(name, None, pure=name == "asgiws-pure"))
    several = [*several, *builds, *added]
    planned = [one.name for one in several]
    twice = {name for name in planned if planned.count(name) > 1}
    if twice:
        raise UsageError(f"{min(twice)} is there twice")
    if not several:
        raise UsageError("--servers: none was named")
    return several


def _report(found: Results, options: argparse.Namespace) -> None:
    """Print what holds for the whole run, draw the plots, write the docs."""
    for rows in (tables.overview(found, CPU), tables.memory(found), tables.scaling(found, CPU, 2)):
        if len(rows) > 1:
            print("\n" + text(rows))
    for server in found.of_kind(OWN):
        verdicts = targets.judge(found, server)
        if verdicts:
            met = sum(one.met for one in verdicts)
            print(f"\nTargets of {server}: {met} of {len(verdicts)} met\n")
            print(text(tables.verdicts(verdicts)))
    if not options.from_:
        print(f"\nResults: {options.json}")
    if options.write_docs:
        drawn = plots.write(found, docs.IMAGES)
        write_docs(docs.block(found, drawn), docs.PAGE, docs.BEGIN, docs.END)
        print(f"Written: {docs.PAGE.name}")
    elif plots.are_possible():
        plots.write(found, options.plots)
        print(f"Plots: {options.plots}")
    else:
        _say("no plots: they need matplotlib (pip install 'asgiws[bench]')")


def _about(options: argparse.Namespace, command: str) -> dict[str, str]:
    """What is to be known of a run, beside its results."""
    system = platform.uname()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "machine": f"{system.system} {system.release} {system.machine}, {os.cpu_count()} cores{_cpu()}",
        "rounds": str(options.rounds),
        "seconds": f"{options.seconds:g}",
        "compiler": native.compiler_version(),
        "command": command,
    }


def _cpu() -> str:
    """What the processor calls itself, where that can be read."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f" ({names[0]})" if names else ""


def _warn_of_differences(found: Results) -> None:
    """A library that two servers have in two versions makes figures that are not the servers' own."""
    seen: dict[str, dict[str, str]] = {}
    for server, info in found.servers.items():
        for part in info.versions.replace(";", ",").split(","):
            name, _, version = part.strip().partition(" ")
            if name in ("uvloop", "starlette") and version:
                seen.setdefault(name, {}).setdefault(version, server)
    for name, versions in seen.items():
        if len(versions) > 1:
            told = ", ".join(f"{version} ({server})" for version, server in versions.items())
            _say(f"warning: {name} is not the same everywhere: {told}")


def _listed() -> list[list[str]]:
    rows = [["scenario", "what"]]
    return rows + [[one.name, one.what] for one in scenarios.SCENARIOS.values()]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _cannot(why: str) -> int:
    print(f"benchmarks: {why}", file=sys.stderr)
    return CANNOT_RUN


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_cannot(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks",
        description="Measure asgiws beside the other ASGI servers, in turn.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--scenarios", default="*", help="names, separated by commas; `scaling` for all of scaling")
    add("--servers", default=",".join(servers.NAMES), help=f"default: {','.join(servers.NAMES)}")
    add("--rounds", type=int, default=5, metavar="N", help="how often each is measured (5)")
    add("--seconds", type=float, default=3, metavar="S", help="length of each measurement (3)")
    add("--warm-up", type=float, default=1, metavar="S", help="time before each measurement (1)")
    add("--peers-bin", type=Path, metavar="DIR", help="where the peers are, instead of installing")
    add(
        "--asgiws",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="another asgiws to compare, by the folder of its programs; repeatable",
    )
    add(
        "--add",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="another server: a command line with {app} and {port}; repeatable",
    )
    add(
        "--json", type=Path, default=OUTPUT / "results.json", metavar="FILE", help="for the results"
    )
    add("--plots", type=Path, default=OUTPUT, metavar="DIR", help=f"for the plots ({OUTPUT})")
    add(
        "--from",
        dest="from_",
        action="append",
        type=Path,
        metavar="FILE",
        help="measure nothing: use the results of an earlier run; repeatable",
    )
    add("--write-docs", action="store_true", help="write the tables and plots into docs/")
    add("--list", action="store_true", help="show the scenarios, run nothing")
    return parser
