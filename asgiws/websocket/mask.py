"""Masking (RFC 6455, 5.3).

Rules of this file: no state, no I/O. `wire.py`, or its compiled twin, does the work.
"""

from __future__ import annotations

from asgiws.common import octets
from asgiws.websocket import wire


def apply_mask(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask a whole payload with a four-octet masking key; the operation is its own inverse.

    Raises ValueError if the key is not four octets long.
    """
    if len(key) != 4:
        raise ValueError(f"a masking key has 4 octets, not {len(key)}")
    data = bytearray(payload)
    size = len(data)
    wire.xor(data, 0, size, int.from_bytes(key, "little"), 0)
    return octets.to_bytes(data, 0, size)
