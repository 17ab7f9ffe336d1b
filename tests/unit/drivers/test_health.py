"""Health probes: what is answered, and that nobody else has a part in it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from asgiws.asgi.types import Headers
from asgiws.drivers.health import Health
from asgiws.http.head import RequestHead
from tests.support.served_http import OK, Served, ok


def head(path: bytes, method: str = "GET") -> RequestHead:
    return RequestHead(method, path + b"?a", path, b"a", "1.1", [])


@pytest.mark.parametrize("given", ["/healthz", "/", "/a/b/"])
def test_only_its_two_paths_are_answered(given: str) -> None:
    health = Health(given)
    ready = given.rstrip("/").encode() + b"/ready"
    for is_ready, status in ((True, 200), (False, 503)):
        assert statuses(health.answer(head(given.encode()), is_ready)) == 200
        assert statuses(health.answer(head(ready), is_ready)) == status
    for path in (given.encode() + b"x", ready + b"/", b"*", b"/ready/" + given.encode()):
        assert health.answer(head(path), True) is None


def statuses(answer: tuple[int, Headers, bytes] | None) -> int:
    assert answer is not None
    status, headers, _ = answer
    assert (b"cache-control", b"no-store") in headers
    return status


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "get"])
def test_other_methods_are_not_allowed(method: str) -> None:
    answer = Health("/h").answer(head(b"/h", method), True)
    assert answer is not None
    status, headers, _ = answer
    assert status == 405
    assert (b"allow", b"GET, HEAD") in headers


async def never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the application is not called")


def request(path: str, method: str = "GET", *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *lines, "", ""]).encode()


def response(status: str, body: str, sent: bool = True) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        "content-type: text/plain; charset=utf-8",
        "cache-control: no-store",
        f"content-length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", body if sent else ""]).encode()


class TestInTheDriver:
    async def test_the_worker_answers_and_goes_on(self, caplog: pytest.LogCaptureFixture) -> None:
        served = Served(ok, health_path="/h")
        with caplog.at_level(logging.INFO, "asgiws.access"):
            assert await served.exchange(request("/h?x=y")) == response("200 OK", "alive")
            assert await served.exchange(request("/h", "HEAD")) == response(
                "200 OK", "alive", False
            )
            unready = "503 Service Unavailable"
            assert await served.exchange(request("/h/ready")) == response(unready, "not ready")
            served.runtime.ready = True
            assert await served.exchange(request("/h/ready")) == response("200 OK", "ready")
        assert caplog.records == []
        assert await served.exchange(request("/hh")) == OK
        assert served.outlet.ended == ""

    async def test_pipelined_probes_and_those_with_a_body(self) -> None:
        served = Served(ok, health_path="/h")
        body = request("/h", "GET", "Content-Length: 4") + b"body"
        written = await served.exchange(request("/h") + body + request("/x"))
        assert written == response("200 OK", "alive") * 2 + OK

    async def test_a_probe_of_a_path_that_is_a_websocket_elsewhere(self) -> None:
        served = Served(never, health_path="/h")
        lines = ("Connection: Upgrade", "Upgrade: websocket")
        assert await served.exchange(request("/h", "GET", *lines)) == response("200 OK", "alive")

    async def test_it_is_not_subject_to_the_limit_of_concurrency(self) -> None:
        served = Served(never, health_path="/h", limit_concurrency=1)
        served.runtime.admission.http += 5
        assert await served.exchange(request("/h")) == response("200 OK", "alive")
        assert (await served.exchange(request("/"))).startswith(b"HTTP/1.1 503 ")

    async def test_its_host_does_not_matter(self) -> None:
        served = Served(never, health_path="/h", allowed_hosts=["example.com"])
        assert await served.exchange(request("/h")) == response("200 OK", "alive")
        assert (await served.exchange(request("/"))).startswith(b"HTTP/1.1 403 ")

    async def test_without_the_option_the_application_is_asked(self) -> None:
        assert await Served(ok).exchange(request("/h")) == OK
