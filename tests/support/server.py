"""An asgiws process for the tests to talk to.

Rules of this file:
- The server is started as a user starts it: a process of the same interpreter, with a command line.
- What the tests wait for is a line of the server's log or its end, never an amount of time.
- Unless a test says that it expects errors, the log must hold no sign of a fault when the server
  ends.
- `ASGIWS_TEST_OPTIONS` (as `--http h11 --loop asyncio`) goes into every command line, in front of
  the test's own options, so that the whole suite runs in variants and a test that insists still
  wins.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import asgiws

#: Where the applications are that the tests serve.
APPLICATIONS = Path(__file__).resolve().parents[1] / "integration"
#: The directory from which this interpreter took the package: the server takes the same one.
PACKAGE_ROOT = Path(asgiws.__file__).resolve().parents[1]
#: Generous, since machines are shared: no verdict hangs on how fast something is.
START_TIMEOUT = 30.0
STOP_TIMEOUT = 30.0
SIGNS_OF_A_FAULT = (
    "Traceback (most recent call last)",
    "Exception ignored in",
    "never retrieved",
    "was never awaited",
    "Task was destroyed",
    "ResourceWarning",
    "RuntimeWarning",
    "Fatal Python error",
)
RUNNING = re.compile(r"asgiws running on (?P<where>\S+)")
ADDRESS = re.compile(r"(?P<scheme>https?)://(?P<host>\[[^\]]+\]|[^:/]+):(?P<port>\d+)")


class RunningServer:
    """A started server. `port` is the real one; it is 0 for a Unix socket."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.where = ""
        self.scheme = "http"
        self.host = "127.0.0.1"
        self.port = 0
        self._text = ""
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self._text += line
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def stderr(self) -> str:
        """The log so far; all of it once the process has ended and was waited for."""
        with self._changed:
            return self._text

    def wait_for_log(self, pattern: str, timeout: float = START_TIMEOUT) -> re.Match[str]:
        """Wait until the regular expression stands in the log; fail when the log ends before."""
        compiled = re.compile(pattern)
        with self._changed:
            self._changed.wait_for(
                lambda: compiled.search(self._text) is not None or self._ended, timeout
            )
            match = compiled.search(self._text)
            assert match is not None, f"{pattern!r} is not in the log:\n{self._text}"
            return match

    def wait_until_running(self) -> None:
        """Wait for the line that names the address, and take the address from it."""
        self.where = self.wait_for_log(RUNNING.pattern)["where"]
        address = ADDRESS.match(self.where)
        if address is not None:
            self.scheme = address["scheme"]
            self.host = address["host"]
            self.port = int(address["port"])

    def url(self, path: str = "/") -> str:
        return f"{self.scheme}://{self.host}:{self.port}{path}"

    def ws_url(self, path: str = "/") -> str:
        return f"{self.scheme.replace('http', 'ws')}://{self.host}:{self.port}{path}"

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """Wait for the end of the process; its return code (negative: killed by that signal)."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def stop(self, signal: int = signal.SIGTERM, timeout: float = STOP_TIMEOUT) -> int:
        """Send `signal`, unless the process has ended already, and wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(signal)
        return self.wait(timeout)

    def close(self) -> None:
        """Kill the process if it still runs, and let go of it."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def assert_no_fault(self) -> None:
        text = self.stderr()
        for sign in SIGNS_OF_A_FAULT:
            assert sign not in text, f"{sign!r} stands in the server's log:\n{text}"


def command(app: str, *options: str) -> list[str]:
    """The command line that serves `app`."""
    variant = shlex.split(os.environ.get("ASGIWS_TEST_OPTIONS", ""))
    elsewhere = not {"--uds", "--fd", "--bind"}.isdisjoint(options)
    where = [] if elsewhere else ["--port", "0"]
    return [sys.executable, "-m", "asgiws", app, *where, *variant, *options]


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with `env` on top, in which a child takes the same package."""
    result = dict(os.environ)
    result["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")])
    )
    result["PYTHONWARNINGS"] = "default"
    result.update(env or {})
    return result


def start(
    app: str,
    *options: str,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    pass_fds: Sequence[int] = (),
    start_new_session: bool = False,
) -> RunningServer:
    """Start a server and return at once, for tests of the start itself. The caller closes it."""
    return launch(
        command(app, *options),
        env=env,
        cwd=cwd,
        pass_fds=pass_fds,
        start_new_session=start_new_session,
    )


def launch(
    words: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    pass_fds: Sequence[int] = (),
    start_new_session: bool = False,
) -> RunningServer:
    """The same for a server that another command line starts: a program, gunicorn or systemd's tool."""
    return RunningServer(
        subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment(env),
            cwd=cwd or APPLICATIONS,
            pass_fds=pass_fds,
            start_new_session=start_new_session,
        )
    )


def program(directory: Path, text: str, **env: str) -> RunningServer:
    """Start a Python program, written to that directory, which can import the tests' applications."""
    path = directory / "program.py"
    path.write_text(text)
    paths = os.pathsep.join([environment()["PYTHONPATH"], str(APPLICATIONS)])
    return launch([sys.executable, str(path)], env={"PYTHONPATH": paths, **env}, cwd=Path.cwd())


def fail(*arguments: str, cwd: Path | None = None, **env: str) -> tuple[int, str]:
    """The exit code and the log of a server that does not start."""
    with closing(start(*arguments, cwd=cwd, env=env)) as server:
        code = server.wait()
    return code, server.stderr()


@contextmanager
def serve(
    app: str,
    *options: str,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    pass_fds: Sequence[int] = (),
    expect_errors: bool = False,
) -> Iterator[RunningServer]:
    """A server that accepts connections within the block, started in `tests/integration` or in
    `cwd`.

    At the end of the block a server that still runs is stopped by SIGTERM and must exit with 0;
    with `expect_errors` its log may hold tracebacks and its exit code is not looked at. Its log
    goes to this process's stderr, where pytest shows it beside a failed test.
    """
    server = start(app, *options, env=env, cwd=cwd, pass_fds=pass_fds)
    try:
        server.wait_until_running()
        yield server
        if server.process.poll() is None:
            code = server.stop()
            assert expect_errors or code == 0, f"exit code {code}:\n{server.stderr()}"
        if not expect_errors:
            server.wait()
            server.assert_no_fault()
    finally:
        server.close()
        sys.stderr.write(server.stderr())


def is_alive(pid: int) -> bool:
    """True until the process has ended, seen by its parent or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # just now
        return False
    return stat.rpartition(") ")[2][0] != "Z"


def wait_for_end(pid: int) -> None:
    """Wait until the process has ended."""
    deadline = time.monotonic() + STOP_TIMEOUT
    while is_alive(pid):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def has_ipv6() -> bool:
    """Whether this machine can listen on ::1."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
