"""Fuzz the sans-I/O modules: `python -m tests.fuzz TARGET --seconds N`, or `--all`; `TARGET FILE` replays.

Rules of this file:
- Each target runs in a process of its own, under Atheris where it is installed (`pip install -e '.[fuzz]'`),
  else under the mutator of this package, which is blind.
- What was found goes to `tests/fuzz/findings/TARGET/`, where `test_corpus.py` replays it from then on. Inputs
  that are new to the fuzzer are kept in `.fuzz/`, and are what the next run begins with.
- The exit code is 1 when something was found.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.seeds import WORDS, seeds
from tests.fuzz.targets import TARGETS, WEBSOCKET

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: Seconds beyond its time after which a run is taken for a hang.
GRACE = 300
#: Seconds for one input, and megabytes for the process.
SLOWEST = 30
MEMORY = 1024
PROGRESS = 5

_COUNT = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_PLACE = re.compile(r"#(\d+)\s")
_WRITTEN = re.compile(r"artifact_prefix=.* Test unit written to (.+)")
_COVERAGE = re.compile(r"#\d+\s+(INITED|DONE|pulse|NEW|REDUCE|RELOAD)\s+cov: (\d+)")


class Result(NamedTuple):
    """How one target did: inputs run, branches known at the start and found on top (None without Atheris), and
    the file of the finding, if there is one."""

    target: str
    executions: int
    coverage: int | None
    new: int | None
    finding: Path | None


class Run:
    """One target in a process of its own."""

    def __init__(self, target: str, seconds: float, guided: bool, seed: int) -> None:
        self.target = target
        self.seed = seed
        self.guided = guided
        self.seconds = seconds
        self.work = ROOT / ".fuzz" / target
        self.findings = HERE / "findings" / target
        self.current = self.work / "current"
        self._executions = 0
        self._first: int | None = None
        self._last: int | None = None
        self._written: Path | None = None
        self._told = 0.0
        self._kept: list[str] = []

    def _prepare(self) -> list[str]:
        """The directories of inputs: what fuzzers found here, the tests' vectors, the tree's corpus."""
        given = self.work / "seeds"
        for directory in (self.work / "found", given, self.findings):
            directory.mkdir(parents=True, exist_ok=True)
        for path in given.iterdir():
            path.unlink()
        for data in seeds(self.target):
            (given / hashlib.sha1(data).hexdigest()).write_bytes(data)
        # libFuzzer takes no dictionary that is empty: one octet that is nothing new.
        words = [
            '"' + "".join(f"\\x{octet:02x}" for octet in word) + '"'
            for word in WORDS[self.target] or (b"\0",)
        ]
        (self.work / "words").write_text("\n".join([*words, ""]))
        places = (self.work / "found", given, HERE / "corpus" / self.target, self.findings)
        return [str(place) for place in places if place.is_dir()]

    def _command(self, places: list[str]) -> list[str]:
        if not self.guided:
            arguments = [self.target, str(self.seconds), str(self.current), *places]
            return [sys.executable, "-m", "tests.fuzz.mutator", *arguments]
        limits = (f"-timeout={SLOWEST}", f"-rss_limit_mb={MEMORY}", "-max_len=6000")
        return [
            *(sys.executable, "-m", "tests.fuzz.guided", self.target, *limits),
            *(f"-max_total_time={int(self.seconds)}", "-print_final_stats=1", f"-seed={self.seed}"),
            *(f"-artifact_prefix={self.findings}{os.sep}", f"-dict={self.work / 'words'}"),
            *places,
        ]

    def run(self) -> Result:
        places = self._prepare()
        environment = dict(os.environ)
        if self.guided:
            environment["ASGIWS_EXTENSIONS"] = "no"
        self.current.unlink(missing_ok=True)
        process = subprocess.Popen(
            self._command(places),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        watch = threading.Timer(self.seconds + GRACE, process.kill)
        watch.start()
        assert process.stdout is not None
        for line in process.stdout:
            self._read(line.rstrip())
        code = process.wait()
        watch.cancel()
        finding = self._finding(code)
        if code or finding:
            print("\n".join(f"{self.target}: {line}" for line in self._kept[-60:]), flush=True)
        known = self._first
        new = None if known is None or self._last is None else self._last - known
        return Result(self.target, self._executions, known, new, finding)

    def _read(self, line: str) -> None:
        if match := _COUNT.match(line):
            self._executions = int(match[1])
        elif match := _PLACE.match(line):
            self._executions = int(match[1])
            if found := _COVERAGE.match(line):
                self._last = int(found[2])
                if found[1] == "INITED":
                    self._first = self._last
            if time.monotonic() > self._told + PROGRESS:
                self._told = time.monotonic()
                branches = "" if self._last is None else f", {self._last} branches"
                print(f"{self.target}: {self._executions} executions{branches}", flush=True)
        elif match := _WRITTEN.match(line):
            self._written = Path(match[1])
        elif not line.startswith(("INFO:", "WARNING: Failed to find", "stat::")):
            self._kept.append(line)

    def _finding(self, code: int) -> Path | None:
        if self._written is not None:
            return self._written
        if code and self.current.exists():
            data = self.current.read_bytes()
            path = self.findings / f"crash-{hashlib.sha1(data).hexdigest()}"
            path.write_bytes(data)
            return path
        return None if code == 0 else self.work  # it died without an input to show


def fuzz(targets: list[str], seconds: float, jobs: int, guided: bool, seed: int) -> int:
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda name: Run(name, seconds, guided, seed).run(), targets))
    print(f"\n{'target':<20}{'executions':>12}{'branches':>10}{'new':>6}  finding")
    for result in results:
        branches, new = ("-" if n is None else n for n in (result.coverage, result.new))
        line = f"{result.target:<20}{result.executions:>12}{branches:>10}{new:>6}  "
        print(line + (os.path.relpath(result.finding) if result.finding else "none"))
    found = [result for result in results if result.finding]
    total = sum(result.executions for result in results)
    print(f"{total} executions, {len(found)} findings")
    for result in found:
        if result.finding is not None and result.finding.is_file():
            path = os.path.relpath(result.finding)
            print(f"replay it: python -m tests.fuzz {result.target} {path}")
    return 1 if found else 0


def replay(target: str, files: list[Path]) -> int:
    """Run inputs, with their tracebacks as they are."""
    for path in files:
        print(f"{target}: {path}", flush=True)
        TARGETS[target](path.read_bytes())
    print(f"{len(files)} inputs, nothing found")
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("target", nargs="?", choices=sorted(TARGETS), metavar="TARGET")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="replay these inputs")
    parser.add_argument("--all", action="store_true", help="every target")
    parser.add_argument("--websocket", action="store_true", help="the targets of asgiws.websocket")
    parser.add_argument("--seconds", type=float, default=60, help="for each target (default 60)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (default 1)")
    parser.add_argument("--mutator", action="store_true", help="without Atheris")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed for Atheris; 0, the default, is a new one each time",
    )
    asked = parser.parse_args(arguments)
    targets = [asked.target] if asked.target else []
    if asked.all or asked.websocket:
        if targets:
            parser.error("a TARGET and --all or --websocket")
        targets = list(TARGETS) if asked.all else list(WEBSOCKET)
    if not targets:
        parser.error(f"which TARGET? {', '.join(TARGETS)}; or --all")
    if asked.files:
        return replay(targets[0], asked.files)
    guided = not asked.mutator
    if guided and importlib.util.find_spec("atheris") is None:
        print("Atheris is not installed (pip install -e '.[fuzz]'): the inputs are mutated blindly")
        guided = False
    return fuzz(targets, asked.seconds, asked.jobs, guided, asked.seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
