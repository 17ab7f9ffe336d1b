"""The states of an HTTP/1.1 connection and every transition between them.

Rules of this file:
- All transitions are here, as data; `connection.py` looks up the next state and has no other way to
  change one. A pair that is not in the table is a mistake in this package, and raises KeyError.
- A connection has two sides that move independently: what is read and what is written. They meet
  when both are done: then a new exchange begins, or the connection ends.

One exchange, in the usual order:

    request:   HEAD -> BODY -> READ ------------------.
    response:  NONE -> OWED -> STARTED -> SENDING -> SENT -> a new exchange, or both CLOSED
"""

from __future__ import annotations

# The request side.
#: A request head is expected; BODY: its body (perhaps an empty one) is; READ: it was read to its
#: end.
HEAD, BODY, READ = 0, 1, 2
#: The bytes belong to another protocol; CLOSED: nothing more is read.
SWITCHED, CLOSED = 3, 4

# The response side.
#: No request waits for a response; OWED: one does; STARTED: its head is known, but not sent.
NONE, OWED, STARTED = 0, 1, 2
#: The head was sent; TRAILERS: the body was, and trailers follow; SENT: the response is complete.
SENDING, TRAILERS, SENT = 3, 4, 5
#: Nothing more is written.
ENDED = 6

# What happens to the request side.
GOT_HEAD, GOT_END, SWITCH, NEXT, CLOSE = range(5)

REQUEST: dict[int, dict[int, int]] = {
    HEAD: {GOT_HEAD: BODY, CLOSE: CLOSED},
    BODY: {GOT_END: READ, SWITCH: SWITCHED, CLOSE: CLOSED},
    READ: {NEXT: HEAD, CLOSE: CLOSED},
    SWITCHED: {CLOSE: CLOSED},
    CLOSED: {CLOSE: CLOSED},
}

# What happens to the response side.
REQUESTED, START, SEND, SEND_BODY_END, SEND_END, RESET, END = range(7)

RESPONSE: dict[int, dict[int, int]] = {
    NONE: {REQUESTED: OWED, END: ENDED},
    OWED: {START: STARTED, END: ENDED},
    STARTED: {START: STARTED, SEND: SENDING, SEND_BODY_END: TRAILERS, SEND_END: SENT, END: ENDED},
    SENDING: {SEND: SENDING, SEND_BODY_END: TRAILERS, SEND_END: SENT, END: ENDED},
    TRAILERS: {SEND_END: SENT, END: ENDED},
    SENT: {RESET: NONE, END: ENDED},
    ENDED: {END: ENDED},
}

#: The number of events for which a row of `flat` has room.
ROW = 8
IMPOSSIBLE = 255


def flat(table: dict[int, dict[int, int]]) -> bytes:
    """`table` as one octet for each state and event, at `state * ROW + event`; IMPOSSIBLE if there is no
    entry."""
    return bytes(
        table[state].get(event, IMPOSSIBLE) for state in range(len(table)) for event in range(ROW)
    )


REQUEST_STATES = ("HEAD", "BODY", "READ", "SWITCHED", "CLOSED")
RESPONSE_STATES = ("NONE", "OWED", "STARTED", "SENDING", "TRAILERS", "SENT", "ENDED")
