"""The primitives for masking and framing, on plain bytes.

Rules of this file:
- It is a twin, one of the files where the pure and the compiled build differ: this source serves the pure
  build, and `wire.pxd` gives the compiled modules the same functions, inlined, in C. The file itself is never
  compiled. A change of one is a change of both; `tests/unit/websocket/test_wire.py` holds them together.
- Positions are octets into `data`; the caller guarantees 0 <= start <= end <= len(data).
"""

from __future__ import annotations


def xor(data: bytearray, start: int, end: int, key: int, phase: int) -> None:
    """Mask or unmask `data[start:end]` in place (RFC 6455, 5.3).

    `key` is the masking key as a little-endian number; `phase` is the position in the payload of the octet
    at `start`, modulo 4.
    """
    size = end - start
    pattern = key.to_bytes(4, "little")
    if phase:
        pattern = pattern[phase:] + pattern[:phase]
    stream = (pattern * ((size + 3) // 4))[:size]
    # XOR of one big number runs at the speed of C; octet by octet would take 50 times as long.
    masked = int.from_bytes(data[start:end], "little") ^ int.from_bytes(stream, "little")
    data[start:end] = masked.to_bytes(size, "little")


def key_at(data: bytearray, at: int) -> int:
    """The masking key in the four octets from `at` on, as a little-endian number."""
    return int.from_bytes(data[at : at + 4], "little")


def header(first: int, size: int) -> bytes:
    """The header of a frame from a server, which is not masked (5.2): `first` is FIN, RSV1 and opcode in one
    octet, `size` the number of octets in the payload."""
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


def frame(first: int, payload: bytes) -> bytes:
    """A header and its payload in one piece."""
    return header(first, len(payload)) + payload
