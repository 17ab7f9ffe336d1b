"""Whether a server answers rightly, before it is measured: a figure of a wrong answer is worth nothing.

Rules of this file:
- Nothing of asgiws is used: the client is `websockets`, and the standard library's for HTTP and TLS.
- A check is a function that raises Wrong, or whatever the client does, with what was wrong; each has a
  connection of its own.
- What a scenario needs is data. A server that fails one of these is left out of the scenario.
- A server is started once for its checks over TCP, and once over TLS.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import FLOOR, LeftOut
from benchmarks.run import Plan, connection, wait_until_answering
from benchmarks.scenarios import BODIES, STARLETTE, Scenario
from benchmarks.served.applications import CLOSES_WITH, SHUT_DOWN
from benchmarks.servers import SERVED, Server, environment
from conformance.process import RunningServer, free_port, started
from conformance.servers import ServerError
from conformance.tls import Certificate

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

PATIENCE = 5.0
SIZES = (0, 1, 125, 126, 65535, 65536, 1_000_000)
UPLOADS = (0, 1, 40_000, 200_000, 1_000_000)
#: One for each width in which CPython keeps a text, and one that is long.
TEXTS = ("Grüße", "Grüße, 世界", "Grüße, 世界 🙂", "Grüße, 世界 🙂 " * 5000)
CLIENT_CLOSES_WITH = 4002

_CHECKED = "applications:checked"


class ChecksError(Exception):
    """Nothing can be checked; one line for the user."""


class Wrong(Exception):
    """What a server did, which it must not."""


@dataclass(frozen=True)
class Endpoint:
    """A server that runs: its port, and its certificate over TLS."""

    port: int
    certificate: Certificate | None = None

    def http(self) -> http.client.HTTPConnection:
        return connection(self.port, self.certificate, PATIENCE)

    def get(self, path: str) -> bytes:
        with closing(self.http()) as asking:
            return _body(asking, "GET", path)

    def websocket(self) -> AbstractContextManager[ClientConnection]:
        """An open WebSocket, which offers no extension."""
        from websockets.sync.client import connect

        context = None
        if self.certificate is not None:
            context = ssl.create_default_context(cafile=str(self.certificate.issuer))
        return connect(
            f"ws{'s' if context else ''}://127.0.0.1:{self.port}/",
            sock=socket.create_connection(("127.0.0.1", self.port), PATIENCE),
            ssl=context,
            compression=None,
            max_size=None,
            open_timeout=PATIENCE,
            close_timeout=PATIENCE,
        )


def _body(asking: http.client.HTTPConnection, method: str, path: str, body: bytes = b"") -> bytes:
    asking.request(method, path, body or None)
    answer = asking.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise Wrong(f"{method} {path} was answered with {answer.status}")
    return content


def _same(got: bytes | str, sent: bytes | str, what: str) -> None:
    if got == sent:
        return
    if type(got) is not type(sent):
        raise Wrong(f"{what} came back as another type")
    if len(got) != len(sent):
        raise Wrong(f"{what}: {len(sent)} became {len(got)}")
    raise Wrong(f"{what} came back as another")


def get(server: Endpoint) -> None:
    """Requests on a connection that stays open, and a response in parts."""
    with closing(server.http()) as asking:
        for _ in range(2):
            _same(_body(asking, "GET", "/"), b"Hello, world!", "the body of a GET")
        _same(_body(asking, "GET", "/parts"), b"onetwosix", "a body in three parts")


def lifespan(server: Endpoint) -> None:
    """Its beginning; its end is seen in the log."""
    said = server.get("/lifespan")
    if said != b"started":
        raise Wrong("the lifespan was not started")


def uploads(server: Endpoint) -> None:
    with closing(server.http()) as asking:
        for size in UPLOADS:
            sent = os.urandom(size)
            _same(_body(asking, "POST", "/", sent), sent, f"an upload of {size:,} octets")


def text_outside_ascii(server: Endpoint) -> None:
    with server.websocket() as websocket:
        for text in TEXTS:
            websocket.send(text)
            _same(websocket.recv(PATIENCE), text, f"text outside ASCII, {len(text):,} characters")


def binary(server: Endpoint) -> None:
    with server.websocket() as websocket:
        sent = bytes(range(256))
        websocket.send(sent)
        _same(websocket.recv(PATIENCE), sent, "a binary message")


def message_sizes(server: Endpoint) -> None:
    with server.websocket() as websocket:
        for size in (*SIZES, *UPLOADS):
            sent = os.urandom(size)
            for message in (sent, sent.hex()[:size]):
                websocket.send(message)
                _same(websocket.recv(PATIENCE), message, f"a message of {size:,} octets")


def close_codes(server: Endpoint) -> None:
    """The application's code reaches the client, and the client's the application."""
    from websockets.exceptions import ConnectionClosed

    with server.websocket() as websocket:
        websocket.send("close")
        try:
            websocket.recv(PATIENCE)
            raise Wrong("a message instead of a close frame")
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
        if code != CLOSES_WITH:
            raise Wrong(f"the application closed with {CLOSES_WITH}, and the client saw {code}")
    with server.websocket() as websocket:
        websocket.close(CLIENT_CLOSES_WITH)
    deadline = time.monotonic() + 3
    while (said := server.get("/close").decode()) != str(CLIENT_CLOSES_WITH):
        if time.monotonic() > deadline:
            raise Wrong(
                f"the client closed with {CLIENT_CLOSES_WITH}, and the application saw {said}"
            )
        time.sleep(0.05)  # the application writes it down when it hears of it


def page_of_starlette(server: Endpoint) -> None:
    _same(server.get("/"), b"Hello, world!", "a page of Starlette's")


def echo_through_starlette(server: Endpoint) -> None:
    with server.websocket() as websocket:
        websocket.send(TEXTS[0])
        _same(websocket.recv(PATIENCE), TEXTS[0], "a message through Starlette")


Check = Callable[[Endpoint], None]
_WEBSOCKET: tuple[Check, ...] = (lifespan, text_outside_ascii, binary, message_sizes, close_codes)
_STARLETTE: tuple[Check, ...] = (page_of_starlette, echo_through_starlette)


def needed(scenario: Scenario) -> tuple[Check, ...]:
    """The checks that a server must pass to be measured in the scenario.

    None of several nodes: its room is what there is to check, and the load generator checks each delivery.
    """
    if scenario.nodes > 1:
        return ()
    if scenario.websocket:
        return (*_WEBSOCKET, echo_through_starlette) if scenario.app == STARLETTE else _WEBSOCKET
    checks: tuple[Check, ...] = (lifespan, get)
    if scenario.app == STARLETTE:
        checks += (page_of_starlette,)
    if scenario.app == BODIES or (scenario.tls and not scenario.handshake):
        checks += (uploads,)
    return checks


def check(plan: Plan, say: Callable[[str], None]) -> list[LeftOut]:
    """The servers to leave out, and of which scenarios of the plan; each is told as it is found.

    The floor runs no application, and is not checked. Raises ChecksError.
    """
    try:
        import websockets.sync.client  # noqa: F401 - so that it is told at once
    except ImportError as error:
        raise ChecksError("the checks need websockets: pip install 'asgiws[test]'") from error
    found = []
    for server in plan.servers:
        for tls in (False, True):
            chosen = [one for one in plan.scenarios if one.tls == tls and server.takes_part(one)]
            if server.kind == FLOOR or not chosen:
                continue
            several = wrong(server, chosen, plan.certificate if tls else None)
            for one in several:
                say(told(one))
            found += several
    return found


def told(left_out: LeftOut) -> str:
    """The line for a server that is left out."""
    where = f" of {', '.join(left_out.scenarios)}" if left_out.scenarios else ""
    return f"{left_out.server} is left out{where}: {left_out.why}"


def wrong(
    server: Server, scenarios: Iterable[Scenario], certificate: Certificate | None
) -> list[LeftOut]:
    """What a server does wrong in these scenarios: an entry for each group with the same reason."""
    chosen = list(scenarios)
    checks = list(dict.fromkeys(one for scenario in chosen for one in needed(scenario)))
    failures = {}
    for app, some in (
        (_CHECKED, [one for one in checks if one not in _STARLETTE]),
        (STARLETTE, [one for one in checks if one in _STARLETTE]),
    ):
        if some:
            failures.update(_failures(server, app, some, certificate))
    reasons: dict[str, list[str]] = {}
    for scenario in chosen:
        found = [failures[one] for one in needed(scenario) if one in failures]
        if found:
            reasons.setdefault("; ".join(dict.fromkeys(found)), []).append(scenario.name)
    return [LeftOut(server.name, names, why) for why, names in reasons.items()]


def _failures(
    server: Server, app: str, checks: list[Check], certificate: Certificate | None
) -> dict[Check, str]:
    port = free_port()
    failures = {}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        command = server.command(app, port, certificate)
        try:
            with started(command, port, environment(server), log, SERVED) as running:
                wait_until_answering(port, certificate, running)
                for one in checks:
                    failed = _failure(one, Endpoint(port, certificate))
                    if failed:
                        failures[one] = failed
                if lifespan in checks and lifespan not in failures:
                    failed = _end(running, log)
                    if failed:
                        failures[lifespan] = failed
        except ServerError as error:
            return dict.fromkeys(checks, str(error))
    return failures


def _end(running: RunningServer, log: Path) -> str:
    """Ask a server's first process to end, as a supervisor does; what was wrong with its lifespan's end."""
    if running.ended():
        return "the server has ended before it was asked to"
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while SHUT_DOWN not in log.read_text(errors="replace"):
        if running.ended() or time.monotonic() > deadline:
            return (
                "" if SHUT_DOWN in log.read_text(errors="replace") else "the lifespan was not ended"
            )
        time.sleep(0.02)  # the server is ending, and may take its time
    return ""


def _failure(check: Check, server: Endpoint) -> str:
    """What a server got wrong, in a line; empty when nothing."""
    try:
        check(server)
    except Wrong as wrong:
        return str(wrong)
    except Exception as error:  # whatever the client says of a wrong answer
        said = " ".join(str(error).split())[:160]
        name = check.__name__.replace("_", " ").replace("ascii", "ASCII")
        return f"{name}: {said or type(error).__name__}"
    return ""
