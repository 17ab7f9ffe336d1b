"""Two nodes of two workers each, HAProxy in front, Redis between them.

    python -m examples.cluster start        # the page is at http://127.0.0.1:8000
    python -m examples.cluster stop

A node that falls is started again after a few seconds. `start --foreground` stays, and Ctrl-C ends everything.
It needs the programs `redis-server` and `haproxy`, and `pip install 'asgiws[redis]'`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
NODES = ("east", "west")

#: Where `start` leaves what `stop` needs, for each port.
STATE = Path(tempfile.gettempdir())

#: Seconds until a node that fell is started again, and until all must have begun or ended.
REST = 3.0
PATIENCE = 30.0

HAPROXY = """
global
    maxconn 4096
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
    # A connection that cannot be made is made to the other node.
    retries 3
    option redispatch
frontend page
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    balance leastconn
    option httpchk GET /
    default-server check inter 500ms fall 1 rise 1 on-marked-down shutdown-sessions
    server east 127.0.0.1:{east}
    server west 127.0.0.1:{west}
"""


class Cluster:
    """The processes, which share `folder`. `port` is that of the page."""

    def __init__(self, folder: Path, port: int, pubsub: str | None = None) -> None:
        self.folder = folder
        self.port = port
        self.ports = {name: free_port() for name in (*NODES, "redis")}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._due: dict[str, float] = {}
        self._pubsub = pubsub or f"redis://127.0.0.1:{self.ports['redis']}"

    def start(self) -> None:
        """Start all, and return once the page is there. Raises RuntimeError, which says what does not start."""
        self._start(
            "redis",
            "redis-server",
            "--port",
            self.ports["redis"],
            "--save",
            "",
            "--bind",
            "127.0.0.1",
        )
        self._await("redis", self.ports["redis"])
        for node in NODES:
            self.start_node(node)
        for node in NODES:
            self._await(node, self.ports[node])
        config = self.folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=self.port, **self.ports))
        self._start("haproxy", "haproxy", "-q", "-db", "-f", config)
        self._await("haproxy", self.port)

    def start_node(self, node: str) -> None:
        """A node: a server of two workers."""
        self._start(
            node,
            sys.executable,
            *("-m", "asgiws", "examples.cluster.app:app", "--workers", "2"),
            *("--port", self.ports[node], "--pubsub", self._pubsub, "--no-access-log"),
            CLUSTER_NODE=node,
        )

    def watch(self) -> None:
        """Start what has fallen."""
        now = time.monotonic()
        for name, process in list(self.processes.items()):
            if process.poll() is not None:
                due = self._due.setdefault(name, now + REST)
                if now >= due and name in NODES:
                    del self._due[name]
                    print(f"{name} fell, and is started again", flush=True)
                    self.start_node(name)

    def stop(self) -> None:
        """End all. What does not end in time is killed."""
        for name in ("haproxy", *NODES, "redis"):
            process = self.processes.pop(name, None)
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _start(self, name: str, *command: object, **environment: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            self.processes[name] = subprocess.Popen(
                [str(part) for part in command],
                cwd=PROJECT if name in NODES else self.folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _await(self, name: str, port: int) -> None:
        """Wait until that process listens on `port`."""
        deadline = time.monotonic() + PATIENCE
        process = self.processes[name]
        while time.monotonic() < deadline and process.poll() is None:
            if listens(port):
                return
            time.sleep(0.05)  # it is starting
        # The folder goes with the cluster.
        log = (self.folder / f"{name}.log").read_text(errors="replace").strip()
        raise RuntimeError(f"{name} does not listen on port {port}:\n{log}")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def run(port: int) -> int:
    """Run the cluster until SIGINT or SIGTERM."""
    if listens(port):
        print(f"cluster: port {port} is taken; choose another with --port", file=sys.stderr)
        return 1
    ending: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: ending.append(number))
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        cluster = Cluster(Path(folder), port)
        try:
            cluster.start()
            print(f"The page is at http://127.0.0.1:{port}; the logs are in {folder}", flush=True)
            while not ending:
                time.sleep(0.2)  # nothing tells when a node has fallen
                cluster.watch()
        except RuntimeError as error:
            print(f"cluster: {error}", file=sys.stderr)
            return 1
        finally:
            cluster.stop()
    return 0


def start(port: int, state: Path) -> int:
    """Run it in the background."""
    if is_running(state):
        print(f"cluster: it is running; end it with stop --port {port}", file=sys.stderr)
        return 1
    log = state.with_suffix(".log")
    with log.open("wb") as output:
        command = [
            sys.executable,
            "-m",
            "examples.cluster",
            "start",
            "--foreground",
            "--port",
            str(port),
        ]
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    state.write_text(str(process.pid))
    while process.poll() is None:
        said = log.read_text()
        if said:
            print(said, end="")
            return 0
        time.sleep(0.1)  # it is starting, and says so in its log
    print(log.read_text(), end="", file=sys.stderr)
    state.unlink()
    return 1


def is_running(state: Path) -> bool:
    """Whether what `start` left running is still there."""
    try:
        os.kill(int(state.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def stop(state: Path) -> int:
    """End what `start` left running."""
    try:
        pid = int(state.read_text())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        print("cluster: it is not running", file=sys.stderr)
        return 1
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)  # it is no child of this process, which could be waited for
    state.unlink(missing_ok=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.cluster", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("what", choices=("start", "stop"))
    parser.add_argument("--port", type=int, default=8000, help="of the page (8000)")
    parser.add_argument("--foreground", action="store_true", help="stay until Ctrl-C")
    options = parser.parse_args()
    state = STATE / f"asgiws-cluster-{options.port}.pid"
    if options.what == "stop":
        return stop(state)
    missing = [name for name in ("redis-server", "haproxy") if shutil.which(name) is None]
    if missing:
        print(f"cluster: not installed: {', '.join(missing)}", file=sys.stderr)
        return 1
    return run(options.port) if options.foreground else start(options.port, state)


if __name__ == "__main__":
    sys.exit(main())
