"""The bytes that have arrived and are not used yet.

Rules of this file: the data is immutable `bytes` with a position, so that slicing out a whole read
copies nothing; readers advance `pos` and never look at what is before it.
"""

from __future__ import annotations


class ReceiveBuffer:
    __slots__ = ("data", "pos")

    def __init__(self) -> None:
        self.data = b""
        self.pos = 0

    def feed(self, data: bytes) -> None:
        if self.pos == len(self.data):
            self.data = data
        else:
            # The rest is short here: a head or a chunk-size line within its limit, or pipelined
            # requests from one read (after which reading is paused).
            self.data = self.data[self.pos :] + data
        self.pos = 0

    def is_empty(self) -> bool:
        return self.pos == len(self.data)

    def take(self, count: int) -> bytes:
        """Up to `count` bytes, or b"" if there are none."""
        start = self.pos
        end = start + count
        if end >= len(self.data):
            end = len(self.data)
            taken = self.data[start:] if start else self.data
            self.data = b""
            self.pos = 0
            return taken
        self.pos = end
        return self.data[start:end]
