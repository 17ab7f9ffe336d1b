"""Which fuzzing client runs the cases: an installed wstest, Docker's, or the prepared suite.

Rules of this file:
- In this order: Docker where it is asked for, `ASGIWS_WSTEST`, a `wstest` on PATH that says it is
  Autobahn's, the prepared suite.
- A client is a command line and the view it has of the files; it knows nothing of servers or cases.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from conformance import prepare
from conformance.cases import SUITE_VERSION

WSTEST_VARIABLE = "ASGIWS_WSTEST"
DOCKER_IMAGE = f"crossbario/autobahn-testsuite:{SUITE_VERSION}"
_DOCKER_FOLDER = "/conformance"


class ClientError(Exception):
    """No fuzzing client can be had; the message is one line for the user."""


@dataclass(frozen=True)
class Client:
    """A fuzzing client: what to call it, how to start it, what it needs in its environment."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, folder: Path) -> list[str]:
        """The command line that runs `folder`/spec.json."""
        return [*self.argv, "-m", "fuzzingclient", "-s", f"{self.view(folder)}/spec.json"]

    def view(self, folder: Path) -> str:
        """How the client sees that folder."""
        return str(folder)

    @property
    def checks_certificates(self) -> bool:
        """True when the client is told the name and the issuer of a wss:// server's certificate."""
        return True


@dataclass(frozen=True)
class DockerClient(Client):
    """The suite's own image: the run's folder at a fixed place, the network that of the host."""

    def command(self, folder: Path) -> list[str]:
        run = ["run", "--rm", "--network", "host", "-e", "PYTHONUNBUFFERED=1"]
        mount = ["-v", f"{folder}:{_DOCKER_FOLDER}"]
        wstest = ["wstest", "-m", "fuzzingclient", "-s", f"{self.view(folder)}/spec.json"]
        return [*self.argv, *run, *mount, DOCKER_IMAGE, *wstest]

    def view(self, folder: Path) -> str:
        return _DOCKER_FOLDER

    @property
    def checks_certificates(self) -> bool:
        return False


def choose(docker: bool, say: Callable[[str], None]) -> Client:
    """The client to use; `say` is told what is done when a suite has to be prepared.

    Raises ClientError when what was asked for is not there, or when nothing can be prepared.
    """
    if docker:
        found = shutil.which("docker")
        if found is None:
            raise ClientError("--docker: there is no docker on PATH")
        _check_docker(found)
        return DockerClient(f"docker {DOCKER_IMAGE}", (found,))
    named = os.environ.get(WSTEST_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise ClientError(f"{WSTEST_VARIABLE}: there is no program {named!r}")
        return _wstest(found)
    found = shutil.which("wstest")
    if found is not None:
        if _is_autobahn(found):
            return _wstest(found)
        say("The wstest on PATH is not the Autobahn testsuite's; it is left alone.")
    try:
        prepared = prepare.prepare(say)
    except prepare.PrepareError as error:
        raise ClientError(
            f"the Autobahn testsuite cannot be prepared: {error}; "
            f"{WSTEST_VARIABLE} can name a wstest, and --docker runs the suite's own image"
        ) from error
    return of_prepared(prepared)


def _check_docker(program: str) -> None:
    """Raises ClientError when the daemon cannot be reached: `run` would say it less plainly."""
    try:
        done = subprocess.run(
            [program, "version"], capture_output=True, text=True, errors="replace", timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClientError(f"--docker: docker does not run ({error})") from error
    if done.returncode:
        raise ClientError(f"--docker: {prepare.telling_line(done.stderr or done.stdout)}")


def of_prepared(prepared: prepare.Prepared) -> Client:
    """The client of a prepared suite."""
    argv = (str(prepared.python), str(prepared.wstest))
    return Client(f"autobahntestsuite {SUITE_VERSION}, prepared for Python 3", argv)


def _wstest(program: str) -> Client:
    return Client(
        f"wstest, installed ({Path(program).name})", (program,), {"PYTHONUNBUFFERED": "1"}
    )


def _is_autobahn(program: str) -> bool:
    try:
        said = subprocess.run([program, "-a"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"AutobahnTestSuite" in said.stdout
