"""One open WebSocket: octets in, events out; messages in, octets out (RFC 6455).

Rules of this file:
- No loop, no transport, no ASGI. The caller writes what the methods return.
- The state changes in `apply` only, by the table in `states.py`.
- What the peer does wrong comes out of `next_event` as a `Close` with `failed` set; after any `Close`
  nothing more comes out.
"""

from __future__ import annotations

from asgiws.websocket import close, frames, octets, opcodes
from asgiws.websocket.deflate import Deflate
from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.events import Close, Event
from asgiws.websocket.fanout import LIMIT, FanOut
from asgiws.websocket.messages import MAX_FRAGMENTS, MessageReader
from asgiws.websocket.opcodes import BINARY, FIN, RSV1, TEXT
from asgiws.websocket.states import TRANSITIONS, Effect, State, Trigger
from asgiws.websocket.turn import Turn

#: From this size on a payload is not joined to its header: the copy would cost more than a second buffer.
LARGE = 16384

#: The same, and the fan-out's limit, as the compiled module compares with them.
_LARGE = LARGE
_LIMIT = LIMIT

CONNECTING = 0
OPEN = 1
CLOSING = 2

#: The table of `states.py`, quick to look up: target, whether the application is told, effect; None for no such
#: transition. Members of an Enum are slow keys.
_ROW = len(Trigger)
_TRANSITIONS: list[tuple[int, bool, Effect] | None] = [None] * (len(State) * _ROW)
for (_state, _trigger), _transition in TRANSITIONS.items():
    _TRANSITIONS[_state * _ROW + _trigger.number] = (
        int(_transition.target),
        Effect.DISCONNECT in _transition.effect,
        _transition.effect,
    )


class WebSocketConnection:
    """The server's end of one WebSocket.

    `state` is a number of `states.State`. `close_code` and `close_reason` tell how it ended, once it is in a
    final state: what the application is told. `fanout` is the worker's; its connections share a `Compression`.
    """

    __slots__ = (
        "_deflate",
        "_ended",
        "_fanout",
        "_reader",
        "close_code",
        "close_reason",
        "expected",
        "state",
    )

    def __init__(self, fanout: FanOut | None = None) -> None:
        self.state: int = CONNECTING
        self.close_code = close.ABNORMAL_CLOSURE
        self.close_reason = ""
        self._deflate: Deflate | None = None
        self._reader: MessageReader | None = None
        self._fanout = FanOut() if fanout is None else fanout
        self._ended = False
        #: Octets that are still to come of the frame for which the connection failed.
        self.expected = 0

    # The state machine.

    def apply(
        self, trigger: Trigger, code: int = close.ABNORMAL_CLOSURE, reason: str = ""
    ) -> Effect:
        """Take the transition for `trigger`; returns what it asks for.

        `code` and `reason` are told to the application if this ends the connection. Raises ValueError when
        the state has no such transition.
        """
        transition = _TRANSITIONS[self.state * _ROW + trigger.number]
        if transition is None:
            raise ValueError(f"'{trigger.value}' is not possible in state {State(self.state).name}")
        target, told, effect = transition
        self.state = target
        if told:
            self.close_code = code
            self.close_reason = reason
            self._end_reading()
            if self._deflate is not None:
                self._deflate.release()
        return effect

    def open(
        self,
        max_size: int,
        deflate: Deflate | None,
        max_fragments: int = MAX_FRAGMENTS,
        turn: Turn | None = None,
    ) -> None:
        """Say what was agreed in the handshake, what a message may have in octets and in frames, and whose turn
        it is read in, before the first octet is fed."""
        self._deflate = deflate
        self._reader = MessageReader(max_size, deflate, max_fragments, turn)

    # In.

    def feed(self, data: bytearray, start: int, end: int) -> None:
        """Take the octets `data[start:end]`, which are overwritten; call `next_event` until it gives None.

        In a final state they are dropped.
        """
        if not self._ended:
            assert self._reader is not None  # open() came before
            self._reader.feed(data, start, end)
        elif self.expected:
            self.expected = max(0, self.expected - (end - start))

    def unread(self) -> int:
        """How many of the octets that were fed last are still to be looked at."""
        return 0 if self._reader is None else self._reader.unread()

    def is_behind(self) -> bool:
        """True when `next_event` has more to take."""
        return self._reader is not None and self._reader.is_behind()

    def held(self) -> int:
        """How many octets are kept of a message that is not complete."""
        return 0 if self._reader is None else self._reader.held()

    def next_event(self) -> Event | None:
        """The next event in what was fed, `MORE` when others are to have their turn first; None when more
        octets are needed, after a `Close` and in a final state."""
        if self._ended:
            return None
        assert self._reader is not None  # open() came before
        try:
            event = self._reader.next_event()
        except ProtocolError as error:
            event = Close(error.code, error.reason, True, error.limit)
            self.expected = self._reader.expected()
        if type(event) is Close:
            self._end_reading()
        return event

    def _end_reading(self) -> None:
        """What comes from now on is dropped."""
        self._ended = True
        self._reader = None

    # Out.

    # The lists that these give are shared by connections: nobody may change them.

    def text(self, text: str) -> list[bytes]:
        """A text message. Raises ValueError for text that UTF-8 cannot carry (a lone surrogate)."""
        if self._fanout.message is text:
            return self._again(TEXT, text)
        return self._message(TEXT, text, text.encode())

    def binary(self, data: bytes) -> list[bytes]:
        """A binary message."""
        if self._fanout.message is data:
            return self._again(BINARY, data)
        return self._message(BINARY, data, data)

    def _message(self, opcode: int, message: str | bytes, payload: bytes) -> list[bytes]:
        deflate = self._deflate
        if deflate is not None and len(payload) >= deflate.min_size:
            if len(payload) <= _LIMIT:
                self._fanout.begin(message, None)
            return _frames(FIN | RSV1 | opcode, deflate.compress(payload))
        chunks = _frames(FIN | opcode, payload)
        if len(payload) <= _LIMIT:
            self._fanout.begin(message, chunks)
        return chunks

    def _again(self, opcode: int, message: str | bytes) -> list[bytes]:
        """The message that was sent last, by this connection or another."""
        fanout = self._fanout
        deflate = self._deflate
        chunks = fanout.plain
        if deflate is None:
            if chunks is None:
                chunks = fanout.plain = _frames(FIN | opcode, _payload(message))
            return chunks
        if chunks is not None and len(message) < deflate.min_size:
            return chunks
        compressed = fanout.compressed
        if compressed is None:
            compressed = fanout.compressed = {}
        chunks = compressed.get(deflate.key)
        if chunks is None:
            payload = _payload(message)
            if len(payload) < deflate.min_size:
                chunks = fanout.plain = _frames(FIN | opcode, payload)
                return chunks
            chunks = _frames(FIN | RSV1 | opcode, deflate.compress_alone(payload))
            compressed[deflate.key] = chunks
        else:
            deflate.forget()
        return chunks

    def ping(self, payload: bytes) -> bytes:
        """A ping of at most 125 octets."""
        return frames.frame(FIN | opcodes.PING, payload)

    def pong(self, payload: bytes) -> bytes:
        """The answer to a ping: "identical "Application data"" (5.5.3)."""
        return frames.frame(FIN | opcodes.PONG, payload)

    def close_frame(self, code: int, reason: str) -> bytes:
        """A close frame. Raises ValueError for a code that may not be sent (7.4)."""
        return frames.frame(FIN | opcodes.CLOSE, close.serialise(code, reason))


def _payload(message: str | bytes) -> bytes:
    return message if type(message) is bytes else message.encode()  # type: ignore[union-attr]


def _frames(first: int, payload: bytes) -> list[bytes]:
    """One frame, in pieces to be written one behind the other."""
    if len(payload) < _LARGE:
        return [octets.frame(first, payload)]
    return [octets.header(first, len(payload)), payload]
