"""The environments of the peers: brought from the package index at first use.

Rules of this file:
- The peers have a virtual environment for each Python, with the versions that `peers.txt` pins; ours is
  left alone.
- It is marked as complete last. Its name has the Python version and a digest of
  `peers.txt`, so it is never stale.
- What cannot be installed is told, and tried again the next time; the others go on.
- Only pip talks to the package index, as it is set up on the machine.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cache import cache_folder
from conformance.prepare import telling_line

REQUIREMENTS = Path(__file__).parent / "peers.txt"
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


class PeersError(Exception):
    """No peer can be installed; one line for the user."""


def python_version(python: Path) -> str:
    """The version of an interpreter, as in `3.11`. Raises PeersError."""
    try:
        said = subprocess.run(
            [str(python), "-c", _VERSION], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeersError(f"{python} cannot be run: {error}") from error
    if said.returncode:
        raise PeersError(f"{python} is no Python that runs: {telling_line(said.stderr)}")
    return said.stdout.strip()


def environment(version: str) -> Path:
    """Where the environment of these requirements and that Python version lies, made or not."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    return cache_folder() / f"peers-py{version}-{digest[:12]}"


def bin_folder(say: Callable[[str], None], python: Path = Path(sys.executable)) -> Path:
    """The folder of the peers' programs for a Python, installed now if need be.

    `say` is given a line for each that cannot be installed. Raises PeersError when none can, OSError.
    """
    place = environment(python_version(python))
    if not (place / "complete").exists():
        say(f"Installing the peers, once, in {place}")
        place.parent.mkdir(parents=True, exist_ok=True)
        # Scripts have the environment's path in them, so it is made where it will stay.
        failed = _run([str(python), "-m", "venv", str(place)])
        if failed:
            raise PeersError(f"there can be no environment for the peers ({failed})")
        _install([str(place / "bin" / "python"), "-m", "pip"], place, say)
    return place / "bin"


def _install(pip: Sequence[str], place: Path, say: Callable[[str], None]) -> None:
    failures = []
    for requirement in requirements():
        command = [*pip, "--disable-pip-version-check", "-q", "install"]
        failed = _run([*command, "-c", str(REQUIREMENTS), requirement])
        if failed:
            failures.append(failed)
            say(f"{requirement} cannot be installed: {failed}")
    if len(failures) == len(requirements()):
        raise PeersError(
            f"the peers cannot be installed ({failures[0]}); --peers-bin names a folder with them"
        )
    if not failures:
        (place / "complete").touch()


def requirements() -> list[str]:
    """The lines of `peers.txt` that name a package."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return [line for line in lines if line]


def _run(command: Sequence[str]) -> str:
    """Why the command failed, in a line; empty when it did not."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return telling_line(done.stderr or done.stdout) if done.returncode else ""
