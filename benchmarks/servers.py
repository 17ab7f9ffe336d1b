"""How each server is started: command lines, nothing that runs.

Rules of this file:
- Every server is one process that serves, on 127.0.0.1 and uvloop where it has a choice, without an
  access log, with messages of MESSAGE_LIMIT; all else is its default.
- A command line is made of `{app}` and `{port}`; they are filled in last.
- Applications are found in the folder `served` alone. The project's own folder is not on the path, or
  every checkout of asgiws would run the code of this one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.results import FLOOR, OWN, PEER, ServerInfo
from conformance.servers import ServerError

SERVED = Path(__file__).resolve().parent / "served"
MESSAGE_LIMIT = 64 * 1024 * 1024

_OWN = "asgiws {app} --port {port} --no-access-log --log-level error" + (
    f" --ws-max-size {MESSAGE_LIMIT}"
)
_UVICORN = (
    "uvicorn {app} --port {port} --loop uvloop --http httptools --no-access-log --log-level error"
    f" --ws-max-size {MESSAGE_LIMIT} --ws "
)
PEERS = {
    "uvicorn-sansio": _UVICORN + "websockets-sansio",
    "uvicorn-websockets": _UVICORN + "websockets",
    "uvicorn-wsproto": _UVICORN + "wsproto",
    "hypercorn": (
        "hypercorn {app} -c hypercorn.toml -b 127.0.0.1:{port} -k uvloop --log-level error"
    ),
    "daphne": (
        f"daphne -p {{port}} -b 127.0.0.1 -v 0 --websocket-max-message-size {MESSAGE_LIMIT}"
        f" --websocket-max-frame-size {MESSAGE_LIMIT} {{app}}"
    ),
    "granian": (
        "granian {app} --interface asgi --port {port} --loop uvloop --no-access-log"
        " --log-level error --workers 1"
    ),
}
NAMES = ("asgiws", *PEERS, "floor")
EXTRA = ("asgiws-pure",)

# What of an environment shapes a figure, so that it is told with it.
_PACKAGES = {
    "asgiws": ("asgiws", "uvloop", "httptools", "starlette"),
    "uvicorn": ("uvicorn", "uvloop", "httptools", "websockets", "wsproto", "starlette"),
    "hypercorn": ("hypercorn", "uvloop", "wsproto", "h11", "starlette"),
    "daphne": ("daphne", "twisted", "autobahn", "starlette"),
    "granian": ("granian", "uvloop", "starlette"),
}
_VERSIONS = """
import importlib.metadata as metadata, platform, sys
found = [platform.python_implementation() + " " + platform.python_version()]
for name in sys.argv[1:]:
    try:
        found.append(name + " " + metadata.version(name))
    except metadata.PackageNotFoundError:
        pass
print(", ".join(found))
"""


@dataclass(frozen=True)
class Server:
    """A server to measure: its name, its kind, its command line with `{app}` and `{port}`."""

    name: str
    kind: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, app: str, port: int) -> list[str]:
        """The command line for an application of `served`, as `module:attribute`, and a port."""
        values = {"{app}": app, "{port}": str(port)}
        return [_fill(part, values) for part in self.argv]

    @property
    def shown(self) -> str:
        """The command line as a person would type it."""
        program, *rest = self.argv
        setting = [f"{name}={value}" for name, value in self.environment.items()]
        quoted = [part if "{" in part else shlex.quote(part) for part in rest]
        return " ".join([*setting, Path(program).name, *quoted])


def asgiws(name: str, folder: Path | None, *, pure: bool = False) -> Server:
    """asgiws as installed in `folder`, or for this Python. Raises ServerError when it is not there."""
    scripts = (folder or Path(sysconfig.get_path("scripts"))).absolute()
    program = scripts / "asgiws"
    if not program.exists():
        raise ServerError(f"{name}: there is no asgiws in {scripts}: pip install -e .")
    _, *rest = _OWN.split()
    return Server(name, OWN, (str(program), *rest), {"ASGIWS_EXTENSIONS": "no"} if pure else {})


def peer(name: str, folder: Path) -> Server:
    """A peer whose program lies in `folder`. Raises ServerError when it does not."""
    program, *rest = PEERS[name].split()
    found = shutil.which(program, path=str(folder.absolute()))
    if found is None:
        raise ServerError(f"{name}: there is no {program} in {folder}")
    return Server(name, PEER, (found, *rest))


def floor(program: Path) -> Server:
    """The C floor."""
    return Server("floor", FLOOR, (str(program), "{port}"))


def custom(named: str) -> Server:
    """The server of `--add NAME=COMMAND`, a peer. Raises ServerError when it cannot be meant."""
    name, equals, command = named.partition("=")
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise ServerError(f"--add: {error}") from error
    if not (name and equals and argv):
        raise ServerError("--add: NAME=COMMAND, where the command has {app} and {port}")
    if not any("{port}" in part for part in argv):
        raise ServerError(f"--add: the command of {name} has no {{port}}, where the port goes")
    found = shutil.which(argv[0])
    if found is None:
        raise ServerError(f"--add: there is no program {argv[0]!r}")
    # Absolute, for servers are started in another folder; not resolved, for that would leave its venv.
    return Server(name, PEER, (str(Path(found).absolute()), *argv[1:]))


def environment(server: Server, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a server's process: ours, less asgiws' options, plus its own."""
    kept = {name: value for name, value in inherited.items() if not name.startswith("ASGIWS_")}
    return {**kept, "PYTHONPATH": str(SERVED), **server.environment}


def describe(server: Server) -> ServerInfo:
    """What is to be told of a server beside its figures."""
    if server.kind == FLOOR:
        return ServerInfo(server.kind, server.shown, "C, epoll, no checks, no application")
    program = Path(server.argv[0])
    said = [
        _ask([str(program), "--version"]) if server.kind == OWN else "",
        _ask([str(program.with_name("python")), "-c", _VERSIONS, *_PACKAGES.get(program.name, ())]),
    ]
    return ServerInfo(server.kind, server.shown, "; ".join(filter(None, said)))


def _ask(command: list[str]) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "; ".join(" ".join(line.split()) for line in said.stdout.splitlines() if line.strip())


def _fill(part: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        part = part.replace(name, value)
    return part
