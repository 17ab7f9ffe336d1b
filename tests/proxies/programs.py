"""Finding nginx and HAProxy, and installing them from Debian where that can be done.

Rules of this file: the standard library alone, so that `python3 tests/proxies/programs.py` installs both on a
machine that has nothing yet; one installation at a time, whoever asks for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

NAMES = ("nginx", "haproxy")
#: Seconds that apt-get has.
TIMEOUT = 120
#: Where Debian puts servers, which is not in everybody's PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def find(name: str) -> str | None:
    """The path of a program, None where it is not installed."""
    return shutil.which(name, path=_PATH)


def install(names: Sequence[str] = NAMES) -> str:
    """Install what is missing; "" when all is there afterwards, else one line that says why not."""
    if not any(find(name) is None for name in names):
        return ""
    apt_get = shutil.which("apt-get")
    if apt_get is None:
        return f"{' and '.join(names)} are not installed, and there is no apt-get"
    if os.geteuid() != 0:
        return f"{' and '.join(names)} are not installed, and only root may install them"
    import fcntl

    with open(os.path.join(tempfile.gettempdir(), "asgiws-tests-apt.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [name for name in names if find(name) is None]
        if not missing:
            return ""
        # RUNLEVEL: the packages are to be unpacked, and their services not to be started.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (
            [apt_get, "update", "-qq"],
            [apt_get, "install", "-y", "-qq", "--no-install-recommends", *missing],
        ):
            try:
                result = subprocess.run(
                    command, env=environment, capture_output=True, text=True, timeout=TIMEOUT
                )
            except subprocess.TimeoutExpired:
                return f"{' '.join(command[:2])} did not end within {TIMEOUT} seconds"
            if result.returncode != 0:
                lines = result.stderr.strip().splitlines() or ["no reason given"]
                return f"{' '.join(command[:2])} failed: {lines[-1]}"
    missing = [name for name in names if find(name) is None]
    return f"{' and '.join(missing)} cannot be found once installed" if missing else ""


if __name__ == "__main__":
    sys.exit(install() or 0)
