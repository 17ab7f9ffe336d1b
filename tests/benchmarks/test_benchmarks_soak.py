"""`python -m benchmarks.soak`: a short one passes, and each kind of fault in the server makes one fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import cli
from benchmarks.soak.faults import FAULTS

PROJECT = Path(__file__).resolve().parents[2]


def soak(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Run one; exit code, results, and all that it said."""
    command = [sys.executable, "-m", "benchmarks.soak", "--seed", "1", "--output", str(folder)]
    process = subprocess.Popen(
        [*command, *options],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = process.communicate()
    finally:
        process.terminate()  # a test that ran out of time leaves no server behind
        process.wait()
    results = folder / "results.json"
    return process.returncode, json.loads(results.read_text()) if results.exists() else {}, said


#: Those that are over soon.
QUICK = ["echo", "listener", "publisher", "closer", "vanish", "violator", "pipelined", "upload"]


def few(*names: str) -> list[str]:
    """Options of a soak of seconds."""
    only = [word for name in names for word in ("--only", name)]
    return ["--minutes", "0.05", "--warm-up", "2", "--connections", "60", *only]


@pytest.mark.timeout(240)
def test_a_short_soak(tmp_path):
    code, results, said = soak(tmp_path, *few(*QUICK))
    assert code == cli.PASSED, said
    assert results["verdict"] == []
    judged = results["judgement"]
    assert judged["connections"] > 60
    assert judged["messages"] > 100
    assert not any(judged["wrong"].values())
    assert results["after"]["tasks"] == results["fresh"]["tasks"]
    assert results["after"]["sockets"] == results["fresh"]["sockets"]
    assert max(one["descriptors"] for one in results["samples"]) > 30
    assert (tmp_path / "ledger.jsonl").exists()
    assert "PASSED" in said
    assert "connections  " in said  # the line that is seen while it runs


#: What each fault is found as.
FOUND = {
    "lose-message": "lost",
    "double-message": "doubled",
    "reorder-messages": "reordered",
    "change-message": "changed",
    "lose-reply": "came back as they were",
    "wrong-code": "wrong code or reason",
    "two-disconnects": "reported twice",
    "no-disconnect": "never reported",
    "leak-task": "tasks: ",
    "leak-descriptor": "descriptors: ",
    "leak-objects": "objects: ",
    "leak-memory": "PSS: ",
}


def test_each_fault_is_looked_for():
    assert FOUND.keys() == FAULTS.keys()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", ["lose-message", "wrong-code", "leak-task"])
def test_a_fault_in_the_server_is_found(tmp_path, fault):
    # To a closer nobody owes an answer, which it would wait for.
    code, results, said = soak(tmp_path, *few("closer", "vanish"), "--fault", fault)
    assert code == cli.FAILED, said
    assert FOUND[fault] in said
    assert results["verdict"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minutes", "0"], "--minutes: a time above 0"),
        (["--minutes", "x"], "argument --minutes: invalid float value: 'x'"),
        (["--connections", "0"], "--connections, --processes: at least 1"),
        (["--connections", "1000000000"], "--connections: a process may have no more than"),
        (["--only", "nobody"], "--only: unknown 'nobody'"),
        (["--options", "'"], "--options: No closing quotation"),
        (["--options=--no-such-option"], "the server ended with exit code 2"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, options, message):
    code, _, said = soak(tmp_path, *options)
    assert code == cli.CANNOT_RUN
    assert said.startswith(f"soak: {message}"), said
    assert len(said.splitlines()) == 1
