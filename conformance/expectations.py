"""What every case must come to, and what differs from that.

Rules of this file:
- Strict both ways: a result that is better than expected is a deviation too.
- `expectations.json` says it for every case; an entry for one case has its reason in it.
- Each pass of a repeated run is judged by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.cases import SUITE_VERSION, all_cases
from conformance.results import NO_RESULT, VERDICTS, CaseResult, ServerResult

FILE = Path(__file__).with_name("expectations.json")


class ExpectationError(Exception):
    """An expectations file that says something wrong; one line for the user."""


@dataclass(frozen=True)
class Expected:
    """The verdicts expected of a case, and whether the server's close frame has a code."""

    behavior: str
    behavior_close: str
    close_code: bool


@dataclass(frozen=True)
class Deviation:
    """Something of a case that is not as expected, and in which of the passes (from 1)."""

    case: str
    what: str
    expected: str
    got: str
    better: bool
    run: int

    def __str__(self) -> str:
        than = "better than" if self.better else "not"
        return f"{self.case}: {self.what} is {self.got}, {than} the expected {self.expected}"


def load(path: Path = FILE) -> dict[str, Expected]:
    """What is expected of each case of the suite. Raises ExpectationError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExpectationError(f"{path.name}: {error}") from error
    if not isinstance(content, dict) or set(content) != {"suite", "every case", "cases"}:
        raise ExpectationError(f"{path.name}: it needs suite, every case and cases, nothing else")
    if content["suite"] != SUITE_VERSION:
        raise ExpectationError(f"{path.name}: it is for another suite than {SUITE_VERSION}")
    every = content["every case"]
    expected = {case: _entry(path, "every case", every) for case in all_cases()}
    for case, entry in content["cases"].items():
        if case not in expected:
            raise ExpectationError(f"{path.name}: the suite has no case {case}")
        if not entry.get("why"):
            raise ExpectationError(f"{path.name}: case {case} has no reason (why)")
        own = {name: value for name, value in entry.items() if name != "why"}
        expected[case] = _entry(path, case, {**every, **own})
    return expected


def judge(server: ServerResult, expected: dict[str, Expected]) -> list[Deviation]:
    """Everything about the server's results that is not as expected, pass by pass, case by case."""
    return [
        deviation
        for number, run in enumerate(server.runs, start=1)
        for case in server.cases
        for deviation in _compare(case, run.result(case), expected[case], number)
    ]


def _compare(case: str, got: CaseResult, expected: Expected, run: int) -> Iterator[Deviation]:
    for what, wanted, seen in (
        ("behavior", expected.behavior, got.behavior),
        ("closing behavior", expected.behavior_close, got.behavior_close),
    ):
        if seen != wanted:
            yield Deviation(case, what, wanted, seen, _rank(seen) < _rank(wanted), run)
    if got.behavior != NO_RESULT and (got.close_code is not None) != expected.close_code:
        wanted = "one" if expected.close_code else "none"
        seen = "none" if got.close_code is None else str(got.close_code)
        yield Deviation(case, "close code", wanted, seen, not expected.close_code, run)


def _rank(verdict: str) -> int:
    return VERDICTS.index(verdict) if verdict in VERDICTS else len(VERDICTS)


def _entry(path: Path, case: str, entry: dict[str, Any]) -> Expected:
    if set(entry) != {"behavior", "behaviorClose", "closeCode"}:
        raise ExpectationError(
            f"{path.name}: {case} needs behavior, behaviorClose and closeCode, nothing else"
        )
    for verdict in (entry["behavior"], entry["behaviorClose"]):
        if verdict not in VERDICTS or verdict == NO_RESULT:
            raise ExpectationError(f"{path.name}: {case} has the unknown verdict {verdict!r}")
    if not isinstance(entry["closeCode"], bool):
        raise ExpectationError(f"{path.name}: {case} has a closeCode that is not true or false")
    return Expected(entry["behavior"], entry["behaviorClose"], entry["closeCode"])
