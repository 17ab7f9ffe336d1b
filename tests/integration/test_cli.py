"""The command as its users meet it: what it serves, what it says, and the exit code."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from asgiws.server.garbage import YOUNG
from tests.integration import lifecycle_app
from tests.support.client import get
from tests.support.server import PACKAGE_ROOT, environment, fail, free_port, serve, start

APP = "lifecycle_app:app"


def test_a_free_port_is_picked_and_printed() -> None:
    with serve(APP) as server:
        assert server.port > 0
        assert (
            f"asgiws running on http://127.0.0.1:{server.port} (Press CTRL+C to quit)"
            in server.stderr()
        )
        assert get(server.url("/x")) == "/x"


def test_a_factory() -> None:
    with serve("lifecycle_app:create", "--factory") as server:
        assert "app: created" in server.stderr()
        assert get(server.url("/x")) == "/x"


def test_an_asgi2_application() -> None:
    with serve("lifecycle_app:Double") as server:
        assert get(server.url()) == "2.0"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_loop_is_the_one_asked_for(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with serve(APP, "--loop", loop) as server:
        assert get(server.url("/loop")) == loop


@pytest.mark.parametrize("options", [(), ("--workers", "1")])
def test_the_garbage_collector_is_tuned_unless_it_is_to_be_left_alone(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "collects.py").write_text(
        "import gc, json\n"
        "async def app(scope, receive, send):\n"
        "    said = json.dumps([gc.get_freeze_count() > 0, gc.get_threshold()[0]]).encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': said})\n"
    )
    options = ("--lifespan", "off", "--app-dir", str(tmp_path), *options)
    with serve("collects:app", *options) as server:
        assert get(server.url()) == [True, YOUNG]
    with serve("collects:app", "--no-tune-gc", *options) as server:
        assert get(server.url()) == [False, gc.get_threshold()[0]]


def test_the_application_may_lie_in_another_directory(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("from lifecycle_app import app\n")
    (tmp_path / "lifecycle_app.py").write_text(
        (Path(__file__).parent / "lifecycle_app.py").read_text(encoding="utf-8")
    )
    with serve("elsewhere:app", "--app-dir", str(tmp_path)) as server:
        assert get(server.url("/x")) == "/x"
    with serve("elsewhere:app", cwd=tmp_path) as server:
        assert get(server.url("/x")) == "/x"


def test_options_come_from_the_environment_and_from_an_env_file(tmp_path: Path) -> None:
    pytest.importorskip("dotenv")
    env_file = tmp_path / "env"
    env_file.write_text("ASGIWS_ROOT_PATH=/file\nASGIWS_LOOP=asyncio\nAT_EXIT=1\n")
    options = ("--env-file", str(env_file))
    with serve(APP, *options, env={"ASGIWS_ROOT_PATH": "/env"}) as server:
        assert get(server.url("/scope"))["root_path"] == "/env"
    assert "app: atexit" in server.stderr()  # the application sees the file too
    with serve(APP, *options) as server:
        assert get(server.url("/scope"))["root_path"] == "/file"


def test_the_version() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "asgiws", "--version"],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert re.match(r"asgiws \d+\.\d+\.\d+\npython    \w+ 3\.", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["lifecycle_app"], 1, "'lifecycle_app' is not of the form module:attribute"),
        (["none_such:app"], 1, "there is no module 'none_such'"),
        (["lifecycle_app:ap"], 1, "has no attribute 'ap'; did you mean 'app'?"),
        (["lifecycle_app:create"], 1, "takes no arguments: .* add --factory"),
        (["lifecycle_app:app", "--factory"], 1, "is not a factory"),
        (["lifecycle_app:wsgi"], 1, "'lifecycle_app:wsgi' takes two arguments, like a WSGI"),
        (
            ["lifecycle_app:something"],
            1,
            "'lifecycle_app:something' is not an application: int is not",
        ),
        ([APP, "--host", "192.0.2.1"], 1, "cannot listen on 192.0.2.1:0: "),
        ([APP, "--uds", "none/such"], 1, "cannot listen on unix:none/such: no such file"),
        ([APP, "--fd", "99"], 1, "cannot listen on file descriptor 99: bad file descriptor"),
        ([APP, "--ssl-certfile", "none"], 1, "cannot read the certificate 'none': no such file"),
        ([APP, "--backlog", "0"], 2, "Invalid value for '--backlog': '0' is not allowed; expected"),
        ([APP, "--nonsense"], 2, "No such option"),
    ],
)
def test_a_mistake_is_one_line_and_never_a_traceback(
    arguments: list[str], code: int, text: str
) -> None:
    got, stderr = fail(*arguments)
    assert (got, stderr.count("\n")) == (code, 1), stderr
    assert re.match(f"Error: .*{text}", stderr)


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, stderr = fail(APP, "--port", str(port))
    assert code == 1
    assert stderr == f"Error: cannot listen on 127.0.0.1:{port}: address already in use\n"


def test_a_module_that_raises_shows_its_own_traceback(tmp_path: Path) -> None:
    (tmp_path / "bad_app.py").write_text("import sys\n\n\ndef f():\n    1 / 0\n\n\nf()\n")
    code, stderr = fail("bad_app:app", cwd=tmp_path)
    assert code == 1
    assert stderr.startswith("Traceback (most recent call last):\n")
    assert re.findall(r'File "(.+)", line (\d+)', stderr) == [
        (str(tmp_path / "bad_app.py"), "8"),
        (str(tmp_path / "bad_app.py"), "5"),
    ]
    assert stderr.endswith(
        "ZeroDivisionError: division by zero\nError: importing 'bad_app' failed\n"
    )


def test_a_module_that_ends_the_process_does(tmp_path: Path) -> None:
    (tmp_path / "exits_app.py").write_text("raise SystemExit(7)\n")
    code, stderr = fail("exits_app:app", cwd=tmp_path)
    assert (code, stderr) == (7, "")


@pytest.mark.parametrize("name", ["httptools", "uvloop"])
def test_a_package_that_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    option = {"httptools": "--http", "uvloop": "--loop"}[name]
    # A finder at the start of the path that knows of no such package, as if it were not installed.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        if name == {name!r}:\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Finder)\n"
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda n, p=None: None if n == {name!r} else real(n, p)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(PACKAGE_ROOT)])
    code, stderr = fail(APP, option, name, PYTHONPATH=path)
    assert code == 1
    assert stderr == f"Error: {option} {name} needs the package {name}: pip install {name}\n"


def test_a_library_to_compress_with_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['zlib_ng'] = None")
    path = os.pathsep.join([str(tmp_path), str(PACKAGE_ROOT)])
    code, stderr = fail(APP, "--ws-deflate-backend", "zlib-ng", PYTHONPATH=path)
    assert code == 1
    assert stderr == (
        "Error: --ws-deflate-backend: zlib-ng is not installed: pip install 'asgiws[deflate]'\n"
    )


@pytest.mark.parametrize(
    ("option", "lines"), [("--access-log", ["GET /seen"]), ("--no-access-log", [])]
)
def test_the_access_log_can_be_switched_off(option: str, lines: list[str]) -> None:
    with serve(APP, option) as server:
        get(server.url("/seen"))
    assert re.findall(r"GET /seen", server.stderr()) == lines


def test_the_log_level_holds_for_the_server(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with closing(start(APP, "--log-level", "error", "--uds", str(path))) as server:
        server.wait_for_log("app: starting")
        assert server.stop() == 0
        assert "asgiws running" not in server.stderr()
        assert "INFO" not in server.stderr()


SILENT = """
import os
from lifecycle_app import app
with open("port", "w") as file:
    file.write(repr([os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)]))
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="it is looked up there")
@pytest.mark.parametrize("options", ["", "--workers 1", "--reload", "--access-log"])
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_without_stderr_it_serves(tmp_path: Path, options: str, closed: str) -> None:
    """`2>&-` of a shell; a program without a console has none either."""
    (tmp_path / "lifecycle_app.py").write_text(Path(lifecycle_app.__file__).read_text())
    (tmp_path / "silent_app.py").write_text(SILENT)
    port = free_port()
    line = f"exec {sys.executable} -m asgiws silent_app:app --port {port} {options} {closed}"
    process = subprocess.Popen(["sh", "-c", line], cwd=tmp_path, env=environment())
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                assert get(f"http://127.0.0.1:{port}/x") == "/x"
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        found = eval((tmp_path / "port").read_text())
        assert found[2] == "/dev/null"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_mistake_without_stderr_is_an_exit_code() -> None:
    line = f"exec {sys.executable} -m asgiws none_such:app 2>&-"
    result = subprocess.run(
        ["sh", "-c", line], stdout=subprocess.PIPE, env=environment(), timeout=60, check=False
    )
    assert (result.returncode, result.stdout) == (1, b"")
