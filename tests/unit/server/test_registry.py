"""The set that tells when it has become empty."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgiws.server.registry import Registry


class Connection:
    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error

    def shutdown(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error


def make() -> tuple[Registry, list[Any]]:
    told: list[Any] = []
    return Registry(asyncio.get_running_loop(), lambda: told.append(True)), told


async def test_it_tells_when_the_last_one_has_gone() -> None:
    registry, told = make()
    registry.add("a")
    registry.add("b")
    registry.discard("a")
    assert told == []
    registry.discard("b")
    assert told == [True]
    registry.add("a")
    registry.add("b")
    registry.remove("a")
    assert told == [True]
    registry.remove("b")
    assert told == [True, True]


async def test_all_are_shut_down_though_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    registry, _ = make()
    connections = [Connection(), Connection(ValueError("stubborn")), Connection()]
    for connection in connections:
        registry.add(connection)
    with caplog.at_level(logging.ERROR, "asgiws.error"):
        registry.shut_down()
    assert [connection.calls for connection in connections] == [1, 1, 1]
    assert "stubborn" in caplog.text


async def test_one_that_comes_while_the_server_stops_is_shut_down_in_a_callback() -> None:
    registry, _ = make()
    registry.shut_down()
    late = Connection()
    registry.add(late)
    assert late.calls == 0
    await asyncio.sleep(0)
    assert late.calls == 1
