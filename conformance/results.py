"""What came out of a run, as data, and the summary file that keeps it.

Rules of this file:
- A result is what the suite wrote, word for word; judging it is `expectations`' job.
- The summary holds everything that the tables need, so that they can be made again, from several
  summaries too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OK = "OK"
INFORMATIONAL = "INFORMATIONAL"
NO_RESULT = "NO RESULT"

# From best to worst: what the suite says of a case, and NO_RESULT for a case it says nothing of.
VERDICTS = (
    OK,
    INFORMATIONAL,
    "NON-STRICT",
    "UNIMPLEMENTED",
    "UNCLEAN",
    "WRONG CODE",
    "FAILED BY CLIENT",
    "FAILED",
    NO_RESULT,
)


class ResultError(Exception):
    """A report or summary that cannot be read; one line for the user."""


@dataclass(frozen=True)
class CaseResult:
    """The verdicts on a case, the close code that the server sent, the milliseconds it took."""

    behavior: str
    behavior_close: str
    close_code: int | None
    duration: int


MISSING = CaseResult(NO_RESULT, NO_RESULT, None, 0)


@dataclass(frozen=True)
class Run:
    """One pass over the cases. Seconds are by section; CPU is None where it cannot be measured."""

    cases: dict[str, CaseResult]
    cpu_seconds: dict[str, float | None] = field(default_factory=dict)
    wall_seconds: dict[str, float] = field(default_factory=dict)
    tracebacks: int = 0

    def result(self, case: str) -> CaseResult:
        """The result of a case, MISSING when there is none."""
        return self.cases.get(case, MISSING)


@dataclass(frozen=True)
class ServerResult:
    """All passes over one server, which cases each was to have, and whether it is judged."""

    name: str
    command: str
    version: str
    client: str
    judged: bool
    cases: list[str]
    runs: list[Run]


def read_report(folder: Path, agent: str) -> dict[str, CaseResult]:
    """The results in the suite's own `index.json`. Raises ResultError."""
    try:
        report = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"the suite wrote no report that can be read: {error}") from error
    return {
        case: CaseResult(
            entry["behavior"],
            entry["behaviorClose"],
            entry["remoteCloseCode"],
            entry["duration"],
        )
        for case, entry in report.get(agent, {}).items()
    }


@dataclass(frozen=True)
class Summary:
    """The results of some servers, and what is to be known of the run: date, Python, machine."""

    about: dict[str, str]
    servers: list[ServerResult]


def write_summary(path: Path, summary: Summary, verdict: Any) -> None:
    """Write the summary, and what the expectations said of it."""
    content = {**asdict(summary), "deviations": verdict}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_summary(path: Path) -> Summary:
    """A summary as it was written. Raises ResultError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Summary(dict(content["about"]), [_server(entry) for entry in content["servers"]])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{path} is no summary of a run: {error!r}") from error


def merge(summaries: Iterable[Summary]) -> Summary:
    """Several summaries as one. Raises ResultError when two have a server of the same name."""
    about: dict[str, str] = {}
    servers: list[ServerResult] = []
    for summary in summaries:
        for name, value in summary.about.items():
            if value not in about.setdefault(name, value).split(" / "):
                about[name] += f" / {value}"
        for server in summary.servers:
            if any(server.name == other.name for other in servers):
                raise ResultError(f"{server.name} is in more than one of the summaries")
            servers.append(server)
    return Summary(about, servers)


def _server(entry: dict[str, Any]) -> ServerResult:
    runs = [
        Run(**{**run, "cases": {case: CaseResult(**one) for case, one in run["cases"].items()}})
        for run in entry["runs"]
    ]
    return ServerResult(**{**entry, "runs": runs})
