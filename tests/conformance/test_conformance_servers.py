"""How servers are named, found and started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from conformance import process, servers
from conformance.tls import Certificate

FILES = Certificate(Path("k.pem"), Path("c.pem"), Path("ca.pem"))


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder with a program of each name; asgiws' scripts folder is it, too."""
    for name in ("asgiws", "uvicorn", "hypercorn", "daphne", "granian"):
        path = tmp_path / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    monkeypatch.setattr(servers.sysconfig, "get_path", lambda name: str(tmp_path))
    return tmp_path


def ours(**options):
    return servers.asgiws(**{"http": None, "loop": None, "pure": False, "tls": False, **options})


def test_our_own_server(programs):
    server = ours()
    assert server.name == "asgiws"
    assert server.command(8123)[:4] == [str(programs / "asgiws"), servers.APP, "--port", "8123"]
    assert server.environment == {}


def test_our_own_variants(programs):
    server = ours(http="h11", loop="asyncio", deflate="zlib", pure=True, tls=True)
    assert server.name == "asgiws-h11-asyncio-zlib-pure-tls"
    command = " ".join(server.command(1, FILES))
    for option in (
        "--http h11",
        "--loop asyncio",
        "--ws-deflate-backend zlib",
        "--ssl-keyfile k.pem",
        "--ssl-certfile c.pem",
    ):
        assert option in command
    assert server.environment == {"ASGIWS_EXTENSIONS": "no"}
    assert server.shown.startswith("ASGIWS_EXTENSIONS=no asgiws conformance.app:app --port {port} ")


def test_asgiws_must_be_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(servers.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(servers.ServerError, match="asgiws is not installed"):
        ours()


@pytest.mark.parametrize("name", servers.PEERS)
@pytest.mark.parametrize("tls", [False, True])
def test_every_peer_gets_its_port_and_certificate(programs, name, tls):
    server = servers.peer(name, folder=programs, tls=tls)
    command = server.command(8123, FILES if tls else None)
    assert "8123" in " ".join(command)
    assert ("k.pem" in " ".join(command)) is tls
    assert "{" not in " ".join(command)
    assert Path(command[0]).parent == programs


def test_an_unknown_or_missing_peer(tmp_path):
    with pytest.raises(servers.ServerError, match="unknown server 'gunicorn'; known are uvicorn,"):
        servers.peer("gunicorn", folder=None, tls=False)
    with pytest.raises(servers.ServerError, match="granian is not in"):
        servers.peer("granian", folder=tmp_path, tls=False)


def test_a_command_of_ones_own():
    server = servers.custom(f"{sys.executable} -m 'my server' --bind :{{port}}", tls=False)
    assert server.command(8)[1:] == ["-m", "my server", "--bind", ":8"]
    assert server.shown.endswith(" -m 'my server' --bind :{port}")


@pytest.mark.parametrize(
    ("command", "tls", "message"),
    [
        ("", False, "no {port}"),
        ("'", False, "No closing quotation"),
        ("true", False, "no {port}"),
        ("true {port}", True, "needs {key} and {cert}"),
        ("no-such-program {port}", False, "no program 'no-such-program'"),
    ],
)
def test_a_command_that_cannot_be_meant(command, tls, message):
    with pytest.raises(servers.ServerError, match=message):
        servers.custom(command, tls=tls)


def test_the_environment_has_no_options_of_asgiws(programs):
    inherited = {"PATH": "/bin", "ASGIWS_PORT": "1", "PYTHONPATH": "mine"}
    made = servers.environment(ours(pure=True), inherited)
    assert made == {
        "PATH": "/bin",
        "ASGIWS_EXTENSIONS": "no",
        "PYTHONPATH": os.pathsep.join([str(servers.PROJECT), "mine"]),
    }


SERVER = """
import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
sum(range(3_000_000))
time.sleep(60)
"""


def test_a_process_is_waited_for_measured_and_ended(tmp_path):
    port = process.free_port()
    command = [sys.executable, "-c", SERVER, str(port)]
    log = tmp_path / "log"
    with process.started(command, port, dict(os.environ), log) as server:
        assert server.ended() is None
        cpu = server.cpu_seconds()
        assert cpu is None or cpu >= 0
    assert "exit code" in (server.ended() or "")


def test_a_process_that_ends_at_once(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such app')"]
    with (
        pytest.raises(servers.ServerError, match=r"exit code 1 \(no such app\)"),
        process.started(command, 1, dict(os.environ), tmp_path / "log"),
    ):
        pass


def test_a_process_that_never_listens(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "START_SECONDS", 0.2)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        pytest.raises(servers.ServerError, match="did not listen"),
        process.started(command, process.free_port(), dict(os.environ), tmp_path / "log"),
    ):
        pass


def test_the_cpu_time_of_nothing():
    assert process.tree_cpu_seconds(2**22 + 1) is None
