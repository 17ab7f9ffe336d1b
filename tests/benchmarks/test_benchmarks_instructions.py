"""The count of instructions: how it is judged, and that what is counted is a right exchange."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from benchmarks import inside, instructions
from benchmarks.instructions import CountError, Counts, read, report

KEPT = Counts({"python": "3", "cython": "1"}, {"echo": 1000, "hello": 2000})


@pytest.mark.parametrize(
    ("echo", "code", "said"),
    [
        (1000, 0, "+0.0%"),
        (1049, 0, "+4.9%"),
        (1051, 1, "Grown by more than 5%"),
        (951, 0, "-4.9%"),
        (949, 0, "Shrunk by more than 5%: --write"),
    ],
)
def test_growth_beyond_the_tolerance_fails(capsys, echo, code, said):
    assert report(KEPT, replace(KEPT, instructions={"echo": echo, "hello": 2000})) == code
    assert said in capsys.readouterr().out


def test_other_tools_are_told_and_not_judged(capsys):
    now = Counts({"python": "4", "cython": "1"}, {"echo": 5000})
    assert report(KEPT, now) == 0
    said = capsys.readouterr().out
    assert "Not judged" in said
    assert "python: 4, and in the file 3" in said
    assert "cython" not in said
    assert "+400.0%" in said


def test_a_new_exchange_has_nothing_to_be_compared_with(capsys):
    assert report(KEPT, replace(KEPT, instructions={"new": 7})) == 0
    assert "new" in capsys.readouterr().out


def test_the_file_in_the_tree_has_every_exchange():
    kept = read(instructions.FILE)
    assert list(kept.instructions) == [one.name for one in inside.EXCHANGES]
    assert kept.toolchain["python"].startswith("CPython ")


@pytest.mark.parametrize("content", ["", "[]", '{"toolchain": {}}'])
def test_another_file_holds_no_counts(tmp_path, content):
    path = tmp_path / "counts.json"
    path.write_text(content)
    with pytest.raises(CountError, match="holds no counts"):
        read(path)


def test_counts_come_back_as_they_were(tmp_path):
    path = tmp_path / "counts.json"
    KEPT.write(path)
    assert read(path) == KEPT
    assert json.loads(path.read_text())["instructions"]["echo"] == 1000


def test_totals_are_read_from_a_profile(tmp_path):
    path = tmp_path / "profile.1"
    path.write_text("# callgrind format\nevents: Ir\nsummary: 12345\n\nfn=(1) x\n0 1\n")
    assert instructions.total(path) == 12345
    path.write_text("nothing")
    with pytest.raises(CountError, match=r"profile\.1 is no profile"):
        instructions.total(path)


def test_without_valgrind_there_is_one_plain_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    assert instructions.main([]) == instructions.CANNOT_RUN
    said = capsys.readouterr().err
    assert "valgrind is needed" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("exchange", inside.EXCHANGES, ids=lambda one: one.name)
def test_what_is_counted_is_a_right_exchange(exchange):
    marks = []
    asyncio.run(inside.run(exchange, (3, 6), lambda: marks.append(None)))
    assert len(marks) == 3
    wrong = replace(exchange, reply=exchange.reply[:-1] + b"?")
    with pytest.raises(inside.Failure, match="a wrong answer"):
        asyncio.run(inside.run(wrong, (3, 6), lambda: None))
