"""`python -m conformance.rfc6455`: what is in the table; `--write-docs` writes it into the page."""

from __future__ import annotations

import sys
from collections import Counter

from conformance.rfc6455 import table


def main(arguments: list[str]) -> int:
    if arguments == ["--write-docs"]:
        page = table.PAGE.read_text(encoding="utf-8")
        table.PAGE.write_text(table.with_block(page), encoding="utf-8")
        return 0
    if arguments:
        print("usage: python -m conformance.rfc6455 [--write-docs]", file=sys.stderr)
        return 2
    sections = Counter(name.rpartition("-")[0] for name in table.CASES)
    for section, count in sections.items():
        print(f"{section:>14} {count:4}")
    print(f"{'all':>14} {len(table.CASES):4}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
