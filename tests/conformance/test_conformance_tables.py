"""The tables, the summary file and the block in the docs."""

from __future__ import annotations

import pytest

from conformance import docs, expectations, results, tables
from conformance.results import CaseResult

EXPECTED = expectations.load()


def test_by_section(make_server):
    server = make_server(
        {
            "1.1.1": "OK",
            "1.1.2": CaseResult("OK", "UNCLEAN", None, 3),
            "3.2": "NON-STRICT",
            "7.1.6": CaseResult("INFORMATIONAL", "INFORMATIONAL", 1000, 3),
        }
    )
    head, *rows = tables.by_section(server, EXPECTED)
    assert head == [
        "section",
        "cases",
        "OK",
        "INFORMATIONAL",
        "NON-STRICT",
        "closing wrong",
        "no close code",
        "CPU s",
        "wall s",
    ]
    assert rows[0] == ["1 Framing", "2", "2", "0", "0", "1", "1", "0.50", "2.0"]
    assert rows[1] == ["3 Reserved bits", "1", "0", "0", "1", "0", "0", "-", "-"]
    assert rows[-1] == ["all", "4", "2", "1", "1", "1", "1", "0.50", "2.0"]


def test_a_case_counts_with_the_worst_of_its_passes(make_server):
    server = make_server({"3.2": "OK"}, {"3.2": "NON-STRICT"}, {"3.2": "OK"})
    assert tables.shortcomings(server) == ["NON-STRICT: 3.2"]
    assert tables.side_by_side([server])[1] == ["3 Reserved bits", "0/1, - s"]


def test_servers_side_by_side(make_server):
    ours = make_server({"1.1.1": "OK", "12.1.1": "OK"})
    peer = make_server({"1.1.1": "FAILED"}, name="peer", judged=False, cpu={"1": None})
    assert tables.side_by_side([ours, peer]) == [
        ["section", "asgiws", "peer"],
        ["1 Framing", "1/1, 0.50 s", "0/1, - s"],
        ["12 Compression, payloads", "1/1, - s", "-"],
        ["all", "2/2, 0.50 s", "0/1, - s"],
    ]
    assert tables.overall([ours, peer], EXPECTED) == [
        ["server", "passes", "cases", "OK", "FAILED", "closing wrong", "no close code", "CPU s"],
        ["asgiws", "1", "2", "2", "0", "0", "0", "0.50"],
        ["peer", "1", "1", "0", "1", "0", "0", "-"],
    ]


def test_deviations_that_are_alike_stand_together(make_server):
    bad = dict.fromkeys(("3.2", "3.3", "5.15"), "NON-STRICT")
    server = make_server(bad, {**bad, "5.15": "OK"})
    assert tables.deviations(expectations.judge(server, EXPECTED), 2) == [
        "behavior NON-STRICT, expected OK, in 2 of 2 passes: 3.2-3",
        "behavior NON-STRICT, expected OK, in 1 of 2 passes: 5.15",
    ]


def test_text_and_markdown():
    rows = [["a", "b"], ["long name", "7"]]
    assert tables.text(rows) == "a          b\n---------  -\nlong name  7"
    assert tables.markdown(rows) == "| a | b |\n| --- | ---: |\n| long name | 7 |"


def test_a_summary_comes_back_as_it_was(tmp_path, make_server):
    servers = [make_server({"1.1.1": "OK"}, {"1.1.1": "OK"}), make_server({"3.2": "FAILED"})]
    path = tmp_path / "summary.json"
    summary = results.Summary({"date": "today"}, servers)
    results.write_summary(path, summary, {})
    assert results.read_summary(path) == summary


def test_summaries_are_merged(make_server):
    first = results.Summary({"date": "1", "python": "3"}, [make_server({"3.2": "OK"})])
    second = results.Summary({"date": "2", "python": "3"}, [make_server({"3.2": "OK"}, name="b")])
    merged = results.merge([first, second])
    assert merged.about == {"date": "1 / 2", "python": "3"}
    assert [server.name for server in merged.servers] == ["asgiws", "b"]
    with pytest.raises(results.ResultError, match="asgiws is in more than one"):
        results.merge([first, first])


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"servers": [{}]}', '{"servers": 1}'])
def test_another_file_is_no_summary(tmp_path, content):
    path = tmp_path / "summary.json"
    path.write_text(content)
    with pytest.raises(results.ResultError, match="no summary of a run"):
        results.read_summary(path)


def test_the_suites_report_is_read(tmp_path):
    with pytest.raises(results.ResultError, match="no report"):
        results.read_report(tmp_path, "x")
    (tmp_path / "index.json").write_text(
        '{"x": {"1.1.1": {"behavior": "OK", "behaviorClose": "UNCLEAN", "remoteCloseCode": null,'
        ' "duration": 4, "reportfile": "f"}}}'
    )
    assert results.read_report(tmp_path, "x") == {"1.1.1": CaseResult("OK", "UNCLEAN", None, 4)}
    assert results.read_report(tmp_path, "y") == {}


def test_the_block_of_the_docs(tmp_path, make_server):
    page = tmp_path / "conformance.md"
    page.write_text(f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n")
    about = {"date": "2026-01-02", "python": "3.13.0", "machine": "Linux"}
    servers = [make_server({"1.1.1": "OK"}), make_server({"3.2": "FAILED"}, name="peer")]
    docs.write(docs.block(results.Summary(about, servers), EXPECTED), page)
    written = page.read_text()
    assert written.startswith(f"before\n{docs.BEGIN}\n")
    assert written.endswith(f"{docs.END}\nafter\n")
    assert "old" not in written
    assert "| asgiws | 1 | 1 |" in written
    assert "- peer: FAILED: 3.2" in written
    assert "- asgiws (1): `asgiws app`" in written


def test_a_page_without_the_marks_is_left_alone(tmp_path):
    page = tmp_path / "conformance.md"
    page.write_text(f"{docs.BEGIN} and no end")
    with pytest.raises(docs.DocsError):
        docs.write("x", page)
    assert page.read_text() == f"{docs.BEGIN} and no end"


def test_our_page_has_the_block():
    page = docs.PAGE.read_text()
    assert page.count(docs.BEGIN) == page.count(docs.END) == 1
