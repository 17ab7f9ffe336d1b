"""docs/deploy.md: its units, its command lines, and its services on sockets that systemd's own tool passes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asgiws import cli
from asgiws.config import Config
from asgiws.config.endpoints import TCPEndpoint
from tests.support.client import connect_unix, exchange, get
from tests.support.server import APPLICATIONS, PACKAGE_ROOT, RunningServer, environment, launch
from tests.support.service_manager import Manager, notifying

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "deploy.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
UNITS = [text for kind, text in BLOCKS if kind == "ini"]
EXECUTABLE = "/srv/app/.venv/bin/asgiws"


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"no {tool} on this machine")


def block(kind: str, containing: str = "") -> str:
    [text] = [text for one, text in BLOCKS if one == kind and containing in text]
    return text


def of_unit(text: str, name: str) -> str:
    [value] = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return str(value)


def command_lines() -> list[list[str]]:
    """All that the page has asgiws called with."""
    units = [unit for unit in UNITS if "ExecStart=" in unit]
    result = [shlex.split(of_unit(unit, "ExecStart"))[1:] for unit in units]
    result.append(shlex.split(block("sh", "asgiws app:app"))[1:])
    lists = {r"^CMD (\[.*\])$": block("dockerfile"), r"args: (\[.*\])$": block("yaml")}
    for pattern, text in lists.items():
        [words] = re.findall(pattern, text, re.MULTILINE)
        result.append(json.loads(words)[1:])
    return result


def test_the_page_has_what_is_tested() -> None:
    assert len(UNITS) == 3
    assert len(command_lines()) == 5


@pytest.mark.parametrize("arguments", command_lines(), ids=" ".join)
def test_every_command_line_can_be_given(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith("ASGIWS_"):
            monkeypatch.delenv(name)
    config = cli.command.main(arguments, standalone_mode=False)
    assert isinstance(config, Config)
    assert config.app == "app:app"
    if "*:8000" in arguments:
        assert config.bind == [TCPEndpoint("", 8000)]


def test_whoever_would_kill_the_process_waits_longer_than_a_stop_takes() -> None:
    graceful = Config("main:app").timeout_graceful_shutdown
    services = [unit for unit in UNITS if "[Service]" in unit]
    assert all(float(of_unit(unit, "TimeoutStopSec")) > graceful for unit in services)
    manifest = block("yaml")
    [given] = re.findall(r"GRACEFUL_SHUTDOWN, value: (\d+)s", manifest)
    [period] = re.findall(r"terminationGracePeriodSeconds: (\d+)", manifest)
    [before] = re.findall(r'"sleep", "(\d+)"', manifest)
    assert int(period) > int(before) + int(given)
    assert float(given) == graceful
    [stop] = re.findall(r"--stop-timeout (\d+)", PAGE)
    assert float(stop) > graceful


def test_the_manifest_probes_the_paths_that_are_answered() -> None:
    manifest = block("yaml")
    paths = re.findall(r"httpGet: \{path: (\S+), ", manifest)
    assert paths == ["/healthz/ready", "/healthz/ready", "/healthz"]


def write_units(directory: Path, units: list[str]) -> list[Path]:
    """The units as files, with a program that is there."""
    result = []
    for unit in units:
        name = unit.partition("\n")[0].rpartition("/")[2]
        text = unit.replace(EXECUTABLE, f"{sys.executable} -m asgiws")
        text = text.replace("WorkingDirectory=/srv/app", f"WorkingDirectory={directory}")
        path = directory / name
        path.write_text(text, "utf-8")
        result.append(path)
    return result


@needs("systemd-analyze")
@pytest.mark.parametrize("units", [UNITS[:1], UNITS[1:]], ids=["plain", "with sockets"])
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path, units: list[str]) -> None:
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, write_units(tmp_path, units))],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    complaints = [line for line in result.stderr.splitlines() if str(tmp_path) in line]
    assert complaints == []
    assert result.returncode == 0, result.stderr


def test_the_plain_unit_is_a_service_that_notifies(manager: Manager) -> None:
    """What systemd does with it: it starts the command, waits for READY=1, and stops it by SIGTERM."""
    unit = UNITS[0]
    assert of_unit(unit, "Type") == "notify"
    words = shlex.split(of_unit(unit, "ExecStart"))
    assert words[:2] == [EXECUTABLE, "app:app"]
    options = " ".join(words[2:]).replace("127.0.0.1:8000", "127.0.0.1:0").split()
    seconds = float(of_unit(unit, "WatchdogSec"))
    env = notifying(manager, WATCHDOG_USEC=str(int(seconds * 1e6)))
    service = [sys.executable, "-m", "asgiws", "lifecycle_app:app", *options]
    with closing(launch(service, env=env)) as server:
        told: list[dict[str, str]] = [manager.next()]
        while "READY" not in told[-1]:
            told.append(manager.next())
        assert {"WATCHDOG": "1"} in told
        server.wait_until_running()
        assert get(server.url("/x")) == "/x"
        assert server.stop(signal.SIGTERM) == 0
        while "STOPPING" not in told[-1]:
            told.append(manager.next())


def activated(
    *listen: str, tool: tuple[str, ...] = (), more: tuple[str, ...] = ()
) -> RunningServer:
    """The service with sockets, under systemd's own tool: it listens, and becomes the service when a
    client comes."""
    unit = next(unit for unit in UNITS if "Requires=" in unit)
    words = shlex.split(of_unit(unit, "ExecStart"))[2:]
    kept = (
        "PYTHONPATH",
        "PATH",
        "ASGIWS_EXTENSIONS",
        "COVERAGE_PROCESS_START",
        "COVERAGE_PROCESS_CONFIG",
    )
    env = environment({"PYTHONPATH": f"{PACKAGE_ROOT}{os.pathsep}{APPLICATIONS}"})
    passed = [f"--setenv={name}={env[name]}" for name in kept if name in env]
    sockets = [f"--listen={one}" for one in listen]
    service = [sys.executable, "-m", "asgiws", "lifecycle_app:app", *words, *more]
    return launch(["systemd-socket-activate", *passed, *sockets, *tool, *service], env=env)


@needs("systemd-socket-activate")
def test_the_unit_with_sockets_is_started_by_the_first_client(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with closing(activated(str(one), str(other), tool=("--fdname=web:admin",))) as server:
        server.wait_for_log(f"Listening on {re.escape(str(other))}")
        assert "app: starting" not in server.stderr()
        # The client that has it started is served, and so are those on the other socket.
        assert scope_of(one) == [str(one), None]
        server.wait_for_log(f"asgiws running on unix:{re.escape(str(one))} ")
        server.wait_for_log(f"asgiws running on unix:{re.escape(str(other))} ")
        assert scope_of(other) == [str(other), None]
        assert server.stop() == 0
        server.assert_no_fault()
        assert one.exists()  # it is systemd's


def scope_of(path: Path) -> Any:
    return exchange(connect_unix(path))["server"]


@needs("systemd-socket-activate")
def test_of_its_sockets_those_of_one_name_can_be_taken(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    tool = ("--fdname=web:admin",)
    with closing(
        activated(str(one), str(other), tool=tool, more=("--bind", "systemd:admin"))
    ) as server:
        server.wait_for_log("Listening on")
        assert scope_of(other) == [str(other), None]
        server.wait_for_log("asgiws running on ")
        running = re.findall(r"asgiws running on (\S+) ", server.stderr())
        assert running == [f"unix:{other}"]
        assert server.stop() == 0
