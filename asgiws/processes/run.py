"""What a configuration requests: one serving process, a supervisor and its workers, or one process that serves
while another watches its files. This is the only place that decides it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiws.config import Config
from asgiws.config.load import load
from asgiws.net import descriptors
from asgiws.server.server import Server, run_server


def serve(config: Config, made: Callable[[Server], object] | None = None) -> int:
    """Serve as `config` says until the end. Returns the exit code for the process.

    `made` is called with the server, if it is in this process. An error that keeps it from starting is raised,
    or written to stderr in one line.
    """
    # Imported when they are needed: a server by itself needs neither.
    if config.reload:
        from asgiws.processes.reload import run_reloading

        return run_reloading(config)
    if config.workers:
        from asgiws.processes.supervisor import supervise

        return supervise(config)
    server = Server(config)
    if made is not None:
        made(server)
    return run_server(server)


def run(app: str | Callable[..., Any], **options: Any) -> None:
    """Serve `app`, an application or its `module:attribute`, until SIGINT or SIGTERM.

    `options` are the fields of `Config`; options that are not given come from the environment, as on the
    command line. Returns after a graceful stop. Raises ConfigError for a bad option, and SystemExit
    with the exit code if the server cannot start, after a line on stderr, or was ended at once.
    """
    descriptors.fill_standard()
    code = serve(load({"app": app, **options}))
    if code:
        raise SystemExit(code)
