"""The measurements: every scenario against every server, in turn.

Rules of this file:
- Within a scenario the servers go A B C, A B C: a drift of the machine's speed meets all of them.
- Every measurement has a fresh server, which has answered a request before the load begins.
- A server is measured only where `checks` found nothing wrong.
- Several nodes of a server have a Redis that is as fresh, and its CPU time counts like theirs.
- Whatever a server does wrong becomes that measurement's error, and the run goes on.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.broker import started_redis
from benchmarks.progress import Progress
from benchmarks.results import LeftOut, Measurement
from benchmarks.scenarios import Scenario
from benchmarks.servers import SERVED, Server, environment
from conformance.process import RunningServer, free_port, started
from conformance.servers import ServerError
from conformance.tls import Certificate

ANSWER_SECONDS = 20.0

#: Seconds for a server to come to rest after its first answer.
SETTLE = 0.3

#: Seconds beyond the measured ones after which the load generator is ended. It gives up by itself, much
#: sooner, when nothing moves.
PATIENCE = 180.0


@dataclass(frozen=True)
class Plan:
    """What is to be measured, how often, and for how long (seconds).

    `load` is the load generator, `load_tls` the one for TLS; that and the certificate are there if a
    scenario needs them, as is `redis`, the program redis-server.
    """

    scenarios: Sequence[Scenario]
    servers: Sequence[Server]
    rounds: int
    seconds: float
    warm_up: float
    load: Path
    load_tls: Path | None = None
    certificate: Certificate | None = None
    redis: Path | None = None
    left_out: list[LeftOut] = field(default_factory=list)

    def count(self) -> int:
        """How many measurements that makes."""
        return self.rounds * sum(len(self.taking_part(one)) for one in self.scenarios)

    def taking_part(self, scenario: Scenario) -> list[Server]:
        """The servers that can do the scenario, and were not found to do it wrong."""
        wrong = {one.server for one in self.left_out if scenario.name in one.scenarios}
        return [one for one in self.servers if one.takes_part(scenario) and one.name not in wrong]


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
    program = plan.load_tls if scenario.tls else plan.load
    load = [str(program), *scenario.load_arguments()]
    load += ["-t", str(plan.seconds), "-w", str(plan.warm_up)]
    patience = plan.seconds + plan.warm_up + PATIENCE
    with contextlib.ExitStack() as stack:
        redis, brokers = "", []
        if scenario.nodes > 1:
            assert plan.redis is not None
            redis, broker = stack.enter_context(started_redis(plan.redis, folder))
            brokers = [broker]
        nodes = []
        for number in range(scenario.servers):
            log = folder / f"server-{number}.log"
            port, node = stack.enter_context(_node(scenario, server, plan, log, redis))
            nodes.append(node)
            load += ["-p", str(port)]
        time.sleep(SETTLE)  # what the start has left to do is not measured
        running = [*nodes, *brokers]
        for one in running:
            load += ["-P", str(one.pid)]
        return _load(load, running, patience)


@contextlib.contextmanager
def _node(
    scenario: Scenario, server: Server, plan: Plan, log: Path, redis: str
) -> Iterator[tuple[int, RunningServer]]:
    """A server that answers, and its port."""
    port = free_port()
    certificate = plan.certificate if scenario.tls else None
    command = server.in_scenario(scenario, port, certificate, redis)
    with started(command, port, environment(server, redis=redis), log, SERVED) as running:
        wait_until_answering(port, certificate, running)
        yield port, running


def _load(command: list[str], running: list[RunningServer], patience: float) -> dict[str, float]:
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServerError(f"not done in {patience:.0f} s") from None
    for one in running:
        ended = one.ended()
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


def connection(
    port: int, certificate: Certificate | None = None, patience: float = ANSWER_SECONDS
) -> http.client.HTTPConnection:
    """A connection for requests to 127.0.0.1, which trusts the issuer of the certificate alone."""
    if certificate is None:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    context = ssl.create_default_context(cafile=str(certificate.issuer))
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=patience, context=context)


def wait_until_answering(
    port: int, certificate: Certificate | None = None, running: RunningServer | None = None
) -> None:
    """Return once a GET is answered with 200: listening alone says little of a server with workers.

    Raises ServerError if that never happens, at once if the server is known to have ended.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    said = "nothing"
    while time.monotonic() < deadline:
        ended = running.ended() if running else None
        if ended:
            raise ServerError(ended)
        asking = connection(port, certificate)
        try:
            asking.request("GET", "/")
            said = str(asking.getresponse().status)
            if said == "200":
                return
        except (OSError, http.client.HTTPException) as error:
            said = str(error)
        finally:
            asking.close()
        time.sleep(0.05)  # it is starting
    raise ServerError(f"no answer within {ANSWER_SECONDS:.0f} s, but {said}")
