"""The frame header, read and written (RFC 6455, 5.2).

Rules of this file:
- It knows one frame at a time and nothing of messages: `messages.py` checks the order of fragments, sizes and
  UTF-8.
- A header may arrive in any number of pieces. What has arrived of it is kept in `_spill`, at most 13 octets; a
  payload is never kept here.
- Compiled: the types are in `frames.pxd`. Lengths are checked against 2^63 before they become a number.
"""

from __future__ import annotations

from asgiws.websocket import wire
from asgiws.websocket.close import PROTOCOL_ERROR
from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.opcodes import BINARY, CLOSE, CONTINUATION, FIN, MASKED, PONG, RSV1, RSV2_RSV3

#: "All control frames MUST have a payload length of 125 bytes or less" (5.5).
MAX_CONTROL_PAYLOAD = 125


class FrameReader:
    """Reads frame headers sent by a client; the fields hold the last header read.

    `allow_rsv1` says that an extension defines RSV1 on the first frame of a message (RFC 7692, 6).
    """

    __slots__ = ("_spill", "allow_rsv1", "fin", "key", "length", "opcode", "rsv1")

    def __init__(self, allow_rsv1: bool = False) -> None:
        self.allow_rsv1 = allow_rsv1
        self.fin = False
        self.rsv1 = False
        self.opcode = 0
        #: Octets of payload after the header.
        self.length = 0
        #: The masking key as a little-endian number.
        self.key = 0
        self._spill: bytearray | None = None

    def read(self, data: bytearray, start: int, end: int) -> int:
        """Read a header from `data[start:end]`, together with what was kept of it before.

        Returns the position after the header, or -1 if it is not complete yet (then all octets were
        taken). Raises ProtocolError (1002) for a header that RFC 6455 forbids, as soon as its first
        two octets are there.
        """
        if self._spill is None:
            if end - start >= 2:
                need = self._start(data[start], data[start + 1])
                if end - start >= need:
                    self._finish(data, start, need)
                    return start + need
            if end > start:
                self._spill = data[start:end]
            return -1
        spill = self._spill
        position = start
        while len(spill) < 2:
            if position == end:
                return -1
            spill.append(data[position])
            position += 1
        need = self._start(spill[0], spill[1])
        take = min(need - len(spill), end - position)
        spill += data[position : position + take]
        if len(spill) < need:
            return -1
        self._spill = None
        self._finish(spill, 0, need)
        return position + take

    def _start(self, first: int, second: int) -> int:
        """Check the first two octets; returns the length of the whole header."""
        opcode = first & 0x0F
        length = second & 0x7F
        if first & RSV2_RSV3:
            # "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
            raise ProtocolError(
                PROTOCOL_ERROR, "reserved bit set without an extension that defines it"
            )
        if first & RSV1 and (not self.allow_rsv1 or opcode == CONTINUATION or opcode >= CLOSE):
            # RFC 7692, 6.1: RSV1 is for the first frame of a message; 6.2 leaves control frames alone.
            raise ProtocolError(PROTOCOL_ERROR, "RSV1 set where no extension defines it")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise ProtocolError(PROTOCOL_ERROR, f"reserved opcode {opcode:#x}")
            if length > MAX_CONTROL_PAYLOAD:
                raise ProtocolError(
                    PROTOCOL_ERROR, "control frame with more than 125 octets of payload"
                )
            if not first & FIN:
                # "... and MUST NOT be fragmented." (5.5)
                raise ProtocolError(PROTOCOL_ERROR, "fragmented control frame")
        elif opcode > BINARY:
            raise ProtocolError(PROTOCOL_ERROR, f"reserved opcode {opcode:#x}")
        if not second & MASKED:
            # "The server MUST close the connection upon receiving a frame that is not masked." (5.1)
            raise ProtocolError(PROTOCOL_ERROR, "frame from a client is not masked")
        self.fin = first & FIN != 0
        self.rsv1 = first & RSV1 != 0
        self.opcode = opcode
        self.length = length
        if length < 126:
            return 6
        return 8 if length == 126 else 14

    def _finish(self, data: bytearray, start: int, need: int) -> None:
        """Read the extended length and the masking key of a complete header."""
        if need == 8:
            self.length = data[start + 2] << 8 | data[start + 3]
            if self.length < 126:
                # "... the minimal number of bytes MUST be used to encode the length" (5.2)
                raise ProtocolError(PROTOCOL_ERROR, "payload length is not in its shortest form")
        elif need == 14:
            if data[start + 2] & 0x80:
                # "the most significant bit MUST be 0" (5.2)
                raise ProtocolError(
                    PROTOCOL_ERROR, "payload length with its most significant bit set"
                )
            length = 0
            for index in range(start + 2, start + 10):
                length = length << 8 | data[index]
            if length < 65536:
                raise ProtocolError(PROTOCOL_ERROR, "payload length is not in its shortest form")
            self.length = length
        self.key = wire.key_at(data, start + need - 4)


def header(first: int, length: int) -> bytes:
    """The header of a frame from a server, which is not masked: `first` is FIN, RSV1 and opcode in one
    octet, `length` the number of octets in the payload."""
    return wire.header(first, length)


def frame(first: int, payload: bytes) -> bytes:
    """A whole frame from a server in one piece; see `header`."""
    return wire.frame(first, payload)
