"""`python -m benchmarks.micro`: the micro-benchmarks, compiled and pure, in one table.

Rules of this file: pytest runs twice, in processes of their own, since a build is chosen at import. Further
arguments are pytest's, such as `-k mask`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conformance.tables import text

FOLDER = Path(__file__).parent
PROJECT = FOLDER.parents[1]
BUILDS = {"compiled": "require", "pure": "no"}


def main(arguments: Sequence[str]) -> int:
    """The exit code is pytest's, the first that is not 0."""
    if importlib.util.find_spec("pytest_benchmark") is None:
        print(
            "benchmarks.micro: pytest-benchmark is needed: pip install 'asgiws[bench]'",
            file=sys.stderr,
        )
        return 2
    found: dict[str, dict[str, float]] = {}
    for build, mode in BUILDS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.json"
            command = [
                sys.executable,
                "-m",
                "pytest",
                str(FOLDER),
                "-q",
                "-n",
                "0",
                "--timeout",
                "0",
            ]
            command += ["--benchmark-only", "--benchmark-quiet", f"--benchmark-json={path}"]
            environment = {**os.environ, "ASGIWS_EXTENSIONS": mode}
            code = subprocess.run(
                [*command, *arguments], cwd=PROJECT, env=environment, check=False
            ).returncode
            if code:
                return code
            found[build] = medians(path)
    print("\n" + text(table(found)))
    return 0


def medians(path: Path) -> dict[str, float]:
    """The median of each benchmark, in microseconds, by its name."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {
        one["name"].removeprefix("test_"): one["stats"]["median"] * 1e6
        for one in content["benchmarks"]
    }


def table(found: dict[str, dict[str, float]]) -> list[list[str]]:
    """A row for each benchmark, a column for each build, and how many times as fast the first is."""
    first, second = found
    rows = [["median, µs", first, second, "ratio"]]
    for name, value in found[first].items():
        other = found[second][name]
        rows.append([name, f"{value:.3f}", f"{other:.3f}", f"{other / value:.1f}"])
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
