"""One open WebSocket: the state machine, octets in, octets out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.streams import StreamReader

from asgiws.websocket.connection import (
    CLOSING,
    CONNECTING,
    LARGE,
    OPEN,
    WebSocketConnection,
)
from asgiws.websocket.deflate import Deflate, Parameters
from asgiws.websocket.events import Close, Ping
from asgiws.websocket.states import TRANSITIONS, Effect, State, Trigger
from tests.support.properties import quick
from tests.support.wire import (
    BINARY,
    CONT,
    PING,
    TEXT,
    check_three_ways,
    client_frame,
    close_frame,
    feed_all,
)

KEEP = Parameters(False, False, 12, 15)


def opened(compressed: bool = False, max_size: int = 1000) -> WebSocketConnection:
    connection = WebSocketConnection()
    connection.open(max_size, Deflate(KEEP) if compressed else None)
    connection.apply(Trigger.ACCEPT)
    return connection


def in_state(state: State) -> WebSocketConnection:
    """A connection brought to `state` by the table."""
    way = {
        State.CONNECTING: [],
        State.OPEN: [Trigger.ACCEPT],
        State.CLOSING: [Trigger.ACCEPT, Trigger.CLOSE],
        State.REFUSED: [Trigger.CLOSE],
        State.FAILED: [Trigger.ACCEPT, Trigger.FAILURE],
        State.CLOSED: [Trigger.ACCEPT, Trigger.CLOSE_FRAME],
    }[state]
    connection = WebSocketConnection()
    for trigger in way:
        if trigger is Trigger.ACCEPT:
            connection.open(1000, None)
        connection.apply(trigger, 4999, "the first")
    assert connection.state == state
    return connection


# The state machine


def test_it_begins_connecting() -> None:
    connection = WebSocketConnection()
    assert connection.state == CONNECTING == State.CONNECTING
    assert (OPEN, CLOSING) == (State.OPEN, State.CLOSING)
    assert (connection.close_code, connection.close_reason) == (1006, "")


@pytest.mark.parametrize("trigger", Trigger, ids=lambda trigger: trigger.name)
@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_apply_follows_the_table(state: State, trigger: Trigger) -> None:
    connection = in_state(state)
    told = connection.close_code, connection.close_reason
    transition = TRANSITIONS.get((state, trigger))
    if transition is None:
        with pytest.raises(ValueError, match=f"'{trigger.value}' is not possible in.*{state.name}"):
            connection.apply(trigger, 3000, "why")
        assert connection.state == state
        return
    assert connection.apply(trigger, 3000, "why") == transition.effect
    assert connection.state == transition.target
    # What the application is told is fixed when the connection ends, and never afterwards.
    if Effect.DISCONNECT in transition.effect:
        told = 3000, "why"
    assert (connection.close_code, connection.close_reason) == told


@given(st.lists(st.sampled_from(list(Trigger)), max_size=12))
@quick
def test_disconnect_is_asked_for_at_most_once_and_exactly_once_when_it_ended(
    triggers: list[Trigger],
) -> None:
    connection = WebSocketConnection()
    told = 0
    for trigger in triggers:
        try:
            effect = connection.apply(trigger)
        except ValueError:
            continue
        told += Effect.DISCONNECT in effect
    assert told == (connection.state in (State.REFUSED, State.FAILED, State.CLOSED))


# In


def test_events_come_out_three_ways() -> None:
    wire = (
        client_frame(TEXT, b"a", fin=False)
        + client_frame(PING, b"p")
        + client_frame(CONT, b"b")
        + client_frame(BINARY, b"c")
    )
    check_three_ways(opened, wire, [Ping(b"p"), "ab", b"c"])
    check_three_ways(
        opened, wire + close_frame(3000, b"r"), [Ping(b"p"), "ab", b"c", Close(3000, "r")]
    )


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (client_frame(TEXT, b"x", key=None), 1002),
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(TEXT, b"", length=1001), 1009),
        (close_frame(1005), 1002),
    ],
)
def test_what_the_client_does_wrong_is_a_failed_close(wire: bytes, code: int) -> None:
    for pieces in ([wire], [wire[i : i + 1] for i in range(len(wire))], [wire + wire]):
        connection = opened()
        *before, event = feed_all(connection, [client_frame(TEXT, b"before"), *pieces])
        assert before == ["before"]
        assert type(event) is Close
        assert event.failed
        assert event.code == code
        assert event.reason
        # The reason is one that can be sent.
        assert connection.close_frame(event.code, event.reason)


@pytest.mark.parametrize("end", [close_frame(1000), client_frame(TEXT, b"x", key=None)])
def test_nothing_comes_behind_a_close(end: bytes) -> None:
    connection = opened()
    wire = bytearray(end + client_frame(TEXT, b"late"))
    connection.feed(wire, 0, len(wire))
    assert type(connection.next_event()) is Close
    assert connection.next_event() is None
    assert feed_all(connection, [client_frame(TEXT, b"later"), close_frame(1000)]) == []


@pytest.mark.parametrize("state", [State.REFUSED, State.FAILED, State.CLOSED])
def test_what_comes_in_a_final_state_is_dropped(state: State) -> None:
    connection = in_state(state)
    assert feed_all(connection, [client_frame(TEXT, b"late"), close_frame(1000)]) == []


# Out


def parse(wire: bytes) -> list[Frame]:
    """The frames in `wire` as `websockets` reads them, with its compression where RSV1 says so."""
    stream = StreamReader()
    stream.feed_data(wire)
    stream.feed_eof()
    extension = PerMessageDeflate(False, False, 12, 15)
    found = []
    while stream.buffer:
        parser = Frame.parse(stream.read_exact, mask=False, extensions=[extension])
        with pytest.raises(StopIteration) as done:
            next(parser)
        found.append(done.value.value)
    return found


def described(frame: Frame) -> tuple[Any, ...]:
    return frame.fin, int(frame.opcode), bytes(frame.data)


@given(
    st.lists(
        st.text(max_size=100)
        | st.binary(max_size=300)
        | st.sampled_from([125, 126, LARGE - 1, LARGE, LARGE + 1, 65536]).map(bytes),
        max_size=5,
    ),
    st.booleans(),
)
@quick
def test_websockets_reads_the_messages_that_we_send(
    sent: list[str | bytes], compressed: bool
) -> None:
    connection = opened(compressed)
    wire = b""
    expected: list[tuple[Any, ...]] = []
    for message in sent:
        if isinstance(message, str):
            wire += b"".join(connection.text(message))
            expected.append((True, TEXT, message.encode()))
        else:
            wire += b"".join(connection.binary(message))
            expected.append((True, BINARY, message))
    assert [described(frame) for frame in parse(wire)] == expected


def test_a_large_payload_is_not_copied() -> None:
    payload = bytes(LARGE)
    header, kept = opened().binary(payload)
    assert kept is payload
    assert header + kept == b"\x82\x7e\x40\x00" + payload
    assert len(opened().binary(payload[1:])) == 1


def test_text_that_utf8_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError):
        opened().text("\ud800")


def test_control_frames() -> None:
    connection = opened()
    assert connection.ping(b"hi") == b"\x89\x02hi"
    # 5.5.3: "A Pong frame sent in response to a Ping frame must have identical "Application data""
    assert connection.pong(b"hi") == b"\x8a\x02hi"
    assert connection.close_frame(1000, "") == b"\x88\x02\x03\xe8"
    assert connection.close_frame(4000, "why") == b"\x88\x05\x0f\xa0why"
    assert connection.close_frame(1005, "") == b"\x88\x00"
    with pytest.raises(ValueError):
        connection.close_frame(1006, "")
    # Compression leaves them alone (RFC 7692, 6).
    assert opened(compressed=True).ping(b"hi") == b"\x89\x02hi"


def test_what_is_expected_of_a_frame_that_was_refused() -> None:
    ws = opened(max_size=100)
    octets = client_frame(BINARY, bytes(1000))
    ws.feed(bytearray(octets[:300]), 0, 300)
    event = ws.next_event()
    assert type(event) is Close
    assert event.code == 1009
    assert ws.expected == len(octets) - 300
    ws.feed(bytearray(200), 0, 200)
    assert ws.expected == len(octets) - 500
    ws.feed(bytearray(900), 0, 900)
    assert ws.expected == 0
