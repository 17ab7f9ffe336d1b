"""From bytes to messages: fragments, sizes, UTF-8, inflation (RFC 6455, 5.4 to 5.6 and 8.1).

Rules of this file:
- Pull: `feed` takes the octets of a read, `next_event` returns one event at a time. So an error is found only
  after everything before it was returned.
- The octets passed to `feed` are the caller's buffer. They are unmasked in place and invalid after `next_event`
  has returned None: everything that is kept was copied.
- A message is rejected for its size before its payload is read. Nothing is stored of a control frame beyond the
  125 octets that it may have.
- `_opcode` says whether a message is in progress, `_in_frame` whether a frame is; never a buffer that happens
  to be empty.
- Whole fragments are gathered, and inflated or checked together, before `next_event` returns anything: calling
  the inflater or the validator for each octet would cost forty times what a frame does. Errors are still found
  in the order in which they arrived.
- Messages are inflated in steps of STEP octets, and when the turn's work is used up (`turn.py`), the next step
  is left to the next call.
"""

from __future__ import annotations

from asgiws.common import octets, pieces
from asgiws.common.turn import INFLATE, INFLATED, SLICE, SMALL, Turn
from asgiws.websocket import close, wire
from asgiws.websocket.close import (
    INVALID_PAYLOAD,
    MESSAGE_TOO_BIG,
    POLICY_VIOLATION,
    PROTOCOL_ERROR,
)
from asgiws.websocket.deflate import Deflate
from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.events import MORE, Close, Event, Ping, Pong
from asgiws.websocket.frames import FrameReader
from asgiws.websocket.opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from asgiws.websocket.utf8 import Utf8Validator

#: `_opcode` between messages.
NONE = -1

#: Room for a whole frame is allocated once one part in TRUST of it has arrived. Until then its data is
#: gathered, so that a client takes memory with what it sends and not with what it announces.
TRUST = 8

#: Octets that are inflated at once, and octets of compressed fragments that are gathered before that.
STEP = 32768
GATHER = 16384

# The same as C integers for the compiled module.
_SMALL = SMALL
_SLICE = SLICE
_INFLATE = INFLATE
_INFLATED = INFLATED
_STEP = STEP
_GATHER = GATHER

#: A message of 4 MiB in fragments of 64 octets passes.
MAX_FRAGMENTS = 131072

NO_TARGET = octets.new_target(0)


class Inflated:
    """What a compressed message has inflated to so far: its pieces, and how many octets that is. `final` tells
    whether the inflater's input, while it has more to give, ends the message."""

    __slots__ = ("final", "octets", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes | bytearray] = []
        self.octets = 0
        self.final = False

    def keep(self, piece: bytes) -> None:
        """Add a piece."""
        self.octets += len(piece)
        pieces.add(self.pieces, piece)


class MessageReader:
    """Reads the messages and control frames that a client sends.

    `max_size` limits a message in octets, after inflation, `max_fragments` in frames. `deflate` is the
    negotiated compression or None. `turn` is the worker's.
    """

    __slots__ = (
        "_compressed",
        "_control",
        "_data",
        "_deflate",
        "_end",
        "_filled",
        "_fragments",
        "_frame",
        "_gather",
        "_gathered",
        "_in_frame",
        "_inflated",
        "_inflating",
        "_max_fragments",
        "_max_size",
        "_message",
        "_opcode",
        "_phase",
        "_position",
        "_remaining",
        "_target",
        "_turn",
        "_unchecked",
        "_utf8",
        "_work",
    )

    def __init__(
        self,
        max_size: int,
        deflate: Deflate | None = None,
        max_fragments: int = MAX_FRAGMENTS,
        turn: Turn | None = None,
    ) -> None:
        self._turn = Turn() if turn is None else turn
        #: Units of work since the last feed, or the last MORE.
        self._work = 0
        self._max_size = max_size
        self._max_fragments = max_fragments
        #: Frames of the message in progress after its first.
        self._fragments = 0
        self._deflate = deflate
        self._frame = FrameReader(allow_rsv1=deflate is not None)
        self._data: bytearray = bytearray()
        self._position = 0
        self._end = 0
        #: A data or control frame whose header was read, but not its payload, or not all of it.
        self._in_frame = False
        self._remaining = 0
        self._phase = 0
        #: The opcode of the message in progress, NONE between messages.
        self._opcode = NONE
        self._compressed = False
        #: What has arrived of the message in progress; None until its first octets are kept.
        self._message: bytearray | None = None
        #: The same for a compressed one.
        self._inflated: Inflated | None = None
        #: The target of a message of one frame while it arrives in several reads.
        self._target = NO_TARGET
        self._filled = 0
        self._control: bytearray | None = None
        self._utf8: Utf8Validator | None = None
        #: Whether there are fragments to be inflated, in `_gather`, or to be checked, in `_message` from
        #: `_unchecked` on.
        self._gathered = False
        self._gather: bytearray | None = None
        self._unchecked = 0
        #: Whether the inflater's input has more to give.
        self._inflating = False

    def feed(self, data: bytearray, start: int, end: int) -> None:
        """Take the octets `data[start:end]`; `next_event` must have returned None since the last feed."""
        self._data = data
        self._position = start
        self._end = end
        self._work = 0

    def unread(self) -> int:
        """The number of octets fed last that `next_event` has not taken yet."""
        return self._end - self._position

    def is_behind(self) -> bool:
        """True if there is more to process without another feed."""
        return self._position < self._end or self._inflating

    def held(self) -> int:
        """The number of octets kept of an incomplete message."""
        held = 0
        if self._message is not None:
            held = len(self._message)
        elif self._target is not NO_TARGET:
            held = self._filled
        elif self._inflated is not None:
            held = self._inflated.octets
        if self._inflating:
            assert self._deflate is not None
            held += self._deflate.waiting()
        return held

    def expected(self) -> int:
        """How many octets of the frame in progress are still to be fed; after a ProtocolError, of the frame
        that caused it, if its header was valid."""
        return max(0, self._remaining - self.unread())

    def next_event(self) -> Event | None:
        """The next event in the fed octets, MORE if the turn's work is used up before there was one, or None if
        more octets are needed.

        Raises ProtocolError for anything that the client may not send; then the reader must not be used again.
        """
        frame = self._frame
        while True:
            if self._inflating:
                inflated = self._inflated
                assert inflated is not None
                if not self._inflate(b"", inflated.final):
                    return MORE
                if inflated.final:
                    return self._assembled_message()
            if not self._in_frame:
                if self._position == self._end:
                    if not self._gathered:
                        return None
                    self._settle()
                    continue
                if self._work >= _SMALL and self._is_used_up():
                    return MORE
                self._work += 1
                if self._gathered:
                    if not self._read_behind():
                        continue
                elif not self._read_header():
                    return None
            take = self._end - self._position
            if take > self._remaining:
                take = self._remaining
            start = self._position
            stop = start + take
            self._position = stop
            if take:
                wire.xor(self._data, start, stop, frame.key, self._phase)
                self._remaining -= take
                self._phase = (self._phase + take) & 3
            complete = self._remaining == 0
            self._in_frame = not complete
            if frame.opcode >= CLOSE:
                event = self._take_control(start, stop, complete)
                if event is not None:
                    return event
            elif (
                complete
                and frame.fin
                and self._message is None
                and not self._compressed
                and self._target is NO_TARGET
            ):
                # The whole message is in this one stretch of octets: no copy but the event's own.
                return self._whole_message(start, stop)
            elif self._target is not NO_TARGET:
                if take:
                    self._fill_target(start, stop, complete)
                if complete:
                    return self._finished_target()
            else:
                if complete and not frame.fin:
                    if take:
                        self._gather_data(start, stop)
                elif take or complete:
                    self._take_data(start, stop, complete)
                    if self._inflating:
                        return MORE
                if complete and frame.fin:
                    return self._assembled_message()
            if not complete:
                if not self._gathered:
                    return None
                self._settle()

    def _is_used_up(self) -> bool:
        """True if the others should get their turn; called from the unit SMALL on."""
        if self._work < _SLICE and self._turn.left > 0:
            self._turn.take(1)
            return False
        if self._gathered:
            self._settle()
        self._work = 0
        return True

    def _read_header(self) -> bool:
        """Read a frame's header; false if it is not complete yet."""
        position = self._frame.read(self._data, self._position, self._end)
        if position < 0:
            self._position = self._end
            return False
        self._position = position
        self._start_frame()
        return True

    def _read_behind(self) -> bool:
        """The same after gathered fragments. Also false if these must be processed first: before a control
        frame, and before an error in the next one."""
        position = self._position
        fragments = self._fragments
        if not self._data[position] & CLOSE:
            try:
                return self._read_header()
            except ProtocolError:
                self._position = position
                self._fragments = fragments
        self._settle()
        return False

    def _start_frame(self) -> None:
        """Check a frame's header against the message in progress (5.4)."""
        frame = self._frame
        if frame.opcode < CLOSE:
            if frame.opcode == CONTINUATION:
                if self._opcode == NONE:
                    raise ProtocolError(
                        PROTOCOL_ERROR, "continuation frame without a message to continue"
                    )
                self._fragments += 1
                if self._fragments >= self._max_fragments:
                    raise ProtocolError(
                        POLICY_VIOLATION,
                        f"message of more than {self._max_fragments} frames",
                        "ws_max_fragments",
                    )
            else:
                if self._opcode != NONE:
                    raise ProtocolError(
                        PROTOCOL_ERROR, "new message before the last fragment of another"
                    )
                self._opcode = frame.opcode
                self._compressed = frame.rsv1
                self._fragments = 0
            held = 0 if self._message is None else len(self._message)
            limit = self._max_size - held
            if self._compressed:
                # Its inflated size is checked later. Deflate never makes a message longer than this.
                limit = self._max_size + (self._max_size >> 6) + 1024
            if frame.length > limit:
                self._remaining = frame.length
                raise ProtocolError(
                    MESSAGE_TOO_BIG, f"message of more than {self._max_size} bytes", "ws_max_size"
                )
        self._in_frame = True
        self._remaining = frame.length
        self._phase = 0

    def _take_control(self, start: int, stop: int, complete: bool) -> Event | None:
        """Take octets of a control frame, which may come between the fragments of a message (5.4)."""
        payload = octets.to_bytes(self._data, start, stop)
        if self._control is not None:
            self._control += payload
            payload = bytes(self._control)
        if not complete:
            if self._control is None:
                self._control = bytearray(payload)
            return None
        self._control = None
        if self._frame.opcode == PING:
            return Ping(payload)
        if self._frame.opcode == PONG:
            return Pong(payload)
        code, reason = close.parse(payload)
        return Close(code, reason)

    def _whole_message(self, start: int, stop: int) -> Event:
        opcode = self._opcode
        self._opcode = NONE
        if opcode == BINARY:
            return octets.to_bytes(self._data, start, stop)
        try:
            return octets.to_text(self._data, start, stop)
        except UnicodeDecodeError:
            raise ProtocolError(INVALID_PAYLOAD, "text message is not UTF-8") from None

    def _gather_data(self, start: int, stop: int) -> None:
        """Keep the octets of a whole fragment."""
        if self._compressed:
            gather = self._gather
            if gather is None:
                gather = self._gather = bytearray()
            octets.append(gather, self._data, start, stop)
            self._gathered = True
            if len(gather) >= _GATHER:
                self._settle()
            return
        message = self._message
        if message is None:
            message = self._message = bytearray()
        if self._opcode == TEXT and not self._gathered:
            self._unchecked = len(message)
            self._gathered = True
        octets.append(message, self._data, start, stop)

    def _settle(self) -> None:
        """Inflate or check the gathered data."""
        if self._compressed:
            self._inflate(self._take_gathered(), False)
        else:
            message = self._message
            assert message is not None
            self._gathered = False
            self._validate_plain(message, self._unchecked, len(message), False)

    def _take_gathered(self) -> bytes:
        gather = self._gather
        assert gather is not None
        self._gather = None
        self._gathered = False
        return bytes(gather)

    def _take_data(self, start: int, stop: int, final: bool) -> None:
        """Keep octets of a message that is not available as a whole: a part of a frame, or the end of the
        message.

        A compressed message may not be fully inflated then; see `_inflating`.
        """
        if self._compressed:
            piece = octets.to_bytes(self._data, start, stop)
            if self._gathered:
                piece = self._take_gathered() + piece
            elif final and start == stop and self._inflated is None:
                # An empty message is one octet of deflate (RFC 7692, 7.2.3.6); no octet at all is not a stream.
                raise ProtocolError(INVALID_PAYLOAD, "compressed message without a payload")
            self._inflate(piece, final)
            return
        message = self._message
        if message is None:
            message = self._message = bytearray()
        begin = self._unchecked if self._gathered else len(message)
        self._gathered = False
        octets.append(message, self._data, start, stop)
        if self._opcode == TEXT:
            self._validate_plain(message, begin, len(message), final)
        frame = self._frame
        if frame.fin and frame.opcode != CONTINUATION and not final:
            self._find_target(message, frame.length)

    def _inflate(self, piece: bytes, final: bool) -> bool:
        """Inflate as much as this turn has work for; false if there is more."""
        deflate = self._deflate
        assert deflate is not None  # RSV1 passes the frame reader only with compression
        inflated = self._inflated
        if inflated is None:
            inflated = self._inflated = Inflated()
        while True:
            data = deflate.inflate(piece, final, self._max_size - inflated.octets, _STEP)
            inflated.keep(data)
            self._inflating = deflate.more
            if self._opcode == TEXT:
                self._validate(data, final and not self._inflating)
            units = _INFLATE + len(data) // _INFLATED
            self._work += units
            if self._work > _SMALL:
                self._turn.take(units)
            if not self._inflating:
                return True
            if self._work >= _SMALL and (self._work >= _SLICE or self._turn.left <= 0):
                self._work = 0
                inflated.final = final
                return False
            piece = b""

    def _find_target(self, message: bytearray, length: int) -> None:
        """Allocate room for a message of one frame, once enough of it has arrived to trust its length."""
        size = len(message)
        if size >= length // TRUST:
            self._target = octets.new_target(length)
            octets.put(self._target, 0, message, 0, size)
            self._filled = size
            self._message = None

    def _fill_target(self, start: int, stop: int, final: bool) -> None:
        """Put octets of a frame that is a whole message, but has not arrived as a whole, into their final
        place."""
        octets.put(self._target, self._filled, self._data, start, stop)
        self._filled += stop - start
        if self._opcode == TEXT:
            self._validate_plain(self._data, start, stop, final)

    def _validate_plain(self, data: bytearray, start: int, stop: int, final: bool) -> None:
        if not octets.is_ascii(data, start, stop) or (
            self._utf8 is not None and self._utf8.pending
        ):
            self._validate(octets.to_bytes(data, start, stop), final)

    def _validate(self, piece: bytes, final: bool) -> None:
        """Check a piece of a text message: "... fail the connection" at once, not when the message ends (8.1;
        Autobahn 6.4)."""
        if self._utf8 is None:
            self._utf8 = Utf8Validator()
        try:
            self._utf8.feed(piece)
            if final:
                self._utf8.finish()
        except UnicodeDecodeError:
            raise ProtocolError(INVALID_PAYLOAD, "text message is not UTF-8") from None

    def _finished_target(self) -> Event:
        opcode = self._opcode
        data = octets.finish(self._target)
        self._opcode = NONE
        self._target = NO_TARGET
        if opcode == TEXT:
            return data.decode()
        return data

    def _assembled_message(self) -> Event:
        opcode = self._opcode
        self._opcode = NONE
        inflated = self._inflated
        if inflated is not None:
            self._inflated = None
            data = pieces.join(inflated.pieces)
            return data.decode() if opcode == TEXT else data
        message = self._message
        assert message is not None  # _take_data was called before
        self._message = None
        if opcode == TEXT:
            return message.decode()
        return bytes(message)
