"""`asgiws/drivers/reading.py`: octets in, an inbox filled, with a client in memory and no application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgiws.common import octets
from asgiws.config import Config
from asgiws.drivers.inbox import Inbox
from asgiws.drivers.journal import Journal
from asgiws.drivers.reading import HELD_BACK, LAST_ROOM, TURN_EVENTS, Reading
from asgiws.services.runtime import Runtime
from asgiws.websocket.connection import WebSocketConnection
from asgiws.websocket.keepalive import KeepAlive, Times
from asgiws.websocket.states import Trigger
from tests.support.memory_outlet import MemoryOutlet, RecordingDriver
from tests.support.wire import PING, PONG, TEXT, client_frame, close_frame, server_frames

HIGH = 4096
PONG_FRAME = 0x8A


class Line:
    """A connection and what reads from it."""

    def __init__(self, accepted: bool = True) -> None:
        loop = asyncio.get_running_loop()
        config = Config("main:app")
        runtime = Runtime(lambda *_: None, config, loop, None)  # type: ignore[arg-type, return-value]
        scope: dict[str, Any] = {"client": None, "raw_path": b"/", "query_string": b""}
        self.outlet = MemoryOutlet(RecordingDriver())
        self.inbox = Inbox(loop, HIGH, HIGH // 4)
        self.ws = WebSocketConnection()
        self.reading = Reading(self.ws, self.inbox, runtime.turn, Journal(runtime, scope))
        self.reading.begin(self.outlet)
        if accepted:
            self.accept()

    def accept(self) -> None:
        self.ws.open(1 << 20, None)
        self.ws.apply(Trigger.ACCEPT)
        self.reading.accepted(KeepAlive(Times(interval=20.0, timeout=5.0), 0.0, 0.0))

    def feed(self, *frames: bytes) -> None:
        """One read, in a buffer that is overwritten afterwards."""
        data = bytearray(b"<" + b"".join(frames) + b">")
        self.reading.receive(data, 1, len(data) - 1)
        data[:] = b"?" * len(data)

    def take(self) -> list[Any]:
        """All that waits, received."""
        found = []
        while not self.inbox.is_empty():
            found.append(self.inbox.take())
            self.inbox.received(octets.memory(found[-1]))
        return found

    def pongs(self) -> list[bytes]:
        frames = server_frames(self.outlet.take())
        assert {first for first, _ in frames} <= {PONG_FRAME}
        return [payload for _, payload in frames]


def text(payload: str) -> bytes:
    return client_frame(TEXT, payload.encode())


async def test_messages_wait_in_the_inbox() -> None:
    line = Line()
    line.feed(text("one"), client_frame(PING, b"p"), text("two")[:3])
    assert line.reading.keepalive is not None
    assert line.reading.keepalive.heard
    assert line.reading.keepalive.active
    line.feed(text("two")[3:])
    assert line.take() == ["one", "two"]
    assert line.pongs() == [b"p"]
    assert line.reading.kept is None
    assert line.reading.held() == 0


async def test_what_comes_before_the_accept_is_held_back() -> None:
    line = Line(accepted=False)
    line.feed(text("one"))
    line.feed(text("x" * HELD_BACK))
    assert line.take() == []
    assert not line.outlet.reading
    assert line.reading.held() > HELD_BACK
    line.accept()
    assert line.take()[0] == "one"


async def test_a_turn_takes_so_many_and_goes_on() -> None:
    line = Line()
    line.feed(*[text("x")] * (TURN_EVENTS + 10))
    assert len(line.take()) == TURN_EVENTS
    assert line.reading.kept is not None
    line.reading.proceed()
    assert len(line.take()) == 10
    assert line.reading.kept is None


async def test_a_full_inbox_stops_a_read_and_not_the_control_frames() -> None:
    line = Line()
    big = "x" * HIGH
    line.feed(text(big), text("kept"), client_frame(PING, b"early"))
    assert line.reading.is_full()
    assert line.pongs() == [b"early"]
    line.feed(client_frame(PING, b"later"), text("too"))
    assert line.pongs() == [b"later"]
    assert line.outlet.reading
    line.feed(text("y" * HIGH))
    assert not line.outlet.reading  # that is more than is looked ahead for
    assert line.take() == [big]
    line.reading.proceed()
    assert line.take() == ["kept", "too", "y" * HIGH]
    assert line.pongs() == []  # each is answered once
    assert line.reading.kept is None


async def test_a_close_frame_behind_a_full_inbox_is_the_end_of_all() -> None:
    line = Line()
    line.feed(text("x" * HIGH), text("kept"))
    assert line.reading.client_end is None
    line.feed(close_frame(1000), text("never looked at"))
    assert line.reading.client_end is not None
    assert line.reading.client_end.code == 1000
    assert line.take() == ["x" * HIGH, "kept"]


@pytest.mark.parametrize("fits", [True, False])
async def test_the_end_of_the_clients_side(fits: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    line = Line()
    count = LAST_ROOM - 1 if fits else 3 * LAST_ROOM
    line.feed(*[text("x" * HIGH)] * (count + 1))
    line.reading.take_last()
    taken = line.take()
    assert line.reading.kept is None
    assert (len(taken) == count + 1) == fits
    assert ("messages dropped" in caplog.text) != fits


async def test_after_the_end_of_its_side_no_more_is_kept_than_there_is_room_for() -> None:
    line = Line()
    line.feed(text("x" * HIGH), text("kept"))
    line.outlet.hung_up = True
    line.feed(text("y" * HIGH))
    assert line.outlet.reading
    assert not line.reading.overran
    line.feed(text("z" * (LAST_ROOM * HIGH)))
    assert line.reading.overran
    assert line.reading.kept is None


async def test_a_ping_is_answered_when_the_peer_reads_again() -> None:
    line = Line()
    line.outlet.pause_writing()
    line.feed(client_frame(PING, b"first"), client_frame(PING, b"latest"))
    assert line.pongs() == []
    line.outlet.write_paused = False
    line.reading.writable()
    assert line.pongs() == [b"latest"]  # 5.5.3: the most recent one only
    line.reading.writable()
    assert line.pongs() == []


async def test_a_pong_moves_the_next_look() -> None:
    line = Line()
    clocks = line.reading.keepalive
    assert clocks is not None
    clocks.check(20.0, True, lambda: False)
    line.feed(client_frame(PONG, b"unsolicited"))
    assert line.outlet.check_times == []
    line.feed(client_frame(PONG, clocks.payload()))
    assert line.outlet.check_times == [clocks.next_look()]


async def test_nothing_is_put_into_an_inbox_that_nobody_reads() -> None:
    line = Line()
    line.inbox.is_closed = True
    line.feed(text("late"), client_frame(PING, b"p"), close_frame(1001))
    assert line.take() == []
    assert line.pongs() == [b"p"]
    assert line.reading.client_end is not None


async def test_what_breaks_the_protocol_is_noted_with_its_limit() -> None:
    line = Line()
    line.feed(text("fine"), client_frame(TEXT, b"x" * ((1 << 20) + 1)))
    assert line.take() == ["fine"]
    end = line.reading.client_end
    assert end is not None
    assert (end.code, end.failed, end.limit) == (1009, True, "ws_max_size")
