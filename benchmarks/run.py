"""The measurements: every scenario against every server, in turn.

Rules of this file:
- Within a scenario the servers go A B C, A B C: a drift of the machine's speed meets all of them.
- Every measurement has a fresh server, which has answered a request before the load begins.
- Whatever a server does wrong becomes that measurement's error, and the run goes on.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.progress import Progress
from benchmarks.results import FLOOR, Measurement
from benchmarks.scenarios import Scenario
from benchmarks.servers import SERVED, Server, environment
from conformance.process import RunningServer, free_port, started
from conformance.servers import ServerError

ANSWER_SECONDS = 20.0

#: Seconds for a server to come to rest after its first answer.
SETTLE = 0.3

#: Seconds beyond the measured ones after which the load generator is ended. It gives up by itself, much
#: sooner, when nothing moves.
PATIENCE = 180.0


@dataclass(frozen=True)
class Plan:
    """What is to be measured, how often, and for how long (seconds)."""

    scenarios: Sequence[Scenario]
    servers: Sequence[Server]
    rounds: int
    seconds: float
    warm_up: float
    load: Path

    def count(self) -> int:
        """How many measurements that makes."""
        return self.rounds * sum(len(self.taking_part(one)) for one in self.scenarios)

    def taking_part(self, scenario: Scenario) -> list[Server]:
        """The servers that can do the scenario."""
        return [one for one in self.servers if scenario.floor or one.kind != FLOOR]


def carry_out(
    plan: Plan, progress: Progress, done: Callable[[Scenario, list[Measurement]], None]
) -> None:
    """Measure all; `done` is given each scenario when it is complete."""
    with tempfile.TemporaryDirectory() as folder:
        for scenario in plan.scenarios:
            measurements = []
            for number in range(1, plan.rounds + 1):
                for server in plan.taking_part(scenario):
                    progress.begin(scenario.name, server.name, number)
                    try:
                        values, error = measure(scenario, server, plan, Path(folder)), ""
                    except ServerError as failure:
                        values, error = {}, str(failure)
                    measurements.append(
                        Measurement(scenario.name, server.name, number, values, error)
                    )
                    progress.end()
            done(scenario, measurements)


def measure(scenario: Scenario, server: Server, plan: Plan, folder: Path) -> dict[str, float]:
    """What the load generator prints. Raises ServerError with what was wrong."""
    port = free_port()
    command = server.command(scenario.app, port)
    log = folder / "server.log"
    with started(command, port, environment(server), log, SERVED) as running:
        wait_until_answering(port)
        time.sleep(SETTLE)
        load = [str(plan.load), *scenario.load_arguments(), "-p", str(port)]
        load += ["-P", str(running.pid), "-t", str(plan.seconds), "-w", str(plan.warm_up)]
        return _load(load, running, plan.seconds + plan.warm_up + PATIENCE)


def _load(command: list[str], server: RunningServer, patience: float) -> dict[str, float]:
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServerError(f"not done in {patience:.0f} s") from None
    ended = server.ended()
    if ended:
        raise ServerError(ended)
    try:
        values: dict[str, float] = json.loads(said.stdout)
    except ValueError:
        why = said.stderr.strip() or f"exit code {said.returncode}"
        raise ServerError(f"the load generator failed: {why}") from None
    if "error" in values:
        raise ServerError(str(values["error"]))
    return values


def wait_until_answering(port: int) -> None:
    """Return once a GET is answered with 200: listening alone says little of a server with workers."""
    deadline = time.monotonic() + ANSWER_SECONDS
    said = "nothing"
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/")
            said = str(connection.getresponse().status)
            if said == "200":
                return
        except (OSError, http.client.HTTPException) as error:
            said = str(error)
        finally:
            connection.close()
        time.sleep(0.05)
    raise ServerError(f"no answer within {ANSWER_SECONDS:.0f} s, but {said}")
