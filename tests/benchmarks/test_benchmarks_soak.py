"""`python -m benchmarks.soak`: a short one passes, and each kind of fault in the server makes one fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import cli, report
from benchmarks.soak.judge import Judgement
from benchmarks.soak.run import Outcome
from benchmarks.soak.watch import Rest, Sample

PROJECT = Path(__file__).resolve().parents[2]

#: They are of the soak and not of what is soaked, so one build is enough for the runs.
once = pytest.mark.skipif(
    os.environ.get("ASGIWS_EXTENSIONS") == "no", reason="run with the compiled build"
)


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start one, whose output goes to that folder."""
    command = [sys.executable, "-m", "benchmarks.soak", "--seed", "1", "--output", str(folder)]
    return subprocess.Popen(
        [*command, *options],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], folder: Path) -> tuple[int, dict[str, Any], str]:
    """Wait for its end; exit code, results, and all that it said."""
    try:
        said, _ = process.communicate()
    finally:
        process.terminate()  # a test that ran out of time leaves no server behind
        process.wait()
    results = folder / "results.json"
    return process.returncode, json.loads(results.read_text()) if results.exists() else {}, said


#: Those that are over soon.
QUICK = ["echo", "listener", "publisher", "closer", "vanish", "violator", "pipelined", "upload"]
#: The same of topics, but for those who hold megabytes.
TOPICS = ["member", "vanishing member", "returning member", "latest of a topic"]
TOPICS += ["slow application of a topic", "slow task of a topic"]


def few(*names: str) -> list[str]:
    """Options of a soak of seconds."""
    only = [word for name in names for word in ("--only", name)]
    return ["--minutes", "0.03", "--warm-up", "1", "--connections", "60", *only]


#: Faults of the server, by whom they are found, and what as. Nobody owes a closer an answer, which it would
#: wait for.
FOUND = {
    "lose-message": ("closer", "lost: "),
    "leak-task": ("closer", "tasks: "),
    "double-publication": ("member", "doubled: "),
}


@once
@pytest.mark.timeout(240)
def test_short_soaks_and_those_of_servers_with_a_fault(tmp_path):
    """Side by side, since they wait for most of their time."""
    folders = {name: tmp_path / name for name in ("sound", "workers", *FOUND)}
    processes = {"sound": start(folders["sound"], *few(*QUICK, *TOPICS))}
    processes["workers"] = start(folders["workers"], *few("echo", *TOPICS), "--workers", "2")
    for fault, (role, _) in FOUND.items():
        processes[fault] = start(folders[fault], *few(role), "--fault", fault)
    ended = {name: finish(process, folders[name]) for name, process in processes.items()}
    for fault, (_, found) in FOUND.items():
        code, results, said = ended[fault]
        assert code == cli.FAILED, said
        assert found in said
        assert results["verdict"]
    for name in ("workers", "sound"):
        code, results, said = ended[name]
        assert code == cli.PASSED, said
        assert results["counts"]["topics: messages"] > 100
        assert results["counts"]["topics: recovered"] > 0
        assert results["counts"]["topics: gaps told"] > 0
    assert results["verdict"] == []
    judged = results["judgement"]
    assert judged["connections"] > 60
    assert judged["messages"] > 100
    assert not any(judged["wrong"].values())
    assert results["after"]["tasks"] == results["fresh"]["tasks"]
    assert results["after"]["sockets"] == results["fresh"]["sockets"]
    assert max(one["descriptors"] for one in results["samples"]) > 30
    assert (folders["sound"] / "ledger.jsonl").exists()
    assert "PASSED" in said
    assert "connections  " in said  # the line that is seen while it runs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minutes", "0"], "--minutes: a time above 0"),
        (["--minutes", "x"], "argument --minutes: invalid float value: 'x'"),
        (["--connections", "0"], "--connections, --processes: at least 1"),
        (["--connections", "1000000000"], "--connections: a process may have no more than"),
        (["--only", "nobody"], "--only: unknown 'nobody'"),
        (["--no-topics", "--only", "member"], "--only: unknown 'member'"),
        (["--workers", "0"], "--workers: at least 1"),
        (["--options", "'"], "--options: No closing quotation"),
        (["--options=--no-such-option"], "the server ended with exit code 2"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, options, message):
    code, _, said = finish(start(tmp_path, *options), tmp_path)
    assert code == cli.CANNOT_RUN
    assert said.startswith(f"soak: {message}"), said
    assert len(said.splitlines()) == 1


# The verdict on what is not given back.

MIB = 2**20
REST = {"pss": 50 * MIB, "rss": 60 * MIB, "descriptors": 16, "sockets": 3, "tasks": 3, "running": 1}
REST |= {"blocks": 100_000, "objects": 25_000}


def outcome(**after: int) -> Outcome:
    judged = Judgement()
    judged.connections = 1
    start, before, end = Rest(**REST), Rest(**REST), Rest(**{**REST, **after})
    return Outcome({}, judged, start, before, end, [Sample(0)], {}, {}, 1.0)


def test_what_an_allocator_keeps_is_no_leak():
    assert report.verdict(outcome(pss=60 * MIB, blocks=101_000, objects=25_100)) == []
    assert report.verdict(outcome(pss=MIB, tasks=3, descriptors=17)) == []


@pytest.mark.parametrize(
    ("after", "named"),
    [
        ({"sockets": 4}, "sockets: 4 at the end, 3 before"),
        ({"descriptors": 19}, "descriptors: 19 at the end, 16 before"),
        ({"tasks": 4}, "tasks: 4 at the end, 3 before"),
        ({"running": 2}, "calls of the application: 2 at the end, 1 before"),
        ({"pss": 70 * MIB}, "PSS: 70.0 MiB at the end, 50.0 MiB before"),
        ({"rss": 80 * MIB}, "RSS: 80.0 MiB at the end, 60.0 MiB before"),
        ({"objects": 25_301}, "objects: 25,301 at the end, 25,000 before"),
        ({"blocks": 103_001}, "blocks: 103,001 at the end, 100,000 before"),
    ],
)
def test_what_is_not_given_back_is_named(after, named):
    assert report.verdict(outcome(**after)) == [named]


def test_a_soak_in_which_nothing_happened_has_proved_nothing():
    nothing = outcome()
    nothing.judgement.connections = 0
    assert report.verdict(nothing) == ["nothing was done"]
