from __future__ import annotations

import asyncio
import logging
import sys
from http import HTTPStatus
from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.bridge.outlet import Driver, Outlet
from asgiws.config import Config
from asgiws.drivers import http as asgi_http
from asgiws.drivers.http import HIGH_WATER, TURN
from asgiws.drivers.http_carrier import HTTPCarrier
from asgiws.drivers.http_parts import LAST_REQUEST
from asgiws.http.errors import TooManyRequests
from asgiws.http.head import RequestHead
from tests.support.memory_outlet import RecordingDriver
from tests.support.served_http import (
    BODY,
    DISCONNECT,
    GET,
    HEAD,
    MORE,
    OK,
    POST,
    START,
    WEBSOCKET,
    Recorder,
    Served,
    echo,
    ok,
    settle,
)

HEAD_TIMEOUT = Config("main:app").timeout_request_head


class TestRequests:
    async def test_one(self) -> None:
        served = Served(ok)
        assert await served.exchange(GET) == OK
        assert not served.outlet.ended
        assert served.outlet.writes == 1
        assert not served.runtime.tasks

    async def test_kept_alive(self) -> None:
        served = Served(echo)
        for body in (b"a", b"b"):
            data = POST + b"Content-Length: 1\r\n\r\n" + body
            assert (await served.exchange(data)).endswith(b"\r\n\r\n" + body)

    async def test_pipelined_in_order(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/slow":
                await release.wait()
            await send(START)
            await send({"type": "http.response.body", "body": scope["path"].encode()})

        release = asyncio.Event()
        served = Served(app)
        requests = [
            b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in (b"/slow", b"/b", b"/c")
        ]
        await served.outlet.feed(b"".join(requests))
        await settle()
        assert len(served.runtime.tasks) == 1
        release.set()
        await settle()
        parts = served.outlet.take().split(b"HTTP/1.1 200 OK")
        assert [part.rpartition(b"\r\n\r\n")[2] for part in parts[1:]] == [b"/slow", b"/b", b"/c"]

    async def test_byte_by_byte(self) -> None:
        served = Served(echo)
        data = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        written = await served.exchange(*(data[i : i + 1] for i in range(len(data))))
        assert written.endswith(b"\r\n\r\nabcde")

    @pytest.mark.parametrize("http", ["httptools", "h11"])
    async def test_parsers(self, http: str) -> None:
        assert await Served(ok, http=http).exchange(GET) == OK

    async def test_a_status_of_the_standard_library(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({**START, "status": HTTPStatus.CREATED})
            await send(BODY)

        assert (await Served(app).exchange(GET)).startswith(b"HTTP/1.1 201 Created\r\n")

    async def test_http_1_0(self) -> None:
        served = Served(ok)
        assert b"connection: close\r\n" in await served.exchange(b"GET / HTTP/1.0\r\n\r\n")
        assert served.outlet.ended == "close"

    async def test_connection_close(self) -> None:
        served = Served(ok)
        data = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert b"connection: close\r\n" in await served.exchange(data)
        assert served.outlet.ended == "close"

    async def test_default_headers(self) -> None:
        served = Served(ok, server_header=True, date_header=True, headers=[(b"X-A", b"b")])
        written = await served.exchange(GET)
        assert b"\r\nx-a: b\r\n" in written
        assert b"\r\nserver: asgiws\r\n" in written
        assert b"\r\ndate: " in written

    async def test_a_foreign_upgrade_keeps_its_body(self) -> None:
        data = POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi"
        assert (await Served(echo).exchange(data)).endswith(b"\r\n\r\nhi")

    async def test_the_next_request_starts_while_the_application_still_runs(self) -> None:
        release = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await ok(scope, receive, send)
            await release.wait()

        served = Served(app)
        assert await served.exchange(GET, GET) == OK * 2
        assert len(served.runtime.tasks) == 2
        release.set()
        await settle()


class TestRequestBackpressure:
    async def test_reading_pauses_and_goes_on(self) -> None:
        release = asyncio.Event()
        sizes: list[int] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            more = True
            while more:
                message = await receive()
                sizes.append(len(message["body"]))
                more = message["more_body"]
            await ok(scope, receive, send)

        served = Served(app)
        length = 3 * HIGH_WATER
        await served.exchange(POST + b"Content-Length: %d\r\n\r\n" % length)
        await served.exchange(b"x" * (HIGH_WATER - 1))
        assert served.outlet.reading
        await served.exchange(b"x")
        assert not served.outlet.reading
        # One more read may be on its way; it stays unparsed.
        await served.exchange(b"x" * HIGH_WATER)
        assert not served.outlet.reading
        release.set()
        await settle()
        assert served.outlet.reading
        assert sizes == [HIGH_WATER, HIGH_WATER]
        assert await served.exchange(b"x" * HIGH_WATER) == OK
        assert sum(sizes) == length

    async def test_requests_far_ahead(self) -> None:
        app = Recorder()
        served = Served(app)
        many = GET * (HIGH_WATER // len(GET) + 2)
        await served.exchange(many)
        assert not served.outlet.reading
        await app.send(START, BODY)
        # The second request is served by now; the rest is under the mark again, or will be.
        await app.send(*[START, BODY] * 3)
        await settle()
        await app.send(None)
        await served.outlet.lose()
        for task in list(served.runtime.tasks):
            task.cancel()
        await settle()

    async def test_what_the_application_does_not_read_is_drained(self) -> None:
        served = Served(ok)
        data = POST + b"Content-Length: 4\r\n\r\nab"
        assert await served.exchange(data) == OK
        assert await served.exchange(b"cd" + GET) == OK
        assert not served.outlet.ended

    async def test_or_ends_the_connection(self) -> None:
        served = Served(ok)
        assert await served.exchange(POST + b"Content-Length: 100000\r\n\r\nab") == OK
        assert not served.outlet.ended
        await served.exchange(b"x" * 70000)
        assert served.outlet.ended == "close"

    async def test_a_paused_body_is_drained_too(self) -> None:
        app = Recorder()
        app.read = lambda receive: asyncio.sleep(0)  # type: ignore[method-assign, assignment]
        served = Served(app)
        data = POST + b"Content-Length: %d\r\n\r\n" % (HIGH_WATER + 1) + b"x" * HIGH_WATER
        await served.exchange(data)
        assert not served.outlet.reading
        await app.send(START, BODY, None)
        assert served.outlet.take() == OK
        assert served.outlet.reading
        app.outbox.put_nowait(START)
        app.outbox.put_nowait(BODY)
        assert await served.exchange(b"x" + GET) == OK
        await app.send(None)

    async def test_reading_goes_on_when_the_whole_body_was_taken(self) -> None:
        """Or it would not be noticed that the peer goes while the response is made."""
        app = Recorder()
        release = asyncio.Event()
        original = app.read

        async def read(receive: Any) -> None:
            await release.wait()
            await original(receive)

        app.read = read  # type: ignore[method-assign]
        served = Served(app)
        await served.exchange(POST + b"Content-Length: %d\r\n\r\n" % HIGH_WATER + b"x" * HIGH_WATER)
        assert not served.outlet.reading
        release.set()
        await settle()
        assert served.outlet.reading
        await served.outlet.lose()
        await settle()
        assert app.messages[-1] == DISCONNECT
        await app.send(None)

    async def test_the_unparsed_rest_is_given_though_the_peer_has_gone(self) -> None:
        sizes: list[int] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            while (message := await receive()) != DISCONNECT:
                sizes.append(len(message["body"]))

        release = asyncio.Event()
        served = Served(app)
        await served.exchange(POST + b"Content-Length: %d\r\n\r\n" % (HIGH_WATER + 3))
        await served.exchange(b"x" * HIGH_WATER, b"end")
        await served.outlet.lose()
        release.set()
        await settle()
        assert sizes == [HIGH_WATER, 3]

    async def test_the_unparsed_rest_is_bad_and_the_peer_has_gone(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        sizes: list[int] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            while (message := await receive()) != DISCONNECT:
                sizes.append(len(message["body"]))

        release = asyncio.Event()
        served = Served(app)
        chunk = b"%x\r\n" % HIGH_WATER + b"x" * HIGH_WATER + b"\r\n"
        await served.exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n", chunk, b"nonsense\n")
        await served.outlet.lose()
        release.set()
        await settle()
        assert sizes == [HIGH_WATER]
        assert not caplog.records  # there is nobody left to refuse


class TestWriteBackpressure:
    async def test_send_waits(self) -> None:
        sent: list[int] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            for i in range(3):
                if i == 0:
                    served.outlet.pause_writing()
                await send({"type": "http.response.body", "body": b"x", "more_body": i < 2})
                sent.append(i)

        served = Served(app)
        served.outlet.pause_writing()
        await served.outlet.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        # Nothing was begun while the peer did not read.
        await settle()
        assert not served.runtime.tasks
        await served.outlet.resume_writing()
        await settle()
        assert sent == []
        assert len(served.outlet.take()) > 0
        await served.outlet.resume_writing()
        await settle()
        assert sent == [0, 1, 2]

    async def test_a_lost_peer_ends_the_wait(self) -> None:
        seen: list[BaseException] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            served.outlet.pause_writing()
            try:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
            except OSError as error:
                seen.append(error)

        served = Served(app)
        await served.exchange(GET)
        await served.outlet.lose()
        await settle()
        assert isinstance(seen[0], ClientDisconnected)

    async def test_pipelined_requests_wait_for_the_peer_to_read(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            served.outlet.pause_writing()
            await ok(scope, receive, send)

        served = Served(app)
        assert await served.exchange(GET * 3) == OK
        await served.outlet.resume_writing()
        await settle()
        assert served.outlet.take() == OK
        await served.exchange(GET * (HIGH_WATER // len(GET) + 1))
        assert not served.outlet.reading
        await served.outlet.lose()
        await settle()

    async def test_an_empty_piece_writes_nothing(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send(START, {**BODY, "more_body": True})
        writes = served.outlet.writes
        await app.send({"type": "http.response.body", "more_body": True})
        assert served.outlet.writes == writes
        await app.send({"type": "http.response.body"}, None)
        assert served.outlet.take().endswith(b"2\r\nok\r\n0\r\n\r\n")

    async def test_a_large_body_is_not_copied(self) -> None:
        body = b"x" * 100000
        pieces: list[bytes] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send({"type": "http.response.body", "body": body})

        served = Served(app)
        served.outlet.writelines = pieces.extend  # type: ignore[method-assign, assignment]
        await served.exchange(GET)
        assert len(pieces) == 2
        assert pieces[1] is body

    async def test_a_buffer_that_the_application_reuses_is_copied(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            buffer = bytearray(b"a" * 20000)
            await send({**START, "headers": [(b"content-length", b"40000")]})
            await send({"type": "http.response.body", "body": buffer, "more_body": True})
            buffer[:] = b"b" * 20000
            await send({"type": "http.response.body", "body": memoryview(buffer)})

        pieces: list[bytes] = []
        served = Served(app)
        served.outlet.write = pieces.append  # type: ignore[assignment, method-assign]
        served.outlet.writelines = pieces.extend  # type: ignore[method-assign, assignment]
        await served.exchange(GET)
        assert pieces[1:] == [b"a" * 20000, b"b" * 20000]
        assert {type(piece) for piece in pieces} == {bytes}


class TestContinue:
    DATA = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"

    async def test_when_the_body_is_asked_for(self) -> None:
        served = Served(echo)
        assert await served.exchange(self.DATA) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await served.exchange(b"ab")).endswith(b"\r\n\r\nab")
        assert not served.outlet.ended

    async def test_not_when_it_answers_before(self) -> None:
        served = Served(ok)
        written = await served.exchange(self.DATA)
        assert written.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in written
        assert served.outlet.ended == "close"

    async def test_not_within_the_response(self) -> None:
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send({**BODY, "more_body": True})
            seen.append(await receive())
            await send(BODY)

        served = Served(app)
        assert b"100" not in await served.exchange(self.DATA)
        assert await served.exchange(b"ab") == b"2\r\nok\r\n0\r\n\r\n"
        assert seen == [{"type": "http.request", "body": b"ab", "more_body": False}]

    async def test_not_when_the_body_is_there(self) -> None:
        assert b"100" not in await Served(echo).exchange(self.DATA + b"ab")


class TestDisconnect:
    async def test_send_raises(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await served.outlet.lose()
        await app.send(START, BODY, {"type": "nonsense"}, None)
        assert [type(error) for error in app.errors] == [ClientDisconnected] * 3
        assert isinstance(app.errors[0], OSError)

    async def test_no_complaint_about_who_lets_it_through(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await receive()
            try:
                await send(START)
            except OSError:
                raise ValueError("the framework's own") from None

        served = Served(app)
        caplog.set_level(logging.INFO, "asgiws.error")
        await served.exchange(GET)
        await served.outlet.lose()
        await settle()
        assert [record.levelname for record in caplog.records] == ["INFO"]
        assert "ValueError: the client has gone: GET /" in caplog.text

    async def test_an_error_of_its_own_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await receive()
            raise ValueError("mine")

        served = Served(app)
        await served.exchange(GET)
        await served.outlet.lose()
        await settle()
        assert "ValueError: mine" in caplog.text

    async def test_returning_is_fine(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await receive()

        served = Served(app)
        await served.exchange(GET)
        await served.outlet.lose()
        await settle()
        assert not caplog.records

    async def test_after_the_response_nothing_is_lost(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send(START, BODY)
        await served.outlet.lose()
        await app.send(BODY, None)
        assert [type(error) for error in app.errors] == [ApplicationError]

    async def test_without_a_request(self) -> None:
        served = Served(ok)
        await served.outlet.lose()
        assert served.outlet.take() == b""
        assert served.outlet.ended == "lost"
        assert not served.runtime.tasks


class TestHalfClose:
    async def test_the_response_is_sent(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            await ok(scope, receive, send)

        release = asyncio.Event()
        served = Served(app)
        await served.outlet.feed(GET + GET)
        await served.outlet.feed_eof()
        release.set()
        await settle()
        assert served.outlet.take() == OK * 2
        assert served.outlet.ended == "close"

    async def test_receive_tells_of_it(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await served.outlet.feed_eof()
        await settle()
        assert app.messages[1:] == []
        await served.look()
        assert app.messages[1:] == [DISCONNECT]
        await app.send(START, BODY, None)
        assert not app.errors
        assert served.outlet.take() == OK

    @pytest.mark.parametrize("what", ["taken", "on its way"])
    async def test_not_while_the_client_takes_what_is_sent(self, what: str) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await served.outlet.feed_eof()
        for _ in range(3):
            if what == "taken":
                served.outlet.has_taken += 1
            else:
                served.outlet.waiting = 1
            await served.look()
            assert app.messages[1:] == []
        served.outlet.waiting = 0
        await served.look()
        assert app.messages[1:] == [DISCONNECT]
        await app.send(START, BODY, None)
        assert served.outlet.take() == OK
        assert served.outlet.ended == "close"

    @pytest.mark.parametrize("messages", [[], [START, {**BODY, "more_body": True}]])
    async def test_who_was_told_may_return(
        self, messages: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As frameworks do: their stream has ended, and there is nobody to answer."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for message in messages:
                await send(message)
            while await receive() != DISCONNECT:
                pass

        served = Served(app, access_log=False)
        await served.exchange(GET)
        await served.outlet.feed_eof()
        await served.look()
        assert served.outlet.ended == "close"
        assert not caplog.records

    async def test_who_was_not_told_may_not(self, caplog: pytest.LogCaptureFixture) -> None:
        release = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()

        served = Served(app)
        await served.exchange(GET)
        await served.outlet.feed_eof()
        await served.look()
        release.set()
        await settle()
        assert served.outlet.take().startswith(b"HTTP/1.1 500 ")
        assert "returned without a response" in caplog.text

    async def test_the_end_is_seen_while_nothing_is_read(self) -> None:
        """The application has what it sent before, and is told."""
        app = Recorder()
        served = Served(app, limit_pipelined=100)
        await served.exchange(GET, GET + GET * 10)
        assert not served.outlet.reading
        await served.outlet.hang_up()
        await served.look()
        assert app.messages[1:] == [DISCONNECT]
        await app.send(None)

    async def test_but_not_of_the_end_before_the_body(self) -> None:
        release = asyncio.Event()
        got: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            while (message := await receive())["type"] == "http.request":
                got.append(message)
                if not message["more_body"]:
                    break
            await send(START)
            await send(BODY)

        served = Served(app)
        body = bytes(HIGH_WATER)
        await served.exchange(POST + b"Content-Length: %d\r\n\r\n" % (2 * HIGH_WATER), body)
        assert not served.outlet.reading
        await served.outlet.hang_up()
        await served.look()
        release.set()
        await settle()
        assert served.outlet.reading
        await served.look()
        await served.outlet.feed(body)
        await served.outlet.feed_eof()
        await settle()
        assert sum(len(message["body"]) for message in got) == 2 * HIGH_WATER
        assert served.outlet.take() == OK
        assert served.outlet.ended == "close"

    async def test_between_requests(self) -> None:
        served = Served(ok)
        await served.exchange(GET)
        await served.outlet.feed_eof()
        assert served.outlet.ended == "close"

    async def test_within_a_head(self) -> None:
        served = Served(ok)
        await served.outlet.feed(b"GET /")
        await served.outlet.feed_eof()
        assert served.outlet.take().startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert served.outlet.ended == "close"

    async def test_within_a_body(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(POST + b"Content-Length: 3\r\n\r\nab")
        await served.outlet.feed_eof()
        await settle()
        assert app.messages == [
            {"type": "http.request", "body": b"ab", "more_body": True},
            DISCONNECT,
        ]
        assert served.outlet.take().startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert served.outlet.ended == "close"
        await app.send(START, None)
        assert [type(error) for error in app.errors] == [ClientDisconnected]

    async def test_lost_within_a_body(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(POST + b"Content-Length: 3\r\n\r\nab")
        await served.outlet.lose()
        await settle()
        assert app.messages[1:] == [DISCONNECT]
        await app.send(None)


class TestCancelAfter:
    """`http_cancel_after`."""

    @pytest.mark.parametrize("how", ["lost", "eof", "hung up", "head", "refused"])
    async def test_who_does_not_listen_is_cancelled(
        self, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        ended = asyncio.Event()
        cancelled: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if how == "head":
                await send(START)
                await send(MORE)
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append("by it")
                raise
            finally:
                ended.set()

        served = Served(app, http_cancel_after=0.05, access_log=False)
        caplog.set_level(logging.INFO)
        chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        length = POST + b"Content-Length: %d\r\n\r\n" % (2 * HIGH_WATER)
        first = {"head": HEAD, "refused": chunked, "hung up": length}.get(how, GET)
        await served.exchange(first)
        if how == "eof":
            await served.outlet.feed_eof()
            await served.look()
        elif how == "hung up":
            await served.outlet.feed(bytes(HIGH_WATER))
            assert not served.outlet.reading
            await served.outlet.hang_up()
            await served.look()
        elif how == "refused":
            await served.outlet.feed(b"no size\r\n")
        else:
            await served.outlet.lose()
        await asyncio.wait_for(ended.wait(), 10)
        await settle()
        assert cancelled == ["by it"]
        lines = [line for line in caplog.messages if "refused" not in line]
        assert lines == [
            "192.0.2.1:4321 - application cancelled, 0.05 seconds after its client had gone "
            "(http_cancel_after)"
        ]
        assert not served.runtime.tasks

    async def test_not_while_the_client_takes_what_is_sent(self) -> None:
        release = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            await ok(scope, receive, send)

        served = Served(app, http_cancel_after=3600)
        await served.exchange(GET)
        await served.outlet.feed_eof()
        await served.look()
        reaper = served.runtime.http_reaper
        assert reaper is not None
        assert len(reaper._waiting) == 1
        await served.look()
        assert len(reaper._waiting) == 1
        served.outlet.has_taken += 1
        await served.look()
        assert not reaper._waiting
        await served.look()
        assert len(reaper._waiting) == 1
        release.set()
        await settle()
        assert served.outlet.take() == OK
        assert not reaper._waiting

    async def test_not_behind_a_complete_response(self) -> None:
        """What an application does then is not for the client."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await ok(scope, receive, send)
            await asyncio.sleep(3600)

        served = Served(app, http_cancel_after=0.05)
        await served.exchange(GET)
        await served.outlet.lose()
        await settle()
        assert served.runtime.http_reaper is not None
        assert not served.runtime.http_reaper._waiting
        for task in served.runtime.tasks:
            task.cancel()

    async def test_off_by_default(self) -> None:
        assert Served(ok).runtime.http_reaper is None

    async def test_lost_before_its_first_step_has_ended(self) -> None:
        """As where a task begins in the loop's next turn."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(3600)

        served = Served(app, http_cancel_after=0.05)
        await served.outlet.feed(GET)
        served.outlet._lose()
        (task,) = served.runtime.tasks
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)


class TestRefused:
    @pytest.mark.parametrize("http", ["httptools", "h11"])
    async def test_the_answer_says_why(self, http: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "asgiws.error")
        served = Served(ok, http=http)
        assert await served.exchange(b"GET / HTTP/1.1\r\n\r\n" + GET) == (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: 15\r\nconnection: close\r\n\r\nno Host header\n"
        )
        assert served.outlet.ended == "close"
        assert "192.0.2.1:4321 - request refused: 400, no Host header" in caplog.text

    async def test_behind_a_good_one(self) -> None:
        served = Served(ok)
        written = await served.exchange(GET + b"\x00")
        assert written.startswith(OK + b"HTTP/1.1 400 ")

    async def test_a_bad_body_before_the_response(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await app.send(START)
        written = await served.exchange(b"x\r\n")
        assert written.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert app.messages == [
            {"type": "http.request", "body": b"a", "more_body": True},
            DISCONNECT,
        ]
        await app.send(BODY, None)
        assert [type(error) for error in app.errors] == [ClientDisconnected]

    async def test_a_bad_body_within_the_response(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await app.send(START, {**BODY, "more_body": True})
        assert (await served.exchange(b"x\r\n")).endswith(b"2\r\nok\r\n")
        assert served.outlet.ended == "close"
        await app.send(None)

    async def test_is_no_context_of_what_the_application_raises(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        seen: list[BaseException] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await receive()
            try:
                raise ValueError("its own")
            except ValueError as error:
                seen.append(error)
                raise

        served = Served(app)
        await served.exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b"x\r\n")
        assert seen[0].__context__ is None
        assert "ValueError: its own" in caplog.text
        assert "During handling" not in caplog.text

    async def test_found_when_the_application_asks(self) -> None:
        """The bad chunk waits behind the mark, and is parsed in the application's own turn."""
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(len((await receive())["body"]))
            seen.append(await receive())

        served = Served(app)
        size = HIGH_WATER
        head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        await served.outlet.feed(head + b"%x\r\n" % size + b"x" * size)
        await served.outlet.feed(b"bad")
        await settle()
        assert seen == [size, DISCONNECT]
        assert served.outlet.take().startswith(b"HTTP/1.1 400 Bad Request\r\n")


class TestUpgrade:
    async def test_handed_over_with_the_tail(self) -> None:
        session = RecordingDriver()
        heads: list[RequestHead] = []

        def upgrade(head: RequestHead, outlet: Outlet, carrier: HTTPCarrier) -> Driver:
            heads.append(head)
            assert outlet is served.outlet
            assert carrier.pipeline is served.driver
            return session

        served = Served(ok, upgrade)
        assert await served.exchange(GET) == OK
        assert await served.exchange(WEBSOCKET + b"\x81\x80tail") == b""
        assert heads[0].target == b"/ws"
        assert session.calls == [("connected", served.outlet), ("data", b"\x81\x80tail")]
        await served.outlet.feed(b"more")
        assert session.calls[2:] == [("data", b"more")]

    async def test_the_session_answers_through_http(self) -> None:
        class Session(RecordingDriver):
            def connected(self, outlet: Outlet) -> None:
                outlet.write(served.driver.http.switch_protocols([(b"upgrade", b"websocket")]))

        served = Served(ok, lambda head, outlet, carrier: Session())
        assert await served.exchange(WEBSOCKET) == (
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
        )

    async def test_the_session_finds_the_connection_reading(self) -> None:
        served = Served(ok, lambda head, outlet, carrier: RecordingDriver())
        await served.exchange(GET + WEBSOCKET + b"x" * HIGH_WATER)
        assert served.outlet.handed_over[0][1] == b"x" * HIGH_WATER
        assert served.outlet.reading

    async def test_refused(self) -> None:
        def upgrade(head: RequestHead, outlet: Outlet, carrier: HTTPCarrier) -> None:
            carrier.respond(426, [(b"sec-websocket-version", b"13")], b"no")

        served = Served(ok, upgrade)
        assert await served.exchange(WEBSOCKET + GET) == (
            b"HTTP/1.1 426 Upgrade Required\r\nsec-websocket-version: 13\r\n"
            b"content-length: 2\r\n\r\nno" + OK
        )
        assert not served.outlet.handed_over

    async def test_many_refused_in_one_read(self) -> None:
        """Each refusal goes on with the next request, and not from within itself."""

        def upgrade(head: RequestHead, outlet: Outlet, carrier: HTTPCarrier) -> None:
            carrier.respond(400, [], b"")

        served = Served(ok, upgrade)
        count = (await served.exchange(WEBSOCKET * 1000)).count(b"HTTP/1.1 400 ")
        while count < 1000:
            turns = served.outlet.turns
            await settle()
            assert served.outlet.turns > turns
            count += served.outlet.take().count(b"HTTP/1.1 400 ")
        assert count == 1000

    async def test_requests_behind_a_half_close_are_told_as_well(self) -> None:
        told: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert (await receive())["type"] == "http.request"
            told.append(await receive())
            await ok(scope, receive, send)

        served = Served(app)
        await served.exchange(GET * 3)
        await served.outlet.feed_eof()
        for number in range(1, 4):
            await settle()
            await served.look()
            await settle()
            assert told == [DISCONNECT] * number

    async def test_a_flood_of_requests_lets_others_have_their_turn(self) -> None:
        """No turn of the loop begins more than TURN of one connection."""
        begun = 0
        most = 0

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal begun
            begun += 1
            await ok(scope, receive, send)

        served = Served(app)
        loop = asyncio.get_running_loop()
        served.outlet.feed_soon(GET * (10 * TURN))
        while begun < 10 * TURN:
            before = begun
            turn = loop.create_future()
            loop.call_soon(turn.set_result, None)
            await turn
            most = max(most, begun - before)
        # A turn of the test's may see the ends of two of the driver's.
        assert most <= 2 * TURN
        # Before Python 3.11 an application starts in the loop's next turn, so each turn serves one.
        assert most >= (TURN if sys.version_info >= (3, 11) else 1)

    @pytest.mark.parametrize(
        "data",
        [
            WEBSOCKET.replace(b"GET", b"POST"),
            WEBSOCKET.replace(b"websocket", b"h2c"),
            WEBSOCKET.replace(b"HTTP/1.1", b"HTTP/1.0"),
            WEBSOCKET.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\na"),
        ],
    )
    async def test_ignored(self, data: bytes) -> None:
        assert (await Served(ok).exchange(data)).endswith(b"\r\n\r\nok")


class TestTimeouts:
    async def test_a_silent_connection_is_closed_without_a_word(self) -> None:
        served = Served(ok)
        now = served.outlet.loop.time()
        (when,) = served.outlet.check_times
        assert when == pytest.approx(now + HEAD_TIMEOUT, abs=1)
        assert await served.outlet.tick(when - 1) == when
        assert not served.outlet.ended
        assert await served.outlet.tick(when) == 0.0
        assert served.outlet.ended == "close"
        assert served.outlet.take() == b""

    async def test_a_slow_head_gets_408(self) -> None:
        served = Served(ok)
        (when,) = served.outlet.check_times
        await served.outlet.feed(b"GET /")
        assert served.outlet.check_times == [when]
        await served.outlet.feed(b"x")
        await served.outlet.tick(when)
        written = served.outlet.take()
        assert written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert served.outlet.ended == "close"

    async def test_a_later_slow_head(self) -> None:
        served = Served(ok, timeout_keep_alive=5)
        await served.exchange(GET)
        now = served.outlet.loop.time()
        assert served.outlet.check_times[-1] == pytest.approx(now + 5, abs=1)
        await served.outlet.feed(b"GET")
        # The check that was asked for comes, and finds that there is more time.
        assert await served.outlet.tick(now + 6) == pytest.approx(now + HEAD_TIMEOUT, abs=1)
        await served.outlet.tick(now + HEAD_TIMEOUT + 1)
        assert served.outlet.take().startswith(b"HTTP/1.1 408 ")

    async def test_keep_alive(self) -> None:
        served = Served(ok, timeout_keep_alive=5)
        now = served.outlet.loop.time()
        for _ in range(3):
            await served.exchange(GET)
        # From the second request on a check is on its way already.
        assert len(served.outlet.check_times) == 2
        when = await served.outlet.tick(now + 4)
        assert when == pytest.approx(now + 5, abs=1)
        await served.outlet.tick(when)
        assert served.outlet.ended == "close"
        assert served.outlet.take() == b""

    async def test_not_while_a_request_is_served(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        assert await served.outlet.tick(served.outlet.loop.time() + 1000) == 0.0
        assert not served.outlet.ended
        await app.send(START, BODY, None)
        assert served.outlet.check_times[-1] == pytest.approx(served.outlet.loop.time() + 5, abs=1)

    async def test_a_body_that_is_drained_is_waited_for_as_a_request_is(self) -> None:
        served = Served(ok)
        await served.exchange(POST + b"Content-Length: 9\r\n\r\n")
        await served.outlet.tick(served.outlet.loop.time() + 6)
        assert served.outlet.ended == "close"
        app = Recorder()
        served = Served(app)
        await served.exchange(POST + b"Content-Length: 9\r\n\r\nabc")
        await app.send(START, BODY, None)
        assert served.outlet.take() == OK
        await served.outlet.tick(served.outlet.loop.time() + 6)
        assert (served.outlet.ended, served.outlet.take()) == ("close", b"")


class TestUploadTimeout:
    HEAD = POST + b"Content-Length: 9\r\n\r\n"

    async def test_a_body_that_does_not_come_on(self, caplog: pytest.LogCaptureFixture) -> None:
        app = Recorder()
        served = Served(app, timeout_request_body=7)
        await served.exchange(self.HEAD + b"abc")
        now = served.outlet.loop.time()
        when = await served.outlet.tick(served.outlet.check_times[-1])
        assert when == pytest.approx(now + 7, abs=2) or served.outlet.ended
        await served.outlet.tick(now + 9)
        assert served.outlet.take().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert served.outlet.ended == "close"
        await settle()
        assert app.messages[-1] == DISCONNECT
        assert "408, the request body did not come in time (timeout_request_body)" in caplog.text
        await app.send(None)

    async def test_each_piece_gives_more_time(self) -> None:
        served = Served(echo, timeout_request_body=7)
        await served.exchange(self.HEAD)
        begin = served.outlet.loop.time()
        for number in range(8):
            await served.exchange(b"x")
            assert await served.outlet.tick(begin + 6) > begin + 6, number
        assert (await served.exchange(b"x")).endswith(b"\r\n\r\nxxxxxxxxx")
        # From now on it is the wait for the next request.
        assert await served.outlet.tick(begin + 4) == pytest.approx(begin + 5, abs=1)

    async def test_not_while_the_server_holds_it_up(self) -> None:
        app = Recorder()
        served = Served(app)
        length = 3 * HIGH_WATER
        hold = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await hold.wait()
            await app(scope, receive, send)

        served = Served(slow)
        await served.exchange(POST + b"Content-Length: %d\r\n\r\n" % length + b"x" * HIGH_WATER)
        assert not served.outlet.reading
        assert await served.outlet.tick(served.outlet.loop.time() + 1000) == 0.0
        assert not served.outlet.ended
        hold.set()
        await settle()
        assert served.outlet.reading
        await served.outlet.tick(served.outlet.loop.time() + 1000)
        assert served.outlet.ended == "close"
        await app.send(None)

    async def test_a_client_that_waits_for_100_is_not_to_blame(self) -> None:
        hold = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await hold.wait()
            await receive()

        served = Served(slow)
        await served.exchange(POST + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        assert await served.outlet.tick(served.outlet.loop.time() + 1000) == 0.0
        assert not served.outlet.ended
        hold.set()
        await settle()
        assert served.outlet.take().startswith(b"HTTP/1.1 100 ")
        await served.outlet.tick(served.outlet.loop.time() + 1000)
        assert served.outlet.take().startswith(b"HTTP/1.1 408 ")

    async def test_it_can_be_turned_off(self) -> None:
        served = Served(echo, timeout_request_body=0)
        await served.exchange(self.HEAD)
        assert await served.outlet.tick(served.outlet.loop.time() + 1000) == 0.0
        assert not served.outlet.ended


class TestLimits:
    @pytest.mark.parametrize(
        "body",
        [
            b"Content-Length: 6\r\n\r\n",
            b"Content-Length: 6\r\nExpect: 100-continue\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n6\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\n",
        ],
    )
    async def test_a_body_that_is_too_large(
        self, body: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        served = Served(echo, limit_request_body=5)
        written = await served.exchange(POST + body)
        assert written.startswith(b"HTTP/1.1 413 ")
        assert served.outlet.ended == "close"
        assert "413, the request body is over 5 bytes (limit_request_body)" in caplog.text

    @pytest.mark.parametrize(
        "body",
        [
            b"Content-Length: 5\r\n\r\nabcde",
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ],
    )
    async def test_a_body_of_just_that_size(self, body: bytes) -> None:
        served = Served(echo, limit_request_body=5)
        assert (await served.exchange(POST + body)).endswith(b"\r\n\r\nabcde")

    @pytest.mark.parametrize(
        ("options", "status"),
        [
            ({"limit_request_line": 20}, 414),
            ({"limit_header_bytes": 64}, 431),
            ({"limit_header_count": 2}, 431),
        ],
    )
    async def test_a_head_that_is_too_large(
        self, options: dict[str, int], status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        served = Served(ok, **options)
        head = b"GET /0123456789 HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 60 + b"\r\nY: y\r\n\r\n"
        assert (await served.exchange(head)).startswith(b"HTTP/1.1 %d " % status)
        (name,) = options
        assert f"({name})" in caplog.text
        assert await Served(ok).exchange(head) == OK

    async def test_other_hosts_are_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        served = Served(ok, allowed_hosts="a.example, *.b.example")
        for host in (b"a.example", b"x.b.example:80"):
            assert await served.exchange(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host) == OK
        written = await served.exchange(b"GET / HTTP/1.1\r\nHost: c.example\r\n\r\n")
        assert written.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert served.outlet.ended == "close"
        assert "403, this host is not served here (allowed_hosts)" in caplog.text
        served = Served(ok, allowed_hosts="a")
        assert (await served.exchange(b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 403 ")

    async def test_a_host_in_the_target_counts_and_not_the_field(self) -> None:
        served = Served(ok, allowed_hosts="a.example")
        data = b"GET http://c.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"
        assert (await served.exchange(data)).startswith(b"HTTP/1.1 403 ")

    async def test_a_peer_that_takes_nothing_is_cut_off(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = Recorder()
        served = Served(app, timeout_send=7)
        assert served.outlet.send_timeout == 7
        await served.exchange(GET)
        served.outlet.pause_writing()
        await app.send(START, {**BODY, "more_body": True})
        await served.outlet.stall()
        assert served.outlet.ended == "abort"
        assert "cut off: took nothing for 7 seconds (timeout_send)" in caplog.text
        await served.outlet.lose()
        await app.send(BODY, None)
        assert isinstance(app.errors[0], ClientDisconnected)

    async def test_a_connection_that_is_refused_is_told_why(self) -> None:
        served = Served(ok)
        served.driver.refuse_connection(TooManyRequests("too many", "limit_per_ip"))
        assert served.outlet.take().startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert served.outlet.ended == "close"


class TestShutdown:
    async def test_idle(self) -> None:
        served = Served(ok)
        await served.exchange(GET)
        await served.outlet.shutdown()
        assert served.outlet.ended == "close"

    @pytest.mark.parametrize("begun", [b"", GET[:9]])
    async def test_the_first_request_of_who_was_let_in_is_served(self, begun: bytes) -> None:
        served = Served(ok)
        await served.outlet.feed(begun)
        await served.outlet.shutdown()
        assert not served.outlet.ended
        written = await served.exchange(GET[len(begun) :] + GET)
        assert written.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close\r\n" in written
        assert written.count(b"HTTP/1.1 ") == 1
        assert served.outlet.ended == "close"

    async def test_the_first_request_is_not_waited_for_long(self) -> None:
        served = Served(ok)
        await served.outlet.shutdown()
        await served.outlet.tick(served.outlet.loop.time() + LAST_REQUEST)
        assert served.outlet.take() == b""
        assert served.outlet.ended == "close"

    async def test_nor_is_the_rest_of_a_head(self) -> None:
        served = Served(ok)
        await served.outlet.feed(b"GET /")
        await served.outlet.shutdown()
        await served.outlet.tick(served.outlet.loop.time() + LAST_REQUEST)
        assert served.outlet.take().startswith(b"HTTP/1.1 408 ")
        assert served.outlet.ended == "close"

    async def test_within_a_request(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET + GET)
        await served.outlet.shutdown()
        assert not served.outlet.ended
        await app.send(START, BODY, None)
        assert b"connection: close\r\n" in served.outlet.take()
        assert served.outlet.ended == "close"
        assert not served.runtime.tasks

    async def test_within_a_response(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET + GET)
        await app.send(START, {**BODY, "more_body": True})
        await served.outlet.shutdown()
        await app.send(BODY, None)
        assert served.outlet.ended == "close"
        assert not served.runtime.tasks


class TestLimitConcurrency:
    async def test_tasks(self, caplog: pytest.LogCaptureFixture) -> None:
        app = Recorder()
        served = Served(app, limit_concurrency=1)
        await served.exchange(GET)
        second = Served(app, runtime=served.runtime)
        written = await second.exchange(GET)
        assert written.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"\r\nretry-after: 1\r\n" in written
        assert written.endswith(b"\r\n\r\nService Unavailable\n")
        assert second.outlet.ended == "close"
        assert "refused: 503, Service Unavailable (limit_concurrency)" in caplog.text
        await app.send(START, BODY, None)
        assert served.outlet.take() == OK

    async def test_connections(self) -> None:
        first = Served(ok, limit_concurrency=2)
        second = Served(ok, runtime=first.runtime)
        assert await second.exchange(GET) == OK
        third = Served(ok, runtime=first.runtime)
        assert (await third.exchange(GET)).startswith(b"HTTP/1.1 503 ")

    async def test_websockets_do_not_count(self) -> None:
        session = RecordingDriver()
        first = Served(ok, lambda *_: session, limit_concurrency=1)
        await first.exchange(WEBSOCKET)
        assert first.outlet.handed_over[0][0] is session
        second = Served(ok, runtime=first.runtime)
        assert await second.exchange(GET) == OK
        third = Served(ok, runtime=first.runtime)
        assert (await third.exchange(GET)).startswith(b"HTTP/1.1 503 ")
        await second.outlet.lose()
        fourth = Served(ok, runtime=first.runtime)
        await third.outlet.lose()
        assert await fourth.exchange(GET) == OK


def test_the_module_says_how_a_half_close_is_taken() -> None:
    assert "Half-close." in (asgi_http.__doc__ or "")
