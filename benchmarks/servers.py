"""How each server is started, and what it is: data, nothing that runs.

Rules of this file:
- Every server is one process that serves, on 127.0.0.1 and uvloop where it has a choice, without an
  access log, with permessage-deflate where it has it, messages of MESSAGE_LIMIT, and CONNECTIONS clients;
  all else is its default.
- Where topics reach several nodes, asgiws has a Redis by its option, and a peer with a `room` has it in
  REDIS_URL.
- A command line is made of `{app}` and `{port}`, and for TLS of `{key}` and `{cert}`; they are filled in
  last.
- Applications are found in the folder `served` alone. The project's own folder is not on the path, or
  every checkout of asgiws would run the code of this one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.results import FLOOR, OWN, PEER, ServerInfo
from benchmarks.scenarios import Scenario
from conformance.servers import ServerError
from conformance.tls import Certificate

SERVED = Path(__file__).resolve().parent / "served"
MESSAGE_LIMIT = 64 * 1024 * 1024
CONNECTIONS = 32768
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

_SSL_FILES = " --ssl-keyfile {key} --ssl-certfile {cert}"
_OWN = "asgiws {app} --port {port} --no-access-log --log-level error" + (
    f" --ws-max-size {MESSAGE_LIMIT}"
)
_UVICORN = (
    "uvicorn {app} --port {port} --loop uvloop --http httptools --no-access-log --log-level error"
    f" --ws-max-size {MESSAGE_LIMIT} --ws "
)
_HYPERCORN = "hypercorn {app} -c hypercorn.toml -b 127.0.0.1:{port} -k uvloop --log-level error"
_DAPHNE = (
    f"daphne -v 0 --websocket-max-message-size {MESSAGE_LIMIT}"
    f" --websocket-max-frame-size {MESSAGE_LIMIT} {{app}}"
)
_GRANIAN = (
    "granian {app} --interface asgi --port {port} --loop uvloop --no-access-log"
    " --log-level error --workers 1 --task-impl "
)
_GRANIAN_TLS = " --ssl-keyfile {key} --ssl-certificate {cert}"
_H2CORN = (
    "h2corn {app} --bind 127.0.0.1:{port} --loop uvloop --no-access-log"
    f" --websocket-per-message-deflate --websocket-max-message-size {MESSAGE_LIMIT}"
)
_PEREGRINE = (
    "peregrine {app} --port {port} --protocol asgi --log-level error --ws-compress"
    f" --ws-max-message {MESSAGE_LIMIT} --max-connections {CONNECTIONS}"
)
_WEFT = (
    "weft {app} --port {port} --protocol asgi --log-level error --ws-compress"
    f" --ws-max-message {MESSAGE_LIMIT} --max-connections {CONNECTIONS}"
)
_TLS_FILES = " --tls-key {key} --tls-cert {cert}"
_CHANNELS = ("django", "channels", "channels_redis")


@dataclass(frozen=True)
class Peer:
    """How a peer is started, over TCP and over TLS, and what it is.

    `packages` are what of its environment shapes its figures, so that it is told with them. `asyncio` is
    whether it runs an application as a task on an asyncio loop; `gives_up` is what an application misses.
    One with a `room`, an application that reaches the clients of all nodes, is measured with that alone.
    `since` and `before` bound the Pythons that it is for.
    """

    command: str
    tls: str
    packages: tuple[str, ...]
    websockets: bool = True
    asyncio: bool = True
    gives_up: str = ""
    since: str = "3.0"
    before: str = "4.0"
    room: str = ""


def _uvicorn(ws: str) -> Peer:
    packages = ("uvicorn", "uvloop", "httptools", "websockets", "wsproto")
    return Peer(_UVICORN + ws, _UVICORN + ws + _SSL_FILES, packages)


def _room(name: str, *packages: str, daphne: bool = False) -> Peer:
    packages = (*packages, "redis", "hiredis")
    if daphne:
        command, more = _DAPHNE + " -p {port} -b 127.0.0.1", ("daphne", "twisted", "autobahn")
    else:
        command, more = _UVICORN + "websockets-sansio", ("uvicorn", "uvloop", "websockets")
    return Peer(command, "", (*packages, *more), room=name)


def _granian(choice: str, gives_up: str = "", before: str = "4.0") -> Peer:
    command = _GRANIAN + choice
    packages = ("granian", "uvloop")
    return Peer(
        command,
        command + _GRANIAN_TLS,
        packages,
        asyncio=not gives_up,
        gives_up=gives_up,
        before=before,
    )


PEERS = {
    "uvicorn-sansio": _uvicorn("websockets-sansio"),
    "uvicorn-websockets": _uvicorn("websockets"),
    "uvicorn-wsproto": _uvicorn("wsproto"),
    "hypercorn": Peer(
        _HYPERCORN,
        _HYPERCORN + " --keyfile {key} --certfile {cert}",
        ("hypercorn", "uvloop", "wsproto", "h11"),
    ),
    "daphne": Peer(
        _DAPHNE + " -p {port} -b 127.0.0.1",
        _DAPHNE + " -e ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={cert}",
        ("daphne", "twisted", "autobahn"),
    ),
    "granian": _granian("asyncio --runtime-mode st"),
    "granian-mt": _granian("asyncio --runtime-mode mt"),
    "granian-rust": _granian(
        "rust --runtime-mode st", "an application's task is granian's own and not asyncio's", "3.12"
    ),
    "h2corn": Peer(_H2CORN, _H2CORN + " --keyfile {key} --certfile {cert}", ("h2corn", "uvloop")),
    "peregrine": Peer(_PEREGRINE, _PEREGRINE + _TLS_FILES, ("peregrine-server", "uvloop")),
    "weft": Peer(_WEFT, _WEFT + _TLS_FILES, ("weft-server",), since="3.12"),
    "freastal": Peer(
        "python start_freastal.py {app} {port}",
        "python start_freastal.py {app} {port} {cert} {key}",
        ("freastal",),
        websockets=False,
        asyncio=False,
        gives_up="no lifespan, bodies in one part alone, no event for a client that has gone",
    ),
    "fastpysgi": Peer(
        "fastpysgi {app} --host 127.0.0.1 --port {port} --loglevel 1",
        "fastpysgi {app} --host 127.0.0.1 --port {port} --loglevel 1 --keyfile {key} --certfile {cert}",
        ("fastpysgi",),
        websockets=False,
    ),
    "channels-redis": _room("with_channels:over_lists", *_CHANNELS),
    "channels-redis-daphne": _room("with_channels:over_lists", *_CHANNELS, daphne=True),
    "channels-pubsub": _room("with_channels:over_pubsub", *_CHANNELS),
    "channels-pubsub-daphne": _room("with_channels:over_pubsub", *_CHANNELS, daphne=True),
    "broadcaster": _room("with_broadcaster:application", "broadcaster"),
}
NAMES = ("asgiws", *PEERS, "floor")
EXTRA = ("asgiws-pure",)

_OWN_PACKAGES = ("asgiws", "uvloop", "httptools")
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
    """A server to measure: its name and kind, its command lines over TCP and over TLS (an empty one: it
    does not take part there), and what `Peer` says of it. A floor runs no Python."""

    name: str
    kind: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    tls_argv: tuple[str, ...] = ()
    python: str = PYTHON
    websockets: bool = True
    asyncio: bool = True
    gives_up: str = ""
    packages: tuple[str, ...] = ()
    room: str = ""

    def command(
        self, app: str, port: int, certificate: Certificate | None = None, more: Sequence[str] = ()
    ) -> list[str]:
        """The command line for an application of `served`, as `module:attribute`, and a port; over TLS
        if there is a certificate. `more` are further options."""
        values = {"{app}": app, "{port}": str(port)}
        if certificate is not None:
            values["{key}"] = str(certificate.key)
            values["{cert}"] = str(certificate.certificate)
        argv = self.argv if certificate is None else self.tls_argv
        return [*(_fill(part, values) for part in argv), *more]

    def in_scenario(
        self,
        scenario: Scenario,
        port: int,
        certificate: Certificate | None = None,
        redis: str = "",
    ) -> list[str]:
        """The command line for a scenario, with the URL of the Redis if it has several nodes."""
        if self.room:
            return self.command(self.room, port, certificate)
        more = ["--workers", str(scenario.workers)] if scenario.workers > 1 else []
        more += ["--pubsub", redis] if redis else []
        return self.command(scenario.app, port, certificate, [*more, *scenario.options])

    def takes_part(self, scenario: Scenario) -> bool:
        """Whether it is made for the scenario."""
        if self.kind == FLOOR and not scenario.floor:
            return False
        if self.room:
            return scenario.nodes > 1
        if self.kind == PEER and scenario.topics:
            return False
        if scenario.websocket and not self.websockets:
            return False
        return bool(self.tls_argv if scenario.tls else self.argv)

    @property
    def program(self) -> Path:
        return Path((self.argv or self.tls_argv)[0])

    @property
    def shown(self) -> str:
        """The command line as a person would type it."""
        program, *rest = self.argv or self.tls_argv
        setting = [f"{name}={value}" for name, value in self.environment.items()]
        quoted = [part if "{" in part else shlex.quote(part) for part in rest]
        return " ".join([*setting, Path(program).name, *quoted])


def asgiws(name: str, folder: Path | None, *, pure: bool = False, python: str = PYTHON) -> Server:
    """asgiws as installed in `folder`, or for this Python. Raises ServerError when it is not there."""
    scripts = (folder or Path(sysconfig.get_path("scripts"))).absolute()
    program = scripts / "asgiws"
    if not program.exists():
        raise ServerError(f"{name}: there is no asgiws in {scripts}: pip install -e .")
    return Server(
        name,
        OWN,
        (str(program), *_OWN.split()[1:]),
        {"ASGIWS_EXTENSIONS": "no"} if pure else {},
        (str(program), *(_OWN + _SSL_FILES).split()[1:]),
        python,
        packages=_OWN_PACKAGES,
    )


def peer(name: str, folder: Path, python: str = PYTHON, *, further: bool = False) -> Server:
    """A peer whose program lies in `folder`; its name has the Python when that is a `further` one.

    Raises ServerError when the program is not there, or not for that Python.
    """
    data = PEERS[name]
    if not _numbers(data.since) <= _numbers(python) < _numbers(data.before):
        span = f"from {data.since}" if data.since != "3.0" else f"before {data.before}"
        raise ServerError(f"{name}: it is for Python {span}, and this is {python}")
    program = data.command.split()[0]
    found = shutil.which(program, path=str(folder.absolute()))
    if found is None:
        raise ServerError(f"{name}: there is no {program} in {folder}")
    return Server(
        f"{name}@{python}" if further else name,
        PEER,
        (found, *data.command.split()[1:]),
        tls_argv=(found, *data.tls.split()[1:]),
        python=python,
        websockets=data.websockets,
        asyncio=data.asyncio,
        gives_up=data.gives_up,
        packages=data.packages,
        room=data.room,
    )


def floor(program: Path) -> Server:
    """The C floor."""
    return Server("floor", FLOOR, (str(program), "{port}", "{app}"), python="")


def custom(named: str) -> Server:
    """The server of `--add NAME=COMMAND`, a peer; over TLS if the command has `{cert}`.

    Raises ServerError when it cannot be meant.
    """
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
    argv = (str(Path(found).absolute()), *argv[1:])
    if any("{cert}" in part for part in argv):
        return Server(name, PEER, (), tls_argv=argv)
    return Server(name, PEER, argv)


def environment(
    server: Server, inherited: Mapping[str, str] = os.environ, redis: str = ""
) -> dict[str, str]:
    """The environment of a server's process: ours, less asgiws' options, plus its own and the URL of the
    Redis, if there is one."""
    kept = {name: value for name, value in inherited.items() if not name.startswith("ASGIWS_")}
    of_redis = {"REDIS_URL": redis} if redis else {}
    return {**kept, "PYTHONPATH": str(SERVED), **of_redis, **server.environment}


def describe(server: Server) -> ServerInfo:
    """What is to be told of a server beside its figures."""
    if server.kind == FLOOR:
        return ServerInfo(server.kind, server.shown, "C, epoll, no checks, no application")
    said = [
        _ask([str(server.program), "--version"]) if server.kind == OWN else "",
        _ask(
            [
                str(server.program.with_name("python")),
                "-c",
                _VERSIONS,
                *server.packages,
                "starlette",
            ]
        ),
    ]
    return ServerInfo(
        server.kind,
        server.shown,
        "; ".join(filter(None, said)),
        server.python,
        server.asyncio,
        server.gives_up,
    )


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


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
