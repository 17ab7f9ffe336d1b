"""`asgiws/drivers/journal.py`: what the log says of one WebSocket."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.drivers.journal import Journal
from asgiws.services.runtime import Runtime
from asgiws.websocket.connection import WebSocketConnection
from asgiws.websocket.states import Trigger


def journal(client: Any = ("192.0.2.1", 4321), query: bytes = b"", **options: Any) -> Journal:
    scope = {"client": client, "raw_path": b"/a%20b", "query_string": query}
    config = Config("main:app", **options)
    runtime = Runtime(lambda *_: None, config, asyncio.get_running_loop(), None)  # type: ignore[arg-type, return-value]
    return Journal(runtime, scope)


def ended(*triggers: Trigger, code: int = 1009, reason: str = "too big") -> WebSocketConnection:
    ws = WebSocketConnection()
    ws.open(1 << 20, None)
    for trigger in triggers:
        ws.apply(trigger, code, reason)
    return ws


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG)
    return lambda: [
        (record.name, record.levelname, record.getMessage()) for record in caplog.records
    ]


async def test_names() -> None:
    assert (journal().client(), journal().path()) == ("192.0.2.1:4321", "/a%20b")
    assert journal(query=b"x=%C3%A9").path() == "/a%20b?x=%C3%A9"
    assert journal(client=None).client() == "-"


async def test_the_access_log(lines: Any) -> None:
    one = journal(query=b"q")
    one.handshake(101)
    one.end(ended(Trigger.ACCEPT, Trigger.CLOSE_FRAME, code=1000), "")
    assert lines() == [
        ("asgiws.access", "INFO", '192.0.2.1:4321 - "WebSocket /a%20b?q" 101'),
        ("asgiws.access", "INFO", '192.0.2.1:4321 - "WebSocket /a%20b?q" closed 1000'),
    ]


@pytest.mark.parametrize(("limit", "told"), [("ws_max_size", 1), ("", 1), (None, 0)])
async def test_a_failure_is_told_once(lines: Any, limit: str | None, told: int) -> None:
    one = journal(access_log=False)
    one.end(ended(Trigger.ACCEPT, Trigger.FAILURE), limit)
    found = lines()
    assert len(found) == told
    for name, level, text in found:
        assert (name, level) == ("asgiws.error", "INFO")
        assert "192.0.2.1:4321" in text
        assert "WebSocket failed with 1009: too big" in text


async def test_notices_are_counted(lines: Any) -> None:
    one = journal()
    for _ in range(3):
        one.notice("ws_max_outbound", "slow consumer: of a kind")
    assert [level for _, level, _ in lines()] == ["WARNING"]


async def test_the_other_lines(lines: Any) -> None:
    one = journal()
    one.dropped()
    one.unanswered()
    one.late()
    (_, first, dropped), (_, second, unanswered), (_, third, late) = lines()
    assert (first, second, third) == ("INFO", "ERROR", "WARNING")
    assert '"WebSocket /a%20b": the application did not answer in time' in late
    assert "ws_handshake_timeout" in late
    assert dropped.startswith("192.0.2.1:4321 - messages dropped")
    assert unanswered.endswith("the WebSocket handshake of /a%20b")
