"""The suite in the cache folder: brought from the package index and converted, at first use.

Rules of this file:
- The suite has a virtual environment of its own, made here: its libraries are nobody else's
  business, and whoever runs `python -m conformance` needs none of them.
- Only pip talks to the package index, as it is set up on the machine, and it is given the hashes of
  the two archives: it runs nothing of an archive that is not the pinned one.
- A prepared suite is built beside its place and moved there whole: what lies there is complete. Its
  name has the Python version and a digest of everything that shapes it, so that it is never stale.
- Whatever goes wrong becomes one PrepareError of one line.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.cases import SUITE_VERSION
from conformance.suite import convert, sdists

CACHE_VARIABLE = "ASGIWS_CONFORMANCE_CACHE"

# What the suite imports. pyOpenSSL and service-identity are for wss://.
LIBRARIES = (
    "twisted>=24.7",
    "txaio>=23.1",
    "six>=1.16",
    "pyopenssl>=24",
    "service-identity>=24",
)
# Not needed for any verdict; without it large messages take the suite many times as long.
SPEEDUP = "wsaccel>=0.6.7"

_SOURCES = Path(convert.__file__).parent


class PrepareError(Exception):
    """The suite cannot be prepared; the message is one line for the user."""


@dataclass(frozen=True)
class Prepared:
    """A suite that is ready: its folder in the cache."""

    folder: Path

    @property
    def python(self) -> Path:
        return environment_python(self.folder / "venv")

    @property
    def wstest(self) -> Path:
        return self.folder / "suite" / convert.WSTEST


def environment_python(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def cache_folder() -> Path:
    """Where prepared suites are kept: CACHE_VARIABLE, else asgiws in the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "asgiws" / "conformance"


def suite_name() -> str:
    """The name of the folder that this interpreter and these sources make."""
    digest = hashlib.sha256(repr((LIBRARIES, SPEEDUP)).encode())
    for file in sorted(_SOURCES.rglob("*.py")):
        digest.update(file.read_bytes())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"autobahn-{SUITE_VERSION}-py{version}-{digest.hexdigest()[:12]}"


def cached() -> Prepared | None:
    """The prepared suite, when it is in the cache."""
    prepared = Prepared(cache_folder() / suite_name())
    return prepared if prepared.python.exists() and prepared.wstest.exists() else None


def prepare(say: Callable[[str], None]) -> Prepared:
    """The prepared suite, from the cache or made now; `say` is told, line by line, what is done.

    Raises PrepareError.
    """
    found = cached()
    if found is not None:
        return found
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="making-", dir=cache))
    except OSError as error:
        raise PrepareError(f"the cache folder cannot be written: {error}") from error
    try:
        _make(work, say)
        return _move(work, cache / suite_name())
    except (OSError, sdists.SdistError, convert.ConversionError) as error:
        raise PrepareError(" ".join(str(error).split())) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _make(work: Path, say: Callable[[str], None]) -> None:
    say(f"Preparing the Autobahn testsuite {SUITE_VERSION}, once, in {work.parent}")
    _run("a virtual environment cannot be made", [sys.executable, "-m", "venv", work / "venv"])
    python = environment_python(work / "venv")
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "-q"]
    say("  its libraries, from the package index")
    _run("pip could not install the suite's libraries", [*pip, "install", *LIBRARIES])
    try:
        _run("no wheel", [*pip, "install", "--only-binary", ":all:", SPEEDUP])
    except PrepareError:
        say("  no wsaccel for this Python: large messages will take longer, verdicts are the same")
    say("  its sources, from the package index")
    downloads = work / "downloads"
    downloads.mkdir()
    pins = downloads / "requirements.txt"
    pins.write_text("".join(f"{sdist.requirement}\n" for sdist in sdists.SDISTS))
    fetch: list[str | Path] = [*pip, "download", "--no-deps", "--require-hashes"]
    names = ",".join(sdist.name for sdist in sdists.SDISTS)
    _run(
        f"pip could not get the Autobahn testsuite {SUITE_VERSION}",
        [*fetch, "--no-binary", names, "-d", downloads, "-r", pins],
    )
    files: dict[str, bytes] = {}
    for sdist in sdists.SDISTS:
        files.update(sdists.read(sdist, downloads))
    tree = convert.convert(files)
    for name, data in tree.items():
        path = work / "suite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    shutil.rmtree(downloads)
    _run("the prepared suite does not start", [python, work / "suite" / convert.WSTEST, "-a"])
    say(f"  {len(tree)} files converted")


def _move(work: Path, place: Path) -> Prepared:
    try:
        work.rename(place)
    except OSError:
        if cached() is None:  # otherwise another process was faster, and its suite is as good
            raise
    return Prepared(place)


def _run(what: str, command: Sequence[str | Path]) -> None:
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise PrepareError(f"{what} ({error})") from error
    if done.returncode:
        raise PrepareError(f"{what} ({telling_line(done.stderr or done.stdout)})")


def telling_line(output: str) -> str:
    """The line of a failed command's output that says most: the last `ERROR:` one, or the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no output"])[-1]
