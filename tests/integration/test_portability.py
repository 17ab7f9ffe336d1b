"""The package where the system has less: it is imported, and serves, without what Windows and macOS lack.

What is missing there is taken away in a process of its own, once the standard library is loaded. That is not
those systems, but it finds the name that is taken for granted.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.server import environment

SCRIPT = """
import asyncio, importlib, multiprocessing, os, pkgutil, signal, socket, ssl, subprocess, sys, tempfile
import click, h11, httptools, nats.aio.client, redis.asyncio
from multiprocessing import connection, resource_tracker
from concurrent.futures import thread

loop = asyncio.SelectorEventLoop()  # which is made of a Unix socket
platform, modules, names = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
for name in modules:
    sys.modules[name] = None
for name in names:
    module, _, attribute = name.partition(".")
    if hasattr(sys.modules[module], attribute):
        delattr(sys.modules[module], attribute)
sys.platform = platform

import asgiws
loaded = []
for module in pkgutil.walk_packages(asgiws.__path__, "asgiws."):
    # gunicorn is not for Windows; the build has its own tests.
    if module.name not in ("asgiws.workers", "asgiws.__main__", "asgiws._build", "asgiws.config.__main__"):
        importlib.import_module(module.name)
        loaded.append(module.name)
assert len(loaded) > 50, loaded

from asgiws import cli
print(cli.version_text())

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})

async def main():
    server = asgiws.Server(asgiws.Config(app, port=0, lifespan="off"))
    task = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done() or task.result()
    reader, writer = await asyncio.open_connection(*server.addresses[0])
    writer.write(b"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n")
    answer = await reader.read()
    assert answer.endswith(b"served"), answer
    writer.close()
    await writer.wait_closed()
    signal.raise_signal(signal.SIGINT)
    await task

signal.signal(signal.SIGINT, lambda *_: None)  # to which the server passes its own on
loop.run_until_complete(main())
loop.close()
print("ended well")
"""

#: What is taken away: modules, and attributes of modules.
WINDOWS = (
    "resource fcntl pwd grp termios tty pty syslog readline uvloop _posixsubprocess gunicorn",
    "signal.SIGHUP signal.SIGQUIT signal.SIGUSR1 signal.SIGUSR2 signal.SIGTTIN signal.SIGTTOU "
    "signal.SIGCHLD signal.SIGALRM signal.SIGWINCH signal.SIGKILL signal.pthread_sigmask "
    "signal.siginterrupt signal.setitimer signal.sigwait os.sendfile os.fork os.getuid os.geteuid "
    "os.chown os.fchown os.fchmod os.getpgid os.killpg os.setsid os.mkfifo os.pipe2 os.memfd_create "
    "os.eventfd os.pidfd_open os.sched_getaffinity os.uname os.sysconf os.O_NONBLOCK os.O_CLOEXEC "
    "socket.AF_UNIX socket.SO_REUSEPORT socket.SO_PEERCRED socket.SOCK_NONBLOCK socket.SOCK_CLOEXEC "
    "socket.send_fds socket.recv_fds socket.TCP_USER_TIMEOUT socket.TCP_QUICKACK",
)
MACOS = (
    "gunicorn",
    "os.memfd_create os.eventfd os.pidfd_open os.sched_getaffinity os.pipe2 socket.SO_PEERCRED "
    "socket.SOCK_NONBLOCK socket.SOCK_CLOEXEC socket.TCP_USER_TIMEOUT socket.TCP_QUICKACK "
    "signal.SIGRTMIN signal.SIGPWR signal.sigtimedwait",
)


@pytest.mark.parametrize(
    ("platform", "missing"), [("win32", WINDOWS), ("darwin", MACOS)], ids=["windows", "macos"]
)
def test_it_is_imported_and_serves_without_what_other_systems_lack(
    platform: str, missing: tuple[str, str]
) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, platform, *missing],
        env=environment({"ASGIWS_EXTENSIONS": "no"}),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("ended well\n")
    assert "Traceback" not in result.stderr
    assert "compiled  nothing (pure Python)" in result.stdout
