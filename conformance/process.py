"""A server as a running process: started, waited for, measured, ended.

Rules of this file:
- A server has a process group of its own and is ended with all of it, whatever happened.
- CPU time is that of the server's process and all its descendants, read from /proc; where there is
  no /proc it is None, never a guess.
- What the server writes goes to its log file, and to the user only as the reason of a failure.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from conformance.servers import ServerError

START_SECONDS = 30.0
STOP_SECONDS = 10.0

_PROC = Path("/proc")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RunningServer:
    """A started server; use `started`, which ends it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """The process at the top of the server's tree."""
        return self._process.pid

    def cpu_seconds(self) -> float | None:
        """CPU time so far, user and system."""
        return tree_cpu_seconds(self._process.pid)

    def ended(self) -> str | None:
        """How the server ended, with the last line of its log; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        lines = self._log.read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        return f"the server ended with exit code {code} ({last})"

    def wait_until_listening(self, port: int) -> None:
        """Return once the port takes connections. Raises ServerError when it never does."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            ended = self.ended()
            if ended:
                raise ServerError(ended)
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise ServerError(f"the server did not listen on its port within {START_SECONDS:.0f} s")

    def stop(self) -> None:
        """End the process group: kindly, then not."""
        for number, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
            if number == signal.SIGTERM:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)  # workers that outlived it
            return


@contextlib.contextmanager
def started(
    command: Sequence[str],
    port: int,
    environment: Mapping[str, str],
    log: Path,
    folder: Path | None = None,
) -> Iterator[RunningServer]:
    """A server that listens on `port`, started in `folder`, for the length of the block.

    Raises ServerError.
    """
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise ServerError(f"the server cannot be started: {error}") from error
    server = RunningServer(process, log)
    try:
        server.wait_until_listening(port)
        yield server
    finally:
        server.stop()


def tree_cpu_seconds(root: int) -> float | None:
    """CPU seconds of a process and its descendants, ended children included."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    try:
        processes = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    except OSError:
        return None
    for process in processes:
        try:
            fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        children.setdefault(int(fields[1]), []).append(process)
        ticks[process] = sum(int(value) for value in fields[11:15])  # utime stime cutime cstime
    if root not in ticks:
        return None
    total, pending = 0, [root]
    while pending:
        process = pending.pop()
        total += ticks[process]
        pending += children.get(process, [])
    return total / os.sysconf("SC_CLK_TCK")
