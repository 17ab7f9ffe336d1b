"""The states of a WebSocket connection and every transition between them.

Rules of this file:
- All of them are here: a (state, trigger) pair that TRANSITIONS does not contain is an error of the
  application.
- They are data. `connection.py` looks transitions up; tests and the table in `docs/behaviour.md` are generated
  from them. Nothing else assigns a state.
- DISCONNECT is on every transition into a final state and nowhere else, so `websocket.disconnect` is sent
  exactly once.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class State(enum.IntEnum):
    CONNECTING = 0  # the handshake was read; the application has not answered
    OPEN = 1
    CLOSING = 2  # our close frame was sent; the client's is awaited
    REFUSED = 3  # the application (or the server) rejected the handshake
    FAILED = 4  # the client violated the protocol or a limit, or fell silent
    CLOSED = 5


FINAL = (State.REFUSED, State.FAILED, State.CLOSED)


class Trigger(enum.Enum):
    number: int

    def __init__(self, what: str) -> None:
        self.number = len(type(self).__members__)

    ACCEPT = "app accepts"
    CLOSE = "app or server closes"
    CLOSE_FRAME = "close frame in"
    FAILURE = "protocol error"
    LOST = "TCP lost"
    DEADLINE = "close deadline"


class Effect(enum.IntFlag):
    NOTHING = 0
    SEND_RESPONSE = enum.auto()  # the 101, or the rejection
    SEND_CLOSE = enum.auto()  # a close frame, or the echo of the client's
    START_DEADLINE = enum.auto()
    END_TCP = enum.auto()
    DISCONNECT = enum.auto()  # tell the application, once


class Transition(NamedTuple):
    target: State
    effect: Effect


_N = Effect.NOTHING
_IGNORED = {
    (state, trigger): Transition(state, _N)
    for state in FINAL
    for trigger in (
        Trigger.CLOSE,
        Trigger.CLOSE_FRAME,
        Trigger.FAILURE,
        Trigger.LOST,
        Trigger.DEADLINE,
    )
}

TRANSITIONS: dict[tuple[State, Trigger], Transition] = {
    (State.CONNECTING, Trigger.ACCEPT): Transition(State.OPEN, Effect.SEND_RESPONSE),
    (State.CONNECTING, Trigger.CLOSE): Transition(
        State.REFUSED, Effect.SEND_RESPONSE | Effect.END_TCP | Effect.DISCONNECT
    ),
    (State.CONNECTING, Trigger.LOST): Transition(State.CLOSED, Effect.DISCONNECT),
    (State.OPEN, Trigger.CLOSE): Transition(
        State.CLOSING, Effect.SEND_CLOSE | Effect.START_DEADLINE
    ),
    (State.OPEN, Trigger.CLOSE_FRAME): Transition(
        State.CLOSED, Effect.SEND_CLOSE | Effect.END_TCP | Effect.DISCONNECT
    ),
    (State.OPEN, Trigger.FAILURE): Transition(
        State.FAILED, Effect.SEND_CLOSE | Effect.END_TCP | Effect.DISCONNECT
    ),
    (State.OPEN, Trigger.LOST): Transition(State.CLOSED, Effect.DISCONNECT),
    (State.CLOSING, Trigger.CLOSE): Transition(State.CLOSING, _N),
    (State.CLOSING, Trigger.CLOSE_FRAME): Transition(
        State.CLOSED, Effect.END_TCP | Effect.DISCONNECT
    ),
    (State.CLOSING, Trigger.FAILURE): Transition(State.FAILED, Effect.END_TCP | Effect.DISCONNECT),
    (State.CLOSING, Trigger.LOST): Transition(State.CLOSED, Effect.DISCONNECT),
    (State.CLOSING, Trigger.DEADLINE): Transition(State.CLOSED, Effect.END_TCP | Effect.DISCONNECT),
    **_IGNORED,
}
