"""Holds what the clients did against what the application's ledger says, connection by connection.

Rules of this file:
- It reads two kinds of files, lines of JSON, and gives a `Judgement`; nothing is decided elsewhere.
- Every account has one line in the ledger, or none where the application need not have been called; a line that
  no account knows of is a fault as well.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.actor import NO, YES, Account
from benchmarks.soak.messages import FAULTS

#: So many findings are told in words; all are counted.
TOLD = 200

#: What can be wrong, beside `messages.FAULTS`.
UNREPORTED, TWICE, WRONG_CODE = "never reported", "reported twice", "wrong code or reason"
NOT_ALL, OTHER = "not all messages", "other problems"
KINDS = (*FAULTS, NOT_ALL, UNREPORTED, TWICE, WRONG_CODE, OTHER)


@dataclass
class Row:
    """One behaviour: its connections, messages, and what was wrong."""

    connections: int = 0
    proxied: int = 0
    cut: int = 0
    up: int = 0
    down: int = 0
    wrong: int = 0


@dataclass
class Judgement:
    """What came out: `wrong` counts each of KINDS, `findings` tells of the first ones."""

    wrong: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(KINDS, 0)))
    codes: Counter[str] = field(default_factory=Counter)
    rows: dict[str, Row] = field(default_factory=dict)
    routes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    #: Connections that were judged, messages that were followed from the client to the application and from it,
    #: and disconnects that were due.
    connections: int = 0
    messages: int = 0
    disconnects: int = 0

    @property
    def is_clean(self) -> bool:
        return not any(self.wrong.values())

    def find(self, kind: str, account: Account | None, what: str, count: int = 1) -> None:
        self.wrong[kind] += count
        if len(self.findings) < TOLD:
            who = f"{account.id} {account.behaviour} ({account.route}): " if account else ""
            self.findings.append(f"{kind}: {who}{what}")


def judge(ledger: Path, accounts: Iterable[Path]) -> Judgement:
    """Compare the two sides."""
    found = Judgement()
    entries: dict[str, dict[str, Any]] = {}
    for line in _lines(ledger):
        if line["id"] in entries:
            found.find(TWICE, None, f"the application was called twice for {line['id']}")
        entries[line["id"]] = line
    for path in accounts:
        for line in _lines(path):
            account = Account(**line)
            _one(found, account, entries.pop(account.id, None))
    for left in entries:
        found.find(OTHER, None, f"nobody has an account of {left}")
    return found


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def _one(found: Judgement, account: Account, entry: dict[str, Any] | None) -> None:
    before = found.wrong.total()
    found.connections += 1
    found.routes[account.route] += 1
    row = found.rows.setdefault(account.behaviour, Row())
    row.connections += 1
    row.proxied += account.route != "direct"
    row.cut += account.cut
    row.down += account.received
    found.messages += account.received
    for problem in account.problems:
        found.find(OTHER, account, problem)
    which = f": {'; '.join(account.details)}" if account.details else ""
    for kind, count in account.faults.items():
        found.find(kind, account, f"{count} on the way to the client{which}", count)
    if entry is None:
        if account.called == YES:
            found.find(UNREPORTED, account, "not in the ledger")
    elif account.called == NO:
        found.find(OTHER, account, "the application was called")
    else:
        _entry(found, row, account, entry)
    row.wrong += found.wrong.total() > before


def _entry(found: Judgement, row: Row, account: Account, entry: dict[str, Any]) -> None:
    if account.numbered:
        row.up += entry["received"]
        found.messages += entry["received"]
        for kind, count in entry["faults"].items():
            found.find(kind, account, f"{count} on the way to the application", count)
    received, sent = entry["received"], account.sent
    complete = received == sent and entry.get("chain", account.chain) == account.chain
    if account.exact and account.numbered and not complete:
        found.find(NOT_ALL, account, f"{received} of {sent} messages, or not as they were sent")
    elif account.numbered and received > sent:
        found.find(NOT_ALL, account, f"{received} messages, of {sent} that were sent")
    if entry["how"].startswith("error"):
        found.find(OTHER, account, f"the application ended with {entry['how']}")
    _disconnects(found, account, entry["disconnects"])


def _disconnects(found: Judgement, account: Account, disconnects: list[list[Any]]) -> None:
    found.disconnects += max(account.disconnects)
    for code, _ in disconnects:
        found.codes[str(code)] += 1
    if len(disconnects) not in account.disconnects:
        kind = UNREPORTED if len(disconnects) < min(account.disconnects) else TWICE
        found.find(kind, account, f"the disconnects {disconnects}")
        return
    for code, reason in disconnects:
        if account.codes and code not in account.codes:
            found.find(WRONG_CODE, account, f"{code} {reason!r} in place of {account.codes}")
        elif account.reason and code == account.codes[0] and reason != account.reason:
            found.find(WRONG_CODE, account, f"the reason {reason!r} in place of {account.reason!r}")
