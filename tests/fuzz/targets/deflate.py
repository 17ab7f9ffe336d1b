"""permessage-deflate: hostile streams in, and messages out that a client must be able to inflate.

`inflate` takes an octet of flags (1 without context takeover, 2 and 4 the limit), one for the window, and
pieces: an octet each for the length (its highest bit: the last piece of the message), and the piece.

`deflate` takes an octet of flags (1 without context takeover, 2 hardly any memory, 4 no smallest size), one for
the window, and messages: an octet for what is done (1 text, 2 on the other connection, 4 on both, 8 long), one
for the length, and the message.

What must hold:
- Inflated pieces are within the limit; nothing comes out but ProtocolError, 1007 or 1009.
- How a message is cut does not show, but in which of these two it fails with; Python's zlib and zlib-ng, where
  it is installed, say the same.
- What is held and promised goes back to nothing; the cap holds.
- An inflater of our tests, which keeps no more window than was promised, gets every message as it was sent,
  whatever was dropped in between, and whoever else it was sent to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.rfc6455 import verdict
from tests.fuzz.targets.wire import options
from tests.support.builds import Build, both

BUILDS = both("asgiws.websocket")
LIMITS = (0, 100, 5_000, 100_000)


def _messages(wire: bytes) -> list[tuple[list[bytes], bool]]:
    """The messages, each in its pieces, and whether it came to its end."""
    messages: list[tuple[list[bytes], bool]] = []
    pieces: list[bytes] = []
    at = 0
    while at < len(wire):
        size = wire[at] & 0x7F
        pieces.append(wire[at + 1 : at + 1 + size])
        if wire[at] & 0x80:
            messages.append((pieces, True))
            pieces = []
        at += 1 + size
    if pieces:
        messages.append((pieces, False))
    return messages


def _backends(build: Build) -> list[Any]:
    found = [build["zlib_backend"].ZLIB]
    try:
        found.append(build["zlib_backend"].choose("zlib-ng"))
    except build["zlib_backend"].BackendMissing:
        pass
    return found


def _inflated(
    build: Build,
    backend: Any,
    parameters: Any,
    messages: list[tuple[list[bytes], bool]],
    limit: int,
) -> list[object]:
    compression = build["compression"].Compression(None, backend)
    deflate = build["deflate"].Deflate(parameters, compression)
    results: list[object] = []
    code = 0
    try:
        for pieces, ended in messages:
            data = b""
            for index, piece in enumerate(pieces):
                final = ended and index == len(pieces) - 1
                inflated = deflate.inflate(piece, final, limit - len(data))
                data += inflated
                assert len(data) <= limit, "more than the limit was inflated"
            results.append(data)
    except build["errors"].ProtocolError as error:
        code = error.code
        results.append("failed")
    assert code in (0, 1007, 1009), code
    size = backend.inflater_size(build["deflate"].inflater_bits(parameters.client_max_window_bits))
    assert compression.held in (0, size)
    deflate.release()
    assert compression.held == compression.promised == 0
    return results


def inflate(data: bytes) -> None:
    (flags, window), wire = options(data, 2)
    messages = _messages(wire)
    limit = LIMITS[flags >> 1 & 3]
    found: list[list[object]] = []
    for build in BUILDS:
        parameters = build["deflate"].Parameters(False, bool(flags & 1), 15, 8 + window % 8)
        found += [
            _inflated(build, backend, parameters, messages, limit) for backend in _backends(build)
        ]
    for other in found[1:]:
        assert other == found[0], f"{other} and {found[0]}"
    if all(ended for _, ended in messages):
        # A message in pieces may fail before its end, and so may not give what the whole one gives.
        whole: list[tuple[list[bytes], bool]] = [([b"".join(p)], True) for p, _ in messages]
        build = BUILDS[0]
        parameters = build["deflate"].Parameters(False, bool(flags & 1), 15, 8 + window % 8)
        at_once = _inflated(build, build["zlib_backend"].ZLIB, parameters, whole, limit)
        assert at_once == found[0], f"the cut shows: {at_once} and {found[0]}"


class Client:
    """A connection, and the client that inflates what is sent on it."""

    def __init__(self, build: Build, parameters: Any, compression: Any, fanout: Any) -> None:
        self.connection = build["connection"].WebSocketConnection(fanout)
        self.connection.open(100, build["deflate"].Deflate(parameters, compression))
        promised: dict[str, str | None] = {
            "server_max_window_bits": str(parameters.server_max_window_bits)
        }
        if parameters.server_no_context_takeover:
            promised["server_no_context_takeover"] = None
        self.inflater = verdict.Inflater(promised)

    def send(self, message: str | bytes) -> bytes:
        encode = self.connection.text if isinstance(message, str) else self.connection.binary
        wire = b"".join(encode(message))
        [frame], rest = verdict.split(wire)
        assert not rest
        assert frame.first & ~0x40 == (0x81 if isinstance(message, str) else 0x82)
        payload = frame.payload
        if frame.first & 0x40:
            payload = self.inflater.message(payload)
        assert payload == (message.encode() if isinstance(message, str) else message)
        return wire


def _sent(wire: bytes) -> Iterator[tuple[int, str | bytes]]:
    at = 0
    while at + 1 < len(wire):
        what, size = wire[at], wire[at + 1]
        data = wire[at + 2 : at + 2 + size]
        if what & 8:
            data *= 1 + (what >> 4) * 8
        yield what, (data.decode("latin-1") if what & 1 else data)
        at += 2 + size


def deflate(data: bytes) -> None:
    (flags, window), wire = options(data, 2)
    wires: list[list[bytes]] = []
    for build in BUILDS:
        settings = build["compression"].Settings(
            memory=20_000 if flags & 2 else 64 << 20, min_size=0 if flags & 4 else 64
        )
        compression = build["compression"].Compression(settings)
        fanout = build["fanout"].FanOut()
        make = build["deflate"].Parameters
        # The second has another window where the highest bit says so.
        bits = 9 + window % 7
        clients = [
            Client(build, make(bool(flags & 1), False, bits, 15), compression, fanout),
            Client(build, make(False, True, 9 if window & 0x80 else bits, 15), compression, fanout),
        ]
        sent: list[bytes] = []
        for what, message in _sent(wire):
            sent += [
                client.send(message)
                for client in (clients if what & 4 else [clients[what >> 1 & 1]])
            ]
            # One compressor for each window is there whatever the cap: for messages without a context.
            alone = compression.size_of_context(9) + compression.size_of_context(bits)
            assert compression.held <= max(settings.memory, alone)
        for client in clients:
            client.connection.apply(build["states"].Trigger.LOST)
        assert not compression.contexts
        assert compression.promised == 0
        wires.append(sent)
    for other in wires[1:]:
        assert other == wires[0]
