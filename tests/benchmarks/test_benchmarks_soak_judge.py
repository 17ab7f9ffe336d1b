"""The soak's books: what is wrong with a conversation is seen, and called by its name."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import judge as judges
from benchmarks.soak import messages
from benchmarks.soak.actor import MAYBE, NO, YES, Account
from benchmarks.soak.judge import judge

SENT = [
    messages.text(0, "a"),
    messages.binary(1, b"\xff b"),
    messages.text(2, ""),
    messages.text(3, "ü"),
]


def order(several: list[str | bytes]) -> messages.Order:
    found = messages.Order()
    for one in several:
        found.take(one)
    return found


def test_all_in_order_is_no_fault():
    found = order(SENT)
    assert (found.count, found.next, found.faults) == (4, 4, {})
    assert found.chain == order(list(SENT)).chain


@pytest.mark.parametrize(
    ("came", "faults"),
    [
        ([0, 2, 3], {"lost": 1}),
        ([3], {"lost": 3}),
        ([0, 1, 1, 2, 3], {"doubled": 1}),
        ([0, 1, 2, 3, 0], {"doubled": 1}),
        ([0, 2, 1, 3], {"reordered": 1}),
        ([1, 0, 2, 3, 3], {"reordered": 1, "doubled": 1}),
    ],
)
def test_faults_of_order(came, faults):
    assert order([SENT[number] for number in came]).faults == faults


@pytest.mark.parametrize("changed", ["0 0 a", "x", "", SENT[0] + " ", "00000000", b"\x00"])  # type: ignore[operator]
def test_a_changed_message(changed):
    assert order([changed, *SENT[1:]]).faults == {"changed": 1}  # type: ignore[list-item]


def test_the_kind_of_a_message_counts():
    """A text that comes as octets is another conversation."""
    as_octets = [one.encode() if isinstance(one, str) else one for one in SENT]
    assert order(as_octets).faults == {}
    assert order(as_octets).chain != order(SENT).chain


def account(**changes: Any) -> Account:
    found = order(SENT)
    made = Account("1", "echo", "direct", YES, True, found.count, found.chain, 4, [4001], "bye")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def entry(**changes: Any) -> dict[str, Any]:
    found = order(SENT)
    made = {
        "id": "1",
        "path": "/echo",
        "received": 4,
        "chain": found.chain,
        "faults": {},
        "how": "",
    }
    return {**made, "sent": 4, "sent_chain": 0, "disconnects": [[4001, "bye"]], **changes}


@pytest.fixture
def compare(tmp_path: Path):
    def compare(accounts: list[Account], entries: list[dict[str, Any]]) -> judges.Judgement:
        (tmp_path / "a").write_text("".join(json.dumps(asdict(one)) + "\n" for one in accounts))
        (tmp_path / "l").write_text("".join(json.dumps(one) + "\n" for one in entries))
        return judge(tmp_path / "l", [tmp_path / "a"])

    return compare


def test_two_sides_that_agree(compare):
    found = compare([account()], [entry()])
    assert found.is_clean, found.findings
    assert (found.connections, found.messages, found.disconnects) == (1, 8, 1)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"received": 3, "chain": 5}, judges.NOT_ALL),
        ({"chain": 5}, judges.NOT_ALL),
        ({"faults": {"lost": 1}}, "lost"),
        ({"faults": {"doubled": 1}}, "doubled"),
        ({"disconnects": []}, judges.UNREPORTED),
        ({"disconnects": [[4001, "bye"]] * 2}, judges.TWICE),
        ({"disconnects": [[1006, ""]]}, judges.WRONG_CODE),
        ({"disconnects": [[4001, "by"]]}, judges.WRONG_CODE),
        ({"how": "error: KeyError()"}, judges.OTHER),
    ],
)
def test_a_ledger_that_says_otherwise(compare, changes, kind):
    found = compare([account()], [entry(**changes)])
    assert {name for name, count in found.wrong.items() if count} == {kind}
    assert len(found.findings) == 1
    assert found.rows["echo"].wrong == 1


@pytest.mark.parametrize(
    ("accounts", "entries", "kind"),
    [
        ([account()], [], judges.UNREPORTED),
        ([account()], [entry(), entry()], judges.TWICE),
        ([], [entry()], judges.OTHER),
        ([account(called=NO)], [entry()], judges.OTHER),
        ([account(problems=["hm"])], [entry()], judges.OTHER),
        ([account(faults={"reordered": 2})], [entry()], "reordered"),
        ([account(exact=False, sent=3)], [entry()], judges.NOT_ALL),
    ],
)
def test_a_side_that_is_missing_or_wrong(compare, accounts, entries, kind):
    found = compare(accounts, entries)
    assert {name for name, count in found.wrong.items() if count} == {kind}


def test_a_connection_that_was_cut_may_lose_its_end_and_nothing_else(compare):
    cut = account(exact=False, called=MAYBE, codes=[4001, 1006], reason=None)
    assert compare([cut], []).is_clean
    assert compare([cut], [entry(received=2, chain=5, disconnects=[[1006, ""]])]).is_clean
    lost = compare([cut], [entry(received=2, chain=5, faults={"lost": 1})])
    assert lost.wrong["lost"] == 1
