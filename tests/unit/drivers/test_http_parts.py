"""asgiws/drivers/http_parts.py: what the options say, and how a refusal is logged."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.drivers.http_parts import HTTPParts
from asgiws.http.errors import BadRequest, ContentTooLarge
from asgiws.services.runtime import Runtime


async def runtime_of(**options: Any) -> Runtime:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody is called")

    return Runtime(app, Config(app, **options), asyncio.get_running_loop(), None)


async def test_it_has_what_the_options_say() -> None:
    found = HTTPParts(
        await runtime_of(
            access_log=False,
            http_cancel_after=1.0,
            limit_request_body=None,
            timeout_keep_alive=7.0,
            timeout_request_body=8.0,
        )
    )
    assert not found.access_log
    assert found.cancels
    assert found.limits.request_body == -1
    assert (found.timeout_keep_alive, found.timeout_upload) == (7.0, 8.0)


async def test_a_limit_is_a_warning_and_a_malformed_request_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = HTTPParts(await runtime_of())
    with caplog.at_level(logging.INFO, "asgiws.error"):
        found.tell("a:1", ContentTooLarge("too large", "limit_request_body"))
        found.tell("b:2", BadRequest("no"))
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.WARNING, logging.INFO]
    first, second = (record.getMessage() for record in caplog.records)
    assert "a:1" in first
    assert "request refused: 413, too large (limit_request_body)" in first
    assert "b:2" in second
    assert "request refused: 400, no" in second
