"""What a request behind proxies looks like to the application and in the log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.drivers.forwarding import forwarding
from asgiws.drivers.http import HTTPDriver
from asgiws.drivers.http_parts import HTTPParts
from asgiws.drivers.upgrade import upgrade
from asgiws.proxies.addresses import TrustedAddresses
from asgiws.services.runtime import Runtime
from tests.support.loops import settle
from tests.support.memory_outlet import MemoryOutlet

PROXY, STRANGER = ("10.0.0.1", 1234), ("203.0.113.9", 1234)
ALL = "for,proto,host,port,prefix"
SAID = (
    b"X-Forwarded-For: 192.0.2.7:99\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n"
    b"X-Forwarded-Port: 8443\r\nX-Forwarded-Prefix: /sh%C3%B6p\r\n"
)

HANDSHAKE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Application:
    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})


async def serve(
    *requests: bytes,
    client: tuple[str, int] | None = PROXY,
    server: tuple[str, int | None] = ("10.0.0.2", 80),
    secure: bool = False,
    **options: Any,
) -> list[Any]:
    """The scopes of the requests, which come on one connection."""
    scopes, answer = await exchange(
        *requests, client=client, server=server, secure=secure, **options
    )
    assert len(scopes) == len(requests), answer
    return scopes


async def exchange(
    *requests: bytes,
    client: tuple[str, int] | None = PROXY,
    server: tuple[str, int | None] = ("10.0.0.2", 80),
    secure: bool = False,
    runtime: Runtime | None = None,
    **options: Any,
) -> tuple[list[Any], bytes]:
    """The scopes of the requests that reach the application, and what is answered."""
    app = Application()
    options = {"forwarded_allow_ips": "10.0.0.0/8", "forwarded_fields": ALL, **options}
    if runtime is None:
        runtime = Runtime(app, Config(app, **options), asyncio.get_running_loop(), None)
    else:
        runtime.app = app
    outlet = MemoryOutlet(HTTPDriver(HTTPParts(runtime), upgrade), client, server, secure)
    for request in requests:
        await outlet.feed(request)
        await settle()
    return app.scopes, outlet.take()


def get(*fields: bytes, host: bytes = b"Host: inner\r\n", target: bytes = b"/a%20b") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + host + b"".join(fields) + b"\r\n"


async def test_all_that_a_proxy_can_say() -> None:
    (scope,) = await serve(get(SAID))
    assert scope["client"] == ("192.0.2.7", 99)
    assert scope["scheme"] == "https"
    assert scope["server"] == ("shop.example", 8443)
    assert scope["root_path"] == "/shöp"
    assert scope["path"] == "/shöp/a b"
    assert scope["raw_path"] == b"/a%20b"
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    assert hosts == [b"shop.example:8443"]
    assert (b"x-forwarded-for", b"192.0.2.7:99") in scope["headers"]


async def test_a_websocket_is_told_the_same() -> None:
    (scope,) = await serve(get(SAID, HANDSHAKE))
    assert (scope["type"], scope["scheme"]) == ("websocket", "wss")
    assert scope["client"] == ("192.0.2.7", 99)
    assert scope["server"] == ("shop.example", 8443)
    assert scope["path"] == "/shöp/a b"
    (scope,) = await serve(get(b"X-Forwarded-Proto: http\r\n", HANDSHAKE), secure=True)
    assert scope["scheme"] == "ws"


@pytest.mark.parametrize(
    ("client", "options"),
    [
        (STRANGER, {}),
        (PROXY, {"proxy_headers": False}),
        (PROXY, {"forwarded_allow_ips": "none"}),
        (PROXY, {"forwarded_allow_ips": "unix"}),
        (None, {}),
        (PROXY, {"forwarded_header": "forwarded"}),
        (PROXY, {"forwarded_fields": "none"}),
    ],
)
async def test_who_is_not_believed(client: Any, options: dict[str, Any]) -> None:
    (scope,) = await serve(get(SAID), client=client, **options)
    assert scope["client"] == client
    assert scope["scheme"] == "http"
    assert scope["server"] == ("10.0.0.2", 80)
    assert (scope["root_path"], scope["path"]) == ("", "/a b")
    assert scope["headers"][0] == (b"host", b"inner")


async def test_only_the_client_and_the_scheme_are_believed_by_default() -> None:
    (scope,) = await serve(get(SAID), forwarded_fields=Config(app="x:y").forwarded_fields)
    assert (scope["client"], scope["scheme"]) == (("192.0.2.7", 99), "https")
    assert scope["server"] == ("10.0.0.2", 80)
    assert scope["root_path"] == ""
    assert scope["headers"][0] == (b"host", b"inner")


async def test_a_peer_on_a_unix_socket() -> None:
    (scope,) = await serve(
        get(b"X-Forwarded-For: 192.0.2.7\r\n"),
        client=None,
        server=("/run/x", None),
        forwarded_allow_ips="unix",
    )
    assert scope["client"] == ("192.0.2.7", 0)
    assert scope["server"] == ("/run/x", None)


async def test_requests_of_one_connection_have_clients_of_their_own() -> None:
    scopes = await serve(
        get(b"X-Forwarded-For: 192.0.2.7\r\n"), get(), get(b"X-Forwarded-For: 192.0.2.8\r\n")
    )
    assert [scope["client"][0] for scope in scopes] == ["192.0.2.7", "10.0.0.1", "192.0.2.8"]


@pytest.mark.parametrize(
    ("fields", "host", "server"),
    [
        (b"X-Forwarded-Host: a\r\n", b"a", ("a", 80)),
        (b"X-Forwarded-Host: a\r\nX-Forwarded-Proto: https\r\n", b"a", ("a", 443)),
        (b"X-Forwarded-Host: a:81\r\nX-Forwarded-Port: 82\r\n", b"a:81", ("a", 81)),
        (b"X-Forwarded-Host: [::1]:81\r\n", b"[::1]:81", ("::1", 81)),
        (b"X-Forwarded-Port: 82\r\n", b"inner:82", ("inner", 82)),
        (b"X-Forwarded-Port: 80\r\n", b"inner", ("inner", 80)),
        (b"X-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n", b"inner", ("inner", 443)),
        (b"X-Forwarded-Host: a/b\r\n", b"inner", ("10.0.0.2", 80)),
    ],
)
async def test_the_host_and_the_port(fields: bytes, host: bytes, server: Any) -> None:
    (scope,) = await serve(get(fields))
    assert [value for name, value in scope["headers"] if name == b"host"] == [host]
    assert scope["server"] == server


async def test_a_port_for_no_host_at_all() -> None:
    (scope,) = await serve(
        b"GET / HTTP/1.0\r\nX-Forwarded-Port: 82\r\nConnection: keep-alive\r\n\r\n"
    )
    assert scope["server"] == ("10.0.0.2", 80)


async def test_a_prefix_stands_in_for_the_root_path() -> None:
    scopes = await serve(
        get(b"X-Forwarded-Prefix: /a\r\n", target=b"/x"),
        get(b"X-Forwarded-Prefix: /\r\n", target=b"/x"),
        get(target=b"/x"),
        root_path="/mount",
    )
    assert [scope["path"] for scope in scopes] == ["/a/x", "/x", "/mount/x"]


async def test_the_access_log_names_the_client(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asgiws.access")
    await serve(get(SAID, target=b"/x"), get(target=b"/y"), get(SAID, HANDSHAKE, target=b"/z"))
    assert caplog.messages == [
        '192.0.2.7:99 - "GET /shöp/x HTTP/1.1" 200',
        '10.0.0.1:1234 - "GET /y HTTP/1.1" 200',
        '192.0.2.7:99 - "WebSocket /z" 101',
    ]


async def test_a_host_that_is_not_served_is_the_one_that_the_client_has_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    scopes, _ = await exchange(get(SAID), allowed_hosts="shop.example")
    assert len(scopes) == 1
    assert caplog.messages == []
    scopes, answer = await exchange(get(SAID), allowed_hosts="inner")
    assert (scopes, answer[:12]) == ([], b"HTTP/1.1 403")
    (message,) = caplog.messages
    assert message.startswith("192.0.2.7:99 - request refused: 403")


async def test_handshakes_are_counted_for_the_client_and_not_for_the_proxy() -> None:
    config = Config(
        app="x:y", forwarded_allow_ips="10.0.0.0/8", limit_handshakes_per_ip=1, access_log=False
    )
    runtime = Runtime(Application(), config, asyncio.get_running_loop(), None)
    statuses = []
    for last in (b"7", b"8", b"7"):
        handshake = get(b"X-Forwarded-For: 192.0.2." + last + b"\r\n", HANDSHAKE)
        _, answer = await exchange(handshake, runtime=runtime)
        statuses.append(answer[9:12])
    assert statuses == [b"101", b"101", b"429"]


def test_nobody_is_asked_where_nobody_is_trusted() -> None:
    for options, is_there in (({}, True), ({"proxy_headers": False}, False)):
        config = Config(app="x:y", **options)
        trusted = TrustedAddresses(config.forwarded_allow_ips)
        assert (forwarding(config, trusted) is not None) is is_there
    assert forwarding(Config(app="x:y"), TrustedAddresses([])) is None
