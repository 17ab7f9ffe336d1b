"""asgiws/drivers/gate.py: what becomes of a request before the application is called, and in which order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgiws.asgi.types import Address
from asgiws.bridge.outlet import Outlet
from asgiws.config import Config
from asgiws.drivers.gate import SERVE, UPGRADE, Gate
from asgiws.http.errors import HTTPError
from asgiws.http.head import RequestHead
from asgiws.services.runtime import Runtime


class Peer(Outlet):
    """A connection of which nothing is asked but the addresses."""

    def __init__(self) -> None:
        self.client: Address | None = ("192.0.2.1", 4321)
        self.server: tuple[str, int | None] | None = ("192.0.2.2", 80)
        self.secure = False


async def gate_of(**options: Any) -> tuple[Gate, Runtime]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a gate calls nobody")

    runtime = Runtime(app, Config(app, **options), asyncio.get_running_loop(), None)
    runtime.connections.add(object())  # the one that the request is on
    return Gate(runtime), runtime


def head_of(path: bytes = b"/", *headers: tuple[bytes, bytes], method: str = "GET") -> RequestHead:
    return RequestHead(method, path, path, b"", "1.1", [(b"host", b"a"), *headers])


def upgrading(*protocols: bytes, method: str = "GET") -> RequestHead:
    head = head_of(method=method)
    head.upgrade = list(protocols)
    return head


def forwarded(*headers: tuple[bytes, bytes]) -> RequestHead:
    head = head_of(b"/", *headers)
    head.has_forwarded = True
    return head


async def test_a_request_is_served() -> None:
    gate, _ = await gate_of()
    assert gate.judge(head_of(), Peer()) is SERVE


@pytest.mark.parametrize(
    ("path", "is_ready", "status", "body"),
    [
        (b"/health", False, 200, b"alive"),
        (b"/health/ready", False, 503, b"not ready"),
        (b"/health/ready", True, 200, b"ready"),
    ],
)
async def test_a_probe_is_answered(path: bytes, is_ready: bool, status: int, body: bytes) -> None:
    gate, runtime = await gate_of(health_path="/health")
    runtime.ready = is_ready
    verdict = gate.judge(head_of(path), Peer())
    assert isinstance(verdict, tuple)
    assert (verdict[0], verdict[2]) == (status, body)
    assert gate.judge(head_of(b"/other"), Peer()) is SERVE


async def test_a_probe_comes_before_all_that_could_refuse_it() -> None:
    gate, runtime = await gate_of(
        health_path="/health", allowed_hosts=["example.com"], limit_concurrency=1
    )
    runtime.connections.update(object() for _ in range(5))
    head = upgrading(b"websocket")
    head.raw_path = b"/health"
    assert isinstance(gate.judge(head, Peer()), tuple)


async def test_other_hosts_are_rejected() -> None:
    gate, _ = await gate_of(allowed_hosts=["example.com"])
    error = gate.judge(head_of(), Peer())
    assert isinstance(error, HTTPError)
    assert (error.status, error.limit) == (403, "allowed_hosts")
    head = head_of()
    head.headers = [(b"host", b"example.com")]
    assert gate.judge(head, Peer()) is SERVE


async def test_the_host_is_the_one_that_a_trusted_proxy_names() -> None:
    gate, _ = await gate_of(
        allowed_hosts=["example.com"],
        forwarded_allow_ips="192.0.2.1",
        forwarded_header="x-forwarded",
        forwarded_fields=["for", "host"],
    )
    fields = ((b"x-forwarded-host", b"example.com"), (b"x-forwarded-for", b"198.51.100.7"))
    head = forwarded(*fields)
    assert gate.judge(head, Peer()) is SERVE
    assert head.origin.client[0] == "198.51.100.7"
    stranger = Peer()
    stranger.client = ("203.0.113.1", 1)
    head = forwarded(*fields)
    assert isinstance(gate.judge(head, stranger), HTTPError)
    assert head.origin is None


async def test_too_many_at_a_time_are_rejected() -> None:
    gate, runtime = await gate_of(limit_concurrency=1)
    runtime.admission.http = 1
    assert gate.judge(head_of(), Peer()) is SERVE
    runtime.admission.http = 2
    error = gate.judge(head_of(), Peer())
    assert isinstance(error, HTTPError)
    assert (error.status, error.limit) == (503, "limit_concurrency")
    assert isinstance(gate.judge(upgrading(b"websocket"), Peer()), HTTPError)


async def test_the_host_is_looked_at_before_the_count() -> None:
    gate, runtime = await gate_of(limit_concurrency=1, allowed_hosts=["example.com"])
    runtime.admission.http = 2
    error = gate.judge(head_of(), Peer())
    assert isinstance(error, HTTPError)
    assert error.status == 403


async def test_a_websocket_is_for_the_handshake() -> None:
    gate, _ = await gate_of()
    assert gate.judge(upgrading(b"websocket"), Peer()) is UPGRADE
    assert gate.judge(upgrading(b"h2c", b"websocket"), Peer()) is UPGRADE


async def test_every_other_upgrade_is_ignored() -> None:
    gate, _ = await gate_of()
    assert gate.judge(upgrading(b"h2c"), Peer()) is SERVE
    assert gate.judge(upgrading(b"websocket", method="POST"), Peer()) is SERVE
    for name, value in (("content_length", 1), ("chunked", True)):
        head = upgrading(b"websocket")
        setattr(head, name, value)
        assert gate.judge(head, Peer()) is SERVE
