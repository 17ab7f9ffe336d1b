"""A proxy as a process of its own, with ports that are free, and its access log read as it is written.

Rules of this file: a proxy logs to its standard output, one line for each request; what the tests wait for is
such a line or an open port, never an amount of time.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.proxies import programs

#: A guard against hanging, and not a verdict.
TIMEOUT = 20.0


class NotStarted(Exception):
    """The proxy ended instead of starting: a port may have been taken meanwhile."""


class Proxy:
    """A running proxy; `ports` are those that its configuration was made with."""

    def __init__(self, command: Sequence[str], ports: Sequence[int]) -> None:
        self.ports = ports
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="latin-1"
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()

    def log_until(self, is_enough: Callable[[Sequence[str]], bool]) -> list[str]:
        """The lines since the last call, once they are enough."""
        with self._changed:
            found = self._changed.wait_for(lambda: is_enough(self._lines), TIMEOUT)
            assert found, f"what is waited for is not in the log: {self._lines}"
            lines, self._lines = self._lines, []
            return lines

    def wait_until_listening(self) -> None:
        end = time.monotonic() + TIMEOUT
        for port in self.ports:
            while True:
                if self.process.poll() is not None:
                    raise NotStarted
                try:
                    socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
                    break
                except ConnectionRefusedError:
                    assert time.monotonic() < end, f"nobody listens on port {port}"
                    time.sleep(0.01)

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(TIMEOUT)
        assert self.process.stdout is not None
        self.process.stdout.close()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 on which nobody listens now."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [int(sock.getsockname()[1]) for sock in sockets]


@contextmanager
def _run(make: Callable[[Sequence[int]], list[str]], count: int) -> Iterator[Proxy]:
    """Run what `make` gives a command for, given `count` ports."""
    for last in (False, False, True):
        ports = free_ports(count)
        proxy = Proxy(make(ports), ports)
        try:
            proxy.wait_until_listening()
        except NotStarted:
            proxy.close()
            if last:
                raise
            continue
        try:
            yield proxy
        finally:
            proxy.close()
        return


@contextmanager
def nginx(folder: Path, count: int, http: Callable[[Sequence[int]], str]) -> Iterator[Proxy]:
    """nginx, whose files are all in `folder`; `http` gives what stands in the block of that name."""
    program = programs.find("nginx")
    assert program is not None

    def make(ports: Sequence[int]) -> list[str]:
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;\n" if os.geteuid() == 0 else ""
        path = folder / "nginx.conf"
        path.write_text(
            f"{user}daemon off;\nmaster_process off;\npid {folder}/pid;\n"
            "error_log stderr crit;\nevents { worker_connections 512; }\n"
            f"http {{\n{temporary}{http(ports)}\n}}\n",
            "utf-8",
        )
        return [program, "-e", "stderr", "-p", str(folder), "-c", str(path)]

    with _run(make, count) as proxy:
        yield proxy


@contextmanager
def haproxy(folder: Path, count: int, config: Callable[[Sequence[int]], str]) -> Iterator[Proxy]:
    """HAProxy in the foreground; `config` gives its configuration."""
    program = programs.find("haproxy")
    assert program is not None

    def make(ports: Sequence[int]) -> list[str]:
        path = folder / "haproxy.cfg"
        path.write_text(config(ports), "utf-8")
        return [program, "-db", "-f", str(path)]

    with _run(make, count) as proxy:
        yield proxy
