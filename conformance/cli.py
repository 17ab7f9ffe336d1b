"""The command line: options in, a plan out, the plan carried out.

Rules of this file:
- All that is asked for is checked before anything is prepared or started.
- Exit code 0: everything as expected; 1: something was not; 2: it could not be run, and one line on
  the error stream says why.
- The first server is judged by the expectations; the peers of `--compare` are shown beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from conformance import cases, docs, expectations, prepare, results, run, servers, tables, tls
from conformance import client as clients
from conformance.expectations import Deviation, Expected
from conformance.progress import Progress
from conformance.results import ServerResult
from conformance.servers import Server

OUTPUT = Path("reports") / "conformance"
EXPECTED, DEVIATES, CANNOT_RUN = 0, 1, 2

_PACKAGE_VERSION = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
_OWN = ("http", "loop", "deflate", "pure")
_ERRORS = (
    cases.CaseError,
    clients.ClientError,
    docs.DocsError,
    expectations.ExpectationError,
    prepare.PrepareError,
    results.ResultError,
    run.RunError,
    servers.ServerError,
    tls.TlsError,
    OSError,
)


class UsageError(Exception):
    """Options that cannot be meant; one line for the user."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, checked. `first` is the server that is judged, unless peers go alone."""

    cases: list[str]
    first: Server | None
    peers: list[Server]
    expected: dict[str, Expected]


def main(argv: Sequence[str]) -> int:
    """Carry out the command line; the exit code says how it went."""
    options = _parser().parse_args(argv)
    try:
        if options.prepare:
            print(f"Ready: {clients.choose(options.docker, _say).name}")
            return EXPECTED
        if options.from_:
            expected = expectations.load(options.expectations)
            summary = results.merge(results.read_summary(path) for path in options.from_)
            return _report(summary, expected, options)
        plan = make_plan(options)
        done, failed = _carry_out(plan, options)
        if not done:
            return CANNOT_RUN
        code = _report(results.Summary(_about(), done), plan.expected, options)
        return CANNOT_RUN if failed else code
    except (*_ERRORS, UsageError) as error:
        return _cannot(str(error))
    except KeyboardInterrupt:
        return _cannot("interrupted")


def make_plan(options: argparse.Namespace) -> Plan:
    """The plan of the options.

    Raises UsageError, cases.CaseError, servers.ServerError or expectations.ExpectationError.
    """
    if options.server and any(getattr(options, name) for name in _OWN):
        raise UsageError(
            "--http, --loop, --deflate and --pure are asgiws' own; put such into the command"
        )
    if options.repeat < 1:
        raise UsageError("--repeat: at least 1")
    if options.peers_only and not options.compare:
        raise UsageError("--peers-only: --compare names the peers")
    if options.peers_only and (options.server or any(getattr(options, name) for name in _OWN)):
        raise UsageError("--peers-only: no other server is started, so none can be described")
    expected = expectations.load(options.expectations)
    chosen = cases.select(options.cases)
    first = None
    if options.server:
        first = servers.custom(options.server, tls=options.tls)
    elif not options.peers_only:
        first = servers.asgiws(
            http=options.http,
            loop=options.loop,
            deflate=options.deflate,
            pure=options.pure,
            tls=options.tls,
        )
    names = [name.strip() for name in (options.compare or "").split(",") if name.strip()]
    peers = [servers.peer(name, folder=options.peers_bin, tls=options.tls) for name in names]
    planned = [server.name for server in (first, *peers) if server is not None]
    twice = {name for name in planned if planned.count(name) > 1}
    if twice:
        raise UsageError(f"--compare: {min(twice)} is there twice")
    return Plan(chosen, first, peers, expected)


def _carry_out(plan: Plan, options: argparse.Namespace) -> tuple[list[ServerResult], bool]:
    """The results of the servers that could be run, and whether one could not."""
    client = clients.choose(options.docker, _say)
    done: list[ServerResult] = []
    failed = False
    for server in (plan.first, *plan.peers):
        if server is None:
            continue
        try:
            result = _all_passes(server, client, plan, options, judged=server is plan.first)
        except _ERRORS as error:
            failed = True
            _cannot(f"{server.name}: {error}")
            continue
        done.append(result)
        _show(result, plan.expected)
    return done, failed


def _all_passes(
    server: Server,
    client: clients.Client,
    plan: Plan,
    options: argparse.Namespace,
    *,
    judged: bool,
) -> ServerResult:
    passes = []
    for number in range(1, options.repeat + 1):
        folder = options.output / server.name / f"pass-{number}"
        label = server.name
        if options.repeat > 1:
            label = f"{label} {number}/{options.repeat}"
        progress = Progress(sys.stderr, label, len(plan.cases))
        passes.append(run.run(server, client, plan.cases, folder, progress, use_tls=options.tls))
    return ServerResult(
        server.name, server.shown, _version(server), client.name, judged, plan.cases, passes
    )


def _show(server: ServerResult, expected: dict[str, Expected]) -> None:
    print(f"\n{server.name}: {server.command}\n")
    print(tables.text(tables.by_section(server, expected)))
    tracebacks = sum(one.tracebacks for one in server.runs)
    if tracebacks:
        print(f"\n{tracebacks} tracebacks in the server's log.")
    if server.judged:
        found = expectations.judge(server, expected)
        lines = tables.deviations(found, len(server.runs))
        print("\n" + ("Not as expected:" if lines else "Everything as expected."))
    else:
        lines = tables.shortcomings(server)
        print("\nNeither OK nor informational:" if lines else "\nEverything OK or informational.")
    for line in lines:
        print(f"  {line}")


def _about() -> dict[str, str]:
    """What is to be known of a run, beside its results."""
    return {
        "suite": cases.SUITE_VERSION,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def _report(
    summary: results.Summary, expected: dict[str, Expected], options: argparse.Namespace
) -> int:
    """Print what several servers have beside each other, write the files, give the exit code."""
    shown = summary.servers
    if len(shown) > 1:
        print("\n" + tables.text(tables.side_by_side(shown)))
        print("\n" + tables.text(tables.overall(shown, expected)))
    found: dict[str, list[Deviation]] = {
        server.name: expectations.judge(server, expected) for server in shown if server.judged
    }
    if not options.from_:
        options.output.mkdir(parents=True, exist_ok=True)
        path = options.output / "summary.json"
        judged = {name: [asdict(one) for one in several] for name, several in found.items()}
        results.write_summary(path, summary, judged)
        print(f"\nSummary: {path}; the suite's own reports: */pass-*/index.html beside it.")
    if options.write_docs:
        docs.write(docs.block(summary, expected), docs.PAGE)
        print(f"Written: {docs.PAGE.name}")
    return DEVIATES if any(found.values()) else EXPECTED


def _version(server: Server) -> str:
    """What the server says of its version and build, or else its package, in one line; or nothing."""
    program = Path(server.argv[0])
    package = [str(program.with_name("python")), "-c", _PACKAGE_VERSION, program.name]
    for command in ([str(program), "--version"], package):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            said = subprocess.run(
                command,
                env=servers.environment(server),
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            lines = [" ".join(line.split()) for line in said.stdout.splitlines()]
            if said.returncode == 0 and any(lines):
                return "; ".join(filter(None, lines))
    return ""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _cannot(why: str) -> int:
    print(f"conformance: {why}", file=sys.stderr)
    return CANNOT_RUN


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_cannot(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m conformance",
        description="Run the Autobahn testsuite against asgiws, strictly, or against any server.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--cases", default="*", help="patterns, separated by commas: 7.1.5, 9.3, 6.*, 12.*.1")
    add("--server", metavar="COMMAND", help="another server instead: a command line with {port}")
    add("--compare", metavar="NAMES", help=f"peers beside it: {', '.join(servers.PEERS)}")
    add("--peers-bin", type=Path, metavar="DIR", help="where the peers are, if not on PATH")
    add("--peers-only", action="store_true", help="run only the peers")
    add("--http", choices=["httptools", "h11"], help="asgiws' HTTP parser")
    add("--loop", choices=["uvloop", "asyncio"], help="asgiws' event loop")
    add("--deflate", choices=["zlib", "zlib-ng"], help="asgiws' compression library")
    add("--pure", action="store_true", help="asgiws without its compiled modules")
    add("--tls", action="store_true", help="use wss://, with a certificate made on the fly")
    add("--repeat", type=int, default=1, metavar="N", help="pass over the cases N times")
    add("--output", type=Path, default=OUTPUT, metavar="DIR", help=f"for reports ({OUTPUT})")
    add("--expectations", type=Path, default=expectations.FILE, metavar="FILE")
    add("--docker", action="store_true", help="run the suite from its own Docker image")
    add("--prepare", action="store_true", help="prepare the suite, run nothing")
    add(
        "--from",
        dest="from_",
        action="append",
        type=Path,
        metavar="SUMMARY",
        help="run nothing: use the results of an earlier summary.json; repeatable",
    )
    add("--write-docs", action="store_true", help="write the tables to docs/conformance.md")
    return parser
