"""Every input that is kept, through every target, in both builds; and the fuzzer itself, for a moment.

Rules of this file: the inputs of `corpus/` and `findings/`, and those that the tests' vectors give.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgiws._extensions import COMPILED_MODULES
from tests.fuzz.mutator import mutated
from tests.fuzz.seeds import SEEDS, WORDS, seeds
from tests.fuzz.targets import TARGETS, WEBSOCKET
from tests.support.builds import both, built

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def most_memory(target: str, data: bytes) -> int:
    """What an input may take, in octets: little, but where it asks for the limit of 16 MiB and inflates."""
    asks = target == "websocket" and data[:1] and data[0] & 12 == 12
    return 40 << 20 if asks else 1 << 20


def kept(target: str) -> Iterator[tuple[str, bytes]]:
    for folder in ("corpus", "findings"):
        directory = HERE / folder / target
        if directory.is_dir():
            for path in sorted(directory.iterdir()):
                yield f"{folder}/{target}/{path.name}", path.read_bytes()
    for index, data in enumerate(seeds(target)):
        yield f"seed {index}", data


def test_each_target_has_seeds_and_words() -> None:
    assert set(SEEDS) == set(WORDS) == set(TARGETS)
    assert set(WEBSOCKET) < set(TARGETS)
    for folder in ("corpus", "findings"):
        for directory in (HERE / folder).glob("*/"):
            assert directory.name in TARGETS, f"{folder}/{directory.name} is no target's"


@pytest.mark.parametrize("package", ["asgiws.http", "asgiws.websocket"])
def test_the_targets_have_both_builds(package: str) -> None:
    if not built(package):
        pytest.skip("nothing is compiled here")
    pure, compiled = both(package)
    for name in COMPILED_MODULES:
        if name.startswith(f"{package}."):
            last = name.rpartition(".")[2]
            assert pure[last].__file__.endswith(".py")
            assert not compiled[last].__file__.endswith(".py")


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_in_what_is_kept(target: str) -> None:
    count = 0
    for name, data in kept(target):
        count += 1
        try:
            TARGETS[target](data)
        except Exception as error:
            raise AssertionError(f"{name}: {data!r}") from error
    assert count >= 15


@pytest.mark.parametrize("target", TARGETS)
def test_memory_is_bounded_whatever_comes(target: str) -> None:
    inputs = [data for _, data in kept(target)]
    for data in inputs[:10]:
        TARGETS[target](data)  # what is kept for good is made
    for name, data in kept(target):
        tracemalloc.start()
        try:
            TARGETS[target](data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < most_memory(target, data), f"{name}: {peak} octets"


def test_a_mutation_is_never_too_long_and_differs() -> None:
    chance = random.Random(1)
    corpus = [b"", b"one", bytes(8000)]
    found = {mutated(data, corpus, (b"word",), chance) for data in corpus * 50}
    assert max(map(len, found)) <= 8192
    assert len(found) > 50
    assert any(b"word" in data for data in found)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_fuzzer_runs_and_counts() -> None:
    done = run("handshake", "--seconds", "0", "--mutator")
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    count, _, rest = last.partition(" ")
    assert int(count) >= len(seeds("handshake"))
    assert rest == "executions, 0 findings"


def test_an_input_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(seeds("chunked")[0])
    done = run("chunked", str(path))
    assert done.returncode == 0
    assert done.stdout.endswith("1 inputs, nothing found\n")


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["chunked", "--all"]], ids=["none", "unknown", "both"]
)
def test_a_wrong_command_is_refused(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage: python -m tests.fuzz" in done.stderr
