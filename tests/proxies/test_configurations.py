"""The configurations of docs/deploy.md, run as they stand there: what the application sees of the client, and
WebSockets through them.

Rules of this file: ports, files and certificates of the page are replaced by those of the test, and nothing
else is. The client has an address of its own (127.0.0.7), which no proxy has and nobody trusts.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.proxies import proxy
from tests.proxies.wire import TIMEOUT, body_of
from tests.support.server import RunningServer, serve

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "deploy.md").read_text("utf-8")
COMMANDS = re.findall(r"^```sh\nasgiws myapp:app(.*)\n```$", PAGE, re.MULTILINE)
NGINX = re.findall(r"^```nginx\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HAPROXY = re.findall(r"^```haproxy\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SOCKET = "/run/asgiws/app.sock"
CLIENT = "127.0.0.7"

#: The first one may have to wait for apt-get.
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not Path("/proc").exists(), reason="127.0.0.7 is an address of the machine on Linux only"
    ),
]


class Setting(NamedTuple):
    """Where a configuration of the page stands in it."""

    program: str
    command: str
    config: str
    #: What the proxy puts in front of every path.
    prefix: str = ""
    #: Whether the client's port is known.
    has_port: bool = False


def send_proxy(version: int) -> Setting:
    config = HAPROXY[1]
    if version == 1:
        config = config.replace("send-proxy-v2", "send-proxy")
    return Setting("haproxy", COMMANDS[3], config, has_port=True)


SETTINGS = {
    "nginx": Setting("nginx", COMMANDS[0], NGINX[0]),
    "nginx, Unix socket": Setting("nginx", COMMANDS[1], NGINX[1], "/shop"),
    "HAProxy": Setting("haproxy", COMMANDS[2], HAPROXY[0]),
    "HAProxy, PROXY protocol 1": send_proxy(1),
    "HAProxy, PROXY protocol 2": send_proxy(2),
}
WITH_TLS = ("nginx", "HAProxy")


class Site:
    """A server behind a proxy, as the client sees both."""

    def __init__(
        self,
        setting: Setting,
        server: RunningServer,
        ports: list[int],
        authority: trustme.CA,
    ) -> None:
        self.setting = setting
        self.server = server
        self.port = ports[0]
        self.tls_port = ports[1] if len(ports) > 1 else 0
        self.context = ssl.create_default_context()
        authority.configure_trust(self.context)

    def connect(self, tls: bool = False) -> socket.socket:
        port = self.tls_port if tls else self.port
        return socket.create_connection(("127.0.0.1", port), TIMEOUT, (CLIENT, 0))

    def told(self, *fields: str, tls: bool = False) -> dict[str, Any]:
        """What the application is told of a request with those header fields."""
        with self.connect(tls) as plain:
            sock = self.context.wrap_socket(plain, server_hostname="example.com") if tls else plain
            result = told(sock, f"{self.setting.prefix}/told", *fields)
            result["port"] = sock.getsockname()[1]
            sock.close()
            return result

    def websocket(self, tls: bool = False, **options: Any) -> ClientConnection:
        scheme, port = ("wss", self.tls_port) if tls else ("ws", self.port)
        return connect(
            f"{scheme}://example.com:{port}{self.setting.prefix}/",
            sock=self.connect(tls),
            proxy=None,
            open_timeout=TIMEOUT,
            close_timeout=TIMEOUT,
            **options,
        )


def told(sock: socket.socket, target: str, *fields: str) -> dict[str, Any]:
    result = ask(sock, target, *fields)
    assert isinstance(result, dict)
    return result


def ask(sock: socket.socket, target: str, *fields: str) -> Any:
    """GET a JSON value."""
    port = sock.getpeername()[1]
    lines = [f"GET {target} HTTP/1.1", f"Host: example.com:{port}", "Connection: close", *fields]
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    data = b""
    while more := sock.recv(65536):
        data += more
    return json.loads(body_of(data))


@pytest.fixture(scope="module", params=SETTINGS)
def site(
    request: pytest.FixtureRequest, installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    setting = SETTINGS[request.param]
    folder = tmp_path_factory.mktemp("site")
    authority = trustme.CA()
    certificate = authority.issue_cert("example.com")
    with ExitStack() as stack:
        options = setting.command.replace(SOCKET, f"{folder}/app.sock").split()
        server = stack.enter_context(serve("app:app", *options, cwd=Path(__file__).parent))
        config = setting.config.replace(SOCKET, f"{folder}/app.sock")
        config = config.replace("127.0.0.1:8000", f"{server.host}:{server.port}")
        certificate.cert_chain_pems[0].write_to_path(f"{folder}/example.com.pem")
        certificate.private_key_pem.write_to_path(f"{folder}/example.com.key")
        if setting.program == "haproxy":
            certificate.private_key_and_cert_chain_pem.write_to_path(f"{folder}/example.com.pem")
        config = re.sub(r"/etc/(ssl|haproxy)(?=/example\.com)", str(folder), config)
        count = 2 if request.param in WITH_TLS else 1

        def make(ports: Any) -> str:
            text = config
            for old, port in zip((80, 443), ports, strict=False):
                text = re.sub(rf"\b(listen |bind :){old}\b", rf"\g<1>{port}", text)
            # All of it on this machine alone.
            text = re.sub(r"\blisten ", "listen 127.0.0.1:", text)
            return re.sub(r"\bbind :", "bind 127.0.0.1:", text)

        run = proxy.nginx if setting.program == "nginx" else proxy.haproxy
        running = stack.enter_context(run(folder, count, make))
        yield Site(setting, server, list(running.ports), authority)


def test_the_application_sees_the_client(site: Site) -> None:
    said = site.told()
    assert said["client"] == [CLIENT, said["port"] if site.setting.has_port else 0]
    assert said["scheme"] == "http"
    assert ["host", f"example.com:{site.port}"] in said["headers"]
    assert said["root_path"] == site.setting.prefix
    assert said["path"] == f"{site.setting.prefix}/told"
    site.server.wait_for_log(rf'{CLIENT}:\d+ - "GET {said["path"]} HTTP/1.1" 200')


def test_a_client_that_lies_is_not_believed(site: Site) -> None:
    said = site.told(
        "X-Forwarded-For: 6.6.6.6, 127.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Port: 666",
        "X-Forwarded-Prefix: /evil",
        'Forwarded: for=6.6.6.6;proto=https;host="evil.example:666"',
    )
    assert said["client"][0] == CLIENT
    assert said["scheme"] == "http"
    assert [value for name, value in said["headers"] if name == "host"] == [
        f"example.com:{site.port}"
    ]
    assert said["server"][1] != 666
    assert said["root_path"] == site.setting.prefix


def test_who_is_no_proxy_is_not_believed(site: Site) -> None:
    if not site.server.port:
        pytest.skip("who can reach the Unix socket is the directory's to say")
    if "--proxy-protocol" in site.setting.command:
        # Its connection may be cut off before it knows that it has one.
        with pytest.raises(ConnectionError):
            ask_directly(site, b"PROXY TCP4 6.6.6.6 127.0.0.1 1 80\r\n")
        site.server.wait_for_log(rf"{CLIENT}:\d+ - connection refused: it is not a trusted proxy")
    else:
        said = ask_directly(site, b"")
        assert said["client"][0] == CLIENT
        assert said["scheme"] == "http"


def ask_directly(site: Site, preface: bytes) -> dict[str, Any]:
    """What the application is told when the client goes past the proxy, and lies."""
    address = site.server.host, site.server.port
    with socket.create_connection(address, TIMEOUT, (CLIENT, 0)) as sock:
        sock.sendall(preface)
        return told(sock, "/told", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https")


def test_tls_that_the_proxy_has_ended(site: Site) -> None:
    if not site.tls_port:
        pytest.skip("there is no TLS in this configuration")
    said = site.told(tls=True)
    assert (said["client"][0], said["scheme"]) == (CLIENT, "https")
    assert ["host", f"example.com:{site.tls_port}"] in said["headers"]
    with site.websocket(tls=True, ssl=site.context) as websocket:
        websocket.send("scope")
        said = json.loads(websocket.recv(TIMEOUT))
        assert (said["client"][0], said["scheme"]) == (CLIENT, "wss")


def test_a_websocket_sees_the_client(site: Site) -> None:
    with site.websocket() as websocket:
        websocket.send("scope")
        said = json.loads(websocket.recv(TIMEOUT))
    assert said["client"][0] == CLIENT
    assert said["scheme"] == "ws"
    assert ["host", f"example.com:{site.port}"] in said["headers"]
    assert said["path"] == f"{site.setting.prefix}/"
    site.server.wait_for_log(rf'{CLIENT}:\d+ - "WebSocket .*" 101')
    site.server.wait_for_log(rf'{CLIENT}:\d+ - "WebSocket .*" closed 1000')


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_any_size(site: Site, compression: str | None) -> None:
    with site.websocket(compression=compression, max_size=None) as websocket:
        assert websocket.response is not None
        extensions = websocket.response.headers.get("Sec-WebSocket-Extensions", "")
        assert ("permessage-deflate" in extensions) is (compression is not None)
        for message in ("", "hello", "ä€😀" * 1000, b"", bytes(range(256)) * 4096, "x" * 1048576):
            websocket.send(message)
            assert websocket.recv(TIMEOUT) == message


def test_a_subprotocol(site: Site) -> None:
    with site.websocket(subprotocols=["first", "second"]) as websocket:
        assert websocket.subprotocol == "second"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going away"), (4321, "ä€")])
def test_close_codes_both_ways(site: Site, code: int, reason: str) -> None:
    with site.connect() as sock:
        ask(sock, f"{site.setting.prefix}/_take")
    with site.websocket() as websocket:
        websocket.send(f"close {code} {reason}")
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv(TIMEOUT)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, reason)
    with site.websocket() as websocket:
        websocket.close(code, reason)
    with site.websocket() as websocket:
        websocket.send("seen")
        assert json.loads(websocket.recv(TIMEOUT)) == [{"code": code, "reason": reason}] * 2


def test_a_client_that_goes_without_a_word(site: Site) -> None:
    with site.websocket() as websocket:
        websocket.send("seen")
        websocket.recv(TIMEOUT)
        websocket.socket.shutdown(socket.SHUT_RDWR)
    site.server.wait_for_log(rf'{CLIENT}:\d+ - "WebSocket .*" closed 1006')
