"""What the connections of a worker share: tasks, and whose exceptions are whose."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar
from typing import Any, cast

import pytest

from asgiws.asgi.errors import ProcessEnds
from asgiws.config import Config
from asgiws.services.runtime import CompressionMissing, Runtime, compression
from asgiws.websocket import zlib_backend
from asgiws.websocket.compression import Settings
from tests.support.jobs import CoroutineJob
from tests.support.loops import on_each_loop

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="the server's")


def make_runtime() -> Runtime:
    return Runtime(cast(Any, None), Config("main:app"), asyncio.get_running_loop(), None)


@on_each_loop
async def test_a_task_does_not_inherit_the_context_of_the_request_before() -> None:
    runtime = make_runtime()
    seen: list[str] = []

    async def second() -> None:
        seen.append(VARIABLE.get())

    async def first() -> None:
        VARIABLE.set("the first request's")
        runtime.spawn(CoroutineJob(second()), True)

    task = runtime.spawn(CoroutineJob(first()), True)
    assert task is not None
    await task
    await asyncio.gather(*runtime.tasks)
    assert seen == ["the server's"]


@on_each_loop
async def test_tasks_are_held_until_they_end() -> None:
    runtime = make_runtime()
    task = runtime.spawn(CoroutineJob(asyncio.sleep(0)), True)
    assert runtime.tasks == {task}
    await task
    await asyncio.sleep(0)
    assert not runtime.tasks


@on_each_loop
async def test_what_an_application_did_not_raise() -> None:
    runtime = make_runtime()
    for error in (KeyboardInterrupt(), GeneratorExit(), ProcessEnds(3)):
        assert runtime.is_passing(error)
    for error in (SystemExit(3), ValueError(), asyncio.CancelledError()):  # type: ignore[assignment]
        assert not runtime.is_passing(error)
    runtime.cutting_off = True
    assert runtime.is_passing(asyncio.CancelledError())


@on_each_loop
async def test_whose_cancellation_it_was() -> None:
    runtime = make_runtime()
    passing: list[bool] = []

    async def app() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            passing.append(runtime.is_passing(error))

    for runtime.cutting_off in (True, False):
        task = runtime.spawn(CoroutineJob(app()), True)
        assert task is not None
        await asyncio.sleep(0)
        task.cancel()
        await task
    # The server's own is known everywhere; somebody else's only where a task can tell.
    assert passing == [True, sys.version_info >= (3, 11)]


def test_the_options_arrive_in_the_compression() -> None:
    made = compression(
        Config(
            "main:app",
            ws_deflate_level=9,
            ws_deflate_window_bits=15,
            ws_deflate_client_window_bits=10,
            ws_deflate_memory_level=8,
            ws_deflate_min_size=1000,
            ws_deflate_memory="1GiB",  # type: ignore[arg-type]
            ws_deflate_backend="zlib",
        )
    )
    assert made is not None
    assert made.settings == Settings(9, 15, 10, 8, False, False, 1000, 1 << 30)
    assert made.backend is zlib_backend.ZLIB


@pytest.mark.parametrize(
    ("takeover", "server", "client"),
    [
        ("none", False, False),
        ("server", True, False),
        ("client", False, True),
        ("both", True, True),
    ],
)
def test_who_compresses_without_context(takeover: str, server: bool, client: bool) -> None:
    made = compression(Config("main:app", ws_deflate_no_context_takeover=takeover))
    assert made is not None
    assert made.settings.server_no_context_takeover is server
    assert made.settings.client_no_context_takeover is client


def test_the_defaults_of_the_settings_are_those_of_the_options() -> None:
    made = compression(Config("main:app"))
    assert made is not None
    assert made.settings == Settings()


def test_no_compression_is_made_where_none_is_wanted() -> None:
    assert compression(Config("main:app", ws_per_message_deflate=False)) is None


def test_a_library_that_is_not_there_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zlib_ng", None)
    monkeypatch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
    with pytest.raises(CompressionMissing) as caught:
        compression(Config("main:app", ws_deflate_backend="zlib-ng"))
    assert str(caught.value) == (
        "--ws-deflate-backend: zlib-ng is not installed: pip install 'asgiws[deflate]'"
    )
    made = compression(Config("main:app"))
    assert made is not None
    assert made.backend is zlib_backend.ZLIB
