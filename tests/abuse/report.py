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


def table(rows: dict[str, Any]) -> str:
    """The rows of one variant, by test, in Markdown."""
    lines = []
    for name, row in sorted(rows.items()):
        steps = [row[step] for step in ("before", "peak", "after")]
        cells = [
            row["threat"],
            f"`tests/abuse/{name}`"
            if "[" not in name
            else f"`tests/abuse/{name.split('[')[0]}`, {name.split('[')[1].rstrip(']')}",
            " → ".join(f"{step['memory'] / MEGABYTE:.1f}" for step in steps),
            " → ".join(str(step["descriptors"]) for step in steps),
            " → ".join(str(step["tasks"]) for step in steps),
            str(row["answers"]),
            f"{row['slowest'] * 1000:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |\n")
    return HEAD + "".join(lines)


def write(results: dict[str, dict[str, Any]]) -> None:
    """Write reports/abuse.md."""
    parts = [
        "# The server's memory, descriptors and tasks under abuse\n\nBefore → at peak → after.\n"
    ]
    parts += [f"\n## {variant}\n\n{table(rows)}" for variant, rows in sorted(results.items())]
    RESULTS.with_suffix(".md").write_text("".join(parts), "utf-8")


def with_table(page: str, rows: dict[str, Any]) -> str:
    return BLOCK.sub(lambda match: f"{match[1]}\n{table(rows)}\n{match[2]}", page)


if __name__ == "__main__":
    rows = json.loads(RESULTS.read_text("utf-8"))[SHOWN]
    PAGE.write_text(with_table(PAGE.read_text("utf-8"), rows), "utf-8")
