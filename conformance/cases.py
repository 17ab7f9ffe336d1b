"""Which cases the suite has, and which of them are asked for.

Rules of this file:
- GROUPS is the catalogue of SUITE_VERSION: group of cases -> how many it has, counted from 1.
  A run is held against it, so that a case that the suite leaves out is noticed.
- Case ids are strings (`6.4.1`); their order is that of their numbers.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

SUITE_VERSION = "25.10.1"

SECTIONS = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Closing",
    "9": "Limits and performance",
    "10": "Auto-fragmentation",
    "12": "Compression, payloads",
    "13": "Compression, parameters",
}

# fmt: off
GROUPS = {
    "1.1": 8, "1.2": 8, "2": 11, "3": 7, "4.1": 5, "4.2": 5, "5": 20,
    "6.1": 3, "6.2": 4, "6.3": 2, "6.4": 4, "6.5": 5, "6.6": 11, "6.7": 4, "6.8": 2, "6.9": 4,
    "6.10": 3, "6.11": 5, "6.12": 8, "6.13": 5, "6.14": 10, "6.15": 1, "6.16": 3, "6.17": 5,
    "6.18": 5, "6.19": 5, "6.20": 7, "6.21": 8, "6.22": 34, "6.23": 7,
    "7.1": 6, "7.3": 6, "7.5": 1, "7.7": 13, "7.9": 9, "7.13": 2,
    "9.1": 6, "9.2": 6, "9.3": 9, "9.4": 9, "9.5": 6, "9.6": 6, "9.7": 6, "9.8": 6,
    "10.1": 1,
    "12.1": 18, "12.2": 18, "12.3": 18, "12.4": 18, "12.5": 18,
    "13.1": 18, "13.2": 18, "13.3": 18, "13.4": 18, "13.5": 18, "13.6": 18, "13.7": 18,
}
# fmt: on


class CaseError(ValueError):
    """A pattern that no case of the suite fits."""


def all_cases() -> list[str]:
    """Every case id of the suite, in order."""
    return [f"{group}.{i}" for group, count in GROUPS.items() for i in range(1, count + 1)]


def order(case: str) -> tuple[int, ...]:
    """The sort key of a case id."""
    return tuple(int(number) for number in case.split("."))


def section(case: str) -> str:
    """The section of a case: its first number."""
    return case.split(".", 1)[0]


def select(patterns: str) -> list[str]:
    """The cases that fit one of the patterns, in order.

    A pattern is a case (`7.1.5`), a section or group of them (`7`, `9.3`), or either with `*` for
    any text (`6.*`, `12.*.1`); patterns are parted by commas. Raises CaseError for one that fits
    nothing.
    """
    known = all_cases()
    chosen: set[str] = set()
    for pattern in patterns.split(","):
        found = _fitting(pattern.strip(), known)
        if not found:
            raise CaseError(f"no case of the suite fits {pattern.strip()!r}")
        chosen.update(found)
    return sorted(chosen, key=order)


def sections_of(cases: Iterable[str]) -> list[str]:
    """The sections that the cases belong to, in the order of the suite."""
    present = {section(case) for case in cases}
    return [name for name in SECTIONS if name in present]


def ranges(cases: Iterable[str]) -> str:
    """Case ids in short: `3.2-4, 5.15, 12.*`, the last for all cases of a section."""
    given = set(cases)
    whole = {name for name in SECTIONS if given.issuperset(select(name))}
    runs: list[tuple[str, int, int]] = []
    for case in sorted((case for case in given if section(case) not in whole), key=order):
        group, _, last = case.rpartition(".")
        number = int(last)
        if runs and runs[-1][0] == group and runs[-1][2] == number - 1:
            runs[-1] = (group, runs[-1][1], number)
        else:
            runs.append((group, number, number))
    parts = [
        f"{group}.{first}" if first == last else f"{group}.{first}-{last}"
        for group, first, last in runs
    ]
    parts += [f"{name}.*" for name in whole]
    return ", ".join(sorted(parts, key=lambda part: order(re.split(r"\.\*|-", part)[0])))


def _fitting(pattern: str, known: list[str]) -> list[str]:
    if not pattern or set(pattern) - set("0123456789.*"):
        return []
    return [
        case
        for case in known
        if fnmatch.fnmatchcase(case, pattern) or case.startswith(pattern + ".")
    ]
