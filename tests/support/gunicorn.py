"""A real gunicorn with the worker class, for the tests to talk to.

Rules of this file: what is waited for is a line of its log or its end, never an amount of time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.support import server as servers
from tests.support.server import RunningServer


@contextmanager
def gunicorn(
    project: Path, *options: str, app: str = "dev_app:app", **env: str
) -> Iterator[RunningServer]:
    """A gunicorn with one worker, which accepts connections; it must end with 0 on SIGTERM."""
    server = launch(project, *options, app=app, **env)
    with closing(server):
        try:
            address = server.wait_for_log(r"Listening at: http://127\.0\.0\.1:(\d+)")
            server.port = int(address[1])
            server.wait_for_log("asgiws running on")
            yield server
            assert server.stop() == 0
            server.assert_no_fault()
        finally:
            sys.stderr.write(server.stderr())


def launch(project: Path, *options: str, app: str = "dev_app:app", **env: str) -> RunningServer:
    """Start it for an application in that folder and return at once. The caller closes it."""
    worker = ["-k", "asgiws.workers.Worker", "-b", "127.0.0.1:0"]
    return servers.launch(
        [sys.executable, "-m", "gunicorn", *worker, app, *options],
        cwd=project,
        env=env,
        start_new_session=True,
    )
