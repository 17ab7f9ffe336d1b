"""`python -m benchmarks.instructions`: the instructions of a message, counted by callgrind.

Rules of this file:
- A count is of the compiled build on uvloop: that of MESSAGES exchanges of `inside` in a row, for one
  message. It is the difference between a row of twice as many and one of as many, so that what begins and
  ends a row has no part in it. It does not depend on how fast or busy a machine is, so it is kept in the tree.
- CPython's caches go by the addresses of objects, and those by all that was done before: that moves a count
  by up to 2 %. So it is the least of several processes, one for each of SEEDS.
- It does depend on the compiler, Python and libraries, which the file names. With others nothing is
  compared, and the exit code is 0, unless the file is written anew.
- Exit code 0: as in the file, or better; 1: a count has grown by more than TOLERANCE; 2: it could not be
  counted, and one line on the error stream says why.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from benchmarks import native
from conformance.tables import text

NAME = "benchmarks.instructions"
FILE = Path(__file__).parent / "instructions.json"
PROJECT = Path(__file__).resolve().parent.parent
MESSAGES = 100
SEEDS = (0, 1, 2)
TOLERANCE = 0.05
SAME, GROWN, CANNOT_RUN = 0, 1, 2

_TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
_MARKED = re.compile(r"^desc: Trigger: .*benchmark_mark", re.MULTILINE)


class CountError(Exception):
    """The instructions cannot be counted, or not be compared; one line for the user."""


@dataclass(frozen=True)
class Counts:
    """The instructions of a message of each exchange, and the tools that they were counted with."""

    toolchain: dict[str, str]
    instructions: dict[str, int]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Counts:
    """Counts as they were written. Raises CountError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Counts(dict(content["toolchain"]), dict(content["instructions"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CountError(f"{path} holds no counts: {error!r}") from error


# In the process that callgrind runs.


def inner(names: Sequence[str]) -> None:
    """Run the exchanges, each between three marks: MESSAGES of them, then twice as many."""
    import uvloop

    from benchmarks import inside

    mark = ctypes.CDLL(str(native.library("mark"))).benchmark_mark
    gc.disable()
    for exchange in inside.EXCHANGES:
        if exchange.name in names:
            uvloop.run(inside.run(exchange, (MESSAGES, 2 * MESSAGES), mark))


# Around it.


def profiles(
    names: Sequence[str], folder: Path, *, seed: int = 0, options: Sequence[str] = ()
) -> dict[str, tuple[Path, Path]]:
    """callgrind's profiles of each name: of MESSAGES exchanges, and of twice as many.

    They are put into `folder`, which is to be empty.

    Raises CountError, and NativeError without a compiler.
    """
    if shutil.which("valgrind") is None:
        raise CountError(
            "valgrind is needed, and it is not here (Debian: apt-get install valgrind)"
        )
    require_valgrind()
    native.library("mark")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**kept, "PYTHONHASHSEED": str(seed), "ASGIWS_EXTENSIONS": "require"}
    command = [sys.executable, "-m", NAME, "--inner", ",".join(names)]
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'profile'}"]
    # Once without valgrind: what is compiled to bytecode only then would have its part in the addresses.
    _run(command, environment)
    _run([*valgrind, *options, *command], environment)
    marked = [
        path
        for path in sorted(folder.glob("profile.*"), key=lambda path: int(path.suffix[1:]))
        if _MARKED.search(path.read_text(errors="replace")[:4096])
    ]
    if len(marked) != 3 * len(names):
        raise CountError(f"valgrind made {len(marked)} dumps instead of {3 * len(names)}")
    pairs = zip(marked[1::3], marked[2::3], strict=True)
    return dict(zip(names, pairs, strict=True))


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line and not line.startswith("==")]
        raise CountError(f"the exchanges failed: {(lines or ['no output'])[-1]}")


def count() -> dict[str, int]:
    """The instructions of one message of each exchange. Raises CountError, NativeError."""
    from benchmarks import inside

    messages = {one.name: one.messages for one in inside.EXCHANGES}
    least: dict[str, int] = {}
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            found = profiles(list(messages), Path(folder), seed=seed)
            for name, (row, longer) in found.items():
                each = round((total(longer) - total(row)) / MESSAGES / messages[name])
                least[name] = min(each, least.get(name, each))
    return least


def total(profile: Path) -> int:
    """All instructions of a profile. Raises CountError."""
    match = _TOTALS.search(profile.read_text(errors="replace"))
    if match is None:
        raise CountError(f"{profile.name} is no profile of callgrind's")
    return int(match[1])


def require_valgrind() -> None:
    """Raises CountError where it is not installed."""
    if shutil.which("valgrind") is None:
        raise CountError(
            "valgrind is needed, and it is not here (Debian: apt-get install valgrind)"
        )


def toolchain() -> dict[str, str]:
    """What a count depends on beside our code. Raises CountError, NativeError."""
    require_valgrind()
    from asgiws.websocket.mask import apply_mask

    said = subprocess.run(
        ["valgrind", "--version"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "machine": f"{platform.machine()}{_vectors()}",
        "libc": " ".join(platform.libc_ver()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "python's compiler": platform.python_compiler(),
        "compiler": native.compiler_version(),
        # The type of compiled functions is named after the version that made them.
        "cython": type(apply_mask).__module__.removeprefix("_cython_").replace("_", "."),
        "uvloop": metadata.version("uvloop"),
        "httptools": metadata.version("httptools"),
        "valgrind": said.removeprefix("valgrind-"),
    }


def _vectors() -> str:
    """libc chooses its memcpy by what the processor can do."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return ""
    return "".join(f" {name}" for name in ("avx2", "erms") if name in flags)


def report(kept: Counts, now: Counts) -> int:
    """Say how what was counted compares with what is kept; the exit code."""
    rows = [["exchange", "in the file", "now", "difference"]]
    changes = []
    for name, count in now.instructions.items():
        before = kept.instructions.get(name)
        if before is None:
            rows.append([name, "-", f"{count:,}", "new"])
        else:
            changes.append(count / before - 1)
            rows.append([name, f"{before:,}", f"{count:,}", f"{changes[-1]:+.1%}"])
    print(text(rows))
    others = [
        f"{name}: {tool}, and in the file {kept.toolchain.get(name, 'nothing')}"
        for name, tool in now.toolchain.items()
        if tool != kept.toolchain.get(name)
    ]
    if others:
        print("\nNot judged, for the counts in the file were made with other tools:")
        print("\n".join(f"  {other}" for other in others))
        return SAME
    if max(changes, default=0) > TOLERANCE:
        print(f"\nGrown by more than {TOLERANCE:.0%}. If it has to be: --write, and say why.")
        return GROWN
    if min(changes, default=0) < -TOLERANCE:
        print(f"\nShrunk by more than {TOLERANCE:.0%}: --write keeps it so.")
    return SAME


def main(argv: Sequence[str]) -> int:
    """Carry out the command line; the exit code says how it went."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {NAME}",
        description="Count the instructions of a message and compare them with those in the tree.",
        allow_abbrev=False,
    )
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name} anew")
    parser.add_argument("--inner", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.inner:
        inner(options.inner.split(","))
        return SAME
    try:
        now = Counts(toolchain(), count())
        if not options.write:
            return report(read(FILE), now)
        now.write(FILE)
    except (CountError, native.NativeError, OSError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return CANNOT_RUN
    rows = [["exchange", "instructions"]]
    print(text(rows + [[name, f"{count:,}"] for name, count in now.instructions.items()]))
    return SAME


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
