"""RFC 6455, section 7: closing the connection.

Rules of this file: data.
"""

from __future__ import annotations

from conformance.rfc6455.notation import (
    ACCEPT,
    LISTEN,
    RAISE,
    RECEIVE,
    REFUSED,
    Case,
    Closed,
    Wait,
    binary,
    clause,
    close,
    closes,
    disconnect,
    end,
    fails,
    frame,
    more,
    ping,
    plain,
    ponged,
    received,
    text,
)

#: RFC 6455, 7.4.1, and the registry of 11.7.
DEFINED = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)
MUST_NOT = (1005, 1006, 1015)
UNDEFINED = (0, 1, 999, 1004, 1016, 1100, 2000, 2999)
FREE = (3000, 3333, 3999, 4000, 4444, 4999)
NO_CODES = (5000, 9999, 65535)
BREACH = frame(0x3, "x")


def application_closes(
    id: str, what: str, event: dict[str, object], code: int, reason: str = ""
) -> Case:
    """The application closes, and the client answers with 1000."""
    return Case(
        id,
        what,
        (Wait(1), close(1000)),
        (Closed(code, reason),),
        (disconnect(1000),),
        does=(ACCEPT, event, LISTEN),
    )


CLAUSES = (
    clause(
        "7.1.1",
        "To _Close the WebSocket Connection_, an endpoint closes the underlying TCP connection. An "
        "endpoint SHOULD use a method that cleanly closes the TCP connection, as well as the TLS "
        "session, if applicable, discarding any trailing bytes that may have been received.",
        closes("7.1.1-1", "much behind the close frame", close(1000) + b"x" * 100_000, 1000),
        fails("7.1.1-2", "much behind a breach of the protocol", BREACH + b"x" * 100_000, 1002),
        why="the runner treats a reset instead of the end of TCP as a failure, in every case",
    ),
    clause(
        "7.1.1",
        "The underlying TCP connection, in most normal cases, SHOULD be closed first by the server "
        "(...) As such, when a server is instructed to _Close the WebSocket Connection_ it SHOULD "
        "initiate a TCP Close immediately",
        also=["5.5.1-1", "5.5.1-20", "7.1.7-1"],
        why="the runner never ends TCP before the server has, unless a case says so",
    ),
    clause(
        "7.1.2",
        "To _Start the WebSocket Closing Handshake_ with a status code (Section 7.4) /code/ and an "
        "optional close reason (Section 7.1.6) /reason/, an endpoint MUST send a Close control frame, "
        "as described in Section 5.5.1, whose status code is set to /code/ and whose close reason is "
        "set to /reason/.",
        application_closes("7.1.2-1", "both", end(4321, "because €"), 4321, "because €"),
        application_closes("7.1.2-2", "a code", end(3000), 3000),
        application_closes("7.1.2-3", "a reason: 1000", end(None, "done"), 1000, "done"),
        application_closes("7.1.2-4", "neither: 1000", end(), 1000),
        Case(
            "7.1.2-5",
            "the application returns: 1000",
            (Wait(1), close(1000)),
            (Closed(1000, ""),),
            does=(ACCEPT,),
            told=(),
        ),
        Case(
            "7.1.2-6",
            "it raises: 1011",
            (Wait(1), close(1000)),
            (Closed(1011),),
            does=(ACCEPT, RAISE),
            told=(),
        ),
        Case(
            "7.1.2-7",
            "behind its answer",
            (text("a"), Wait(2), close(1000)),
            (plain("b"), Closed(1001, "")),
            (received("a"), disconnect(1000)),
            does=(ACCEPT, RECEIVE, {"type": "websocket.send", "text": "b"}, end(1001), LISTEN),
        ),
    ),
    clause(
        "7.1.2",
        "Once an endpoint has both sent and received a Close control frame, that endpoint SHOULD "
        "_Close the WebSocket Connection_ as defined in Section 7.1.1.",
        also=["5.5.1-1", "5.5.1-20"],
    ),
    clause(
        "7.1.5",
        "_The WebSocket Connection Close Code_ is defined as the status code (Section 7.4) contained "
        "in the first Close control frame received by the application implementing this protocol. If "
        "this Close control frame contains no status code, _The WebSocket Connection Close Code_ is "
        "considered to be 1005.",
        closes("7.1.5-1", "a code", close(3456), 3456),
        closes("7.1.5-2", "none", close(), None),
        closes("7.1.5-3", "the first of two", close() + close(1000), None),
        Case(
            "7.1.5-4",
            "the client's, not the application's own",
            (Wait(1), close(4001)),
            (Closed(4000, ""),),
            (disconnect(4001),),
            does=(ACCEPT, end(4000), LISTEN),
        ),
    ),
    clause(
        "7.1.5",
        "If _The WebSocket Connection is Closed_ and no Close control frame was received by the "
        "endpoint (such as could occur if the underlying transport connection is lost), _The "
        "WebSocket Connection Close Code_ is considered to be 1006.",
        Case("7.1.5-5", "lost at once", told=(disconnect(1006, None),), lost=True),
        Case(
            "7.1.5-6",
            "lost behind a message",
            (text("a"), Wait(1)),
            (plain("a"),),
            (received("a"), disconnect(1006, None)),
            lost=True,
        ),
        Case(
            "7.1.5-7",
            "lost in the middle of a message",
            text("a", fin=False) + more("b"),
            told=(disconnect(1006, None),),
            lost=True,
        ),
        Case(
            "7.1.5-8",
            "lost where our close frame should be answered",
            (Wait(1),),
            (Closed(1000, ""),),
            (disconnect(1006, None),),
            does=(ACCEPT, end(), LISTEN),
            lost=True,
        ),
    ),
    clause(
        "7.1.6",
        "_The WebSocket Connection Close Reason_ is defined as the UTF-8-encoded data following the "
        "status code (Section 7.4) contained in the first Close control frame received (...) If "
        "there is no such data in the Close control frame, _The WebSocket Connection Close Reason_ is "
        "the empty string.",
        closes("7.1.6-1", "one", close(1000, "κόσμε"), 1000, "κόσμε"),
        closes("7.1.6-2", "none", close(1000), 1000),
        closes("7.1.6-3", "no body", close(), None),
        closes("7.1.6-4", "the first of two", close(1000, "a") + close(1000, "b"), 1000, "a"),
    ),
    clause(
        "7.1.7",
        "Similarly, to do so, the server MUST _Close the WebSocket Connection_, and SHOULD log the "
        "problem.",
        also=["7.1.7-1"],
        why="the log: `tests/unit/drivers/test_websocket.py`",
    ),
    clause(
        "7.1.7",
        "If _The WebSocket Connection is Established_ prior to the point where the endpoint is "
        "required to _Fail the WebSocket Connection_, the endpoint SHOULD send a Close frame with an "
        "appropriate status code (Section 7.4) before proceeding to _Close the WebSocket Connection_.",
        fails("7.1.7-1", "protocol error: 1002", BREACH, 1002),
        fails("7.1.7-2", "bad UTF-8: 1007", text(b"\xff"), 1007),
        fails("7.1.7-3", "too big: 1009", frame(0x2, length=1 << 50), 1009),
        Case(
            "7.1.7-4",
            "what came before is answered",
            text("a") + ping("b") + binary(b"c") + BREACH,
            (plain("a"), ponged("b"), plain(b"c"), Closed(1002)),
            (received("a"), received(b"c"), disconnect(1002, None)),
        ),
        Case(
            "7.1.7-5",
            "not a second one behind ours",
            (Wait(1), BREACH),
            (Closed(1000, ""),),
            (disconnect(1002, None),),
            does=(ACCEPT, end(), LISTEN),
        ),
    ),
    clause(
        "7.1.7",
        "An endpoint MUST NOT continue to attempt to process data (including a responding Close "
        "frame) from the remote endpoint after being instructed to _Fail the WebSocket Connection_.",
        fails("7.1.7-6", "a message", BREACH + text("a"), 1002),
        fails("7.1.7-7", "a ping", BREACH + ping("a"), 1002),
        fails("7.1.7-8", "a close frame", BREACH + close(1000), 1002),
        fails("7.1.7-9", "a responding close frame", (BREACH, Wait(1), close(1002)), 1002),
        fails("7.1.7-10", "another breach", BREACH + text(b"\xff"), 1002),
        fails("7.1.7-11", "the rest of a frame", frame(0x2, b"x" * 100, length=1 << 50), 1009),
    ),
    clause(
        "7.2.2",
        "Certain algorithms require or recommend that the server _Abort the WebSocket Connection_ "
        "during the opening handshake. To do so, the server MUST simply _Close the WebSocket "
        "Connection_ (Section 7.1.1).",
        also=["4.2.1-36", "4.2.2-1"],
    ),
    clause(
        "7.3",
        "Servers MAY close the WebSocket connection whenever desired.",
        Case(
            "7.3-1",
            "in the middle of a client's message",
            (text("a") + text("b", fin=False), Wait(1), more("c") + close(1000)),
            (Closed(1008, "enough"),),
            (received("a"), disconnect(1000)),
            does=(ACCEPT, RECEIVE, end(1008, "enough"), LISTEN),
        ),
    ),
    clause(
        "7.4.1",
        "Endpoints MAY use the following pre-defined status codes when sending a Close frame.",
        *(closes(f"7.4.1-{1 + i}", f"{code}", close(code), code) for i, code in enumerate(DEFINED)),
        application_closes("7.4.1-13", "1001 by the application", end(1001), 1001),
        application_closes("7.4.1-14", "1011 by the application", end(1011), 1011),
    ),
    clause(
        "7.4.1",
        "1005 is a reserved value and MUST NOT be set as a status code in a Close control frame by an "
        "endpoint. (...) 1006 (...) 1015 (...)",
        *(
            fails(f"7.4.1-{15 + i}", f"{code}", close(code), 1002)
            for i, code in enumerate(MUST_NOT)
        ),
        Case(
            "7.4.1-18",
            "by the application",
            (Wait(1), close(1000)),
            (Closed(1000, ""),),
            (REFUSED, REFUSED, disconnect(1000)),
            does=(ACCEPT, end(1006), end(1015), end(1000), LISTEN),
        ),
        Case(
            "7.4.1-19",
            "1005 by the application is a close frame without a code",
            (Wait(1), close()),
            (Closed(None, ""),),
            (disconnect(1005),),
            does=(ACCEPT, end(1005), LISTEN),
        ),
    ),
    clause(
        "7.4.2",
        "Status codes in the range 0-999 are not used. (...) Status codes in the range 1000-2999 are "
        "reserved for definition by this protocol, its future revisions, and extensions",
        *(
            fails(f"7.4.2-{1 + i}", f"{code}", close(code), 1002)
            for i, code in enumerate(UNDEFINED)
        ),
        Case(
            "7.4.2-9",
            "by the application",
            (Wait(1), close(1000)),
            (Closed(1000, ""),),
            (REFUSED, REFUSED, REFUSED, disconnect(1000)),
            does=(ACCEPT, end(999), end(1004), end(2999), end(1000), LISTEN),
        ),
    ),
    clause(
        "7.4.2",
        "3000-3999 are reserved for use by libraries, frameworks, and applications. (...) 4000-4999 "
        "are reserved for private use",
        *(closes(f"7.4.2-{10 + i}", f"{code}", close(code), code) for i, code in enumerate(FREE)),
        *(
            fails(f"7.4.2-{16 + i}", f"{code}", close(code), 1002)
            for i, code in enumerate(NO_CODES)
        ),
        application_closes("7.4.2-19", "3999 by the application", end(3999), 3999),
        application_closes("7.4.2-20", "4999 by the application", end(4999), 4999),
    ),
)
