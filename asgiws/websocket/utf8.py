"""Incremental validation of UTF-8 (RFC 6455, 8.1; RFC 3629).

Rules of this file: nothing is stored but the state within one character; the first octet that cannot continue
valid text raises.
"""

from __future__ import annotations

import codecs

_new_decoder = codecs.getincrementaldecoder("utf-8")


class Utf8Validator:
    """Checks text that arrives in pieces.

    `feed` raises UnicodeDecodeError at the first octet that cannot occur there in valid text; `finish` if the
    text ends within a character. After either, including a successful `finish`, the validator starts again.
    """

    __slots__ = ("_decoder", "pending")

    def __init__(self) -> None:
        #: True within a character; if false, a piece of ASCII need not be fed.
        self.pending = False
        # None between characters: most pieces end at a character boundary.
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, piece: bytes | bytearray) -> None:
        decoder = self._decoder
        if decoder is None:
            if piece.isascii():
                return
            decoder = _new_decoder()
        self._decoder = None
        self.pending = False
        decoder.decode(piece)
        pending = decoder.getstate()[0]
        if pending:
            # The codec keeps ED A0..BF, the start of a surrogate, waiting for a third octet that cannot
            # make it valid.
            if len(pending) == 2 and pending[0] == 0xED and pending[1] >= 0xA0:
                raise UnicodeDecodeError("utf-8", pending, 0, 2, "surrogates not allowed")
            self._decoder = decoder
            self.pending = True

    def finish(self) -> None:
        decoder = self._decoder
        if decoder is not None:
            self._decoder = None
            self.pending = False
            decoder.decode(b"", True)
