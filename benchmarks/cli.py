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
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from benchmarks import (
    broker,
    checks,
    docs,
    native,
    peers,
    plots,
    results,
    scenarios,
    servers,
    tables,
    targets,
)
from benchmarks.progress import Progress
from benchmarks.results import OWN, LeftOut, Measurement, Results
from benchmarks.run import Plan, carry_out
from benchmarks.scenarios import CPU, Scenario
from benchmarks.servers import Server
from conformance.docs import DocsError
from conformance.docs import write as write_docs
from conformance.servers import ServerError
from conformance.tables import text
from conformance.tls import TlsError, make

OUTPUT = Path("reports") / "benchmarks"
DONE, FAILED, CANNOT_RUN = 0, 1, 2

_ERRORS = (
    DocsError,
    ServerError,
    checks.ChecksError,
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
    failed = [one.server for one in found.measurements if one.error]
    failed += [one.server for one in found.left_out]
    return FAILED if any(server in own for server in failed) else DONE


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
    several, missing = _servers(options)
    open_files = scenarios.raise_open_files()
    limited = [scenarios.within_limits(one, open_files) for one in chosen]
    for before, after in zip(chosen, limited, strict=True):
        if after != before:
            _say(
                f"{after.name}: {after.connections} connections, for a process may have no more than"
                f" {open_files} files open here"
            )
    infos = {one.name: servers.describe(one) for one in several}
    found = Results(_about(options, command), infos, left_out=missing)
    _warn_of_differences(found)
    with tempfile.TemporaryDirectory() as folder:
        plan = _with_tls(_with_redis(_plan(options, limited, several)), Path(folder))
        found.left_out += checks.check(plan, _say)
        _carry_out(replace(plan, left_out=found.left_out), found, options)
    return found


def _plan(
    options: argparse.Namespace, chosen: Sequence[Scenario], several: Sequence[Server]
) -> Plan:
    return Plan(
        chosen, several, options.rounds, options.seconds, options.warm_up, native.load(tls=False)
    )


def _with_tls(plan: Plan, folder: Path) -> Plan:
    """The plan with what TLS needs, or without the scenarios that need TLS if it cannot be had.

    Raises ScenarioError when none is left.
    """
    if not any(one.tls for one in plan.scenarios):
        return plan
    try:
        return replace(plan, load_tls=native.load(tls=True), certificate=make(folder))
    except (native.NativeError, TlsError) as error:
        names = ", ".join(one.name for one in plan.scenarios if one.tls)
        _say(f"{names}: left out, for there is no TLS here: {error}")
    plain = [one for one in plan.scenarios if not one.tls]
    if not plain:
        raise scenarios.ScenarioError("no scenario is left")
    return replace(plan, scenarios=plain)


def _with_redis(plan: Plan) -> Plan:
    """The plan with the program of Redis, or without the scenarios that need it if it is not there.

    Raises ScenarioError when none is left.
    """
    names = ", ".join(one.name for one in plan.scenarios if one.nodes > 1)
    if not names:
        return plan
    program = broker.find()
    if program is not None:
        return replace(plan, redis=program)
    _say(f"{names}: left out, for there is no {broker.PROGRAM} here (Debian: redis-server)")
    others = [one for one in plan.scenarios if one.nodes == 1]
    if not others:
        raise scenarios.ScenarioError("no scenario is left")
    return replace(plan, scenarios=others)


def _carry_out(plan: Plan, found: Results, options: argparse.Namespace) -> None:
    """Measure what is planned, and save and show each scenario when it is complete."""
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


def _servers(options: argparse.Namespace) -> tuple[list[Server], list[LeftOut]]:
    """The servers, in the order asked for, and the peers that are not there.

    Raises UsageError, ServerError and what making them does.
    """
    names = [name for name in (part.strip() for part in options.servers.split(",")) if name]
    known = (*servers.NAMES, *servers.EXTRA)
    for name in names:
        if name not in known:
            raise UsageError(f"--servers: unknown server {name!r}; known are {', '.join(known)}")
    added = [servers.custom(named) for named in options.add]
    builds = [
        servers.asgiws(name, Path(folder)) for name, folder in _named(options.asgiws, "--asgiws")
    ]
    several: list[Server] = []
    missing: list[LeftOut] = []
    folders = _peers_folders(options)
    further = dict(_named(options.asgiws_also, "--asgiws-also"))
    for version, place in (("", ""), *further.items()):
        found, left_out = _of_python(
            names, version or servers.PYTHON, Path(place) if place else None, folders
        )
        several += found
        missing += left_out
    several = [*several, *builds, *added]
    planned = [one.name for one in several]
    twice = {name for name in planned if planned.count(name) > 1}
    if twice:
        raise UsageError(f"{min(twice)} is there twice")
    if not several:
        raise UsageError("--servers: none was named" if not names else "no server is left")
    return several, missing


def _of_python(
    names: Sequence[str], version: str, folder: Path | None, folders: dict[str, Path]
) -> tuple[list[Server], list[LeftOut]]:
    """The servers for a Python, and the peers that are not there for it: for ours, or for the further one
    whose asgiws lies in `folder`. `folders` has the peers of a Python, if they were named."""
    if folder is not None and peers.python_version(folder / "python") != version:
        raise UsageError(f"--asgiws-also: the Python in {folder} is not {version}")
    place = folders.get(version)
    if place is None and any(name in servers.PEERS for name in names):
        python = folder / "python" if folder else Path(sys.executable)
        place = peers.bin_folder(_say, python)
    found, missing = [], []
    for name in names:
        if name in servers.PEERS:
            assert place is not None
            try:
                found.append(servers.peer(name, place, version, further=folder is not None))
            except ServerError as error:
                shown = name if folder is None else f"{name}@{version}"
                missing.append(LeftOut(shown, [], str(error).removeprefix(f"{name}: ")))
                _say(checks.told(missing[-1]))
        elif name == "floor":
            if folder is None:
                found.append(servers.floor(native.program("floor")))
        else:
            shown = name if folder is None else f"{name}@{version}"
            pure = name == "asgiws-pure"
            found.append(servers.asgiws(shown, folder, pure=pure, python=version))
    return found, missing


def _peers_folders(options: argparse.Namespace) -> dict[str, Path]:
    """The folders of `--peers-bin`, by the version of Python."""
    pairs = [part.rpartition("=") for part in options.peers_bin]
    return {version or servers.PYTHON: Path(folder) for version, _, folder in pairs}


def _named(several: Sequence[str], option: str) -> Iterator[tuple[str, str]]:
    """The pairs of an option that is given as NAME=DIR."""
    for one in several:
        name, equals, folder = one.partition("=")
        if not (name and equals and folder):
            what = "VERSION" if option == "--asgiws-also" else "NAME"
            raise UsageError(f"{option}: {what}=DIR, the folder where that asgiws is installed")
        yield name, folder


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
        for page, content in docs.pages(found):
            write_docs(content, page, docs.BEGIN, docs.END)
            print(f"Written: {page.name}")
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
    add(
        "--peers-bin",
        action="append",
        default=[],
        metavar="[VERSION=]DIR",
        help="where the peers (for that Python) are, instead of installing them; repeatable",
    )
    add(
        "--asgiws",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="another asgiws to compare, by the folder of its programs; repeatable",
    )
    add(
        "--asgiws-also",
        action="append",
        default=[],
        metavar="VERSION=DIR",
        help="measure all for that Python too, by the folder of its asgiws and python; repeatable",
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
