"""Which servers run in this process (asgiws/services/present.py)."""

from __future__ import annotations

import asyncio
import os

import pytest

from asgiws.config import Config
from asgiws.services import present
from asgiws.services.topics import Topics


def test_there_is_none_without_a_server() -> None:
    assert present.find() is None


async def test_a_server_is_found_until_it_has_left() -> None:
    loop = asyncio.get_running_loop()
    topics = Topics(Config(app="unused:app"), loop)
    leave = present.enter(loop, topics)
    found = present.find()
    assert found is not None
    assert (found.loop, found.topics) == (loop, topics)
    assert await asyncio.to_thread(present.find) == found
    leave()
    assert present.find() is None


async def test_the_one_of_the_running_loop_comes_first() -> None:
    other = asyncio.new_event_loop()
    leaves = [present.enter(asyncio.get_running_loop(), None), present.enter(other, None)]
    try:
        here = present.find()
        elsewhere = await asyncio.to_thread(present.find)
        assert here is not None
        assert elsewhere is not None
        assert here.loop is asyncio.get_running_loop()
        assert elsewhere.loop is other  # the last one
    finally:
        for leave in leaves:
            leave()
        other.close()


async def test_a_fork_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = present.enter(asyncio.get_running_loop(), None)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert present.find() is None
    leave()
