"""The micro-benchmarks: each measures something that works; two builds make one table."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from benchmarks.micro import __main__ as micro


def test_each_works(cache):
    pytest.importorskip("pytest_benchmark")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", str(micro.FOLDER)),
            *("-q", "-n", "0", "--benchmark-disable", "-p", "no:cacheprovider"),
        ],
        cwd=micro.PROJECT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_two_builds_make_one_table(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(
        json.dumps({"benchmarks": [{"name": "test_mask[4k]", "stats": {"median": 5e-7}}]})
    )
    compiled = micro.medians(path)
    assert micro.table({"compiled": compiled, "pure": {"mask[4k]": 10.0}}) == [
        ["median, µs", "compiled", "pure", "ratio"],
        ["mask[4k]", "0.500", "10.000", "20.0"],
    ]


def test_without_pytest_benchmark_there_is_one_plain_line(capsys, monkeypatch):
    monkeypatch.setattr(micro.importlib.util, "find_spec", lambda name: None)
    assert micro.main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1
