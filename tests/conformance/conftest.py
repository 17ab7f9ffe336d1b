"""Tests of `python -m conformance`.

Rules of this folder:
- No network. What needs the prepared suite is skipped, with the reason, where it is not in the
  cache.
- This folder is no package: it would take the name of the one under test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from conformance.results import CaseResult, Run, ServerResult  # noqa: E402 - needs the path above


@pytest.fixture
def make_server() -> Callable[..., ServerResult]:
    """A server's results: each pass a dict of case -> verdict, or CaseResult."""

    def make(*passes: dict[str, str | CaseResult], name: str = "asgiws", **more) -> ServerResult:
        cases = more.pop("cases", None) or list(passes[0])
        runs = [
            Run(
                {
                    case: one if isinstance(one, CaseResult) else CaseResult(one, "OK", 1000, 5)
                    for case, one in verdicts.items()
                },
                more.pop("cpu", {"1": 0.5}),
                {"1": 2.0},
            )
            for verdicts in passes
        ]
        values = {"command": f"{name} app", "version": "1", "client": "made up", "judged": True}
        return ServerResult(name=name, cases=cases, runs=runs, **{**values, **more})

    return make
