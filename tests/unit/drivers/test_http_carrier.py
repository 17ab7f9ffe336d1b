"""asgiws/drivers/http_carrier.py: what a response does to its connection, and to the access log."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from asgiws.bridge.outlet import Outlet
from asgiws.drivers.http_carrier import HTTPCarrier, carry
from asgiws.http.errors import TooManyRequests
from asgiws.http.head import RequestHead
from tests.support.served_http import (
    BODY,
    GET,
    OK,
    POST,
    START,
    WEBSOCKET,
    Recorder,
    Served,
    ok,
    settle,
)


class TestAccessLog:
    @pytest.fixture(autouse=True)
    def _level(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "asgiws.access")

    async def test_line(self, caplog: pytest.LogCaptureFixture) -> None:
        served = Served(ok, root_path="/r")
        await served.exchange(b"GET /a%20b?c HTTP/1.1\r\nHost: a\r\n\r\n")
        (record,) = caplog.records
        assert record.name == "asgiws.access"
        assert record.getMessage() == '192.0.2.1:4321 - "GET /r/a%20b?c HTTP/1.1" 200'
        assert record.args == ("192.0.2.1:4321", "GET", "/r/a%20b?c", "1.1", 200)

    async def test_when_the_response_is_complete(self, caplog: pytest.LogCaptureFixture) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send(START, {**BODY, "more_body": True})
        assert not caplog.records
        await app.send(BODY, None)
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("end", ["raises", "returns", "cancelled", "lost", "refused"])
    async def test_a_response_that_was_cut(
        self, end: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({**START, "status": 206})
            await send({**BODY, "more_body": True})
            if end == "raises":
                raise ValueError
            if end != "returns":
                await receive()
                await receive()

        served = Served(app)
        await served.exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        if end == "cancelled":
            served.runtime.cutting_off = True
            (task,) = served.runtime.tasks
            task.cancel()
        elif end == "lost":
            await served.outlet.lose()
        elif end == "refused":
            await served.outlet.feed(b"x\r\n")
        await settle()
        if not served.outlet.lost:
            await served.outlet.lose()
        await settle()
        lines = [r.getMessage() for r in caplog.records if r.name == "asgiws.access"]
        assert lines == ['192.0.2.1:4321 - "POST / HTTP/1.1" 206']

    async def test_nothing_was_sent(self, caplog: pytest.LogCaptureFixture) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send(START)
        await served.outlet.lose()
        await app.send(None)
        assert not caplog.records

    async def test_a_connection_that_is_lost_behind_the_response(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        served = Served(ok)
        await served.exchange(POST + b"Content-Length: 3\r\n\r\na")
        await served.outlet.lose()
        assert len(caplog.records) == 1

    async def test_cut_but_off(self, caplog: pytest.LogCaptureFixture) -> None:
        app = Recorder()
        served = Served(app, access_log=False)
        await served.exchange(GET)
        await app.send(START, {**BODY, "more_body": True})
        await served.outlet.lose()
        await app.send(None)
        assert not caplog.records

    async def test_off(self, caplog: pytest.LogCaptureFixture) -> None:
        await Served(ok, access_log=False).exchange(GET)
        assert not caplog.records

    async def test_no_address(self, caplog: pytest.LogCaptureFixture) -> None:
        served = Served(ok)
        served.outlet.client = None
        await served.exchange(GET)
        assert caplog.records[0].getMessage() == '- - "GET / HTTP/1.1" 200'


class TestAnswers:
    """What is answered in place of the application, as an upgrade may do it."""

    @pytest.fixture(autouse=True)
    def _level(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)

    @pytest.mark.parametrize("is_logged", [False, True])
    async def test_the_connection_goes_on_behind_a_response(
        self, is_logged: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        def upgrade(head: RequestHead, outlet: Outlet, carrier: HTTPCarrier) -> None:
            carrier.respond(426, [(b"a", b"b")], b"no", is_logged)

        served = Served(ok, upgrade)
        assert await served.exchange(WEBSOCKET + GET) == (
            b"HTTP/1.1 426 Upgrade Required\r\na: b\r\ncontent-length: 2\r\n\r\nno" + OK
        )
        lines = [record.getMessage() for record in caplog.records]
        refused = ['192.0.2.1:4321 - "GET /ws HTTP/1.1" 426'] * is_logged
        assert lines == [*refused, '192.0.2.1:4321 - "GET / HTTP/1.1" 200']

    async def test_who_is_rejected_is_told_why_and_the_connection_ends(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        error = TooManyRequests("too many of you", "limit_per_ip", [(b"retry-after", b"1")])
        served = Served(ok, lambda head, outlet, carrier: carrier.reject(error))
        written = await served.exchange(WEBSOCKET + GET)
        assert written.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"\r\nretry-after: 1\r\n" in written
        assert b"\r\nconnection: close\r\n" in written
        assert written.endswith(b"\r\n\r\ntoo many of you\n")  # and nothing behind it
        assert served.outlet.ended == "close"
        assert "request refused: 429, too many of you (limit_per_ip)" in caplog.text

    async def test_it_is_of_its_request_and_its_connection(self) -> None:
        served = Served(ok)
        for path in (b"/a", b"/b"):
            head = RequestHead("GET", path, path, b"", "1.1", [(b"host", b"a")])
            carrier = carry(served.driver, head)
            assert type(carrier) is HTTPCarrier
            assert carrier.pipeline is served.driver
            assert carrier.scope()["raw_path"] == path

    async def test_it_knows_its_client_and_its_scope(self) -> None:
        found: list[Any] = []

        def upgrade(head: RequestHead, outlet: Outlet, carrier: HTTPCarrier) -> None:
            found.append((carrier.client(), carrier.scope()["path"], carrier.has_started()))
            carrier.respond(400, [], b"")
            found.append(carrier.has_started())

        await Served(ok, upgrade).exchange(WEBSOCKET)
        assert found == [("192.0.2.1:4321", "/ws", False), True]
