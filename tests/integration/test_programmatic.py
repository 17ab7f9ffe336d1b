"""The server in a program: `asgiws.run`, and `Server.serve()` with what stands around it."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.client import get
from tests.support.server import APPLICATIONS, RunningServer, environment, program

RUN = """\
import asgiws, sys
from lifecycle_app import app

asgiws.run(app, bind=["127.0.0.1:0"], log_level="info", headers=[("x-from", "run")])
print("program: after", file=sys.stderr)
"""


def test_run_serves_and_returns_after_a_stop(tmp_path: Path) -> None:
    with closing(program(tmp_path, RUN)) as server:
        server.wait_until_running()
        assert get(server.url("/x")) == "/x"
        assert server.stop(signal.SIGINT) == 0
        assert server.stderr().endswith("program: after\n")
        assert "app: stopped" in server.stderr()


@pytest.mark.parametrize(
    ("text", "code"), [("asgiws.run('none_such:app')", 1), ("asgiws.run('lifecycle_app:app')", 3)]
)
def test_run_ends_with_the_commands_exit_code(tmp_path: Path, text: str, code: int) -> None:
    env = {"LIFESPAN": "start-fails", "ASGIWS_PORT": "0"}
    with closing(program(tmp_path, f"import asgiws\n{text}\n", **env)) as server:
        assert server.wait() == code
        assert "Traceback" not in server.stderr()


SERVE = """\
import asyncio, asgiws, sys
from lifecycle_app import app

async def main():
    server = asgiws.Server(asgiws.Config(app, port=0))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print("program: started at", server.addresses[0][1], file=sys.stderr, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    server.should_exit = True
    await serving
    print("program: goes on", file=sys.stderr)

asyncio.run(main())
"""


def test_a_program_starts_and_stops_its_server(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(SERVE)
    paths = {"PYTHONPATH": f"{environment()['PYTHONPATH']}:{APPLICATIONS}"}
    process = subprocess.Popen(
        [sys.executable, str(path)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(paths),
    )
    with closing(RunningServer(process)) as server:
        port = server.wait_for_log(r"program: started at (\d+)")[1]
        assert get(f"http://127.0.0.1:{port}/x") == "/x"
        assert process.stdin is not None
        with process.stdin:
            process.stdin.write("stop\n")
        assert server.wait() == 0
        assert server.stderr().endswith("program: goes on\n")
        assert "app: stopped" in server.stderr()
