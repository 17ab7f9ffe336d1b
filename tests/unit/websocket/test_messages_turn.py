"""Messages take the work of a turn (`common/turn.py`): it is one for all, and small amounts never wait."""

from __future__ import annotations

import os
import zlib
from typing import Any

import pytest

from asgiws.common.turn import INFLATE, INFLATED, SLICE, SMALL, UNITS, Turn
from asgiws.websocket import messages
from asgiws.websocket.deflate import Deflate, Parameters
from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.events import MORE, Ping
from asgiws.websocket.messages import STEP, MessageReader
from asgiws.websocket.utf8 import Utf8Validator
from tests.support.wire import BINARY, CONT, PING, TEXT, client_frame

NO_LIMIT = 1 << 30
KEEP = Parameters(False, False, 12, 15)
RSV1 = 4

EMPTY = client_frame(CONT, fin=False)
LAST = client_frame(CONT)


def deflated(payload: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def read(reader: MessageReader, data: bytes, turn: Turn | None = None) -> list[Any]:
    """What the reader gives for a read until it wants another one; the loop turns at each MORE, where `turn` is
    the reader's."""
    reader.feed(bytearray(data), 0, len(data))
    events = []
    while (event := reader.next_event()) is not None:
        events.append(event)
        if event is MORE and turn is not None:
            turn.renew()
    return events


def read_on(reader: MessageReader) -> Any:
    """The next event but MORE."""
    while (event := reader.next_event()) is MORE:
        pass
    return event


def fragments(opcode: int, payload: bytes, **options: Any) -> bytes:
    """A message that is begun, in fragments of an octet."""
    first = client_frame(opcode, payload[:1], fin=False, **options)
    return first + b"".join(client_frame(CONT, bytes((octet,)), fin=False) for octet in payload[1:])


def test_a_connection_has_a_slice_of_it() -> None:
    turn = Turn()
    reader = MessageReader(NO_LIMIT, turn=turn)
    begin = client_frame(BINARY, b"a", fin=False)
    assert read(reader, begin + EMPTY * (SLICE - 1)) == []
    assert turn.left == UNITS - (SLICE - SMALL)
    assert read(reader, EMPTY * 3 * SLICE + LAST) == [MORE, MORE, MORE, b"a"]


def test_what_is_small_does_not_count() -> None:
    turn = Turn()
    reader = MessageReader(NO_LIMIT, turn=turn)
    for _ in range(UNITS):
        assert read(reader, client_frame(TEXT, b"a") * 2) == ["a", "a"]
    assert turn.left == UNITS


def test_where_none_is_left_small_amounts_pass() -> None:
    turn = Turn()
    turn.take(UNITS)
    reader = MessageReader(NO_LIMIT, turn=turn)
    assert read(reader, client_frame(TEXT, b"a") * SMALL) == ["a"] * SMALL
    assert read(reader, client_frame(TEXT, b"a") * (SMALL + 1)) == ["a"] * SMALL + [MORE, "a"]


def test_frames_count_whatever_stands_between_them() -> None:
    reader = MessageReader(NO_LIMIT)
    begin = client_frame(BINARY, fin=False)
    assert read(reader, begin + (EMPTY * 9 + client_frame(PING)) * (SLICE // 4)).count(MORE) == 2


def test_inflation_counts_and_comes_in_steps() -> None:
    turn = Turn()
    reader = MessageReader(NO_LIMIT, Deflate(KEEP), turn=turn)
    size = 16 << 20
    data = client_frame(BINARY, deflated(bytes(size)), rsv=RSV1)
    reader.feed(bytearray(data), 0, len(data))
    at_most = (SLICE // (INFLATE + STEP // INFLATED) + 1) * STEP
    held = 0
    while (event := reader.next_event()) is MORE:
        assert held < reader.held() <= held + at_most + len(data)
        held = reader.held()
        assert reader.is_behind()
        turn.renew()
    assert event == bytes(size)
    assert held > size - at_most
    assert reader.next_event() is None
    assert (reader.held(), reader.is_behind()) == (0, False)


@pytest.mark.parametrize("final", [True, False])
def test_what_is_behind_a_message_that_inflates_comes_behind_it(final: bool) -> None:
    payload = os.urandom(1000) + bytes(4 * STEP * SLICE // INFLATE)
    wire = deflated(payload)
    data = client_frame(BINARY, wire, rsv=RSV1, fin=final) + client_frame(PING, b"behind")
    reader = MessageReader(NO_LIMIT, Deflate(KEEP))
    events = [event for event in read(reader, data) if event is not MORE]
    assert events == ([payload, Ping(b"behind")] if final else [Ping(b"behind")])
    if not final:
        assert [event for event in read(reader, LAST) if event is not MORE] == [payload]


class CountedDeflate(Deflate):
    __slots__ = ("calls",)

    def __init__(self) -> None:
        super().__init__(KEEP)
        self.calls = 0

    def inflate(self, piece: bytes, final: bool, limit: int, most: int = 0) -> bytes:
        self.calls += 1
        return super().inflate(piece, final, limit, most)


def test_fragments_of_an_octet_are_inflated_together() -> None:
    payload = os.urandom(20000)
    wire = deflated(payload)
    deflate = CountedDeflate()
    turn = Turn()
    reader = MessageReader(NO_LIMIT, deflate, turn=turn)
    events = read(reader, fragments(BINARY, wire, rsv=RSV1) + LAST, turn)
    assert events[-1] == payload
    assert deflate.calls <= len(wire) // (SLICE - INFLATE - 2 * SMALL) + 2


def test_fragments_of_an_octet_are_checked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Counted(Utf8Validator):
        __slots__ = ("calls",)

        def __init__(self) -> None:
            super().__init__()
            self.calls = 0
            made.append(self)

        def feed(self, piece: bytes | bytearray) -> None:
            self.calls += 1
            super().feed(piece)

    monkeypatch.setattr(messages, "Utf8Validator", Counted)
    text = "€ and ü " * 2000
    turn = Turn()
    reader = MessageReader(NO_LIMIT, turn=turn)
    events = read(reader, fragments(TEXT, text.encode()) + LAST, turn)
    assert events[-1] == text
    assert sum(validator.calls for validator in made) <= len(text.encode()) // SLICE + 2


# What is wrong is told in the order in which it came.

BAD_TEXT = client_frame(TEXT, b"\xff", fin=False)
BAD_DEFLATE = client_frame(TEXT, b"\xff", fin=False, rsv=RSV1)
BEHIND = {
    "a ping": client_frame(PING),
    "a frame that is wrong": client_frame(3),
    "a message within the message": client_frame(TEXT),
    "another fragment": EMPTY,
    "a part of a frame": client_frame(CONT, b"abc")[:-1],
    "a part of a header": client_frame(CONT, b"abc")[:3],
    "the rest of a frame, which is too long": client_frame(CONT, length=1 << 40),
    "nothing": b"",
}


@pytest.mark.parametrize("wrong", [BAD_TEXT, BAD_DEFLATE])
@pytest.mark.parametrize("behind", BEHIND)
def test_the_first_of_two_faults_is_told(behind: str, wrong: bytes) -> None:
    reader = MessageReader(1000, Deflate(KEEP))
    with pytest.raises(ProtocolError) as caught:
        read(reader, wrong + BEHIND[behind])
    assert caught.value.code == 1007


def test_a_fault_behind_what_inflates_is_told_behind_it() -> None:
    payload = bytes(4 * STEP * SLICE // INFLATE)
    data = client_frame(BINARY, deflated(payload), rsv=RSV1, fin=False) + client_frame(3)
    reader = MessageReader(NO_LIMIT, Deflate(KEEP))
    reader.feed(bytearray(data), 0, len(data))
    for _ in range(3):
        assert reader.next_event() is MORE
    with pytest.raises(ProtocolError, match="reserved opcode"):
        read_on(reader)
    assert reader.held() >= len(payload)


def test_too_many_fragments_is_told_whether_or_not_they_were_gathered() -> None:
    reader = MessageReader(1000, Deflate(KEEP), 5)
    wire = deflated(b"hello")
    with pytest.raises(ProtocolError) as caught:
        read(reader, fragments(BINARY, wire[:6], rsv=RSV1))
    assert caught.value.code == 1008
