"""asgiws/drivers/file_response.py: files as pieces of a response."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.drivers import files
from asgiws.drivers.file_response import FileResponse
from tests.support.memory_carrier import MemoryCarrier
from tests.support.served_http import (
    BODY,
    GET,
    HEAD,
    OK,
    START,
    Recorder,
    Served,
    settle,
)


def pathsend_of(path: Path | str) -> Any:
    return {"type": "http.response.pathsend", "path": str(path)}


class TestPart:
    async def test_zerocopysend(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        with path.open("rb") as file:
            assert file.read(1) == b"0"  # reads ahead
            part = {"type": "http.response.zerocopysend", "file": file, "more_body": True}
            await app.send_all(
                START,
                {**part, "count": 2},
                {**BODY, "more_body": True},
                {**part, "count": 3},
                {**part, "offset": 8},
                {**part, "offset": 2, "count": 1},
                {**part, "file": file.fileno(), "offset": 0, "count": 0},
                {**part, "more_body": False},
            )
            assert file.tell() == 10
        assert not app.errors
        assert served.outlet.take() == (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            b"2\r\n12\r\n2\r\nok\r\n3\r\n345\r\n2\r\n89\r\n1\r\n2\r\n4\r\n6789\r\n0\r\n\r\n"
        )
        await app.send(None)

    async def test_zerocopysend_of_a_descriptor(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        app = Recorder()
        served = Served(app)
        fd = os.open(path, os.O_RDONLY)
        try:
            for _ in range(2):
                await served.exchange(GET)
                await app.send_all(
                    START, {"type": "http.response.zerocopysend", "file": fd, "count": 5}
                )
                break
            assert os.lseek(fd, 0, os.SEEK_CUR) == 5
        finally:
            os.close(fd)
        assert served.outlet.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n01234"
        await app.send(None)

    @pytest.mark.parametrize("trailers", [False, True])
    async def test_zerocopysend_with_a_length_and_trailers(
        self, trailers: bool, tmp_path: Path
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        app = Recorder()
        served = Served(app)
        await served.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
        length = [] if trailers else [(b"content-length", b"4")]
        with path.open("rb") as file:
            part = {"type": "http.response.zerocopysend", "file": file, "count": 2}
            await app.send_all(
                {**START, "headers": length, "trailers": trailers},
                {**part, "more_body": True},
                {**part, "count": 3},
                part,
                *([{"type": "http.response.trailers", "headers": [(b"x", b"y")]}] * trailers),
            )
        if trailers:
            assert not app.errors[1:]
            assert served.outlet.take().endswith(
                b"\r\n\r\n2\r\n01\r\n3\r\n234\r\n0\r\nx: y\r\n\r\n"
            )
        else:
            # What does not fit is refused, and none of it is sent.
            assert [str(error) for error in app.errors] == [
                "http.response.zerocopysend: the body is longer than its Content-Length"
            ]
            assert served.outlet.take().endswith(b"content-length: 4\r\n\r\n0123")
        await app.send(None)

    async def test_zerocopysend_to_head(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        app = Recorder()
        served = Served(app)
        await served.exchange(HEAD)
        with path.open("rb") as file:
            await app.send_all(START, {"type": "http.response.zerocopysend", "file": file})
        assert served.outlet.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
        assert not app.errors
        await app.send(None)

    @pytest.mark.parametrize(
        ("content", "error"),
        [
            ({}, "must be an open file or its descriptor, not NoneType"),
            ({"file": "path"}, "must be an open file or its descriptor, not str"),
            ({"file": -1}, "Bad file descriptor"),
            ({"file": "closed"}, "closed file"),
            ({"file": "memory"}, "fileno"),
            ({"file": "pipe"}, "is not a regular file"),
            ({"file": "open", "offset": -1}, "the 'offset' must be a number of bytes, not -1"),
            ({"file": "open", "count": "1"}, "the 'count' must be a number of bytes, not '1'"),
            ({"file": "open", "count": True}, "the 'count' must be a number of bytes, not True"),
            (
                {"file": "open", "offset": 8, "count": 3},
                "too short: only 2 bytes from there on, not 3",
            ),
            (
                {"file": "open", "offset": 11, "count": 1},
                "too short: only 0 bytes from there on, not 1",
            ),
        ],
    )
    async def test_zerocopysend_of_what_cannot_be_sent(
        self, content: Any, error: str, tmp_path: Path
    ) -> None:
        """Nothing of it is sent, and another message may be."""
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        ends = os.pipe()
        with path.open("rb") as file, path.open("rb") as closed:
            closed.close()
            named = {
                "open": file,
                "closed": closed,
                "memory": io.BytesIO(b"content"),
                "pipe": ends[0],
                "path": "path",
            }
            if content.get("file") in named:
                content = {**content, "file": named[content["file"]]}
            app = Recorder()
            served = Served(app)
            await served.exchange(GET)
            await app.send_all(START, {"type": "http.response.zerocopysend", **content})
            assert error in str(app.errors[0])
            assert type(app.errors[0]) is ApplicationError
            await app.send(BODY, None)
            assert served.outlet.take() == OK
        for end in ends:
            os.close(end)

    async def test_zerocopysend_where_it_is_not_offered(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        app = Recorder()
        served = Served(app)
        served.outlet.has_sendfile = False
        await served.exchange(GET)
        with path.open("rb") as file:
            await app.send_all(START, {"type": "http.response.zerocopysend", "file": file})
        assert "is not offered on this connection" in str(app.errors[0])
        await app.send(BODY, None)
        assert served.outlet.take() == OK

    async def test_zerocopysend_of_a_file_that_shrinks(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            with path.open("rb") as file:
                await send({"type": "http.response.zerocopysend", "file": file})

        served = Served(app)
        original = served.outlet.send_file

        async def send_file(file: BinaryIO, size: int) -> int:
            os.truncate(path, 4)
            return await original(file, size)

        served.outlet.send_file = send_file  # type: ignore[method-assign]
        await served.exchange(GET)
        assert "became shorter while it was sent: 4 bytes of 10" in caplog.text
        assert served.outlet.ended == "close"


class TestPath:
    async def test_pathsend(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send_all(START, pathsend_of(path))
        await app.send(None)
        assert served.outlet.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ncontent"
        assert served.outlet.files == [(str(path), 7)]
        assert served.outlet.opened[0].closed
        assert not app.errors

    async def test_pathsend_behind_a_piece(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send_all(START, {**BODY, "more_body": True}, pathsend_of(path))
        await app.send(None)
        assert served.outlet.take().endswith(b"2\r\nok\r\n7\r\ncontent\r\n0\r\n\r\n")

    async def test_pathsend_of_an_empty_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.touch()
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send_all(START, {**BODY, "more_body": True}, pathsend_of(path))
        await app.send(None)
        assert served.outlet.take().endswith(b"2\r\nok\r\n0\r\n\r\n")
        assert served.outlet.files == []

    async def test_pathsend_to_head(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        app = Recorder()
        served = Served(app)
        await served.exchange(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        await app.send_all(START, pathsend_of(path))
        await app.send(None)
        assert served.outlet.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"
        assert served.outlet.files == []

    async def test_pathsend_of_what_is_no_file(self, tmp_path: Path) -> None:
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send_all(START)
        paths = [tmp_path, tmp_path / "missing", "a\0b"]
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "fifo")
            paths.append(tmp_path / "fifo")
        for path in paths:
            await app.send_all(pathsend_of(path))
        assert [type(error) for error in app.errors] == [ApplicationError] * len(paths)
        assert served.outlet.take() == b""
        await app.send(BODY, None)
        assert served.outlet.take() == OK

    async def test_pathsend_of_what_may_not_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It exists, and its size is known; root may read everything, so it is played."""
        path = tmp_path / "file"
        path.write_bytes(b"content")
        original = os.open

        def refuse(name: Any, *args: Any, **more: Any) -> int:
            if name == str(path):
                raise PermissionError(13, "Permission denied", name)
            return original(name, *args, **more)

        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        monkeypatch.setattr(os, "open", refuse)
        await app.send_all(START, pathsend_of(path))
        assert [type(error) for error in app.errors] == [ApplicationError]
        assert "Permission denied" in str(app.errors[0])
        assert served.outlet.take() == b""
        await app.send(BODY, None)
        assert served.outlet.take() == OK

    async def test_pathsend_of_a_file_that_does_not_fit(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        app = Recorder()
        served = Served(app)
        await served.exchange(GET)
        await app.send_all({**START, "headers": [(b"content-length", b"2")]}, pathsend_of(path))
        assert [type(error) for error in app.errors] == [ApplicationError]
        assert served.outlet.take() == b""
        await app.send(BODY, None)
        assert served.outlet.take() == OK

    async def test_pathsend_that_fails_on_the_way(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        app = Recorder()
        served = Served(app)
        served.outlet.file_error = PermissionError("no")
        await served.exchange(GET)
        await app.send_all(START, pathsend_of(path), BODY)
        await app.send(None)
        assert [str(error) for error in app.errors] == [
            "http.response.pathsend: no",
            "'http.response.body' was sent, but a file is being sent; "
            "nothing is expected until send() returns",
        ]
        assert served.outlet.ended == "close"
        assert served.outlet.opened[0].closed

    async def test_nothing_is_sent_while_the_file_is_opened(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        errors: list[BaseException] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            task = asyncio.create_task(send(pathsend_of(path)))
            await asyncio.sleep(0)
            try:
                await send(BODY)
            except ApplicationError as error:
                errors.append(error)
            await task

        served = Served(app)
        answer = await served.exchange(GET)
        if served.runtime.tasks:
            await asyncio.wait(served.runtime.tasks, timeout=10)
        assert "a file is being sent" in str(errors[0])
        answer += served.outlet.take()
        assert answer.endswith(b"content-length: 7\r\n\r\ncontent")

    async def test_pathsend_of_a_file_that_grows(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        path.write_bytes(b"content")
        app = Recorder()
        served = Served(app)
        original = served.outlet.send_file

        async def send_file(file: BinaryIO, size: int) -> int:
            path.write_bytes(b"content and more")
            return await original(file, size)

        served.outlet.send_file = send_file  # type: ignore[method-assign]
        await served.exchange(GET)
        await app.send_all(START, pathsend_of(path))
        await app.send(None)
        assert not app.errors
        assert served.outlet.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ncontent"
        assert not served.outlet.ended

    async def test_pathsend_of_a_file_that_shrinks(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        app = Recorder()
        served = Served(app)
        original = served.outlet.send_file

        async def send_file(file: BinaryIO, size: int) -> int:
            path.write_bytes(b"con")
            return await original(file, size)

        served.outlet.send_file = send_file  # type: ignore[method-assign]
        await served.exchange(GET)
        await app.send_all(START, pathsend_of(path))
        assert [type(error) for error in app.errors] == [ApplicationError]
        assert "became shorter while it was sent: 3 bytes of 7" in str(app.errors[0])
        await app.send(None)
        assert served.outlet.take().endswith(b"\r\n\r\ncon")
        assert served.outlet.ended == "close"
        assert served.outlet.opened[0].closed

    @pytest.mark.parametrize("how", ["lost", "closing"])
    async def test_pathsend_to_a_peer_that_goes(self, how: str, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        app = Recorder()
        served = Served(app)
        files: list[BinaryIO] = []

        async def send_file(file: BinaryIO, size: int) -> int:
            files.append(file)
            if how == "lost":
                await served.outlet.lose()
            else:
                served.outlet.abort()
            return 0

        served.outlet.send_file = send_file  # type: ignore[method-assign]
        await served.exchange(GET)
        await app.send_all(START, pathsend_of(path))
        assert [type(error) for error in app.errors] == [ClientDisconnected]
        assert files[0].closed
        await app.send(None)

    @pytest.mark.parametrize("how", ["lost", "cancelled", "ended"])
    async def test_what_happens_while_the_file_is_opened(
        self, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        opened: list[BinaryIO] = []
        errors: list[BaseException] = []
        waits = threading.Event()
        original = files._open_file

        def open_file(name: str) -> tuple[BinaryIO, int]:
            assert waits.wait(10)
            opened.append(original(name)[0])
            return opened[0], 7

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            tasks.append(asyncio.create_task(send(pathsend_of(path))))
            await asyncio.sleep(0)
            if how != "ended":
                await asyncio.wait(tasks)
            if how == "cancelled":
                await send(BODY)

        monkeypatch.setattr(files, "_open_file", open_file)
        tasks: list[asyncio.Task[None]] = []
        served = Served(app)
        before = await served.exchange(GET)
        if how == "lost":
            await served.outlet.lose()
        elif how == "cancelled":
            tasks[0].cancel()
            await settle()
        before += served.outlet.take()
        waits.set()
        errors += await asyncio.gather(*tasks, return_exceptions=True)
        while not (opened and opened[0].closed):
            await asyncio.sleep(0.001)
        await settle()
        kinds = {
            "lost": ClientDisconnected,
            "cancelled": asyncio.CancelledError,
            "ended": ApplicationError,
        }
        assert [type(error) for error in errors] == [kinds[how]]
        if how == "ended":
            assert before.startswith(b"HTTP/1.1 500 ")
        elif how == "cancelled":
            assert before == OK  # nothing of the file was sent: there may be another body
        assert b"content-length: 7" not in before + served.outlet.take()
        assert not served.outlet.files


class TestCarrier:
    """What is asked of whoever carries the response, whichever HTTP it speaks."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        return path

    async def test_a_whole_file(self, path: Path) -> None:
        carrier = MemoryCarrier()
        response = FileResponse(carrier, pathsend_of(path), still_there)
        await response.begin()
        assert response.has_begun
        assert not response.more
        assert carrier.calls == [("start file", 7, False)]
        await response.send()
        response.move_on()
        response.close()
        assert carrier.calls[1:] == [("file", b"content"), ("end file", 7, False)]

    async def test_a_part_leaves_the_file_behind_it_once_it_was_sent(self, path: Path) -> None:
        carrier = MemoryCarrier()
        with path.open("rb") as file:
            message = {
                "type": "http.response.zerocopysend",
                "file": file,
                "count": 3,
                "more_body": True,
            }
            response = FileResponse(carrier, message, still_there)
            assert response.more
            await response.begin()
            await response.send()
            assert file.tell() == 0
            response.move_on()
            assert file.tell() == 3
            response.close()
            assert not file.closed  # it is the application's
        assert carrier.calls == [
            ("start file", 3, True),
            ("file", b"con"),
            ("end file", 3, True),
        ]

    async def test_nothing_of_it_where_there_is_no_body(self, path: Path) -> None:
        carrier = MemoryCarrier(has_body=False)
        response = FileResponse(carrier, pathsend_of(path), still_there)
        await response.begin()
        await response.send()
        response.close()
        assert carrier.calls == [("start file", 7, False), ("end file", 7, False)]

    async def test_one_that_cannot_be_announced_has_not_begun(self, path: Path) -> None:
        carrier = MemoryCarrier()
        carrier.invalid = "it is too long"
        response = FileResponse(carrier, pathsend_of(path), still_there)
        with pytest.raises(ApplicationError, match=r"pathsend: it is too long"):
            await response.begin()
        assert not response.has_begun
        response.close()

    async def test_the_end_of_the_response_comes_before_what_is_wrong_with_the_file(
        self, path: Path
    ) -> None:
        carrier = MemoryCarrier()
        gone = FileResponse(carrier, pathsend_of(path.parent), has_gone)
        with pytest.raises(ClientDisconnected):
            await gone.begin()
        assert not gone.has_begun
        carrier.file_error = OSError("broken")
        with path.open("rb") as file:
            message = {"type": "http.response.zerocopysend", "file": file}
            response = FileResponse(carrier, message, has_gone)
            await response.begin()
            with pytest.raises(ClientDisconnected):
                await response.send()
            response = FileResponse(carrier, message, still_there)
            await response.begin()
            with pytest.raises(ApplicationError, match=r"zerocopysend: broken"):
                await response.send()


async def still_there() -> None:
    """The response has not ended meanwhile."""


async def has_gone() -> None:
    raise ClientDisconnected("the client has gone")
