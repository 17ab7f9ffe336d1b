"""The lifespan protocol, told from the server's side."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgiws.asgi import lifespan as module
from asgiws.asgi.lifespan import Lifespan, StartupFailed

App = Any


def script(*steps: Any, after: Any = None) -> App:
    """An application that receives, then sends the next step, and so on; an exception is raised."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        app.scopes.append(scope)
        for step in steps:
            app.got.append(await receive())
            if isinstance(step, BaseException):
                raise step
            await send({"type": step} if isinstance(step, str) else step)
        if after is not None:
            raise after
        app.ended = True

    app.scopes = []
    app.got = []
    app.ended = False
    return app


UP = "lifespan.startup.complete"
DOWN = "lifespan.shutdown.complete"


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_start_and_stop(mode: str) -> None:
    app = script(UP, DOWN)
    lifespan = Lifespan(app, mode)
    await lifespan.startup()
    assert app.got == [{"type": "lifespan.startup"}]
    await lifespan.shutdown(5)
    assert app.got == [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    assert app.ended


async def test_the_scope_is_that_of_the_specification() -> None:
    app = script(UP, DOWN)
    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    assert app.scopes == [
        {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": {},
            "extensions": {
                "lifespan.drain": {},
                "asgiws.drain": {"version": "1.0", "event": lifespan.draining},
            },
        }
    ]
    await lifespan.shutdown(5)


async def test_the_state_is_what_the_application_has_put_there() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["state"]["pool"] = "p"
        await send({"type": UP})
        await receive()
        await send({"type": DOWN})

    lifespan = Lifespan(app, "auto")
    assert lifespan.state is None
    await lifespan.startup()
    assert lifespan.state == {"pool": "p"}
    await lifespan.shutdown(5)


async def test_off_does_not_call_the_application() -> None:
    app = script(UP)
    lifespan = Lifespan(app, "off")
    await lifespan.startup()
    await lifespan.shutdown(5)
    lifespan.cancel()
    assert app.scopes == []
    assert lifespan.state is None


@pytest.mark.parametrize(
    "app", [script(ValueError("unknown scope")), script()], ids=["raises", "returns"]
)
async def test_auto_takes_silence_for_no_support(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    lifespan = Lifespan(app, "auto")
    with caplog.at_level(logging.INFO, "asgiws.error"):
        await lifespan.startup()
        await lifespan.shutdown(5)
    assert lifespan.state is None
    assert [record.levelno for record in caplog.records] == [logging.INFO]
    assert "does not support lifespan" in caplog.text
    assert "Traceback" not in caplog.text


async def test_the_traceback_behind_no_support_is_there_to_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "asgiws.error"):
        await Lifespan(script(ValueError("a\nb")), "auto").startup()
        await Lifespan(script(ValueError()), "auto").startup()
    assert "(ValueError: a)" in caplog.text
    assert "(ValueError)" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    ("app", "logged"),
    [
        (script(ValueError("broken")), "ValueError: broken"),
        (script(), "returned from its lifespan without answering"),
    ],
)
async def test_on_insists(app: App, logged: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(StartupFailed, match=r"^the application failed to start$"):
        await Lifespan(app, "on").startup()
    assert logged in caplog.text
    assert StartupFailed.exit_code == 3


async def test_on_takes_a_cancellation_of_its_own_for_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(StartupFailed):
        await Lifespan(script(asyncio.CancelledError("its own")), "on").startup()
    assert "CancelledError: its own" in caplog.text


async def test_auto_takes_a_cancellation_of_its_own_for_no_support(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "asgiws.error"):
        await Lifespan(script(asyncio.CancelledError()), "auto").startup()
    assert "does not support lifespan (CancelledError)" in caplog.text


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_an_exit_in_the_start_is_a_failed_start(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StartupFailed):
        await Lifespan(script(SystemExit(7)), mode).startup()
    assert "Traceback" in caplog.text
    assert "SystemExit: 7" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(7), asyncio.CancelledError()])
async def test_an_exit_in_the_stop_is_logged(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    lifespan = Lifespan(script(UP, error), "on")
    await lifespan.startup()
    await lifespan.shutdown(5)
    assert "Exception in the application's lifespan" in caplog.text
    assert type(error).__name__ in caplog.text


async def test_our_cancellation_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    lifespan = Lifespan(script(UP, DOWN), "on")
    await lifespan.startup()
    await asyncio.sleep(0)
    lifespan.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert lifespan._task is not None
    assert lifespan._task.cancelled()
    assert not caplog.records


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_a_start_that_failed_is_told_with_the_reason(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    failed = {"type": "lifespan.startup.failed", "message": "no database"}
    app = script(failed, after=RuntimeError("the same again"))
    with pytest.raises(StartupFailed):
        await Lifespan(app, mode).startup()
    assert "The application failed to start: no database" in caplog.text
    assert "the same again" not in caplog.text


async def test_a_start_that_failed_without_a_reason_shows_what_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = script("lifespan.startup.failed", after=RuntimeError("the reason"))
    with pytest.raises(StartupFailed):
        await Lifespan(app, "auto").startup()
    assert "RuntimeError: the reason" in caplog.text


async def test_a_start_that_failed_ends_though_the_application_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FAREWELL", 0.01)
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed"})
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(StartupFailed):
        await Lifespan(app, "auto").startup()
    assert ended == [True]


async def test_a_stop_that_failed_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    failed = {"type": "lifespan.shutdown.failed", "message": "still dirty"}
    lifespan = Lifespan(script(UP, failed, after=RuntimeError("again")), "on")
    await lifespan.startup()
    await lifespan.shutdown(5)
    assert "The application failed to stop: still dirty" in caplog.text
    assert "again" not in caplog.text


async def test_an_exception_in_the_stop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    lifespan = Lifespan(script(UP, RuntimeError("in the stop")), "auto")
    await lifespan.startup()
    await lifespan.shutdown(5)
    assert "RuntimeError: in the stop" in caplog.text


async def test_an_application_that_hangs_in_the_stop_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": UP})
        await receive()
        try:
            await receive()  # there is no third message
        finally:
            ended.append(True)

    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    await lifespan.shutdown(0.01)
    assert ended == [True]
    assert "did not end its lifespan within 0.01 s" in caplog.text


async def test_an_application_that_ignores_cancellation_does_not_hold_the_stop() -> None:
    release = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": UP})
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:  # noqa: PERF203
                pass

    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    await asyncio.wait_for(lifespan.shutdown(0.01), 10)
    release.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize("error", [None, RuntimeError("on its way")])
async def test_an_application_that_ends_early_needs_no_stop(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    app = script(UP, after=error)
    lifespan = Lifespan(app, "auto")
    with caplog.at_level(logging.DEBUG, "asgiws.error"):
        await lifespan.startup()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await lifespan.shutdown(5)
    assert app.got == [{"type": "lifespan.startup"}]
    assert ("RuntimeError: on its way" in caplog.text) is (error is not None)


async def test_a_cancelled_start_ends_the_application() -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.create_task(Lifespan(app, "on").startup())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert ended == [True]


@pytest.mark.parametrize(
    ("sends", "text"),
    [
        ([DOWN], "The lifespan is starting: expected 'lifespan.startup.complete' or "),
        (["http.response.start"], "The lifespan is starting: .* but got 'http.response.start'"),
        ([UP, UP], "The lifespan is running: expected no message"),
        ([{}], "but got None"),
    ],
)
async def test_a_message_out_of_order_is_told(sends: list[Any], text: str) -> None:
    caught: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            for message in sends:
                await send({"type": message} if isinstance(message, str) else message)
        except RuntimeError as error:
            caught.append(error)
        await asyncio.sleep(0)

    lifespan = Lifespan(app, "auto")
    await lifespan.startup()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match=text):
        raise caught[0]


async def test_a_second_answer_to_the_stop_is_refused() -> None:
    caught: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": UP})
        await receive()
        await receive()
        await send({"type": DOWN})
        try:
            await send({"type": DOWN})
        except RuntimeError as error:
            caught.append(error)

    lifespan = Lifespan(app, "auto")
    await lifespan.startup()
    await lifespan.shutdown(5)
    assert "The lifespan is stopping" in str(caught[0])


# What an application says and raises while it dies.


def dying(when: str, says: str | None, how: str = "except") -> App:
    """As frameworks do it: what fails is told, and raised again."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await receive()
            if when == "start":
                raise LookupError("own fault")
            await send({"type": UP})
            if when == "run":
                raise LookupError("own fault")
            if when == "cancel":
                await asyncio.Event().wait()
            await receive()
            raise LookupError("own fault")
        except BaseException:
            if says is not None and how == "except":
                await send({"type": says, "message": "own words" if "failed" in says else ""})
            raise
        finally:
            if says is not None and how == "finally":
                await send({"type": says})

    return app


SAYS = [None, DOWN, "lifespan.shutdown.failed", "lifespan.startup.failed", "http.response.start"]


@pytest.mark.parametrize("how", ["except", "finally"])
@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("when", ["start", "run", "stop"])
async def test_what_is_logged_of_a_dying_application_is_its_own(
    when: str, says: str | None, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    lifespan = Lifespan(dying(when, says, how), "on")
    if when == "start":
        with pytest.raises(StartupFailed):
            await lifespan.startup()
    else:
        await lifespan.startup()
        if when == "run":
            await asyncio.sleep(0.01)
            assert lifespan.is_over()
        await lifespan.shutdown(5)
    assert lifespan.is_over()
    text = caplog.text.rstrip()
    assert text.endswith(("LookupError: own fault", "own words"))
    assert "ApplicationError" not in text
    assert "During handling" not in text


@pytest.mark.parametrize("how", ["except", "finally"])
@pytest.mark.parametrize("says", SAYS)
async def test_what_an_application_says_when_it_is_cancelled_is_no_fault(
    says: str | None, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    lifespan = Lifespan(dying("cancel", says, how), "on")
    await lifespan.startup()
    await asyncio.sleep(0.01)
    lifespan.cancel()
    await lifespan.shutdown(5)
    assert lifespan.is_over()
    assert not caplog.records


async def test_a_complaint_of_ours_that_an_application_does_not_catch_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lifespan = Lifespan(script(UP, UP), "on")
    await lifespan.startup()
    await lifespan.shutdown(5)
    assert "ApplicationError: The lifespan is stopping" in caplog.text


async def test_the_end_of_an_application_is_cut_off_by_nobody_but_its_time() -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": UP})
        try:
            await receive()
        finally:
            await asyncio.sleep(0.05)
            ended.append("clean")

    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    await asyncio.sleep(0)
    lifespan.cancel()
    await asyncio.sleep(0.01)
    lifespan.cancel()
    stopping = asyncio.create_task(lifespan.shutdown(5))
    await asyncio.sleep(0.01)
    stopping.cancel()
    await asyncio.wait([stopping])
    await lifespan.shutdown(5)
    assert ended == ["clean"]


# The drain.

DRAINED = "lifespan.drain.complete"
UP_AND_TOLD = {"type": UP, "drain": True}


async def test_who_asks_for_it_is_told_of_the_drain() -> None:
    app = script(UP_AND_TOLD, DRAINED, DOWN)
    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    assert not lifespan.draining.is_set()
    await lifespan.drain(2.5, 1001, "moving", 30)
    assert lifespan.draining.is_set()
    assert app.got[-1] == {
        "type": "lifespan.drain",
        "window": 2.5,
        "code": 1001,
        "reason": "moving",
    }
    await lifespan.shutdown(30)
    assert app.got[-1] == {"type": "lifespan.shutdown"}
    assert app.ended


@pytest.mark.parametrize("mode", ["on", "off"])
async def test_who_does_not_ask_finds_it_in_the_scope(mode: str) -> None:
    app = script(UP, DOWN)
    lifespan = Lifespan(app, mode)
    await lifespan.startup()
    await lifespan.drain(2.5, 1001, "moving", 30)
    assert lifespan.draining.is_set()
    await lifespan.shutdown(30)
    assert {"type": "lifespan.drain"} not in app.got
    assert len(app.got) == (2 if mode == "on" else 0)


async def test_an_answer_to_the_drain_is_waited_for_and_not_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = asyncio.Event()
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append((await receive())["type"])
        await send(UP_AND_TOLD)
        got.append((await receive())["type"])
        await release.wait()
        await send({"type": DRAINED})  # too late, which is no fault
        got.append((await receive())["type"])
        await send({"type": DOWN})

    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    await lifespan.drain(1.0, 1012, "", 0.01)
    assert "did not answer lifespan.drain within 0.01 s" in caplog.text
    release.set()
    await lifespan.shutdown(30)
    assert got == ["lifespan.startup", "lifespan.drain", "lifespan.shutdown"]
    assert "Exception" not in caplog.text


async def test_an_application_that_raises_at_the_drain_is_not_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = script(UP_AND_TOLD, ValueError("broken"))
    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    await lifespan.drain(1.0, 1012, "", 3600)
    assert "ValueError: broken" in caplog.text
    await lifespan.shutdown(3600)


async def test_an_answer_to_no_drain_is_a_mistake() -> None:
    lifespan = Lifespan(script(UP, DOWN), "on")
    await lifespan.startup()
    with pytest.raises(module.ApplicationError, match="lifespan is running"):
        await lifespan._send({"type": DRAINED})
    await lifespan.shutdown(30)
