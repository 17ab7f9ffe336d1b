"""What the connections of one worker share for permessage-deflate: the settings, and memory under one cap.

Rules of this file:
- Every compressor and inflater of the worker is counted here, in octets as the backend computes them.
- Above the cap, the context of the connection that has not compressed for the longest time is dropped: a sender
  may start with an empty window at any message (RFC 7692, 7.2.1), and the receiver need not know.
- We cannot drop the context of a client. So no more than half of the cap is promised to clients' windows; from
  then on, clients are told not to keep theirs (`client_no_context_takeover`, 7.1.1.2).
- An inflater is never passed from one connection to another: its window holds what the first received, and a
  client can have any of that sent out. A compressor may be, because a full flush resets it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, Protocol

from asgiws.websocket.zlib_backend import FULL_FLUSH, ZLIB, Backend, Compressor


class Settings(NamedTuple):
    """The options `--ws-deflate-...`, which document them; sizes are in octets."""

    level: int = 5
    window_bits: int = 12
    client_window_bits: int = 12
    memory_level: int = 5
    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    min_size: int = 64
    memory: int = 64 << 20


class Holder(Protocol):
    """A connection that has its own compressor."""

    def forget(self) -> Compressor | None: ...


class Compression:
    """The compression of one worker. `held` is what its compressors and inflaters hold now, `promised` what its
    clients' windows may come to hold, both in octets."""

    __slots__ = ("_alone", "backend", "contexts", "held", "promised", "settings")

    def __init__(self, settings: Settings | None = None, backend: Backend = ZLIB) -> None:
        self.settings = Settings() if settings is None else settings
        self.backend = backend
        self.held = 0
        self.promised = 0
        #: The connections that have a context, with the window of each in bits; least recently used first.
        self.contexts: OrderedDict[Holder, int] = OrderedDict()
        #: For each window size, one compressor that has no context between messages.
        self._alone: dict[int, Compressor] = {}

    def size_of_context(self, bits: int) -> int:
        """The octets that a compressor with a window of `bits` holds."""
        return self.backend.compressor_size(bits, self.settings.memory_level)

    def alone(self, bits: int) -> Compressor:
        """The compressor for messages without a context; it exists whatever the cap. After each message, it
        must be flushed with FULL_FLUSH."""
        compressor = self._alone.get(bits)
        if compressor is None:
            size = self.size_of_context(bits)
            compressor = self._make_room(size, bits) or self._new_compressor(bits)
            self._alone[bits] = compressor
            self.held += size
        return compressor

    def take_context(self, holder: Holder, bits: int) -> Compressor | None:
        """A compressor with an empty window for `holder` to keep. If the cap has no room, the least recently
        used connections lose theirs. None if that does not make room either."""
        size = self.size_of_context(bits)
        found = self._make_room(size, bits)
        if self.held + size > self.settings.memory:
            return None
        self.contexts[holder] = bits
        self.held += size
        return found or self._new_compressor(bits)

    def drop_context(self, holder: Holder) -> None:
        """`holder` has released the compressor that it took."""
        self.held -= self.size_of_context(self.contexts.pop(holder))

    def may_promise(self, bits: int) -> bool:
        """True while a client may keep a window of `bits`."""
        return self.promised + self.backend.inflater_size(bits) <= self.settings.memory // 2

    def hold_inflater(self, size: int) -> None:
        """An inflater of `size` octets was created; a negative `size` for one that was released."""
        self.held += size
        if self.held > self.settings.memory:
            self._make_room(0, 0)

    def _make_room(self, size: int, bits: int) -> Compressor | None:
        """Drop contexts until `size` more octets fit. Returns an empty compressor with a window of `bits`, if
        one of them had that window."""
        found = None
        while self.contexts and self.held + size > self.settings.memory:
            holder, its_bits = next(iter(self.contexts.items()))
            compressor = holder.forget()
            if compressor is not None and its_bits == bits:
                found = compressor
        if found is not None:
            found.flush(FULL_FLUSH)
        return found

    def _new_compressor(self, bits: int) -> Compressor:
        settings = self.settings
        return self.backend.new_compressor(settings.level, bits, settings.memory_level)
