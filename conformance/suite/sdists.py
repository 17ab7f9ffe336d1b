"""What is taken from the package index: two source archives, each pinned by its hash.

Rules of this file:
- An archive is read only after its SHA-256 was compared.
- Only what the fuzzing modes need is kept; nothing of an archive is written under a name of its own
  choosing.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from conformance.cases import SUITE_VERSION


class SdistError(Exception):
    """An archive that is not the pinned one."""


@dataclass(frozen=True)
class Sdist:
    """A pinned archive; `keep` matches the wanted paths inside the archive's one folder."""

    name: str
    version: str
    sha256: str
    keep: re.Pattern[str]

    @property
    def filename(self) -> str:
        return f"{self.name}-{self.version}.tar.gz"

    @property
    def requirement(self) -> str:
        """The line of a requirements file that lets pip take this archive and no other."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


SDISTS = (
    Sdist(
        "autobahntestsuite",
        SUITE_VERSION,
        "b083d6e15330fc16f3e5f0975cce2b15f21bfa0c6db09547316b1852c6dbd6df",
        re.compile(
            r"autobahntestsuite/(_version\.py|caseset\.py|fuzzing\.py|report\.py"
            r"|case/(?!case9_9_1)\w+\.py|testdata/[\w.-]+)"
        ),
    ),
    Sdist(
        "autobahn",
        "0.10.9",
        "3fecc1e2a26a0421128ddcfb4e577f0bc669dd65d0e0fdad1c773965cbcef75a",
        re.compile(
            r"autobahn/(__init__|_logging|util|websocket/(?!test|useragent)\w+"
            r"|twisted/(__init__|util|websocket|choosereactor)|wamp/(?!test)\w+)\.py"
        ),
    ),
)


def read(sdist: Sdist, folder: Path) -> dict[str, bytes]:
    """The kept files of the archive in `folder`: path inside the archive's own folder -> content.

    Raises SdistError when its hash is not the pinned one, OSError when it cannot be read.
    """
    path = folder / sdist.filename
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sdist.sha256:
        raise SdistError(f"{sdist.filename}: SHA-256 is {digest}, expected {sdist.sha256}")
    files: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            inside = member.name.partition("/")[2]
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None and sdist.keep.fullmatch(inside):
                files[inside] = content.read()
    return files
