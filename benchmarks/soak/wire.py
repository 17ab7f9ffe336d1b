"""A client's end of the wire: frames out, as right or wrong as asked for; frames in, checked strictly.

Rules of this file:
- No I/O, and no code of the server's or of a library's.
- What the server must not send raises WireError, which is always the server's fault.
"""

from __future__ import annotations

import os
import zlib
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1 = 0x80, 0x40
NO_CODE = 1005
_TAIL = b"\x00\x00\xff\xff"


class WireError(Exception):
    """The server broke RFC 6455 or RFC 7692."""


class Ping(NamedTuple):
    payload: bytes


class Pong(NamedTuple):
    payload: bytes


class Closed(NamedTuple):
    """The server's close frame; NO_CODE for an empty one."""

    code: int
    reason: str


Event = str | bytes | Ping | Pong | Closed


def masked(payload: bytes, key: bytes) -> bytes:
    """The payload under a masking key (RFC 6455, 5.3)."""
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")


def frame(opcode: int, payload: bytes = b"", *, flags: int = FIN, mask: bool = True) -> bytes:
    """A frame; `flags` are FIN and the reserved bits."""
    size = len(payload)
    bit = 0x80 if mask else 0
    if size < 126:
        head = bytes((flags | opcode, bit | size))
    elif size < 65536:
        head = bytes((flags | opcode, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((flags | opcode, bit | 127)) + size.to_bytes(8, "big")
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + masked(payload, key)


def close_payload(code: int | None, reason: str = "") -> bytes:
    return b"" if code is None else code.to_bytes(2, "big") + reason.encode()


class Deflater:
    """Compresses messages (RFC 7692, 7.2.1)."""

    def __init__(self, window_bits: int, takes_over: bool) -> None:
        self._bits = max(9, window_bits)
        self._takes_over = takes_over
        self._compressor = self._new()

    def _new(self) -> zlib._Compress:
        return zlib.compressobj(1, zlib.DEFLATED, -self._bits, 4)

    def compress(self, payload: bytes) -> bytes:
        if not self._takes_over:
            self._compressor = self._new()
        data = self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(_TAIL)


class Reader:
    """Reads what the server sends. `inflates` says that permessage-deflate was agreed on."""

    def __init__(self, inflates: bool) -> None:
        self._data = bytearray()
        self._inflater = zlib.decompressobj(-15) if inflates else None
        self._parts: list[bytes] = []
        self._opcode = 0
        self._compressed = False
        self._closed = False

    def feed(self, data: bytes) -> None:
        self._data += data

    def next(self) -> Event | None:
        """The next message or control frame; None when there is not all of it yet. Raises WireError."""
        while (one := self._frame()) is not None:
            first, payload = one
            event = self._take(first, payload)
            if event is not None:
                return event
        return None

    def _frame(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        if self._closed:
            raise WireError("octets behind the close frame")
        size, at = data[1] & 0x7F, 2
        if data[1] & 0x80:
            raise WireError("a masked frame")
        if size >= 126:
            at = 4 if size == 126 else 10
            if len(data) < at:
                return None
            size = int.from_bytes(data[2:at], "big")
            if size < (126 if at == 4 else 65536):
                raise WireError("a length that is not in its shortest form")
        if len(data) < at + size:
            return None
        payload = bytes(memoryview(data)[at : at + size])
        first = data[0]
        del data[: at + size]
        return first, payload

    def _take(self, first: int, payload: bytes) -> Event | None:
        opcode = first & 0x0F
        if first & 0x30 or (first & RSV1 and self._inflater is None):
            raise WireError("a reserved bit")
        if opcode >= CLOSE:
            if not first & FIN or first & RSV1 or len(payload) > 125 or opcode > PONG:
                raise WireError("a malformed control frame")
            return self._control(opcode, payload)
        if opcode > BINARY or (opcode == CONTINUATION) != bool(self._opcode):
            raise WireError(f"opcode {opcode} out of order")
        if opcode:
            self._opcode = opcode
            self._compressed = bool(first & RSV1)
        elif first & RSV1:
            raise WireError("a reserved bit")
        self._parts.append(payload)
        if not first & FIN:
            return None
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        kind, self._opcode = self._opcode, 0
        if self._compressed:
            assert self._inflater is not None
            try:
                data = self._inflater.decompress(data + _TAIL)
            except zlib.error as error:
                raise WireError(f"compressed data: {error}") from error
        try:
            return data.decode() if kind == TEXT else data
        except UnicodeDecodeError as error:
            raise WireError(f"text: {error}") from error

    def _control(self, opcode: int, payload: bytes) -> Event:
        if opcode == PING:
            return Ping(payload)
        if opcode == PONG:
            return Pong(payload)
        self._closed = True
        if not payload:
            return Closed(NO_CODE, "")
        if len(payload) == 1:
            raise WireError("a close frame of one octet")
        try:
            return Closed(int.from_bytes(payload[:2], "big"), payload[2:].decode())
        except UnicodeDecodeError as error:
            raise WireError(f"close reason: {error}") from error
