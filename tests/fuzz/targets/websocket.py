"""Frames of a client, as a connection reads them, with and without compression.

The input: an octet of flags, one that says how the wire is cut, and the wire. Flags: 1 compression, 2 without
context takeover of the client, 4 and 8 the limit for messages, 16 the smallest window, 32 no more than three
frames for a message.

What must hold:
- Nothing comes out but events; the last one may be a failure with a code of RFC 6455, 7.4.1, that fits into a
  close frame.
- The events are the same however the wire is cut, and in both builds. (What is wrong about compressed data is
  one kind of failure here: too big, bad UTF-8 and bad deflate at once, it hangs on how much is inflated in one
  go.)
- No message is above the limit; without compression all of them together are no longer than the wire.
- Octets of the buffer that are others' are left alone, and nothing refers to it once it was read.
- Who looks ahead sees every control frame that is read later, as it is read, and in the same order.
- When the connection ends, nothing is held for its compression.
"""

from __future__ import annotations

from typing import Any

from tests.fuzz.targets.wire import cut, options
from tests.support.builds import Build, both

Event = tuple[str, Any]

BUILDS = both("asgiws.websocket")
LIMITS = (125, 2_000, 70_000, 1 << 24)
FAILURES = (1002, 1007, 1008, 1009)


def read(build: Build, pieces: list[bytes], flags: int) -> list[Event]:
    """The events of one connection in one build."""
    module = build["deflate"]
    compression = build["compression"].Compression()
    deflate = None
    if flags & 1:
        bits = 8 if flags & 16 else 15
        deflate = module.Deflate(module.Parameters(False, bool(flags & 2), 15, bits), compression)
    connection = build["connection"].WebSocketConnection()
    most_fragments = 3 if flags & 32 else build["messages"].MAX_FRAGMENTS
    connection.open(LIMITS[flags >> 2 & 3], deflate, most_fragments)
    events: list[Event] = []
    for piece in pieces:
        buffer = bytearray(b"<<" + piece + b">>")
        connection.feed(buffer, 2, 2 + len(piece))
        while (event := connection.next_event()) is not None:
            plain = event if isinstance(event, (str, bytes)) else tuple(event)
            events.append((type(event).__name__, plain))
        if not events or events[-1][0] != "Close":
            assert connection.unread() == 0
        assert buffer[:2] == b"<<"
        assert buffer[-2:] == b">>", "octets of others were touched"
        buffer[:] = b"?" * len(buffer)
    connection.apply(build["states"].Trigger.LOST)
    assert compression.held == compression.promised == 0, "something is held for a lost connection"
    return events


def ahead(build: Build, pieces: list[bytes]) -> list[Event]:
    """The control frames that are seen among octets which are kept, as events."""
    lookahead = build["lookahead"].Lookahead()
    kept = bytearray()
    events: list[Event] = []
    for piece in pieces:
        kept += piece
        for opcode, payload in lookahead.look(kept, len(piece)):
            if opcode == 8:
                events.append(("Close", tuple(build["lookahead"].close_event(payload))))
            else:
                events.append(("Ping" if opcode == 9 else "Pong", (payload,)))
    return events


def _with_one_failure_for_data(events: list[Event]) -> list[Any]:
    if events and events[-1][0] == "Close" and events[-1][1][2] and events[-1][1][0] != 1002:
        return [*events[:-1], "failed for its data"]
    return events


def _check(build: Build, events: list[Event], flags: int, size: int) -> None:
    total = 0
    for index, (kind, value) in enumerate(events):
        if kind == "Close":
            code, reason, failed, _ = value
            assert index == len(events) - 1, "something came behind the end"
            if failed:
                assert code in FAILURES
                assert reason
            frame = build["connection"].WebSocketConnection().close_frame(code, reason)
            assert frame[0] == 0x88
            assert len(frame) == frame[1] + 2
            assert frame[1] <= 125
        elif kind in ("Ping", "Pong"):
            assert len(value[0]) <= 125
        else:
            assert kind in ("str", "bytes")
            length = len(value.encode() if kind == "str" else value)
            assert length <= LIMITS[flags >> 2 & 3]
            total += length
    assert flags & 1 or total <= size


def target(data: bytes) -> None:
    (flags, how), wire = options(data, 2)
    pieces = cut(wire, how)
    events, *others = (read(build, pieces, flags) for build in BUILDS)
    for other in others:
        assert other == events, f"the builds differ: {other} and {events}"
    _check(BUILDS[0], events, flags, len(wire))
    seen = ahead(BUILDS[0], pieces)
    controls = [event for event in events if event[0] in ("Ping", "Pong")]
    if events and events[-1][0] == "Close" and not events[-1][1][2]:
        controls.append(events[-1])
    assert seen[: len(controls)] == controls, f"seen ahead were {seen}, read {controls}"
    whole = [read(build, [wire], flags) for build in BUILDS]
    for other in whole:
        if flags & 1:
            same = _with_one_failure_for_data(other) == _with_one_failure_for_data(events)
        else:
            same = other == events
        assert same, f"the cut shows: {other} and {events}"
