"""Odd requests are understood alike by both parsers, and as the proxy in front understood them.

A request is smuggled when the server sees another one than the proxy has let pass. So for each request of
`odd.py` these are compared: what asgiws makes of it directly, with httptools and with h11; what nginx and
HAProxy say in their logs that they have sent on; what has come of it to asgiws behind them; and what asgiws
makes of the very octets that the proxies send.

Either side may refuse what the other accepts, and then sees fewer requests. None may see another, or more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.proxies import proxy
from tests.proxies.odd import ODD
from tests.proxies.wire import TIMEOUT, Address, Recorder, body_of, exchange
from tests.support.raw import unused_name
from tests.support.server import RunningServer, serve

#: The first one may have to wait for apt-get.
pytestmark = pytest.mark.timeout(300)

PARSERS = ("httptools", "h11")
#: What stands behind each proxy.
BACKENDS = (*PARSERS, "recorder")
#: HAProxy twice: as it is, and reading a body to its end first, when it can say in its log what the body was.
PROXIES = ("nginx", "haproxy", "haproxy-buffered")
#: Ends the connection, where nothing has ended it before.
LAST = b"GET /last HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n"

#: Where the server behind a proxy is asked for something else: the proxies here keep `Upgrade` to themselves,
#: and without it there is nothing to answer 426 to.
NOT_AS_DIRECTLY = ("a WebSocket of another version, and a request behind",)


class Seen(NamedTuple):
    """A request as somebody understood it; `body` is None where that is not known, or not complete.

    `status` is what a proxy was answered, where it is a proxy that tells.
    """

    method: str
    target: str
    host: str
    body: str | None
    status: str = ""


class Rig:
    """Both servers, the recorder, and both proxies in front of each."""

    def __init__(self, servers: dict[str, RunningServer], recorder: Recorder) -> None:
        self.addresses: dict[str, Address] = {
            name: (server.host, server.port) for name, server in servers.items()
        }
        self.recorder = recorder
        self.addresses["recorder"] = recorder.address
        self.proxies: dict[str, proxy.Proxy] = {}
        #: Seconds that HAProxy gets for something to come from it.
        self.patience = 0.05
        #: The number of the request that was logged last.
        self.numbers: dict[proxy.Proxy, int] = {}
        #: Where each backend is reached through each proxy.
        self.doors: dict[tuple[str, str], Address] = {}

    def clear(self) -> None:
        """Forget what a test before has left."""
        for parser in PARSERS:
            self.taken(parser)
        self.recorder.take()

    def direct(self, parser: str, data: bytes) -> list[Seen]:
        """What a server makes of `data`."""
        exchange(self.addresses[parser], data)
        return self.taken(parser)

    def taken(self, parser: str) -> list[Seen]:
        """What came to a server since this was called last."""
        response = exchange(self.addresses[parser], b"GET /_take HTTP/1.1\r\nHost: take\r\n\r\n")
        result = []
        for one in json.loads(body_of(response)):
            assert len(one["hosts"]) <= 1, one
            host = one["hosts"][0] if one["hosts"] else ""
            result.append(plain(one["method"], one["target"], host, one["body"]))
        return result

    def through(self, name: str, parser: str, data: bytes) -> tuple[list[Seen], list[Seen]]:
        """What the proxy of that name says that it has sent on to a server, and what that has seen."""
        sent, after, answer = self._send(name, parser, data)
        assert json.loads(answer)["target"] == after
        came = self.taken(parser)
        assert came.pop()[:2] == ("GET", after), came
        return sent, came

    def record(self, name: str, data: bytes) -> tuple[list[Seen], list[Seen], bytes]:
        """What the proxy says that it has sent on to the recorder, what came, and the octets of it."""
        sent, after, answer = self._send(name, "recorder", data)
        assert answer.decode() == after
        requests, octets = self.recorder.take()
        came = [plain(*request) for request in requests]
        assert came.pop()[:2] == ("GET", after), came
        return sent, came, octets[: octets.rindex(f"GET {after}".encode())]

    def _send(self, name: str, backend: str, data: bytes) -> tuple[list[Seen], str, bytes]:
        """Send `data` to a proxy, and one more request from another client.

        The proxy keeps its connections to the backend: were anything left of `data` there, that request, or the
        answer to it, would be another. Gives what the proxy has sent on before it, its target, and its answer.
        """
        exchange(self.doors[name, backend], data, self.patience if name != "nginx" else 0.0)
        after = f"/after-{unused_name()}"
        request = f"GET {after} HTTP/1.1\r\nHost: after\r\nConnection: close\r\n\r\n"
        answer = body_of(exchange(self.doors[name, backend], request.encode()))
        running = self.proxies[name]
        first = self.numbers.get(running, -1) + 1
        entries = [
            json.loads(line) for line in running.log_until(partial(is_complete, first, after))
        ]
        entries.sort(key=number)
        self.numbers[running] = number(entries[-1])
        sent = [one for entry in entries for one in logged(entry)]
        assert sent.pop()[:3] == ("GET", after, "after")
        return sent, after, answer


def plain(method: str, target: str, host: str, body: str | None, status: str = "") -> Seen:
    """A request without what each side writes in its own way.

    The target is the path and the query, as the application has it. nginx leaves the port out of its `$host`,
    and the dot behind it.
    """
    match = re.match(r"(?i)[a-z]+://[^/?]*", target)
    if match is not None:
        target = target[match.end() :]
    if not target or target.startswith("?"):
        target = "/" + target
    return Seen(
        method, target.removesuffix("?"), re.sub("[.]?(:[0-9]*)?$", "", host.lower()), body, status
    )


def number(entry: dict[str, Any]) -> int:
    """HAProxy numbers what it is asked, and logs it when all of it has ended; nginx logs it in order."""
    return int(entry.get("number", -1))


def is_complete(first: int, last: str, lines: Sequence[str]) -> bool:
    """True when the log is there from a number on up to a target, with nothing missing in between."""
    entries = [json.loads(line) for line in lines]
    numbers = {number(entry) for entry in entries}
    end = [number(entry) for entry in entries if entry["target"] == last]
    return bool(end) and numbers.issuperset(range(first, end[0]))


def logged(entry: dict[str, Any]) -> Iterator[Seen]:
    """The request of a line of a proxy's log, if it was sent on."""
    if entry["server"] in ("", "-", "<NOSRV>"):
        return
    body = entry.get("body")
    if entry.get("hex", "unknown") != "unknown":
        body = bytes.fromhex(entry["hex"].removeprefix("-")).decode("latin-1")
    host = entry["host"].removeprefix("-")  # HAProxy has it for nothing
    yield plain(entry["method"], entry["target"], host, body, str(entry["status"]))


NGINX = """
log_format seen escape=json '{"method":"$request_method","target":"$request_uri","host":"$host",'
                            '"body":"$request_body","server":"$upstream_addr","status":"$upstream_status"}';
access_log /dev/stdout seen;
client_header_timeout 500ms;
client_body_timeout 500ms;
client_max_body_size 0;
proxy_ignore_client_abort on;
proxy_next_upstream off;
proxy_http_version 1.1;
proxy_set_header Host $host;
proxy_set_header Connection "";
"""

HAPROXY = """
global
    nbthread 1
    log stdout len 65535 format raw local0
    tune.bufsize 32768
defaults
    mode http
    log global
    log-format '{"method":"%[capture.req.method,json]","target":"%[var(txn.url),json]",\
"host":"%[var(txn.host),json]","server":"%s","status":%ST,"number":%rt,"hex":"%[var(txn.body)]"}'
    option http-keep-alive
    http-reuse always
    retries 0
    timeout connect 5s
    timeout server 10s
    timeout client 500ms
    timeout http-request 500ms
"""


def nginx_config(addresses: Sequence[Address], ports: Sequence[int]) -> str:
    blocks = [NGINX]
    for (host, port), door in zip(addresses, ports, strict=True):
        blocks.append(
            f"upstream u{door} {{ server {host}:{port}; keepalive 4; }}\n"
            f"server {{ listen 127.0.0.1:{door}; location / {{ proxy_pass http://u{door}; }} }}\n"
        )
    return "".join(blocks)


def haproxy_config(addresses: Sequence[Address], ports: Sequence[int]) -> str:
    blocks = [HAPROXY]
    for buffered in (False, True):
        for host, port in addresses:
            door = ports[len(blocks) - 1]
            body = (
                "    option http-buffer-request\n    http-request set-var(txn.body) req.body,hex\n"
                if buffered
                else "    http-request set-var(txn.body) str(unknown)\n"
            )
            blocks.append(
                f"listen l{door}\n    bind 127.0.0.1:{door}\n"
                "    http-request set-var(txn.host) req.fhdr(host)\n"
                f"    http-request set-var(txn.url) url\n{body}"
                f"    server s {host}:{port}\n"
            )
    return "".join(blocks)


@pytest.fixture(scope="module")
def rig(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with ExitStack() as stack:
        servers = {
            parser: stack.enter_context(
                serve(
                    "app:app",
                    *("--http", parser, "--timeout-keep-alive", "60", "--no-access-log"),
                    cwd=Path(__file__).parent,
                )
            )
            for parser in PARSERS
        }
        recorder = Recorder()
        stack.callback(recorder.close)
        rig = Rig(servers, recorder)
        addresses = [rig.addresses[name] for name in BACKENDS]
        folder = tmp_path_factory.mktemp("proxies")
        running = stack.enter_context(
            proxy.nginx(folder, 3, lambda ports: nginx_config(addresses, ports))
        )
        rig.proxies["nginx"] = running
        rig.doors.update(doors("nginx", running.ports))
        running = stack.enter_context(
            proxy.haproxy(folder, 6, lambda ports: haproxy_config(addresses, ports))
        )
        for name, ports in (
            ("haproxy", running.ports[:3]),
            ("haproxy-buffered", running.ports[3:]),
        ):
            rig.proxies[name] = running
            rig.doors.update(doors(name, ports))
        yield rig


def doors(name: str, ports: Sequence[int]) -> dict[tuple[str, str], Address]:
    return {
        (name, backend): ("127.0.0.1", port) for backend, port in zip(BACKENDS, ports, strict=True)
    }


def same(one: Seen, other: Seen) -> bool:
    """True when both are the same request, with the same body where both know it."""
    bodies = {one.body, other.body} - {None}
    return one[:3] == other[:3] and len(bodies) <= 1


def agree(one: Sequence[Seen], other: Sequence[Seen]) -> bool:
    """True when the requests are the same, in the same order, as far as both go."""
    return all(map(same, one, other))


def check(sent: Sequence[Seen], came: Sequence[Seen]) -> None:
    """What came is what was sent: a request that was answered with 200 is there and complete, one that the
    server has refused is missing or was begun only, and there is no other."""
    left = list(came)
    for one in sent:
        if left and same(one, left[0]) and (one.status != "200" or left[0].body is not None):
            left.pop(0)
        else:
            assert one.status != "200", f"the proxy has sent {one}; the server has seen {came}"
    assert not left, f"the server has seen {left}, which the proxy has not sent: {sent}"


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_both_parsers_understand_it_alike(rig: Rig, name: str) -> None:
    rig.clear()
    data = ODD[name] + LAST
    one, other = (exchange(rig.addresses[parser], data) for parser in PARSERS)
    seen_by_one, seen_by_other = (rig.taken(parser) for parser in PARSERS)
    assert without_dates(one) == without_dates(other)
    assert seen_by_one == seen_by_other


def without_dates(response: bytes) -> list[bytes]:
    return [line for line in response.split(b"\r\n") if not line.lower().startswith(b"date:")]


@pytest.mark.parametrize("name", ODD, ids=ascii)
@pytest.mark.parametrize("proxy_name", PROXIES)
def test_nothing_is_smuggled_past_the_proxy(rig: Rig, proxy_name: str, name: str) -> None:
    rig.clear()
    data = ODD[name] + LAST
    directly, _ = (rig.direct(parser, data) for parser in PARSERS)
    sent, recorded, octets = rig.record(proxy_name, data)
    check(sent, recorded)
    for parser in PARSERS:
        sent, came = rig.through(proxy_name, parser, data)
        check(sent, came)
        if name not in NOT_AS_DIRECTLY:
            assert agree(came, directly)
        # The same octets, once more and without the proxy: as many as the proxy had sent of its own accord.
        check([one._replace(status="") for one in recorded], rig.direct(parser, octets))


@pytest.mark.parametrize("proxy_name", PROXIES)
def test_what_is_compared_is_there(
    rig: Rig, proxy_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison itself: each side tells of every request, with its body."""
    rig.clear()
    data = ODD["a chunked POST and a GET in one read"] + LAST
    wanted = [
        Seen("POST", "/first", "a", "abc"),
        Seen("GET", "/second", "b", ""),
        Seen("GET", "/last", "last", ""),
    ]
    assert [rig.direct(parser, data) for parser in PARSERS] == [wanted, wanted]
    monkeypatch.setattr(rig, "patience", TIMEOUT)
    sent, recorded, octets = rig.record(proxy_name, data)
    assert recorded == wanted
    assert octets.count(b"HTTP/1.1\r\n") == 3
    for parser in PARSERS:
        sent, came = rig.through(proxy_name, parser, data)
        assert came == wanted
        assert [one[:3] for one in sent] == [one[:3] for one in wanted]
        assert [one.status for one in sent] == ["200"] * 3
        if proxy_name != "haproxy":  # which reads no body before it sends it on
            assert sent[0].body == "abc"


def test_another_request_than_was_sent_is_found() -> None:
    sent = [Seen("GET", "/", "a", "", "200"), Seen("POST", "/", "a", "b", "400")]
    check(sent, [Seen("GET", "/", "a", "")])
    check(sent, [Seen("GET", "/", "a", ""), Seen("POST", "/", "a", None)])
    for came in (
        [],
        [Seen("GET", "/", "a", None)],
        [Seen("GET", "/", "b", "")],
        [Seen("GET", "/", "a", "c")],
        [Seen("GET", "/", "a", ""), Seen("GET", "/hidden", "a", "")],
    ):
        with pytest.raises(AssertionError, match="the server has seen"):
            check(sent, came)
