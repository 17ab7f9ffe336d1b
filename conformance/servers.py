"""How each server is started for the suite: command lines, nothing that runs.

Rules of this file:
- Every server serves `conformance.app:app` on 127.0.0.1, with permessage-deflate where it has it
  and messages of MESSAGE_LIMIT wherever a command line can say so; all else is its default.
- A command line is made of `{port}`, and for TLS of `{key}` and `{cert}`; they are filled in last.
- A server's environment names no option of asgiws: what the command line says is all that counts.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conformance.tls import Certificate

APP = "conformance.app:app"
MESSAGE_LIMIT = 32 * 1024 * 1024
PROJECT = Path(__file__).resolve().parent.parent

_UVICORN = (
    f"uvicorn {APP} --port {{port}} --no-access-log --log-level warning"
    f" --ws-max-size {MESSAGE_LIMIT}"
)
_HYPERCORN = f"hypercorn {APP} --worker-class uvloop --log-level warning"
_DAPHNE = (
    f"daphne -v 0 --websocket-max-message-size {MESSAGE_LIMIT}"
    f" --websocket-max-frame-size {MESSAGE_LIMIT}"
)
_DAPHNE_TLS = "ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={cert}"
_GRANIAN = (
    f"granian {APP} --interface asgi --port {{port}} --loop uvloop --no-access-log"
    " --log-level warning"
)
_PLAIN = re.compile(r"[\w@%+=:,./{}-]+")
_SSL_FILES = " --ssl-keyfile {key} --ssl-certfile {cert}"

# name: (over TCP, over TLS)
PEERS = {
    "uvicorn": (_UVICORN, _UVICORN + _SSL_FILES),
    **{
        f"uvicorn-{ws}": (f"{_UVICORN} --ws {ws}", f"{_UVICORN} --ws {ws}{_SSL_FILES}")
        for ws in ("websockets", "websockets-sansio", "wsproto")
    },
    "hypercorn": (
        f"{_HYPERCORN} --bind 127.0.0.1:{{port}}",
        f"{_HYPERCORN} --bind 127.0.0.1:{{port}} --keyfile {{key}} --certfile {{cert}}",
    ),
    "daphne": (
        f"{_DAPHNE} -b 127.0.0.1 -p {{port}} {APP}",
        f"{_DAPHNE} -e {_DAPHNE_TLS} {APP}",
    ),
    "granian": (_GRANIAN, f"{_GRANIAN} --ssl-keyfile {{key}} --ssl-certificate {{cert}}"),
}


class ServerError(Exception):
    """A server that cannot be named, found, started or kept; one line for the user."""


@dataclass(frozen=True)
class Server:
    """A server to run: its name in the tables, its command line with `{port}`, its environment."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, port: int, certificate: Certificate | None = None) -> list[str]:
        """The command line for that port, with the files of the certificate."""
        values = {"{port}": str(port)}
        if certificate is not None:
            values["{key}"] = str(certificate.key)
            values["{cert}"] = str(certificate.certificate)
        return [_fill(part, values) for part in self.argv]

    @property
    def shown(self) -> str:
        """The command line as a person would type it."""
        program, *rest = self.argv
        setting = [f"{name}={value}" for name, value in self.environment.items()]
        return " ".join([*setting, Path(program).name, *map(_quote, rest)])


def asgiws(
    *, http: str | None, loop: str | None, pure: bool, tls: bool, deflate: str | None = None
) -> Server:
    """Our own server, in one of its variants. Raises ServerError when it is not installed."""
    program = Path(sysconfig.get_path("scripts")) / "asgiws"
    found = str(program) if program.exists() else shutil.which("asgiws")
    if found is None:
        raise ServerError("asgiws is not installed for this Python: pip install -e .")
    argv = [found, APP, "--port", "{port}", "--ws-max-size", str(MESSAGE_LIMIT)]
    argv += ["--no-access-log", "--log-level", "warning"]
    if http:
        argv += ["--http", http]
    if loop:
        argv += ["--loop", loop]
    if deflate:
        argv += ["--ws-deflate-backend", deflate]
    if tls:
        argv += ["--ssl-keyfile", "{key}", "--ssl-certfile", "{cert}"]
    environment = {"ASGIWS_EXTENSIONS": "no"} if pure else {}
    parts = [http, loop, deflate, "pure" if pure else None, "tls" if tls else None]
    return Server("-".join(["asgiws", *filter(None, parts)]), tuple(argv), environment)


def peer(name: str, *, folder: Path | None, tls: bool) -> Server:
    """Another server by its name in PEERS, from `folder` or PATH.

    Raises ServerError when the name is unknown or the program is not there.
    """
    if name not in PEERS:
        raise ServerError(f"unknown server {name!r}; known are {', '.join(PEERS)}")
    program, *rest = PEERS[name][tls].split()
    found = shutil.which(program, path=str(folder) if folder else None)
    if found is None:
        raise ServerError(f"{program} is not {f'in {folder}' if folder else 'on PATH'}")
    return Server(f"{name}-tls" if tls else name, (found, *rest))


def custom(command: str, *, tls: bool) -> Server:
    """The server of `--server`. Raises ServerError for a command that cannot be meant."""
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise ServerError(f"--server: {error}") from error
    if not any("{port}" in part for part in argv):
        raise ServerError("--server: the command has no {port}, where the port goes")
    if tls and not any("{cert}" in part for part in argv):
        raise ServerError("--server: with --tls the command needs {key} and {cert}, two PEM files")
    if shutil.which(argv[0]) is None:
        raise ServerError(f"--server: there is no program {argv[0]!r}")
    name = Path(argv[0]).name
    return Server(f"{name}-tls" if tls else name, tuple(argv))


def environment(server: Server, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a server's process: ours, less asgiws' options, plus the server's own."""
    kept = {name: value for name, value in inherited.items() if not name.startswith("ASGIWS_")}
    path = [str(PROJECT), *filter(None, [inherited.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(path), **server.environment}


def _quote(part: str) -> str:
    return part if _PLAIN.fullmatch(part) else shlex.quote(part)


def _fill(part: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        part = part.replace(name, value)
    return part
