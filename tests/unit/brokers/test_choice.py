"""Whether topics go through a broker, and what that means for a process without workers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from asgiws.brokers.choice import is_broker, is_needed_early, maker
from asgiws.brokers.hub import BrokerHub
from asgiws.config import Config
from asgiws.services.topics import Topics


@pytest.mark.parametrize(
    ("pubsub", "expected"),
    [("host", False), ("off", False), ("redis://a", True), ("nats://a", True), ("unix:///a", True)],
)
def test_whether_there_is_a_broker(pubsub: str, expected: bool) -> None:
    assert is_broker(Config("main:app", pubsub=pubsub)) is expected


@pytest.mark.parametrize(
    ("options", "has_broker", "is_early"),
    [
        ({}, False, False),
        ({"pubsub_readiness": True}, False, True),
        ({"pubsub": "nats://a"}, True, True),
    ],
)
async def test_a_process_without_workers(
    options: dict[str, Any], has_broker: bool, is_early: bool
) -> None:
    config = Config("main:app", **options)
    make = maker(config)
    assert is_needed_early(config) is is_early
    if make is None:
        assert not has_broker
    else:
        hub = make(Topics(config, asyncio.get_running_loop()))
        assert isinstance(hub, BrokerHub)
        hub.close()


def test_a_server_without_one_loads_nothing_for_it() -> None:
    program = """
import sys, asgiws.cli, asgiws.server.server
print([name for name in sys.modules if name.startswith("asgiws.brokers.")])
"""
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert loaded == "['asgiws.brokers.choice']\n"
