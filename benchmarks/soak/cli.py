"""The command line: options in, a soak, a report out.

Rules of this file:
- Exit code 0: all is well; 1: something was found; 2: it could not be run, and one line on the error
  stream says why.
- On a terminal one line is written over; elsewhere a line comes every ten seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks import scenarios
from benchmarks.soak import report
from benchmarks.soak.cast import roles
from benchmarks.soak.faults import FAULTS
from benchmarks.soak.run import Settings, SoakError, random_seed, soak
from benchmarks.soak.watch import Sample
from conformance.servers import ServerError

OUTPUT = Path("reports") / "soak"
PASSED, FAILED, CANNOT_RUN = 0, 1, 2
_CLEAR = "\r\x1b[K"

#: Descriptors of a process of the load: a connection through the proxy has three of them.
_DESCRIPTORS = 2


class UsageError(Exception):
    """Options that cannot be meant; one line for the user."""


class Progress:
    """The line that is seen while it runs."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._last = Sample(0)

    def show(self, sample: Sample, counts: Counter[str]) -> None:
        seconds = sample.at - self._last.at
        if not self._live and seconds < 10:
            return
        topics = (
            f"  {counts['topics: messages']:,} of topics, {counts['topics: gaps told']:,} gaps told"
            if counts["topics: published"]
            else ""
        )
        rate = (sample.messages - self._last.messages) / max(0.1, seconds)
        done = {name: count for name, count in counts.items() if name.startswith("proxy: ")}
        line = (
            f"{sample.at:6.0f} s  {sample.phase:8}  {sample.connections:,} connections"
            f"  {counts['begun']:,} begun  {rate:,.0f} messages/s{topics}  {sum(done.values()):,} faults"
            f"  {sample.pss / report.MIB:.0f} MiB  {sample.descriptors:,} descriptors"
            f"  {sample.tasks:,} tasks  {counts['problems']} problems"
            + (f"  slowed {sample.slowness:g} times" if sample.slowness > 1 else "")
        )
        self._last = sample
        print(
            f"{_CLEAR}{line}" if self._live else line,
            end="" if self._live else "\n",
            file=sys.stderr,
        )
        sys.stderr.flush()

    def finish(self) -> None:
        if self._live:
            print(_CLEAR, end="", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """Carry out the command line; the exit code says how it went."""
    options = _parser().parse_args(argv)
    progress = Progress()
    try:
        settings = _settings(options)
        try:
            outcome = asyncio.run(soak(settings, progress.show))
        finally:
            progress.finish()
        print(report.closing(outcome))
        path = options.json or settings.folder / "results.json"
        report.write_json(outcome, path)
        print(f"\nResults: {path}; both sides of every connection, and the logs: {settings.folder}")
        if not report.plot(outcome, settings.folder / "soak.svg"):
            print("no plot: it needs matplotlib (pip install 'asgiws[bench]')", file=sys.stderr)
    except (UsageError, SoakError, ServerError, OSError) as error:
        return _cannot(str(error))
    except KeyboardInterrupt:
        return _cannot("interrupted")
    return FAILED if report.verdict(outcome) else PASSED


def _settings(options: argparse.Namespace) -> Settings:
    if options.minutes <= 0:
        raise UsageError("--minutes: a time above 0")
    if options.connections < 1 or options.processes < 1:
        raise UsageError("--connections, --processes: at least 1")
    if options.workers < 1:
        raise UsageError("--workers: at least 1")
    known = {role.name for role in roles(not options.no_topics, options.workers)}
    for name in options.only:
        if name not in known:
            raise UsageError(f"--only: unknown {name!r}; known are {', '.join(sorted(known))}")
    try:
        own = shlex.split(options.options)
    except ValueError as error:
        raise UsageError(f"--options: {error}") from error
    open_files = scenarios.raise_open_files()
    if options.connections * _DESCRIPTORS + 200 > open_files:
        raise UsageError(
            f"--connections: a process may have no more than {open_files} files open here"
        )
    warm_up = options.warm_up
    if warm_up is None:
        warm_up = min(120.0, max(6.0, options.minutes * 60 / 4))
    return Settings(
        options.minutes,
        options.connections,
        min(options.processes, options.connections),
        random_seed() if options.seed is None else options.seed,
        warm_up,
        options.output,
        own,
        options.fault or "",
        options.only,
        not options.no_topics,
        options.workers,
    )


def _cannot(why: str) -> int:
    print(f"soak: {why}", file=sys.stderr)
    return CANNOT_RUN


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_cannot(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks.soak",
        description="Thousands of connections that come, talk, stall and die; then the books are compared.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--minutes", type=float, default=20, metavar="N", help="length of the soak itself (20)")
    add("--connections", type=int, default=5000, metavar="N", help="concurrent connections (5000)")
    add("--processes", type=int, default=2, metavar="N", help="load processes (2)")
    add("--workers", type=int, default=1, metavar="N", help="workers of the server (1)")
    add("--no-topics", action="store_true", help="without the topics of the server")
    add("--seed", type=int, metavar="S", help="seed for the behaviours and faults (random)")
    add("--warm-up", type=float, metavar="S", help="seconds before the first measurement")
    add("--options", default="", metavar="'...'", help="options of asgiws")
    add(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only this behaviour; repeatable",
    )
    add("--fault", choices=sorted(FAULTS), help="plant a fault in the server: the soak must fail")
    add("--json", type=Path, metavar="FILE", help="for the results (results.json of the output)")
    add("--output", type=Path, default=OUTPUT, metavar="DIR", help=f"for all files ({OUTPUT})")
    return parser
