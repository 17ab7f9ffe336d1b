"""A client's side of the wire, built from RFC 6455 alone.

Rules of this file: nothing here uses asgiws to make octets, so that a mistake in the package cannot
hide behind the same mistake in its test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.events import Close, Ping

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

#: The masking key of the RFC's own example (5.7).
KEY = bytes.fromhex("37fa213d")


class Failed(NamedTuple):
    """Stands in a list of events for the ProtocolError that ended it."""

    code: int


def mask(payload: bytes, key: bytes = KEY) -> bytes:
    """5.3, literally: "Octet i of the transformed data is the XOR of octet i of the original data
    with octet at index i modulo 4 of the masking key"."""
    return bytes(octet ^ key[index % 4] for index, octet in enumerate(payload))


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = KEY,
    form: int | None = None,
    length: int | None = None,
) -> bytes:
    """A frame as a client sends it (5.2).

    `rsv` is the number of three bits (RSV1 is 4); `key` None leaves the frame unmasked; `form`
    forces the length's form: 7, 16 or 64 bits; `length` tells another length than the payload's.
    """
    size = len(payload) if length is None else length
    if form is None:
        form = 7 if size < 126 else 16 if size < 1 << 16 else 64
    masked = 0x80 if key is not None else 0
    frame = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    if form == 7:
        frame += bytes((masked | size,))
    elif form == 16:
        frame += bytes((masked | 126,)) + size.to_bytes(2, "big")
    else:
        frame += bytes((masked | 127,)) + size.to_bytes(8, "big")
    return frame + (payload if key is None else key + mask(payload, key))


def close_frame(code: int | None = None, reason: bytes = b"", **options: Any) -> bytes:
    """A close frame; without a code its body is empty."""
    body = b"" if code is None else code.to_bytes(2, "big") + reason
    return client_frame(CLOSE, body, **options)


TAIL = client_frame(PING, b"the tail")
TAIL_EVENT = Ping(b"the tail")


def feed_all(reader: Any, pieces: Iterable[bytes]) -> list[Any]:
    """What `reader` makes of `pieces` up to the first Close or ProtocolError, the latter as
    `Failed`.

    Each piece lies somewhere within a larger buffer, which is overwritten once the reader asked for
    more, as the buffer that all connections share is.
    """
    events: list[Any] = []
    for piece in pieces:
        buffer = bytearray(b"\xaa" * 5 + piece + b"\xaa" * 3)
        reader.feed(buffer, 5, 5 + len(piece))
        try:
            while (event := reader.next_event()) is not None:
                events.append(event)
                if type(event) is Close:
                    return events
        except ProtocolError as error:
            events.append(Failed(error.code))
            return events
        buffer[:] = b"\x55" * len(buffer)
    return events


def bytewise(wire: bytes) -> list[bytes]:
    return [wire[index : index + 1] for index in range(len(wire))]


def check_three_ways(make: Callable[[], Any], wire: bytes, expected: Sequence[Any]) -> None:
    """`wire` gives the `expected` events when it comes whole, octet by octet, and with a tail."""
    expected = list(expected)
    assert feed_all(make(), [wire]) == expected
    assert feed_all(make(), bytewise(wire)) == expected
    ended = bool(expected) and type(expected[-1]) in (Failed, Close)
    with_tail = expected if ended else [*expected, TAIL_EVENT]
    assert feed_all(make(), [wire + TAIL]) == with_tail
    assert feed_all(make(), bytewise(wire + TAIL)) == with_tail


@st.composite
def splits(draw: st.DrawFn, wire: bytes) -> list[bytes]:
    """`wire` in any pieces."""
    cuts = draw(st.lists(st.integers(0, len(wire)), max_size=12).map(sorted))
    edges = [0, *cuts, len(wire)]
    return [wire[a:b] for a, b in itertools.pairwise(edges)]


def server_frames(wire: bytes) -> list[tuple[int, bytes]]:
    """(first octet, payload) of each frame in what a server wrote, which must be whole frames,
    unmasked."""
    frames = []
    while wire:
        first, size = wire[0], wire[1]
        at = 2
        if size == 126:
            size, at = int.from_bytes(wire[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(wire[2:10], "big"), 10
        assert size <= len(wire) - at, "masked, or not a whole frame"
        frames.append((first, wire[at : at + size]))
        wire = wire[at + size :]
    return frames
