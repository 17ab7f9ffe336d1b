"""permessage-deflate: negotiation, compression and bounded inflation (RFC 7692).

Rules of this file:
- `negotiate` answers the client's offers; it is pure.
- A Deflate object belongs to one connection. Its compressor and inflater are created when the first message
  needs them, so an idle connection that negotiated compression has none; both are counted in the worker's
  `Compression`, which may drop the compressor's context between any two messages.
- Inflation never produces more than the limit it is given plus one octet, nor more at once than requested.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from asgiws.websocket.close import INVALID_PAYLOAD, MESSAGE_TOO_BIG
from asgiws.websocket.compression import Compression, Settings
from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.extensions import Extension
from asgiws.websocket.zlib_backend import FULL_FLUSH, SYNC_FLUSH, Compressor, Inflater

NAME = "permessage-deflate"

#: A message ends with these octets of an empty stored block, which are omitted on the wire (7.2.1, 7.2.2).
TAIL = b"\x00\x00\xff\xff"

#: zlib cannot produce a raw stream with a window of 256 octets, and clients built on it use 512 instead.
MIN_ZLIB_BITS = 9
MAX_BITS = 15

#: The most streams that may end within one message; each costs a new inflater and a copy of the rest. A client
#: that compresses each fragment separately ends one with each.
MAX_RESTARTS = 64


class Parameters(NamedTuple):
    """What was agreed (7.1): the window of each direction and whether it is kept between messages."""

    server_no_context_takeover: bool
    client_no_context_takeover: bool
    server_max_window_bits: int
    client_max_window_bits: int


def negotiate(
    offers: list[Extension],
    settings: Settings,
    may_keep: Callable[[int], bool] = lambda bits: True,
) -> tuple[Extension, Parameters] | None:
    """The first acceptable offer of permessage-deflate, as (response, agreed parameters), or None.

    `may_keep` is called with the inflater's window, in bits, and says whether the client may keep its context.

    "The server MUST decline an extension negotiation offer for this extension" if it has a parameter that is
    not defined, has an invalid value, or is repeated (7.1); then the next offer is considered (5.1).
    """
    for offer in offers:
        if offer.name == NAME:
            agreed = _accept(offer, settings, may_keep)
            if agreed is not None:
                return agreed
    return None


def _accept(
    offer: Extension, settings: Settings, may_keep: Callable[[int], bool]
) -> tuple[Extension, Parameters] | None:
    seen: dict[str, str | None] = {}
    for name, value in offer.parameters:
        if name in seen:
            return None
        seen[name] = value
    server_bits, client_bits = settings.window_bits, MAX_BITS
    response: list[tuple[str, str | None]] = []
    for name, value in seen.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            response.append((name, None))
        elif name == "server_max_window_bits":
            bits = _window_bits(value)
            if bits is None or bits < MIN_ZLIB_BITS:
                return None
            server_bits = min(server_bits, bits)
        elif name == "client_max_window_bits":
            # Without a value: "the client supports the parameter"; only then may the server set it (7.1.2.2).
            bits = MAX_BITS if value is None else _window_bits(value)
            if bits is None:
                return None
            client_bits = min(settings.client_window_bits, bits)
            response.append((name, str(client_bits)))
        else:
            return None
    # A server may send each of these without having been asked (7.1.1.1, 7.1.1.2, 7.1.2.1).
    server_keeps = "server_no_context_takeover" not in seen
    if server_keeps and settings.server_no_context_takeover:
        server_keeps = False
        response.append(("server_no_context_takeover", None))
    client_keeps = "client_no_context_takeover" not in seen
    if client_keeps and (
        settings.client_no_context_takeover or not may_keep(inflater_bits(client_bits))
    ):
        client_keeps = False
        response.append(("client_no_context_takeover", None))
    if server_bits < MAX_BITS or "server_max_window_bits" in seen:
        response.append(("server_max_window_bits", str(server_bits)))
    return Extension(NAME, response), Parameters(
        not server_keeps, not client_keeps, server_bits, client_bits
    )


def _window_bits(value: str | None) -> int | None:
    """8 to 15, "a decimal integer value without leading zeroes" (7.1.2); None for anything else."""
    if value is None or value not in ("8", "9", "10", "11", "12", "13", "14", "15"):
        return None
    return int(value)


def inflater_bits(client_bits: int) -> int:
    """The window for inflating data from a client that has agreed to `client_bits`."""
    return max(client_bits, MIN_ZLIB_BITS)


class Deflate:
    """Compresses what is sent and inflates what is received on one connection, until `release`.

    `compression` is the worker's; without one, the connection has its own. Messages of fewer than `min_size`
    octets should not be compressed.

    For a message that goes to many connections: the result of `compress_alone` is the same on every connection
    of the worker with the same `key`, and may be sent on all of them. If `independent` is true, this costs
    nothing. If it is false, the connection has a context, which `forget` must drop before octets that were made
    for another connection are sent on it: distances would count from the wrong place.
    """

    __slots__ = (
        "_bits",
        "_compression",
        "_compressor",
        "_contexts",
        "_ends",
        "_error",
        "_held",
        "_inflater",
        "_keeps",
        "_promised",
        "_rest",
        "min_size",
        "more",
        "parameters",
    )

    def __init__(self, parameters: Parameters, compression: Compression | None = None) -> None:
        if compression is None:
            compression = Compression()
        self.parameters = parameters
        self.min_size = compression.settings.min_size
        self._compression = compression
        self._contexts = compression.contexts
        self._error = compression.backend.error
        self._bits = parameters.server_max_window_bits
        self._keeps = not parameters.server_no_context_takeover
        self._compressor: Compressor | None = None
        self._inflater: Inflater | None = None
        #: The number of final blocks in the message that is being inflated.
        self._ends = 0
        #: Whether there may be more in the data passed to `inflate`; the part of it that was not processed.
        self.more = False
        self._rest = b""
        #: Octets that the inflater holds, 0 without one, and octets that the client was promised.
        self._held = 0
        self._promised = 0
        if not parameters.client_no_context_takeover:
            bits = inflater_bits(parameters.client_max_window_bits)
            self._promised = compression.backend.inflater_size(bits)
            compression.promised += self._promised

    # Out.

    def compress(self, payload: bytes) -> bytes:
        """A whole message as the payload of a frame with RSV1 (7.2.1)."""
        compressor = self._compressor
        if compressor is not None:
            self._contexts.move_to_end(self)
        else:
            if self._keeps:
                compressor = self._compression.take_context(self, self._bits)
            if compressor is None:
                return self.compress_alone(payload)
            self._compressor = compressor
        data = compressor.compress(payload) + compressor.flush(SYNC_FLUSH)
        return data[:-4]

    def compress_alone(self, payload: bytes) -> bytes:
        """The same, with an empty window, and without leaving one: any existing context is dropped."""
        if self._compressor is not None:
            self.forget()
        compressor = self._compression.alone(self._bits)
        data = compressor.compress(payload) + compressor.flush(FULL_FLUSH)
        return data[:-4]

    @property
    def independent(self) -> bool:
        """True if the next message has no context to be compressed with."""
        return self._compressor is None

    @property
    def key(self) -> int:
        """Equal for connections of a worker on which `compress_alone` turns equal payloads into equal
        octets."""
        return self._bits

    def forget(self) -> Compressor | None:
        """Drop the context of sent messages; returns the compressor that had it, if there was one."""
        compressor, self._compressor = self._compressor, None
        if compressor is not None:
            self._compression.drop_context(self)
        return compressor

    # In.

    def _new_inflater(self) -> Inflater:
        backend = self._compression.backend
        bits = inflater_bits(self.parameters.client_max_window_bits)
        inflater = backend.new_inflater(bits)
        self._held = backend.inflater_size(bits)
        self._compression.hold_inflater(self._held)
        return inflater

    def _drop_inflater(self) -> None:
        self._inflater = None
        self._compression.hold_inflater(-self._held)
        self._held = 0

    def inflate(self, piece: bytes, final: bool, limit: int, most: int = 0) -> bytes:
        """Inflate the next piece of a compressed message, to at most `limit` octets; `final` for the last
        piece.

        No more than `most` octets of it are produced at once, unless that is 0. While there may be more, `more`
        is true, and the next call must have b"" and the same `final`.

        Raises ProtocolError: 1009 if there is more than `limit`, 1007 if the data is not valid deflate.
        """
        inflater = self._inflater
        rest = piece + TAIL if final else piece
        if self.more:
            rest = self._rest
        room = limit + 1 if most == 0 or most > limit else most
        data = b""
        try:
            while rest or self.more:
                if inflater is None:
                    if final and rest == TAIL:
                        rest = b""
                        break  # nothing of the client's data is left, and the tail alone is not a stream
                    inflater = self._inflater = self._new_inflater()
                data += inflater.decompress(rest, room - len(data))
                if not inflater.eof:
                    rest = inflater.unconsumed_tail
                    break
                # A block with BFINAL ended the stream (7.2.3.4); what follows starts a new one.
                rest = inflater.unused_data
                inflater = None
                self._drop_inflater()
                self._ends += 1
                if self._ends > MAX_RESTARTS:
                    raise ProtocolError(INVALID_PAYLOAD, "too many final blocks in deflate data")
                if len(data) == room:
                    break
                self.more = False
        except self._error as error:
            raise ProtocolError(INVALID_PAYLOAD, f"invalid deflate data: {error}") from None
        if len(data) > limit:
            raise ProtocolError(MESSAGE_TOO_BIG, "message is too big once inflated", "ws_max_size")
        self.more = len(data) == room
        self._rest = rest if self.more else b""
        if final and not self.more:
            self._ends = 0
            if self.parameters.client_no_context_takeover:
                self._drop_inflater()
        return data

    def waiting(self) -> int:
        """How many octets of the last piece were not processed yet."""
        return len(self._rest)

    def release(self) -> None:
        """The connection has ended: hold nothing for it any more. Idempotent."""
        self.forget()
        self._drop_inflater()
        self.more = False
        self._rest = b""
        self._compression.promised -= self._promised
        self._promised = 0
