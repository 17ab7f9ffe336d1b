"""Whether what a server sent, and told its application, is what a case expects.

Rules of this file:
- It reads octets by the documents alone. What is wrong raises Wrong, whose text says what.
- What is asked of every response and every frame is asked here, once: nothing masked, lengths in
  their shortest form, no reserved bit without a meaning, nothing behind a close frame.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence

from conformance.rfc6455.notation import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Agreed,
    Case,
    Closed,
    Event,
    Frame,
    Message,
    Sent,
    disconnect,
    ponged,
)

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NAME = "permessage-deflate"
BITS = [str(bits) for bits in range(8, 16)]

#: zlib looks beyond its window in what one call gives out, so it is given out in small pieces.
STEP = 32

#: The client's last words where a case leaves the connection open, and what comes of them.
GOODBYE = Closed(1000, "")
TOLD_GOODBYE = disconnect(1000)
#: What the tests put behind a case's octets.
TAIL = b"the tail"


class Wrong(Exception):
    """The server did what the case does not allow."""


def expect(right: object, words: str) -> None:
    if not right:
        raise Wrong(words)


class Inflater:
    """What a client makes of compressed messages, with what the response promised and no more."""

    def __init__(self, parameters: dict[str, str | None]) -> None:
        self._bits = int(parameters.get("server_max_window_bits") or 15)
        self._keeps = "server_no_context_takeover" not in parameters
        self._stream = zlib.decompressobj(-self._bits)

    def message(self, payload: bytes) -> bytes:
        if not self._keeps:
            self._stream = zlib.decompressobj(-self._bits)
        rest = payload + b"\x00\x00\xff\xff"
        data = bytearray()
        try:
            while rest or (data and len(data) % STEP == 0):
                piece = self._stream.decompress(rest, STEP)
                if not piece:
                    break
                data += piece
                rest = self._stream.unconsumed_tail
        except zlib.error as error:
            raise Wrong(f"a compressed message cannot be inflated: {error}") from None
        expect(not self._stream.unused_data, "octets are left over behind a compressed message")
        return bytes(data)


# The response to the opening handshake.


def response(case: Case, status: int, fields: Sequence[tuple[str, str]]) -> Inflater | None:
    """Check the head of the response; what inflates the messages, if compression was agreed."""
    expect(status == case.status, f"status {status} in place of {case.status}")
    found: dict[str, str] = {}
    for name, value in fields:
        expect(name.lower() not in found or status != 101, f"{name} stands twice in the response")
        found[name.lower()] = value
    for name, wanted in case.head:
        there = found.get(name.lower())
        expect(there == wanted, f"{name} is {there!r} in place of {wanted!r}")
    if status != 101:
        expect("sec-websocket-accept" not in found, "Sec-WebSocket-Accept in a refusal")
        return None
    expect(found.get("upgrade", "").lower() == "websocket", "no Upgrade: websocket")
    expect(found.get("connection", "").lower() == "upgrade", "no Connection: Upgrade")
    accept = base64.b64encode(hashlib.sha1((_key(case) + GUID).encode()).digest()).decode()
    expect(found.get("sec-websocket-accept") == accept, "a wrong Sec-WebSocket-Accept")
    for name in ("content-length", "transfer-encoding"):
        expect(name not in found, f"{name} in a 101 response")
    return _extension(case.extension, found.get("sec-websocket-extensions"))


def _key(case: Case) -> str:
    lines = case.request.split("\r\n")
    [key] = [line[18:].strip() for line in lines if line.lower().startswith("sec-websocket-key:")]
    return key


def _extension(agreed: Agreed | None, value: str | None) -> Inflater | None:
    """Check the response's extension against RFC 7692, 7.1."""
    if agreed is None:
        expect(value is None, f"an extension that cannot be agreed: {value}")
        return None
    expect(value is not None, "compression was not agreed")
    assert value is not None
    name, *rest = (part.strip() for part in value.split(";"))
    expect(name == NAME, f"the extension is {name}")
    parameters: dict[str, str | None] = {}
    for part in rest:
        key, equals, number = part.partition("=")
        expect(key not in parameters, f"{key} stands twice in {value}")
        parameters[key] = number if equals else None
    for key, bits in parameters.items():
        if key in ("server_no_context_takeover", "client_no_context_takeover"):
            expect(bits is None, f"{key} has a value")
        else:
            expect(key in ("server_max_window_bits", "client_max_window_bits"), f"{key} is unknown")
            expect(bits in BITS, f"{key} is {bits}")
    if agreed.server_no_context_takeover:
        expect("server_no_context_takeover" in parameters, "server_no_context_takeover is missing")
    window = parameters.get("server_max_window_bits")
    expect(window or not agreed.confirm, "server_max_window_bits is not confirmed")
    expect(int(window or 8) <= agreed.server_max_window_bits, f"server_max_window_bits={window}")
    window = parameters.get("client_max_window_bits")
    if agreed.client_max_window_bits is None:
        expect(window is None, "client_max_window_bits was not offered")
    else:
        expect(
            int(window or 8) <= agreed.client_max_window_bits, f"client_max_window_bits={window}"
        )
    return Inflater(parameters)


# Frames.


def split(wire: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames at the beginning of what a server sent, and the rest."""
    frames: list[Frame] = []
    while len(wire) >= 2:
        first, size = wire[0], wire[1]
        expect(not size & 0x80, "a masked frame")
        at = {126: 4, 127: 10}.get(size, 2)
        if len(wire) < at:
            break
        if at > 2:
            size = int.from_bytes(wire[2:at], "big")
            expect(size > {4: 125, 10: 65535}[at], "a length that is not in its shortest form")
        if len(wire) < at + size:
            break
        frames.append(Frame(first, wire[at : at + size]))
        wire = wire[at + size :]
    return frames, wire


def sent(case: Case, frames: Sequence[Frame], inflater: Inflater | None, tail: bool) -> None:
    """Check all frames of a connection, to its end; `tail`: a ping stood behind the octets."""
    wanted: list[Sent] = list(case.sent)
    if not case.ends:
        wanted += [ponged(TAIL), GOODBYE] if tail else [GOODBYE]
    got = [_read(frame, inflater) for frame in _assembled(frames)]
    for kind in (_is_pong, _is_close, _is_data):
        mine = [one for one in got if kind(one)]
        yours = [one for one in wanted if kind(one)]
        same = len(mine) == len(yours) and all(map(_matches, mine, yours))
        expect(same, f"sent {_short(mine)} in place of {_short(yours)}")
    closed = [index for index, one in enumerate(got) if isinstance(one, Closed)]
    expect(closed in ([], [len(got) - 1]) or _after_ours(case), "frames behind a close frame")


def _after_ours(case: Case) -> bool:
    """Whether a pong may come behind the close frame: only where ours came first (5.5.2)."""
    return any(isinstance(one, Closed) for one in case.sent[:-1])


def _assembled(frames: Sequence[Frame]) -> list[Frame]:
    """Frames with fragments put together, as a server may send them."""
    whole: list[Frame] = []
    begun: Frame | None = None
    for frame in frames:
        opcode, fin = frame.first & 0x0F, frame.first & 0x80
        expect(not frame.first & 0x30, "RSV2 or RSV3 is set")
        if opcode >= CLOSE:
            expect(frame.first in (0x80 | CLOSE, 0x80 | PING, 0x80 | PONG), f"{frame.first:#x}")
            expect(len(frame.payload) <= 125, "a control frame of more than 125 octets")
            whole.append(frame)
            continue
        if opcode == CONT:
            expect(begun is not None and not frame.first & 0x40, "a wrong continuation frame")
            assert begun is not None
            begun = Frame(begun.first, begun.payload + frame.payload)
        else:
            expect(begun is None and opcode in (TEXT, BINARY), f"a wrong frame {frame.first:#x}")
            begun = Frame(frame.first | 0x80, frame.payload)
        if fin:
            whole.append(begun)
            begun = None
    expect(begun is None, "a message without its end")
    return whole


def _read(frame: Frame, inflater: Inflater | None) -> Sent:
    opcode = frame.first & 0x0F
    if opcode == CLOSE:
        if not frame.payload:
            return Closed(None, "")
        expect(len(frame.payload) > 1, "a close frame of one octet")
        code = int.from_bytes(frame.payload[:2], "big")
        return Closed(code, frame.payload[2:].decode())
    if opcode in (TEXT, BINARY) and inflater is not None:
        data = frame.payload
        if frame.first & 0x40:
            data = inflater.message(data)
        return Message(data.decode() if opcode == TEXT else data)
    expect(not frame.first & 0x40, "RSV1 is set without compression")
    return frame


def _is_pong(one: Sent) -> bool:
    return isinstance(one, Frame) and one.first == 0x80 | PONG


def _is_close(one: Sent) -> bool:
    return isinstance(one, Closed)


def _is_data(one: Sent) -> bool:
    return not _is_pong(one) and not _is_close(one)


def _matches(mine: Sent, yours: Sent) -> bool:
    if isinstance(mine, Closed) and isinstance(yours, Closed) and yours.reason is None:
        return mine.code == yours.code
    # A text and a binary message of the same look are not the same.
    return type(mine) is type(yours) and mine == yours


def _short(things: Sequence[object]) -> str:
    return f"{len(things)}: {', '.join(repr(thing)[:120] for thing in things[:6])}"


# Events.


def told(case: Case, events: Sequence[Event] | None) -> None:
    """Check what the application was told, to the end of the connection."""
    wanted = case.told
    if wanted is None or events is None:
        expect(wanted is None and events is None, "the application was called, or was not")
        return
    if case.status == 101 and not case.ends:
        wanted = (*wanted, TOLD_GOODBYE)
    same = len(events) == len(wanted) and all(map(_is_told, events, wanted))
    expect(same, f"told {_short(events)} in place of {_short(wanted)}")


def _is_told(mine: Event, yours: Event) -> bool:
    if yours.get("reason", "") is None:
        return {**mine, "reason": None} == yours
    return mine == yours
