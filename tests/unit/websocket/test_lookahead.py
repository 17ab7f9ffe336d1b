"""asgiws/websocket/lookahead.py: control frames among octets that wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asgiws.websocket.events import Close
from asgiws.websocket.lookahead import Lookahead, close_event
from asgiws.websocket.opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.support.wire import client_frame, close_frame


def look(data: bytes, *sizes: int) -> list[tuple[int, bytes]]:
    """What is found when `data` comes in pieces of `sizes`."""
    ahead = Lookahead()
    kept = bytearray()
    found = []
    for size in [*sizes, len(data)]:
        piece = data[len(kept) : len(kept) + size]
        kept += piece
        found += list(ahead.look(kept, len(piece)))
    return found


def test_control_frames_between_data_are_found() -> None:
    data = b"".join(
        (
            client_frame(TEXT, b"a" * 70000, fin=False),
            client_frame(PING, b"one"),
            client_frame(CONTINUATION, b"b" * 300),
            client_frame(PONG, b""),
            client_frame(BINARY, b""),
            close_frame(1000, b"bye"),
        )
    )
    assert look(data) == [(PING, b"one"), (PONG, b""), (CLOSE, b"\x03\xe8bye")]


@given(
    frames=st.lists(
        st.tuples(st.sampled_from([TEXT, PING, PONG]), st.binary(max_size=125), st.booleans()),
        max_size=8,
    ),
    sizes=st.lists(st.integers(1, 20), max_size=30),
)
def test_pieces_make_no_difference(frames: list[tuple[int, bytes, bool]], sizes: list[int]) -> None:
    data = b"".join(
        client_frame(opcode, payload * (300 if big and opcode == TEXT else 1))
        for opcode, payload, big in frames
    )
    expected = [(opcode, payload) for opcode, payload, _ in frames if opcode != TEXT]
    assert look(data, *sizes) == look(data) == expected


def test_what_was_taken_off_the_front_makes_no_difference() -> None:
    ahead = Lookahead()
    kept = bytearray(client_frame(TEXT, b"x" * 50) + client_frame(PING, b"1")[:4])
    size = len(kept)
    assert list(ahead.look(kept, size)) == []
    del kept[:56]
    more = client_frame(PING, b"1")[4:] + client_frame(PING, b"2")
    kept += more
    assert list(ahead.look(kept, len(more))) == [(PING, b"1"), (PING, b"2")]


def test_nothing_is_found_behind_a_frame_that_ends_the_connection() -> None:
    for bad in (client_frame(PING, b"x" * 126), client_frame(PING, b"x", key=None)):
        assert look(client_frame(PING, b"1") + bad + client_frame(PING, b"2")) == [(PING, b"1")]


def test_a_close_frames_payload_becomes_an_event() -> None:
    assert close_event(b"") == Close(1005, "")
    assert close_event(b"\x0f\xa0bye") == Close(4000, "bye")
    assert close_event(b"\x03").failed
    assert close_event(b"\x03\xed").code == 1002
