"""The driving of a run, with a made-up server and a made-up client; progress and seconds."""

from __future__ import annotations

import io
import json
import sys

import pytest

from conformance import run
from conformance.client import Client, DockerClient
from conformance.progress import Progress
from conformance.results import CaseResult
from conformance.servers import Server, ServerError

SERVER = """
import socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("Traceback (most recent call last)", flush=True)
while True:
    c, _ = s.accept()
    if c.recv(9) == b"end":
        raise SystemExit(3)
"""

CLIENT = """
import json, os, socket, sys
spec = json.load(open(sys.argv[-1]))
target = spec["servers"][0]
for case in spec["cases"]:
    print(f"Running test case ID {case} for agent {target['agent']} from peer x", flush=True)
MORE
entry = {"behavior": "OK", "behaviorClose": "OK", "remoteCloseCode": 1000, "duration": 2}
report = {target["agent"]: {case: entry for case in spec["cases"]}}
json.dump(report, open(os.path.join(spec["outdir"], "index.json"), "w"))
"""


def drive(tmp_path, more: str = "", cases=("1.1.1", "1.1.2", "3.2")):
    """A pass with a client that does `more` before it reports; and what progress said."""
    server = Server("made", (sys.executable, "-c", SERVER, "{port}"))
    client = Client("made", (sys.executable, "-c", CLIENT.replace("MORE", more)))
    said = io.StringIO()
    progress = Progress(said, "made", len(cases))
    done = run.run(server, client, list(cases), tmp_path / "pass", progress, use_tls=False)
    return done, said.getvalue()


def test_a_pass(tmp_path):
    done, said = drive(tmp_path)
    assert done.cases["3.2"] == CaseResult("OK", "OK", 1000, 2)
    assert list(done.wall_seconds) == list(done.cpu_seconds) == ["1", "3"]
    assert done.tracebacks == 1
    assert [line.split(" cases")[0] for line in said.splitlines()] == [
        "made    2/3  section 1 Framing: 2",
        "made    3/3  section 3 Reserved bits: 1",
    ]
    assert {path.name for path in (tmp_path / "pass").iterdir()} == {
        "index.json",
        "server.log",
        "spec.json",
        "suite.log",
    }


def test_an_earlier_pass_is_removed_and_nothing_else(tmp_path):
    drive(tmp_path)
    (tmp_path / "pass" / "old").touch()
    drive(tmp_path)
    assert not (tmp_path / "pass" / "old").exists()
    (tmp_path / "pass" / "spec.json").unlink()
    with pytest.raises(run.RunError, match="left alone"):
        drive(tmp_path)
    assert (tmp_path / "pass" / "server.log").exists()


def test_a_client_that_fails(tmp_path):
    with pytest.raises(run.RunError, match=r"the suite ended with exit code 1 \(bad luck\)"):
        drive(tmp_path, "sys.exit('bad luck')")


def test_a_client_that_stands_still(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "STALL_SECONDS", 0.5)
    with pytest.raises(run.RunError, match="stood still"):
        drive(tmp_path, "import time; time.sleep(60)")


def test_a_server_that_dies(tmp_path):
    more = """
port = int(target["url"].rpartition(":")[2])
with socket.create_connection(("127.0.0.1", port)) as s:
    s.sendall(b"end")
    s.recv(1)
import time; time.sleep(2)  # its socket ends before its process does
"""
    with pytest.raises(run.RunError, match="the server ended with exit code 3"):
        drive(tmp_path, more)


def test_a_server_that_does_not_start(tmp_path):
    server = Server("made", (sys.executable, "-c", "raise SystemExit(2)", "{port}"))
    client = Client("made", (sys.executable, "-c", "pass"))
    with pytest.raises(ServerError, match="exit code 2"):
        run.run(server, client, [], tmp_path / "x", Progress(io.StringIO(), "", 0), use_tls=False)


def test_the_specification(tmp_path):
    client = Client("made", ("wstest",))
    spec = run.specification("me", client, ["1.1.1"], tmp_path, 80, use_tls=False)
    assert spec["servers"] == [{"agent": "me", "url": "ws://127.0.0.1:80"}]
    assert (spec["outdir"], spec["cases"]) == (str(tmp_path), ["1.1.1"])
    spec = run.specification("me", client, [], tmp_path, 80, use_tls=True)
    assert spec["servers"] == [
        {"agent": "me", "url": "wss://localhost:80", "hostname": "localhost"}
    ]


def test_docker_sees_the_folder_at_a_place_of_its_own(tmp_path):
    client = DockerClient("docker", ("docker",))
    command = client.command(tmp_path)
    assert f"{tmp_path}:/conformance" in command
    assert command[-1] == "/conformance/spec.json"
    spec = run.specification("me", client, [], tmp_path, 80, use_tls=True)
    assert spec["outdir"] == "/conformance"
    assert spec["servers"] == [{"agent": "me", "url": "wss://localhost:80"}]
    json.dumps(spec)


def test_seconds_by_section():
    cpu, wall = iter([1.0, 1.5, 4.0]), iter([0.0, 10.0, 12.0])
    meter = run.Meter(lambda: next(cpu), lambda: next(wall))
    for section in ("1", "1", "2", "2", None):
        meter.begin(section)
    assert meter.cpu == {"1": 0.5, "2": 2.5}
    assert meter.wall == {"1": 10.0, "2": 2.0}


def test_cpu_that_cannot_be_measured_is_none():
    meter = run.Meter(lambda: None)
    meter.begin("1")
    meter.begin(None)
    assert meter.cpu == {"1": None}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_line_is_written_over():
    stream, now = Terminal(), iter([0.0, 0.0, 61.0, 62.0, 63.0, 64.0])
    progress = Progress(stream, "asgiws", 517, lambda: next(now, 64.0))
    progress.case("6.4.1")
    progress.case("6.4.2")
    progress.finish()
    said = stream.getvalue()
    assert "\n" not in said
    assert said.endswith("\r\x1b[K")
    assert "asgiws    2/517  1:0" in said.split("\r\x1b[K")[2]
    assert said.split("\r\x1b[K")[2].endswith("6.4.2  UTF-8")
