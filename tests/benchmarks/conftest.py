"""Tests of `python -m benchmarks`.

Rules of this folder:
- No network, no peers, no timing as a verdict. What needs a C compiler is skipped without one.
- This folder is no package: it would take the name of the one under test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from benchmarks import native  # noqa: E402 - needs the path above
from benchmarks.cache import CACHE_VARIABLE  # noqa: E402
from benchmarks.results import Measurement, Results, ServerInfo  # noqa: E402

ABOUT = {
    "date": "2026-01-02",
    "machine": "Linux",
    "rounds": "2",
    "seconds": "3",
    "compiler": "cc 1",
    "command": "python -m benchmarks",
}
KINDS = {"asgiws": "own", "asgiws-pure": "own", "floor": "floor"}


@pytest.fixture
def make_results() -> Callable[..., Results]:
    """Results from {scenario: {server: values of each round, or an error}}.

    A number stands for the CPU time of a message, or for the memory of a connection. A server has the
    Python after its @, or 3.11.
    """

    def make(figures: dict[str, dict[str, list[float | dict[str, float] | str]]]) -> Results:
        names = dict.fromkeys(name for servers in figures.values() for name in servers)
        infos = {
            name: ServerInfo(
                KINDS.get(name.partition("@")[0], "peer"),
                f"{name} {{app}}",
                f"{name} 1",
                "" if name == "floor" else name.partition("@")[2] or "3.11",
                name != "freastal",
                "" if name != "freastal" else "no lifespan",
            )
            for name in names
        }
        measurements = []
        for scenario, servers in figures.items():
            key = "kb_per_connection" if "idle" in scenario else "cpu_us_per_message"
            for server, rounds in servers.items():
                for number, one in enumerate(rounds, 1):
                    error = one if isinstance(one, str) else ""
                    values = one if isinstance(one, dict) else {} if error else {key: one}
                    measurements.append(Measurement(scenario, server, number, values, error))
        return Results(dict(ABOUT), infos, measurements)

    return make


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def load(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The load generator, built."""
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    try:
        native.compiler()
    except native.NativeError as error:
        pytest.skip(str(error))
    return native.program("load")


@pytest.fixture
def openssl(load: Path) -> Path:
    """The load generator for TLS, built."""
    try:
        return native.load(tls=True)
    except native.NativeError as error:
        pytest.skip(str(error))
