"""The application's lifespan, seen from outside: the log, the exit code, and what requests see."""

from __future__ import annotations

import urllib.error
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration import lifecycle_app
from tests.support.client import get
from tests.support.server import fail, program, serve, start

APP = "lifecycle_app:app"


def test_start_and_stop_surround_the_serving() -> None:
    with serve(APP) as server:
        text = server.stderr()
        assert text.index("app: starting") < text.index("asgiws running on")
        assert "app: stopping" not in text
    text = server.stderr()
    assert text.index("app: stopping") < text.index("app: stopped")


def test_each_request_gets_a_shallow_copy_of_the_state() -> None:
    with serve(APP) as server:
        assert get(server.url("/state")) == {"shared": ["from the start"]}
        assert get(server.url("/state")) == {"shared": ["from the start", "by a request"]}


def test_without_lifespan_there_is_no_state() -> None:
    with serve(APP, "--lifespan", "off") as server:
        assert get(server.url("/state")) is None
    assert "app: starting" not in server.stderr()


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_start_that_fails_is_exit_code_3_with_the_reason(mode: str) -> None:
    code, stderr = fail(APP, "--lifespan", mode, LIFESPAN="start-fails")
    assert code == 3
    assert "The application failed to start: no database" in stderr
    assert stderr.endswith("Error: the application failed to start\n")
    assert "running on" not in stderr
    assert "Traceback" not in stderr


def test_a_start_that_raises_is_no_support_for_auto() -> None:
    with serve(APP, env={"LIFESPAN": "start-raises"}) as server:
        assert get(server.url("/x")) == "/x"
    assert "The application does not support lifespan (LookupError: own fault)" in server.stderr()


def test_a_start_that_raises_is_exit_code_3_for_on() -> None:
    code, stderr = fail(APP, "--lifespan", "on", LIFESPAN="start-raises")
    assert code == 3
    assert "LookupError: own fault" in stderr
    assert stderr.endswith("Error: the application failed to start\n")


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        ("stop-fails", "The application failed to stop: still dirty"),
        ("stop-raises", "LookupError: own fault"),
    ],
)
def test_a_stop_that_fails_is_logged_and_ends_well(behaviour: str, text: str) -> None:
    with serve(APP, env={"LIFESPAN": behaviour}, expect_errors=True) as server:
        assert server.stop() == 0
    assert text in server.stderr()


def test_a_stop_that_hangs_is_bounded() -> None:
    options = ("--timeout-graceful-shutdown", "500ms")
    with serve(APP, *options, env={"LIFESPAN": "stop-hangs"}) as server:
        assert server.stop() == 0
    assert "The application did not end its lifespan within" in server.stderr()


EXITS = """
import asyncio, sys
from lifecycle_app import answer, say

async def leave(code):
    await asyncio.sleep(0)
    sys.exit(code)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        try:
            say((await receive())["type"])
        finally:
            say("cleaning")
            for _ in range(20):
                await asyncio.sleep(0.01)
            say("clean")
        await send({"type": "lifespan.shutdown.complete"})
        return
    app.tasks = [asyncio.create_task(leave(code)) for code in ((7,) if scope["path"] == "/one" else (7, 8, 9))]
    if scope["path"] == "/thread":
        import time
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0.01)
        say("request ended")
        raise
"""

RUN = """
import asgiws, asyncio, exits_app
async def main():
    await asgiws.Server(asgiws.Config(exits_app.app, port=0)).serve()
asyncio.run(main())
"""


@pytest.fixture
def exits(tmp_path: Path) -> Path:
    (tmp_path / "lifecycle_app.py").write_text(Path(lifecycle_app.__file__).read_text())
    (tmp_path / "exits_app.py").write_text(EXITS)
    return tmp_path


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("path", ["/", "/thread"])
def test_an_exit_in_a_task_does_not_cut_the_end_of_the_application(
    exits: Path, loop: str, path: str
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    options = ("--loop", loop, "--timeout-graceful-shutdown", "3s")
    with serve("exits_app:app", *options, cwd=exits, expect_errors=True) as server:
        with pytest.raises(OSError):
            get(server.url(path))
        assert server.wait() in (7, 8, 9)
    text = server.stderr()
    assert "app: lifespan.shutdown\napp: cleaning\napp: clean\n" in text
    assert text.index("app: request ended") < text.index("app: cleaning")
    assert "Traceback" not in text


def test_nor_does_it_in_a_program_with_a_loop_of_its_own(exits: Path) -> None:
    """asyncio.run cancels all tasks at once, that of the lifespan, too."""
    with closing(program(exits, RUN)) as server:
        server.wait_until_running()
        with pytest.raises(OSError):
            get(server.url("/one"))
        assert server.wait() == 7
    assert "app: clean\n" in server.stderr()


LOGGING = """
import logging.config

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        logging.config.dictConfig({"version": 1})
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] == "/task":
        import asyncio
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        raise LookupError("own fault")
    else:
        raise LookupError("own fault")
"""


def test_an_application_that_sets_up_its_log_in_the_start_does_not_silence_ours(
    tmp_path: Path,
) -> None:
    (tmp_path / "logging_app.py").write_text(LOGGING)
    with serve("logging_app:app", cwd=tmp_path, expect_errors=True) as server:
        with pytest.raises(urllib.error.HTTPError):
            get(server.url("/task"))
        server.wait_for_log("LookupError: own fault")
        server.wait_for_log('"GET /task HTTP/1.1" 500')
        server.wait_for_log(r"(?s)ERROR    Exception in callback.*ZeroDivisionError: ")
        assert server.stop() == 0


def test_a_start_that_hangs_can_be_stopped() -> None:
    with closing(
        start(APP, "--timeout-graceful-shutdown", "300ms", env={"LIFESPAN": "start-hangs"})
    ) as server:
        server.wait_for_log("app: starting")
        assert server.stop() == 0
        assert "Stopped, though the application had not started" in server.stderr()
        server.assert_no_fault()
