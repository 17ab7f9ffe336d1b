"""What the tests of abuse have measured, as tables.

`python -m tests.abuse.report` puts the table of the last run into docs/security.md. A run writes
reports/abuse.json and, with a table for each build and each set of options that was tested, reports/abuse.md.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.abuse.harness import HERE, MEGABYTE, RESULTS

PAGE = HERE.parents[1] / "docs" / "security.md"
BLOCK = re.compile(r"(<!-- measured: .*? -->\n).*?(<!-- end of measured -->)", re.DOTALL)
#: The variant that the documentation shows: compiled modules, and every option at its default.
SHOWN = "compiled"

HEAD = (
    "| threat | test | memory, MiB | descriptors | tasks | the victim's answers | slowest, ms |\n"
    "|---|---|---|---|---|---|---|\n"
)
#: The files, as the page has them.
ORDER = ("timeouts", "sizes", "floods", "backpressure", "topics", "admission")

Rows = dict[str, dict[str, Any]]


def table(rows: Rows) -> str:
    """The rows of one variant, by test, in Markdown."""
    lines = []
    for name, row in sorted(rows.items(), key=lambda item: (_place(item[0]), item[0])):
        steps = [row[step] for step in ("before", "peak", "after")]
        test, _, how = name.rstrip("]").partition("[")
        cells = [
            row["threat"],
            f"`{test}`" + (f", {how}" if how else ""),
            " → ".join(f"{step['memory'] / MEGABYTE:.1f}" for step in steps),
            " → ".join(str(step["descriptors"]) for step in steps),
            " → ".join(str(step["tasks"]) for step in steps),
            str(row["answers"]),
            f"{row['slowest'] * 1000:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |\n")
    return HEAD + "".join(lines)


def _place(name: str) -> int:
    return ORDER.index(name.partition(".")[0].removeprefix("test_"))


def worst(rows: Rows) -> Rows:
    """One row for each test: of those that are run in several ways, the one whose memory grew most."""
    result: Rows = {}
    for name, row in rows.items():
        test = name.partition("[")[0]
        if test not in result or _grown(row) > _grown(result[test]):
            result[test] = row
    return result


def _grown(row: dict[str, Any]) -> int:
    grown: int = row["peak"]["memory"] - row["before"]["memory"]
    return grown


def write(results: dict[str, Rows]) -> None:
    """Write reports/abuse.md."""
    parts = [
        "# The server's memory, descriptors and tasks under abuse\n\nBefore → at peak → after.\n"
    ]
    parts += [f"\n## {variant}\n\n{table(rows)}" for variant, rows in sorted(results.items())]
    RESULTS.with_suffix(".md").write_text("".join(parts), "utf-8")


def with_table(page: str, rows: Rows) -> str:
    return BLOCK.sub(lambda match: f"{match[1]}\n{table(worst(rows))}\n{match[2]}", page)


if __name__ == "__main__":
    rows = json.loads(RESULTS.read_text("utf-8"))[SHOWN]
    PAGE.write_text(with_table(PAGE.read_text("utf-8"), rows), "utf-8")
