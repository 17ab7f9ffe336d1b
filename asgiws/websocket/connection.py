"""One open WebSocket: octets in, events out; messages in, octets out (RFC 6455).

Rules of this file:
- No event loop, no transport, no ASGI. The caller writes what the methods return.
- The state changes only in `apply`, according to the table in `states.py`.
- A violation by the peer is returned by `next_event` as a `Close` with `failed` set; after any `Close`,
  nothing more is returned.
"""

from __future__ import annotations

from asgiws.common.turn import Turn
from asgiws.websocket import close, frames, opcodes, wire
from asgiws.websocket.deflate import Deflate
from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.events import Close, Event
from asgiws.websocket.fanout import LIMIT, FanOut
from asgiws.websocket.messages import MAX_FRAGMENTS, MessageReader
from asgiws.websocket.opcodes import BINARY, FIN, RSV1, TEXT
from asgiws.websocket.states import TRANSITIONS, Effect, State, Trigger

#: From this size on, a payload is not joined to its header: the copy would cost more than a second buffer.
LARGE = 16384

#: The same and the fan-out's limit, as C integers for the compiled module.
_LARGE = LARGE
_LIMIT = LIMIT

CONNECTING = 0
OPEN = 1
CLOSING = 2

#: The table of `states.py` in a form that is fast to look up: target, whether the application is told, effect;
#: None if there is no such transition. Members of an Enum are slow keys.
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

    `state` is a number of `states.State`. In a final state, `close_code` and `close_reason` say how the
    WebSocket ended, which is what the application is told. `fanout` is the worker's; its connections share a
    `Compression`.
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
        #: Octets still to come of the frame that made the connection fail.
        self.expected = 0

    # The state machine.

    def apply(
        self, trigger: Trigger, code: int = close.ABNORMAL_CLOSURE, reason: str = ""
    ) -> Effect:
        """Take the transition for `trigger`; returns the actions it requires.

        `code` and `reason` are told to the application if this ends the connection. Raises ValueError if the
        state has no such transition.
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
        """Set what was agreed in the handshake, how many octets and frames a message may have, and the turn
        that limits reading, before the first octets are fed."""
        self._deflate = deflate
        self._reader = MessageReader(max_size, deflate, max_fragments, turn)

    # In.

    def feed(self, data: bytearray, start: int, end: int) -> None:
        """Take the octets `data[start:end]`, which are overwritten; call `next_event` until it returns None.

        In a final state they are dropped.
        """
        if not self._ended:
            assert self._reader is not None  # open() was called before
            self._reader.feed(data, start, end)
        elif self.expected:
            self.expected = max(0, self.expected - (end - start))

    def unread(self) -> int:
        """The number of octets fed last that were not processed yet."""
        return 0 if self._reader is None else self._reader.unread()

    def is_behind(self) -> bool:
        """True if `next_event` has more to process."""
        return self._reader is not None and self._reader.is_behind()

    def held(self) -> int:
        """The number of octets kept of an incomplete message."""
        return 0 if self._reader is None else self._reader.held()

    def next_event(self) -> Event | None:
        """The next event in the fed octets, or `MORE` if others should get their turn first; None if more
        octets are needed, after a `Close` and in a final state."""
        if self._ended:
            return None
        assert self._reader is not None  # open() was called before
        try:
            event = self._reader.next_event()
        except ProtocolError as error:
            event = Close(error.code, error.reason, True, error.limit)
            self.expected = self._reader.expected()
        if type(event) is Close:
            self._end_reading()
        return event

    def _end_reading(self) -> None:
        """Anything that arrives from now on is dropped."""
        self._ended = True
        self._reader = None

    # Out.

    # Connections share the lists that these methods return: nobody may change them.

    def text(self, text: str) -> list[bytes]:
        """A text message. Raises ValueError for text that cannot be encoded as UTF-8 (a lone surrogate)."""
        if self._fanout.message is text:
            return self._again(self._fanout, TEXT)
        return self._message(TEXT, text, text.encode())

    def binary(self, data: bytes) -> list[bytes]:
        """A binary message."""
        if self._fanout.message is data:
            return self._again(self._fanout, BINARY)
        return self._message(BINARY, data, data)

    def shared(self, fanout: FanOut) -> list[bytes]:
        """The message of a `fanout` that several connections use."""
        if self._deflate is None and fanout.plain is not None:
            return fanout.plain
        return self._again(fanout, TEXT if type(fanout.message) is str else BINARY)

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

    def _again(self, fanout: FanOut, opcode: int) -> list[bytes]:
        """A message that was sent before, by this connection or another, or will be."""
        message = fanout.message
        assert message is not None
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
    """One frame, in pieces to be written one after the other."""
    if len(payload) < _LARGE:
        return [wire.frame(first, payload)]
    return [wire.header(first, len(payload)), payload]
