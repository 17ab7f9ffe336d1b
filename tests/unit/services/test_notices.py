"""asgiws/services/notices.py: log lines that a flood cannot multiply."""

from __future__ import annotations

import asyncio
import contextvars
import logging

import pytest

from asgiws.services import notices
from asgiws.services.notices import Notices


async def test_the_first_is_told_at_once_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "QUIET", 0.05)
    one = Notices(asyncio.get_running_loop())
    for number in range(5):
        one.tell("limit_x", f"192.0.2.{number}", "refused")
    one.tell("limit_y", "192.0.2.9", "refused")
    assert caplog.messages == ["192.0.2.0 - refused (limit_x)", "192.0.2.9 - refused (limit_y)"]
    caplog.clear()
    while not caplog.messages:
        await asyncio.sleep(0.01)
    assert caplog.messages == ["4 more within 0.05 seconds (limit_x)"]
    caplog.clear()
    await asyncio.sleep(0.1)
    one.tell("limit_x", "192.0.2.7", "refused")
    assert caplog.messages == ["192.0.2.7 - refused (limit_x)"]


async def test_the_first_few_may_be_told_each(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "QUIET", 0.05)
    one = Notices(asyncio.get_running_loop())
    for number in range(5):
        one.tell("x", f"192.0.2.{number}", "failed", lines=3)
    for number in range(2):
        one.tell("y", f"192.0.2.{number}", "failed", lines=3)
    assert caplog.messages == [
        *(f"192.0.2.{number} - failed (x)" for number in range(3)),
        *(f"192.0.2.{number} - failed (y)" for number in range(2)),
    ]
    caplog.clear()
    await asyncio.sleep(0.2)
    assert caplog.messages == ["2 more within 0.05 seconds (x)"]


async def test_the_count_is_told_in_the_context_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notices, "QUIET", 0.05)
    one = Notices(asyncio.get_running_loop())
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    class Looks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(variable.get())

    def application() -> None:
        variable.set("an application's")
        for _ in range(2):
            one.tell("limit_x", "192.0.2.1", "refused")

    handler = Looks()
    logger = logging.getLogger("asgiws.error")
    logger.addHandler(handler)
    try:
        contextvars.copy_context().run(application)
        while len(seen) < 2:
            await asyncio.sleep(0.01)
    finally:
        logger.removeHandler(handler)
    assert seen == ["an application's", "unset"]
