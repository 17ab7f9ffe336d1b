"""`python -m tests.chaos`: options in, a run, a report out.

Rules of this file:
- Exit code 0: all is well; 1: something was found, or an answer came too late; 2: it could not be run, and one
  line says why.
- A line tells how it goes, every few seconds; on a terminal it is written over.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import signal
import sys
import time
from pathlib import Path

from tests.chaos import report
from tests.chaos.apps import PLANTS
from tests.chaos.run import PLAIN, TLS, ServerError, Settings, chaos, random_seed
from tests.chaos.servers import PROJECT
from tests.chaos.styles import STYLES
from tests.chaos.ways import WAYS

OUTPUT = Path("reports") / "chaos"
PAGE = PROJECT / "docs" / "chaos.md"
WELL, FOUND, CANNOT_RUN = 0, 1, 2
_CLEAR = "\r\x1b[K"


class Progress:
    """The line that is seen while it runs."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._told = 0.0

    def show(self, line: str) -> None:
        if self._live:
            print(f"{_CLEAR}{line}"[: os.get_terminal_size(2).columns + 4], end="", file=sys.stderr)
        elif time.monotonic() - self._told >= 10:
            print(line, file=sys.stderr)
            self._told = time.monotonic()
        sys.stderr.flush()

    def end(self) -> None:
        if self._live:
            print(_CLEAR, end="", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    parser = _parser()
    asked = parser.parse_args(arguments)
    for names, known, option in (
        ([*asked.only, *asked.without], STYLES, "--only, --without"),
        ([*asked.only_way, *asked.without_way], WAYS, "--only-way, --without-way"),
    ):
        for name in names:
            if name not in known:
                parser.error(f"{option}: unknown {name!r}; known are {', '.join(known)}")
    settings = _settings(asked)
    print(f"seed {settings.seed}", file=sys.stderr, flush=True)
    progress = Progress()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that every process is ended
    try:
        outcome = asyncio.run(chaos(settings, progress.show))
    except (ServerError, OSError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return CANNOT_RUN
    except KeyboardInterrupt:
        print("chaos: interrupted", file=sys.stderr)
        return CANNOT_RUN
    finally:
        progress.end()
    print(report.closing(outcome, not asked.no_verdict_on_delays))
    report.write_json(outcome, settings.folder / "results.json")
    print(f"\nResults and logs: {settings.folder}")
    if asked.write_docs:
        report.write_docs(outcome, PAGE)
    late = report.delays(outcome) if not asked.no_verdict_on_delays else []
    return FOUND if report.findings(outcome) or late else WELL


def _settings(asked: argparse.Namespace) -> Settings:
    transports = {TLS: (TLS,), PLAIN: (PLAIN,)}.get(asked.transport, (PLAIN, TLS))
    options = shlex.split(asked.options)
    for name in ("loop", "http"):
        if getattr(asked, name):
            options += [f"--{name}", getattr(asked, name)]
    return Settings(
        seconds=asked.minutes * 60,
        seed=random_seed() if asked.seed is None else asked.seed,
        folder=asked.output,
        transports=transports,
        styles=tuple(n for n in asked.only or STYLES if n not in asked.without),
        ways=tuple(n for n in asked.only_way or WAYS if n not in asked.without_way),
        slots=asked.slots,
        pause=asked.pause,
        options=tuple(options),
        pure=asked.pure,
        plant=",".join(asked.plant),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Applications in every style against clients that leave in every way.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--minutes", type=float, default=20, metavar="N", help="length of the load (20)")
    add("--seed", type=int, metavar="S", help="seed for everything random (a new one)")
    add("--slots", type=int, default=16, metavar="N", help="clients of each server at a time (16)")
    add(
        "--pause",
        type=float,
        default=0.1,
        metavar="S",
        help="longest pause between two visits (0.1)",
    )
    for name, what in ((TLS, "only over TLS"), (PLAIN, "only over plain TCP")):
        add(f"--{name}", dest="transport", action="store_const", const=name, help=what)
    add("--loop", metavar="NAME", help="the server's event loop: uvloop, asyncio")
    add("--http", metavar="NAME", help="the server's parser: httptools, h11")
    add("--pure", action="store_true", help="without the compiled modules")
    add("--options", default="", metavar="'...'", help="more options of the server")
    for name, help_text in (
        ("--only", "only this style of application; repeatable"),
        ("--without", "not this one"),
        ("--only-way", "only this way to leave; repeatable"),
        ("--without-way", "not this one"),
    ):
        add(name, action="append", default=[], metavar="NAME", help=help_text)
    add(
        "--plant",
        action="append",
        default=[],
        choices=PLANTS,
        help="plant a fault that must be found",
    )
    add(
        "--no-verdict-on-delays",
        action="store_true",
        help="show late answers, but do not judge them",
    )
    add(
        "--output",
        type=Path,
        default=OUTPUT,
        metavar="DIR",
        help=f"for results and logs ({OUTPUT})",
    )
    add("--write-docs", action="store_true", help="write the results into docs/chaos.md")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
