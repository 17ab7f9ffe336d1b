"""asgiws/net/loop_io.py: what the connections of one worker use in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiws.net.loop_io import READ_SIZE, LoopIO


def test_its_view_is_of_its_buffer() -> None:
    one = LoopIO(lambda callback: None)
    one.read_view[:5] = b"hello"
    assert bytes(one.read_buffer[:5]) == b"hello"
    assert len(one.read_view) == len(one.read_buffer) == READ_SIZE


def test_its_outbox_is_told_when_the_loop_has_turned() -> None:
    scheduled: list[Callable[[], Any]] = []
    one = LoopIO(scheduled.append)
    first = one.outbox.number
    assert scheduled == []
    one.outbox.wrote()
    scheduled.pop()()
    assert one.outbox.number != first


def test_two_workers_have_nothing_in_common() -> None:
    one, other = LoopIO(lambda callback: None), LoopIO(lambda callback: None)
    assert one.gathering is not other.gathering
    assert one.outbox is not other.outbox
    assert one.read_buffer is not other.read_buffer
