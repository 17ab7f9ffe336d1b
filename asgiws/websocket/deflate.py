"""permessage-deflate: negotiation, compression and bounded inflation (RFC 7692).

Rules of this file:
- `negotiate` answers the client's offers; it is pure.
- A Deflate object belongs to one connection. zlib's state is made when the first message needs it, so an
  idle connection that negotiated compression holds none.
- Inflation never makes more than the limit it is given plus one octet.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from asgiws.websocket.close import INVALID_PAYLOAD, MESSAGE_TOO_BIG
from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.extensions import Extension

NAME = "permessage-deflate"

#: A message ends with these octets of an empty stored block, which are left off on the wire (7.2.1, 7.2.2).
TAIL = b"\x00\x00\xff\xff"

#: Windows of 4 KiB and small match tables: with them a connection that compresses holds about 30 KiB instead
#: of 300, at nearly the same ratio for messages of a few KiB.
WINDOW_BITS = 12
MEMORY_LEVEL = 5
LEVEL = 6

#: zlib makes no raw stream with a window of 256 octets, and clients built on it take 512 instead.
MIN_ZLIB_BITS = 9
MAX_BITS = 15

#: Streams that may end within one piece of a message; each costs a new inflater and a copy of the rest.
MAX_RESTARTS = 8


class Parameters(NamedTuple):
    """What was agreed (7.1): the window of each direction and whether it is kept between messages."""

    server_no_context_takeover: bool
    client_no_context_takeover: bool
    server_max_window_bits: int
    client_max_window_bits: int


def negotiate(offers: list[Extension]) -> tuple[Extension, Parameters] | None:
    """The first acceptable offer of permessage-deflate, as (response, agreed parameters), or None.

    "The server MUST decline an extension negotiation offer for this extension" with a parameter that is not
    defined, has an invalid value, or stands twice (7.1); the next offer is then looked at (5.1).
    """
    for offer in offers:
        if offer.name == NAME:
            agreed = _accept(offer)
            if agreed is not None:
                return agreed
    return None


def _accept(offer: Extension) -> tuple[Extension, Parameters] | None:
    seen: dict[str, str | None] = {}
    for name, value in offer.parameters:
        if name in seen:
            return None
        seen[name] = value
    server_bits, client_bits = WINDOW_BITS, MAX_BITS
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
            client_bits = min(WINDOW_BITS, bits)
            response.append((name, str(client_bits)))
        else:
            return None
    # A server may name its window in the response without having been asked, and must confirm one that it was
    # asked for (7.1.2.1).
    response.append(("server_max_window_bits", str(server_bits)))
    return Extension(NAME, response), Parameters(
        "server_no_context_takeover" in seen,
        "client_no_context_takeover" in seen,
        server_bits,
        client_bits,
    )


def _window_bits(value: str | None) -> int | None:
    """8 to 15, "a decimal integer value without leading zeroes" (7.1.2); None for anything else."""
    if value is None or value not in ("8", "9", "10", "11", "12", "13", "14", "15"):
        return None
    return int(value)


class Deflate:
    """Compresses what is sent and inflates what is received on one connection."""

    __slots__ = ("_compressor", "_inflater", "parameters")

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._compressor: zlib._Compress | None = None
        self._inflater: zlib._Decompress | None = None

    def compress(self, payload: bytes) -> bytes:
        """A whole message as the payload of a frame with RSV1 (7.2.1)."""
        compressor = self._compressor
        if compressor is None:
            bits = self.parameters.server_max_window_bits
            compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -bits, MEMORY_LEVEL)
            if not self.parameters.server_no_context_takeover:
                self._compressor = compressor
        data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return data[:-4]

    def _new_inflater(self) -> zlib._Decompress:
        return zlib.decompressobj(-max(self.parameters.client_max_window_bits, MIN_ZLIB_BITS))

    def inflate(self, piece: bytes, final: bool, limit: int) -> bytes:
        """What the next piece of a compressed message holds, at most `limit` octets; `final` for the last.

        Raises ProtocolError: 1009 when there is more than `limit`, 1007 when the data is not valid deflate.
        """
        inflater = self._inflater
        rest = piece + TAIL if final else piece
        data = b""
        ends = 0
        try:
            while rest:
                if inflater is None:
                    if final and rest == TAIL:
                        break  # nothing of the client's is left, and the tail alone is no stream
                    inflater = self._inflater = self._new_inflater()
                data += inflater.decompress(rest, limit + 1 - len(data))
                if not inflater.eof or len(data) > limit:
                    break
                # A block with BFINAL ended the stream (7.2.3.4); what follows starts a new one.
                rest = inflater.unused_data
                inflater = self._inflater = None
                ends += 1
                if ends > MAX_RESTARTS:
                    raise ProtocolError(INVALID_PAYLOAD, "too many final blocks in deflate data")
        except zlib.error as error:
            raise ProtocolError(INVALID_PAYLOAD, f"invalid deflate data: {error}") from None
        if len(data) > limit:
            raise ProtocolError(MESSAGE_TOO_BIG, "message is too big once inflated")
        if final and self.parameters.client_no_context_takeover:
            self._inflater = None
        return data
