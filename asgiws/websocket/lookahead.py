"""Control frames among octets that cannot be processed yet, because the application is slow (RFC 6455, 5.5).

Rules of this file:
- It looks at the kept octets and changes nothing: they are read in order later, including control frames.
- It only uses the lengths of frames. Errors in a frame are found when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator

from asgiws.websocket import close
from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.events import Close
from asgiws.websocket.mask import apply_mask
from asgiws.websocket.opcodes import CLOSE


def close_event(payload: bytes) -> Close:
    """The content of a close frame's payload."""
    try:
        return Close(*close.parse(payload))
    except ProtocolError as error:
        return Close(error.code, error.reason, True)


class Lookahead:
    """How far the kept octets were searched. The search begins at the first octet of a frame."""

    __slots__ = ("_skip", "_unseen")

    def __init__(self) -> None:
        #: Octets at the end of the kept ones that were not searched yet: kept octets are removed at the front.
        self._unseen = 0
        #: Octets of a frame's payload that are still to come.
        self._skip = 0

    def look(self, kept: bytearray, more: int) -> Iterator[tuple[int, bytes]]:
        """The control frames that are now complete: opcode and payload. `more` octets were appended to `kept`,
        which may not change meanwhile."""
        self._unseen += more
        end = len(kept)
        while True:
            skip = min(self._skip, self._unseen)
            self._skip -= skip
            self._unseen -= skip
            start = end - self._unseen
            if self._unseen < 2:
                return
            length = kept[start + 1] & 0x7F
            header = 6
            if length == 126:
                header = 8
            elif length == 127:
                header = 14
            if self._unseen < header:
                return
            if header > 6:
                length = int.from_bytes(kept[start + 2 : start + header - 4], "big")
            opcode = kept[start] & 0x0F
            if opcode >= CLOSE:
                if length > 125 or not kept[start + 1] & 0x80:
                    self._skip = 1 << 62  # the reader will end the connection here
                    continue
                if self._unseen < header + length:
                    return
                key = bytes(kept[start + 2 : start + 6])
                payload = bytes(kept[start + 6 : start + 6 + length])
                self._skip = header + length
                yield opcode, apply_mask(payload, key)
            else:
                self._skip = header + length
