"""What is expected, and that it is strict both ways."""

from __future__ import annotations

import json

import pytest

from conformance import cases, expectations
from conformance.results import CaseResult, Run, ServerResult


def test_our_file_has_nothing_worse_than_ok_but_the_informational_cases():
    expected = expectations.load()
    assert list(expected) == cases.all_cases()
    other = {case for case, one in expected.items() if one.behavior != "OK"}
    assert other == {"7.1.6", "7.13.1", "7.13.2"}
    for case, one in expected.items():
        verdict = "INFORMATIONAL" if case in other else "OK"
        assert (one.behavior, one.behavior_close) == (verdict, verdict)
    assert [case for case, one in expected.items() if not one.close_code] == ["7.3.1"]


def judge(make_server, case: str, *passes: CaseResult):
    server = make_server(*({case: one} for one in passes))
    return expectations.judge(server, expectations.load())


def test_as_expected(make_server):
    informational = CaseResult("INFORMATIONAL", "INFORMATIONAL", 1000, 1)
    assert judge(make_server, "7.1.6", informational) == []
    assert judge(make_server, "1.1.1", CaseResult("OK", "OK", 1000, 1)) == []


@pytest.mark.parametrize(
    ("got", "what"),
    [
        (CaseResult("NON-STRICT", "OK", 1000, 1), "behavior"),
        (CaseResult("FAILED", "OK", 1000, 1), "behavior"),
        (CaseResult("A NEW WORD", "OK", 1000, 1), "behavior"),
        (CaseResult("OK", "WRONG CODE", 1002, 1), "closing behavior"),
        (CaseResult("OK", "UNCLEAN", 1000, 1), "closing behavior"),
        (CaseResult("OK", "OK", None, 1), "close code"),
    ],
)
def test_worse_is_a_deviation(make_server, got, what):
    (found,) = judge(make_server, "3.2", got)
    assert (found.case, found.what, found.better, found.run) == ("3.2", what, False, 1)


def test_better_is_a_deviation_too(make_server):
    found = judge(make_server, "7.13.1", CaseResult("OK", "OK", 1000, 1))
    assert [(one.what, one.better) for one in found] == [
        ("behavior", True),
        ("closing behavior", True),
    ]
    assert str(found[0]) == "7.13.1: behavior is OK, better than the expected INFORMATIONAL"


def test_a_close_code_where_none_is_expected_is_better():
    expected = {"1.1.1": expectations.Expected("OK", "OK", False)}
    run = Run({"1.1.1": CaseResult("OK", "OK", 1000, 1)})
    server = ServerResult("x", "x", "", "", True, ["1.1.1"], [run])
    (found,) = expectations.judge(server, expected)
    assert (found.what, found.expected, found.got, found.better) == (
        "close code",
        "none",
        "1000",
        True,
    )


def test_a_case_without_a_result_is_a_deviation(make_server):
    server = make_server({}, cases=["1.1.1"])
    found = expectations.judge(server, expectations.load())
    assert [one.got for one in found] == ["NO RESULT", "NO RESULT"]


def test_each_pass_is_judged(make_server):
    good, bad = CaseResult("OK", "OK", 1000, 1), CaseResult("NON-STRICT", "OK", 1000, 1)
    assert [one.run for one in judge(make_server, "3.2", good, bad, good, bad)] == [2, 4]


EVERY = {"behavior": "OK", "behaviorClose": "OK", "closeCode": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expectations"),
        ([], "nothing else"),
        ({"suite": "1", "every case": EVERY}, "nothing else"),
        ({"suite": "0.8.2", "every case": EVERY, "cases": {}}, "another suite"),
        ({"suite": "25.10.1", "every case": {"behavior": "OK"}, "cases": {}}, "every case needs"),
        ({"suite": "25.10.1", "every case": EVERY, "cases": {"8.1": {"why": "x"}}}, "no case 8.1"),
        ({"suite": "25.10.1", "every case": EVERY, "cases": {"3.2": {}}}, "no reason"),
        (
            {"suite": "25.10.1", "every case": {**EVERY, "behavior": "FINE"}, "cases": {}},
            "unknown verdict 'FINE'",
        ),
        (
            {"suite": "25.10.1", "every case": EVERY, "cases": {"3.2": {"why": "x", "code": 1}}},
            "3.2 needs",
        ),
        (
            {"suite": "25.10.1", "every case": {**EVERY, "closeCode": 1000}, "cases": {}},
            "not true or false",
        ),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, content, message):
    path = tmp_path / "expectations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(expectations.ExpectationError, match=message):
        expectations.load(path)
