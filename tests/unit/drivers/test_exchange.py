"""asgiws/drivers/exchange.py: what an application receives and may send, over HTTP/1.1 and over anything."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.bridge.wakeup import Waiter
from asgiws.config import Config
from asgiws.drivers.exchange import HTTPExchange
from asgiws.http.head import RequestHead
from asgiws.services.runtime import Runtime
from tests.support.memory_carrier import MemoryCarrier
from tests.support.served_http import (
    BODY,
    DISCONNECT,
    GET,
    HEAD,
    MORE,
    OK,
    POST,
    START,
    Recorder,
    Served,
    ok,
    settle,
)


class TestReceive:
    async def test_the_body_as_it_comes_then_the_disconnect(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(POST + b"Content-Length: 6\r\n\r\nab", b"cd", b"ef")
        assert app.messages == [
            {"type": "http.request", "body": b"ab", "more_body": True},
            {"type": "http.request", "body": b"cd", "more_body": True},
            {"type": "http.request", "body": b"ef", "more_body": False},
        ]
        await app.send(START, BODY)
        assert app.messages[3:] == [DISCONNECT]
        await app.send(None)

    async def test_no_body(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        assert app.messages == [{"type": "http.request", "body": b"", "more_body": False}]
        await served.outlet.lose()
        await settle()
        assert app.messages[1:] == [DISCONNECT]
        await app.send(None)

    async def test_what_is_there_comes_at_once_and_joined(self) -> None:
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            coroutine = receive()
            with pytest.raises(StopIteration) as stopped:
                coroutine.send(None)  # it does not suspend
            seen.append(stopped.value.value)
            await ok(scope, receive, send)

        release = asyncio.Event()
        served = Served(app)
        await served.exchange(POST + b"Content-Length: 4\r\n\r\nab", b"cd")
        release.set()
        await settle()
        assert seen == [{"type": "http.request", "body": b"abcd", "more_body": False}]

    async def test_the_application_is_stepped_within_the_read(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(POST + b"Content-Length: 2\r\n\r\n")

        def read() -> list[Any]:
            served.driver.receive_data(bytearray(b"ab"), 0, 2)
            return list(app.messages)

        messages = await served.outlet.call(read)
        assert messages == [{"type": "http.request", "body": b"ab", "more_body": False}]
        await app.send(START, BODY, None)

    async def test_disconnect_again_and_again(self) -> None:
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await ok(scope, receive, send)
            seen.append(await receive())
            seen.append(await receive())

        await Served(app).exchange(GET)
        assert seen == [DISCONNECT, DISCONNECT]

    async def test_the_whole_body_is_given_though_the_peer_has_gone(self) -> None:
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            while (message := await receive()) != DISCONNECT:
                seen.append(message)

        release = asyncio.Event()
        served = Served(app)
        await served.exchange(POST + b"Content-Length: 2\r\n\r\nab")
        await served.outlet.lose()
        release.set()
        await settle()
        assert seen == [{"type": "http.request", "body": b"ab", "more_body": False}]

    async def test_several_tasks_receive(self) -> None:
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def read() -> None:
                seen.append(await receive())

            await asyncio.gather(read(), read())
            await ok(scope, receive, send)

        served = Served(app)
        await served.exchange(POST + b"Content-Length: 3\r\n\r\n", b"a", b"b")
        assert [message["body"] for message in seen] == [b"a", b"b"]

    async def test_a_cancelled_receive_loses_nothing(self) -> None:
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for _ in range(3):
                task = asyncio.create_task(receive())
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            seen.append(await receive())
            await ok(scope, receive, send)

        served = Served(app)
        await served.exchange(POST + b"Content-Length: 1\r\n\r\n")
        await served.exchange(b"x")
        assert seen == [{"type": "http.request", "body": b"x", "more_body": False}]

    async def test_cancelled_receives_leave_nothing_behind(self) -> None:
        """Frameworks ask "is the client still there?" by a receive that they cancel at once."""
        counts: list[int] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            for _ in range(50):
                task = asyncio.create_task(receive())
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                del task
            gc.collect()
            counts.append(sum(isinstance(thing, Waiter) for thing in gc.get_objects()))
            await ok(scope, receive, send)
            done.set()

        done = asyncio.Event()
        served = Served(app)
        served.outlet.feed_soon(GET)
        await asyncio.wait_for(done.wait(), 10)
        assert counts[0] < 10

    async def test_cancelled_in_the_moment_of_waking(self) -> None:
        """The read wakes the receive; its task is cancelled by another one before anything else."""
        seen: list[Any] = []
        tasks: list[asyncio.Task[Any]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def canceller() -> None:
                await receive()
                tasks[1].cancel()

            tasks.append(asyncio.create_task(canceller()))
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(receive()))
            await asyncio.gather(*tasks, return_exceptions=True)
            seen.append(await receive())
            await ok(scope, receive, send)

        served = Served(app)
        await served.exchange(POST + b"Content-Length: 2\r\n\r\n", b"a", b"b")
        assert seen == [{"type": "http.request", "body": b"b", "more_body": False}]

    async def test_trailers(self) -> None:
        app = Recorder()
        served = Served(app)
        data = POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"
        await served.exchange(data)
        assert app.messages == [
            {
                "type": "http.request",
                "body": b"a",
                "more_body": False,
                "trailers": [(b"x-sum", b"1")],
            }
        ]
        await app.send(START, BODY, None)


class TestNoBody:
    """Responses that are complete with their head."""

    @pytest.mark.parametrize(
        ("request_", "start"),
        [(HEAD, START), (GET, {**START, "status": 204}), (GET, {**START, "status": 304})],
    )
    async def test_the_next_request_is_served(self, request_: bytes, start: Any) -> None:
        apps = [Recorder(), Recorder()]
        calls = iter(apps)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await next(calls)(scope, receive, send)

        served = Served(app)
        await served.exchange(request_)
        await apps[0].send(start, MORE)
        assert served.outlet.take().startswith(b"HTTP/1.1 %d " % start["status"])
        # To the application the response is complete; what it sends is thrown away.
        assert apps[0].messages[1:] == [DISCONNECT]
        await apps[0].send(MORE, MORE)
        assert not apps[0].errors
        await served.exchange(GET)
        await apps[0].send(MORE)
        assert [type(error) for error in apps[0].errors] == [ClientDisconnected]
        await apps[1].send(START, BODY, None)
        assert served.outlet.take() == OK
        await apps[0].send(None)

    async def test_one_that_was_sent_already(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(HEAD + GET)
        await app.send(START, MORE)
        await app.send(MORE)
        assert [type(error) for error in app.errors] == [ClientDisconnected]
        await app.send(None)

    @pytest.mark.parametrize("how", ["lost", "eof", "idle"])
    async def test_the_client_goes(self, how: str, caplog: pytest.LogCaptureFixture) -> None:
        ended: list[BaseException] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            try:
                while True:
                    await send(MORE)
                    await asyncio.sleep(0)
            except OSError as error:
                ended.append(error)
                raise

        served = Served(app, access_log=False)
        caplog.set_level(logging.INFO)
        await served.exchange(HEAD)
        if how == "eof":
            await served.outlet.feed_eof()
        elif how == "idle":
            await served.outlet.tick(asyncio.get_running_loop().time() + 3600)
        if how != "lost":
            assert served.outlet.ended == "close"
            assert not ended
        await served.outlet.lose()
        await settle()
        assert [type(error) for error in ended] == [ClientDisconnected]
        assert len(caplog.messages) == 1
        assert "the client has gone" in caplog.text

    async def test_it_comes_to_its_end(self) -> None:
        """Then nothing more is expected, and the client's leaving is nothing to it."""
        app = Recorder()
        served = Served(app)
        await served.exchange(HEAD)
        await app.send(START, MORE, BODY, BODY)
        assert "the response is complete" in str(app.errors[0])
        await served.exchange(GET)
        await served.outlet.lose()
        await app.send(BODY, None)
        assert "the response is complete" in str(app.errors[1])

    async def test_with_trailers(self) -> None:
        app = Recorder()
        served = Served(app)
        trailers = {"type": "http.response.trailers", "headers": [(b"x", b"y")]}
        await served.exchange(HEAD)
        await app.send({**START, "trailers": True}, BODY)
        assert served.outlet.take().startswith(b"HTTP/1.1 200 ")
        await app.send({**trailers, "more_trailers": True}, trailers)
        assert not app.errors
        await app.send(trailers, None)
        assert "the response is complete" in str(app.errors[0])
        assert served.outlet.take() == b""

    async def test_what_else_it_may_send(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(HEAD)
        await app.send(
            START,
            MORE,
            {"type": "http.response.early_hint", "links": [b"</a>"]},
            {"type": "http.response.zerocopysend", "more_body": True},
            START,
            {"type": "http.response.pathsend", "path": "/no/such/file"},
            BODY,
        )
        first, second = (str(error) for error in app.errors)
        assert "the rest of the response, which has no body, is expected" in first
        assert "the response is complete" in second
        await app.send(None)

    async def test_it_may_return_or_raise(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(MORE)
            if scope["path"] == "/raises":
                raise ValueError("mine")

        served = Served(app, access_log=False)
        await served.exchange(HEAD, HEAD)
        assert not caplog.records
        await served.exchange(HEAD.replace(b"/", b"/raises", 1))
        assert "ValueError: mine" in caplog.text
        assert not served.outlet.ended
        assert await served.exchange(HEAD)


class TestLastSend:
    """A `send()` in the turn of the loop in which the client is lost."""

    @pytest.mark.parametrize("listens", [True, False])
    async def test_the_listener_has_the_first_word(self, listens: bool) -> None:
        """A stream that is cancelled within its own `await` cleans up at once."""
        log: list[str] = []
        tick = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def stream() -> None:
                await send(START)
                try:
                    while True:
                        await send({**BODY, "more_body": True})
                        await tick.wait()
                        tick.clear()
                except OSError:
                    log.append("told by send")
                except asyncio.CancelledError:
                    log.append("cancelled")

            await receive()
            task = asyncio.create_task(stream())
            if listens:
                assert await receive() == DISCONNECT
                # As anyio does: who is about to be stepped is cancelled a turn later.
                asyncio.get_running_loop().call_soon(task.cancel)
            await task

        served = Served(app)
        await served.exchange(GET)

        def lose() -> None:
            tick.set()  # the stream's next step is in the queue when the client is lost
            served.outlet._lose()

        await served.outlet.call(lose)
        await settle()
        assert log == (["cancelled"] if listens else ["told by send"])

    async def test_who_has_heard_of_it_is_told_by_send(self) -> None:
        errors: list[BaseException] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            assert await receive() == DISCONNECT
            try:
                await send(START)
            except OSError as error:
                errors.append(error)

        served = Served(app)
        await served.exchange(GET)
        await served.outlet.lose()
        await settle()
        assert [type(error) for error in errors] == [ClientDisconnected]

    async def test_who_sends_on_whatever_is_raised_does_not_hold_the_loop(self) -> None:
        stop = False

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def listen() -> None:
                while await receive() != DISCONNECT:
                    pass

            listening = asyncio.create_task(listen())
            while not stop:
                with contextlib.suppress(OSError):
                    await send(START)
                    await asyncio.sleep(0)
            await listening

        served = Served(app)
        await served.exchange(GET)
        await served.outlet.lose()
        for _ in range(10):
            await asyncio.sleep(0)
        stop = True
        await settle()
        assert not served.runtime.tasks


class TestOrder:
    @pytest.mark.parametrize(
        ("messages", "error"),
        [
            ([BODY], "no response was started; http.response.start is expected"),
            ([START, START], "the response was started; http.response.body is expected"),
            ([START, BODY, BODY], "the response is complete; nothing is expected"),
            ([START, BODY, START], "the response is complete; nothing is expected"),
            (
                [{**START, "trailers": True}, BODY, BODY],
                "the body is complete; http.response.trailers is expected",
            ),
            ([{"type": "http.response.trailers"}], "http.response.start is expected"),
            (
                [{"type": "websocket.send"}],
                "'websocket.send' was sent, but no response was started",
            ),
            ([{"status": 200}], "takes a message with a 'type'"),
            (["nonsense"], "takes a message with a 'type'"),
            ([{"type": "http.response.start"}], "has no 'status'"),
            ([{**START, "status": "200"}], "the status of a response is an int"),
            ([{**START, "status": 101}], "the status of a response is an int"),
            ([{**START, "headers": [("a", "b")]}], "pairs of bytes"),
            ([{**START, "headers": [b"abc"]}], "pairs of bytes"),
            ([{**START, "headers": 1}], "pairs of bytes"),
            ([{**START, "headers": [(b"a b", b"c")]}], "is not a token"),
            ([{**START, "headers": [(b"a", b"b\r\nc: d")]}], "control character"),
            ([{**START, "headers": [(b"a", b"b\nc")]}], "control character"),
            ([{**START, "headers": [(b"a", b"b\x00c")]}], "control character"),
            ([{**START, "headers": [(b"a\r\nb", b"c")]}], "is not a token"),
            ([{**START, "headers": [(b"content-length", b"x")]}], "not a number"),
            ([START, {**BODY, "body": "text"}], "is bytes, not str"),
            ([START, {**BODY, "body": 5}], "is bytes, not int"),
            ([START, {"type": "http.response.pathsend"}], "has no 'path'"),
            ([{"type": "http.response.early_hint", "links": ["a"]}], "are bytes"),
            ([{"type": "http.response.early_hint", "links": [b"a\r\nb"]}], "control character"),
        ],
    )
    async def test_a_message_out_of_order_or_malformed(self, messages: Any, error: str) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        before = await served.exchange()
        await app.send(*messages[:-1])
        assert not app.errors
        before = served.outlet.take()
        await app.send(messages[-1])
        assert [type(found) for found in app.errors] == [ApplicationError]
        assert error in str(app.errors[0])
        assert served.outlet.take() == b""
        assert before in (b"", OK) or b"chunked" in before
        await served.outlet.lose()
        await app.send(None)

    async def test_content_length(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send({**START, "headers": [(b"content-length", b"3")]}, {**BODY, "body": b"four"})
        assert "longer than its Content-Length" in str(app.errors[0])
        await app.send({**BODY, "more_body": True}, {**BODY, "body": b""})
        assert "shorter than its Content-Length" in str(app.errors[1])
        await app.send({**BODY, "body": b"3"}, None)
        assert served.outlet.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok3"


class TestFailures:
    async def test_before_the_response(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError("oh no")

        served = Served(app)
        assert await served.exchange(b"GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n" + GET) == (
            b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: 21\r\nconnection: close\r\n\r\nInternal Server Error"
        )
        assert served.outlet.ended == "close"
        (record,) = (r for r in caplog.records if r.name == "asgiws.error")
        assert record.getMessage() == "Exception in ASGI application: GET /x?y"
        assert "ValueError: oh no" in caplog.text

    async def test_behind_a_start_of_which_nothing_was_sent(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({**START, "headers": [(b"content-length", b"9")]})
            raise ValueError

        assert (await Served(app).exchange(GET)).startswith(b"HTTP/1.1 500 ")

    async def test_within_the_response(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send({**BODY, "more_body": True})
            raise ValueError("oh no")

        served = Served(app)
        written = await served.exchange(GET)
        assert written.endswith(b"\r\n\r\n2\r\nok\r\n")
        assert served.outlet.ended == "close"
        assert "ValueError: oh no" in caplog.text

    async def test_within_a_response_that_ends_with_the_connection(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send({**BODY, "more_body": True})
            raise ValueError

        served = Served(app)
        await served.exchange(b"GET / HTTP/1.0\r\n\r\n")
        assert served.outlet.ended == "abort"

    async def test_behind_the_response(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await ok(scope, receive, send)
            raise ValueError("too late")

        served = Served(app)
        assert await served.exchange(GET) == OK
        assert "ValueError: too late" in caplog.text
        assert not served.outlet.ended

    async def test_no_response(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            return

        served = Served(app)
        assert (await served.exchange(GET)).startswith(b"HTTP/1.1 500 ")
        assert "returned without a response: GET /" in caplog.text

    async def test_half_a_response(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send({**BODY, "more_body": True})

        served = Served(app)
        await served.exchange(GET)
        assert "returned without completing its response: GET /" in caplog.text
        assert served.outlet.ended == "close"

    async def test_a_task_of_the_application_is_told(self) -> None:
        seen: list[Any] = []
        tasks: list[asyncio.Task[None]] = []

        async def read(receive: Any) -> None:
            seen.append(await receive())
            seen.append(await receive())

        async def app(scope: Any, receive: Any, send: Any) -> None:
            tasks.append(asyncio.create_task(read(receive)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            raise ValueError

        await Served(app).exchange(GET)
        assert seen[1:] == [DISCONNECT]

    async def test_a_cancellation_of_its_own(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise asyncio.CancelledError("its own")

        served = Served(app)
        assert (await served.exchange(GET)).startswith(b"HTTP/1.1 500 ")
        assert "Exception in ASGI application: GET /" in caplog.text
        assert "CancelledError: its own" in caplog.text

    async def test_a_cancellation_of_its_own_within_the_response(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send({**BODY, "more_body": True})
            future = served.outlet.loop.create_future()
            future.cancel()
            await future

        served = Served(app)
        await served.exchange(GET)
        assert "Exception in ASGI application: GET /" in caplog.text
        assert served.outlet.ended == "close"

    @pytest.mark.parametrize(
        "cutting_off",
        [
            True,
            pytest.param(
                False,
                marks=pytest.mark.skipif(
                    sys.version_info < (3, 11), reason="a task does not know that it was cancelled"
                ),
            ),
        ],
    )
    async def test_cancelled(self, cutting_off: bool, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(60)

        served = Served(app)
        await served.exchange(GET)
        served.runtime.cutting_off = cutting_off
        (task,) = served.runtime.tasks
        task.cancel()
        await settle()
        assert task.cancelled()
        assert served.outlet.ended == "close"
        assert "cancelled before its response was complete: GET /" in caplog.text

    async def test_cancelled_behind_the_response(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await ok(scope, receive, send)
            await asyncio.sleep(60)

        served = Served(app)
        await served.exchange(GET)
        served.runtime.cutting_off = True
        (task,) = served.runtime.tasks
        task.cancel()
        await settle()
        assert not caplog.records
        assert not served.outlet.ended

    async def test_system_exit_ends_the_request_and_not_the_process(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise SystemExit(7)

        served = Served(app)
        assert (await served.exchange(GET)).startswith(b"HTTP/1.1 500 ")
        assert "SystemExit: 7" in caplog.text


class TestSmallPieces:
    async def test_they_are_joined_while_they_wait_and_arrive_as_they_came(self) -> None:
        bodies: list[bytes] = []
        hold = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await hold.wait()
            while (message := await receive())["more_body"]:
                bodies.append(message["body"])
            bodies.append(message["body"])

        served = Served(app)
        await served.exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        pieces = [b"%d" % number for number in range(2000)] + [b"x" * 2000, b"y", b"z"]
        for piece in pieces:
            await served.outlet.feed(b"%x\r\n%b\r\n" % (len(piece), piece))
        await served.outlet.feed(b"0\r\n\r\n")
        hold.set()
        await settle()
        assert bodies == [b"".join(pieces)]
        assert type(bodies[0]) is bytes


class TestExtensions:
    async def test_trailers(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
        trailers = {"type": "http.response.trailers", "headers": [(b"X", b"1")]}
        await app.send({**START, "trailers": True}, BODY)
        assert served.outlet.take().endswith(b"\r\n\r\n2\r\nok\r\n")
        await app.send({**trailers, "more_trailers": True})
        assert served.outlet.take() == b""
        await app.send({**trailers, "headers": [(b"y", b"2")]}, None)
        assert served.outlet.take() == b"0\r\nx: 1\r\ny: 2\r\n\r\n"
        assert not app.errors
        assert await served.exchange() == b""

    async def test_trailers_that_are_none(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send(
            {**START, "trailers": True}, BODY, {"type": "http.response.trailers", "headers": 5}
        )
        assert [type(error) for error in app.errors] == [ApplicationError]
        await app.send({"type": "http.response.trailers"}, None)
        assert served.outlet.take().endswith(b"0\r\n\r\n")

    async def test_trailers_to_http_1_0(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(b"GET / HTTP/1.0\r\n\r\n")
        await app.send({**START, "trailers": True}, BODY, {"type": "http.response.trailers"}, None)
        assert not app.errors
        assert served.outlet.take().endswith(b"\r\n\r\nok")
        assert served.outlet.ended == "close"

    async def test_early_hint(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send(
            {"type": "http.response.early_hint", "links": [b"</a>", b"</b>"]}, START, BODY
        )
        assert served.outlet.take() == (
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n" + OK
        )
        await app.send(None)

    async def test_early_hint_to_http_1_0(self) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(b"GET / HTTP/1.0\r\n\r\n")
        await app.send({"type": "http.response.early_hint", "links": [b"</a>"]})
        assert served.outlet.take() == b""
        assert not app.errors
        await app.send(START, BODY, None)

    async def test_early_hint_behind_the_start(self) -> None:
        app = Recorder()
        served = Served(app)
        hint = {"type": "http.response.early_hint", "links": [b"</a>"]}
        await served.exchange(GET)
        await app.send(START, hint)
        assert served.outlet.take() == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        await app.send({**BODY, "more_body": True})
        served.outlet.take()
        await app.send(hint)
        assert served.outlet.take() == b""
        assert not app.errors
        await app.send(BODY, hint, None)
        assert "the response is complete" in str(app.errors[0])


class Carried:
    """An application whose request is carried by a MemoryCarrier: by no HTTP at all."""

    def __init__(self, app: Any, has_body: bool = True, **options: Any) -> None:
        config = Config(app="unused:app", **options)
        self.runtime = Runtime(app, config, asyncio.get_running_loop(), None)
        self.carrier = MemoryCarrier(has_body)
        head = RequestHead("GET", b"/?q", b"/", b"q", "2", [])
        self.exchange = HTTPExchange(self.runtime, self.carrier, head)

    async def begin(self) -> list[tuple[Any, ...]]:
        """Call the application, and give what was asked of the carrier."""
        await self.run(self.spawn)
        return self.carrier.calls

    def spawn(self) -> None:
        task = self.runtime.spawn(self.exchange, False)
        if task is not None:
            self.exchange.runs_as(task)

    async def run(self, function: Any, *arguments: Any) -> None:
        """Call it as a driver does: from the loop."""
        self.runtime.loop.call_soon(function, *arguments)
        await settle()


class TestCarrier:
    async def test_a_response(self) -> None:
        scopes: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)
            await send({"type": "http.response.early_hint", "links": [b"</a>"]})
            await send({**START, "headers": [(b"a", b"b")]})
            await send(MORE)
            await send(BODY)

        assert await Carried(app).begin() == [
            ("inform", 103, [(b"link", b"</a>")]),
            ("start", 200, [(b"a", b"b")]),
            ("send", b"ok", True),
            ("send", b"ok", False),
            ("done",),
        ]
        assert scopes == [{"type": "http", "path": "/carried"}]

    async def test_trailers(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({**START, "trailers": True})
            await send(BODY)
            await send({"type": "http.response.trailers", "headers": [(b"a", b"b")]})

        calls = await Carried(app).begin()
        assert calls[2:] == [("trailers", [(b"a", b"b")]), ("done",)]

    async def test_the_body_as_it_comes(self) -> None:
        messages: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            messages.append(await receive())
            messages.append(await receive())

        carried = Carried(app)
        exchange = carried.exchange
        assert await carried.begin() == [("ask for body",)]
        exchange.feed(b"a")
        exchange.feed(b"b")
        assert exchange.queued == 2
        await carried.run(exchange.tell, True)
        assert messages == [{"type": "http.request", "body": b"ab", "more_body": True}]
        assert exchange.queued == 0
        exchange.end([(b"t", b"1")])
        await carried.run(exchange.tell, True)
        assert messages[1] == {
            "type": "http.request",
            "body": b"",
            "more_body": False,
            "trailers": [(b"t", b"1")],
        }
        calls = [call for call in carried.carrier.calls if call[0] == "body taken"]
        assert calls == [("body taken", True), ("body taken", False)]

    async def test_a_body_that_is_dropped(self) -> None:
        messages: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            messages.append(await receive())

        carried = Carried(app)
        carried.exchange.feed(b"a")
        carried.exchange.drop_body()
        carried.exchange.disconnect(False)
        await carried.begin()
        assert messages == [DISCONNECT]

    @pytest.mark.parametrize("goes", [False, True])
    async def test_send_waits_for_the_client(self, goes: bool) -> None:
        errors: list[BaseException] = []
        sent: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            carried.carrier.fill()
            try:
                await send(MORE)
            except ClientDisconnected as error:
                errors.append(error)
            else:
                sent.append(MORE)
                await send(BODY)

        carried = Carried(app)
        await carried.begin()
        assert not sent
        carried.carrier.go_on(closing=goes)
        await settle()
        assert len(sent) == (not goes)
        assert len(errors) == goes
        last = ("left", carried.exchange) if goes else ("done",)
        assert carried.carrier.calls[-1] == last

    async def test_a_response_without_a_body(self) -> None:
        events: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(MORE)
            events.append(await receive())
            await send(MORE)
            await send(BODY)

        carried = Carried(app, has_body=False)
        assert await carried.begin() == [
            ("start", 200, []),
            ("send", b"ok", True),
            ("done early",),
            ("left", carried.exchange),
        ]
        assert events == [DISCONNECT]

    @pytest.mark.parametrize("how", ["raises", "returns", "is cancelled"])
    async def test_an_application_that_does_not_answer(
        self, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if how == "raises":
                raise ValueError
            if how == "is cancelled":
                await asyncio.Event().wait()

        carried = Carried(app)
        await carried.begin()
        if how == "is cancelled":
            carried.runtime.cutting_off = True
            (task,) = carried.runtime.tasks
            task.cancel()
            await settle()
        assert carried.carrier.calls == [("cancel" if how == "is cancelled" else "fail",)]
        assert "GET /?q" in caplog.text

    async def test_what_cannot_be_sent(self) -> None:
        errors: list[BaseException] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await send(START)
            except ApplicationError as error:
                errors.append(error)
            carried.carrier.invalid = ""
            await send(START)
            await send(BODY)

        carried = Carried(app)
        carried.carrier.invalid = "it is wrong"
        calls = await carried.begin()
        assert [str(error) for error in errors] == ["http.response.start: it is wrong"]
        assert calls[-1] == ("done",)

    async def test_a_client_that_seems_to_have_gone(self) -> None:
        messages: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            messages.append(await receive())
            messages.append(await receive())

        carried = Carried(app)
        exchange = carried.exchange
        await carried.begin()
        await carried.run(exchange.alone, False)
        assert not messages  # some of the body may still be read
        exchange.feed(b"a")
        exchange.end([])
        await carried.run(exchange.tell, True)
        await carried.run(exchange.alone, False)
        assert messages[1] == DISCONNECT
        # It was told, and has nobody to answer.
        assert carried.carrier.calls[-1] == ("cancel",)

    async def test_who_does_not_listen_is_cancelled_in_the_name_of_its_client(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.Event().wait()

        carried = Carried(app, http_cancel_after=0.01)
        await carried.begin()
        (task,) = carried.runtime.tasks
        carried.exchange.disconnect(False)
        with caplog.at_level(logging.INFO, "asgiws.error"):
            await asyncio.wait([task], timeout=10)
        assert task.cancelled()
        assert "client - application cancelled" in caplog.text
        assert carried.carrier.calls == [("left", carried.exchange)]
