"""The environment of the peers: brought from the package index at first use.

Rules of this file:
- The peers have one virtual environment, with the versions that `peers.txt` pins; ours is left alone.
- It is marked as complete last. Its name has the Python version and a digest of
  `peers.txt`, so it is never stale.
- Only pip talks to the package index, as it is set up on the machine.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cache import cache_folder
from conformance.prepare import telling_line

REQUIREMENTS = Path(__file__).parent / "peers.txt"


class PeersError(Exception):
    """The peers cannot be installed; one line for the user."""


def environment() -> Path:
    """Where the environment of these requirements and this Python lies, made or not."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cache_folder() / f"peers-py{version}-{digest[:12]}"


def bin_folder(say: Callable[[str], None]) -> Path:
    """The folder of the peers' programs, installed now if need be. Raises PeersError, OSError."""
    place = environment()
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        say(f"Installing the peers, once, in {place}")
        place.parent.mkdir(parents=True, exist_ok=True)
        # Scripts have the environment's path in them, so it is made where it will stay.
        _run([sys.executable, "-m", "venv", str(place)])
        pip = [str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
        _run([*pip, "install", "-r", str(REQUIREMENTS)])
        (place / "complete").touch()
    return place / "bin"


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        why = telling_line(done.stderr or done.stdout)
        raise PeersError(
            f"the peers cannot be installed ({why}); --peers-bin names a folder with them"
        )
