"""The command `asgiws`.

Rules of this file:
- The options are those of `Config`; this file says nothing about them.
- A user's mistake is reported in one line on stderr that begins with `Error:`.
- Exit codes: 0 after a requested stop; 1 if the server cannot start; 2 for bad usage; 3 if the
  application failed to start; 128 plus the signal's number if a second signal ended the process
  at once.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from asgiws import _extensions, logs
from asgiws._version import __version__
from asgiws.config import GROUPS, OPTIONS, Config, Option, StartError, load
from asgiws.http.parsers import make_parser
from asgiws.net import descriptors
from asgiws.processes.run import serve
from asgiws.server import loops
from asgiws.server.server import Server
from asgiws.websocket import zlib_backend

#: The minimum number of seconds that the application's threads have to end.
LEAST_FOR_THREADS = 1.0

EPILOG = (
    "Each option can also be set in the environment, as ASGIWS_ followed by its name: ASGIWS_WS_MAX_SIZE "
    "for --ws-max-size. Durations are in seconds, or 500ms, 30s, 1.5m, 2h; sizes are in bytes, or 64KiB, "
    "16MiB. SIGINT and SIGTERM stop the server gracefully; a second signal stops it at once."
)


class KindType(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A kind of option as a parameter type of click."""

    def __init__(self, option: Option) -> None:
        self.option = option
        self.name = option.kind.noun

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.option.kind.convert(value)
        except ValueError as error:
            shown = "***" if self.option.is_secret else repr(value)
            self.fail(f"{shown} is not allowed; expected {error}", param, ctx)


class Command(click.Command):
    """A command whose help shows the options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {
            param.name: param.get_help_record(ctx)
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
        }
        for group in GROUPS:
            names = [option.name for option in OPTIONS if option.group == group and option.flags]
            rows = [record for name in names if (record := records.pop(name)) is not None]
            with formatter.section(group):
                formatter.write_dl(rows)
        with formatter.section("Other"):
            formatter.write_dl([record for record in records.values() if record is not None])


def _parameter(option: Option) -> click.Parameter:
    if not option.spelling:
        return click.Argument([option.name], required=False, metavar="[MODULE:ATTRIBUTE]")
    shown = option.kind.show(option.default)
    help = f"{option.help}  [{shown}]" if shown and not option.is_flag else option.help
    if option.is_flag:
        return click.Option([option.name, "/".join(option.flags)], is_flag=True, help=help)
    return click.Option(
        [option.name, *option.flags],
        type=KindType(option),
        metavar=option.kind.noun,
        multiple=option.is_list,
        help=help,
    )


def _configure(**_: Any) -> Config:
    """The configuration from the command line that click has parsed."""
    context = click.get_current_context()
    given = {}
    for option in OPTIONS:
        if context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE:
            value = context.params[option.name]
            given[option.name] = (
                [pair for part in value for pair in part] if option.is_list else value
            )
    return load(given)


def _show_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        click.echo(version_text())
        context.exit()


command = Command(
    "asgiws",
    params=[
        *(_parameter(option) for option in OPTIONS),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version and what it runs on, then exit.",
        ),
    ],
    callback=_configure,
    help="Serve an ASGI application over HTTP/1.1 and WebSocket.",
    epilog=EPILOG,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)


def version_text() -> str:
    """The versions of asgiws and of what it would run on."""
    loop = loops.choose("auto")
    uvloop = loops.uvloop_version()
    compiled = [name.removeprefix("asgiws.") for name in _extensions.compiled()]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    lines = [
        f"asgiws {__version__}",
        f"python    {python} on {platform.system()} {platform.machine()}",
        f"loop      {loop}" + (f" {uvloop}" if loop == "uvloop" else ""),
        f"parser    {make_parser('auto').name}",
        f"deflate   {zlib_backend.choose('auto')}",
        f"compiled  {', '.join(compiled) or 'nothing (pure Python)'}",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and end the process. `arguments` defaults to those of the process."""
    descriptors.fill_standard()
    servers: list[Server] = []
    code: int
    try:
        result = command.main(arguments, prog_name="asgiws", standalone_mode=False)
        code = serve(result, servers.append) if isinstance(result, Config) else int(result or 0)
    except click.ClickException as error:
        logs.tell(f"Error: {error.format_message()}")
        code = error.exit_code
    except StartError as error:
        logs.tell(f"Error: {error}")
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = 128 + signal.SIGINT
    except SystemExit as error:  # raised by the application or for a second signal
        code = _exit_code(error)
    _bound_threads(code, servers[0].end_by if servers else None)
    sys.exit(code)


def _exit_code(error: SystemExit) -> int:
    """The exit code that Python would use: a string is printed and counts as 1."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    logs.tell(str(error.code))
    return 1


def _bound_threads(code: int, end_by: float | None) -> None:
    """Make sure that the process ends even if a thread of the application never does.

    Python waits for all non-daemon threads before it exits. They get what is left of the graceful
    timeout (`end_by` is a time of `time.monotonic()`); then the process exits without them.
    """
    main_thread = threading.main_thread()
    threads = [thread for thread in threading.enumerate() if not thread.daemon]
    threads = [thread for thread in threads if thread is not main_thread]
    if not threads:
        return
    limit = max(end_by or 0.0, time.monotonic() + LEAST_FOR_THREADS)

    def watch() -> None:
        for thread in threads:
            thread.join(max(limit - time.monotonic(), 0.0))
        names = ", ".join(thread.name for thread in threads if thread.is_alive())
        if names:
            logs.tell(f"Error: exited without waiting for threads: {names}")
            os._exit(code)

    threading.Thread(target=watch, daemon=True, name="asgiws-end").start()
